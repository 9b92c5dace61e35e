"""Rényi divergences between Gaussians in closed form."""

import functools
import math
from types import ModuleType
from typing import Any

from jaxpr._core import AnyArray, InputError, check_positive, check_square, in_float64

__all__ = ["renyi_between", "renyi_gaussian"]


def renyi_gaussian(mean_a: AnyArray, cov_a: AnyArray, mean_b: AnyArray, cov_b: AnyArray, *, order: float) -> AnyArray:
    r"""Rényi divergence $D_\alpha(a\|b) = \frac{1}{\alpha-1}\ln\int a^\alpha b^{1-\alpha}$ of two Gaussians.

    With $\Delta = \mu_a-\mu_b$ and $\Sigma_* = (1-\alpha)\Sigma_a+\alpha\Sigma_b$ it is $\frac\alpha2 \Delta^\top
    \Sigma_*^{-1}\Delta - \frac{1}{2(\alpha-1)}
    \ln\frac{\det\Sigma_*}{\det\Sigma_a^{1-\alpha}\det\Sigma_b^\alpha}$ (Gil, Alajaji and Linder 2013, Table 2).
    Order 1 is the Kullback-Leibler divergence, order 1/2 is twice the Bhattacharyya distance and symmetric.

    Args:
        mean_a: (d,).
        cov_a: (d, d), positive definite.
        mean_b: (d,).
        cov_b: (d, d), positive definite.
        order: α > 0. Static.

    Returns:
        Scalar >= 0, nats; inf where the integral diverges (α > 1 and Σ_* not positive definite, or a singular
        covariance). NumPy float64 for concrete input.

    Raises:
        InputError: shapes do not fit, not finite, or order <= 0.
    """
    check_positive("order", order)
    for name, matrix in (("cov_a", cov_a), ("cov_b", cov_b)):
        check_square(name, matrix)
    shapes = {mean_a.shape[0], mean_b.shape[0], cov_a.shape[0], cov_b.shape[0]}
    if len(shapes) != 1:
        raise InputError(f"mean_a, cov_a, mean_b and cov_b: found dimensions {sorted(shapes)}, expected one")
    return in_float64(functools.partial(_renyi, order=float(order)))(mean_a, cov_a, mean_b, cov_b)


def _renyi(xp: ModuleType, mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any, *, order: float) -> Any:
    shift = mean_a - mean_b
    return renyi_between(xp, cov_a, cov_b, xp.outer(shift, shift), order=order)


def renyi_between(xp: ModuleType, cov_a: Any, cov_b: Any, shift_second_moment: Any, *, order: float) -> Any:
    """Mean divergence of two Gaussians whose mean difference is random with this second moment E[ΔΔᵀ], (d, d)."""
    sign_a, logdet_a = xp.linalg.slogdet(cov_a)
    sign_b, logdet_b = xp.linalg.slogdet(cov_b)
    defined = (sign_a > 0) & (sign_b > 0)
    mixed = cov_b if order == 1 else (1 - order) * cov_a + order * cov_b
    if order > 1:
        defined = defined & (xp.linalg.eigvalsh(mixed)[0] > 0)
    # A unit matrix in place of a singular one keeps LAPACK from raising and gradients from turning NaN.
    safe = xp.where(defined, mixed, xp.eye(mixed.shape[0]))
    quadratic = xp.trace(xp.linalg.solve(safe, shift_second_moment))
    if order == 1:
        value = 0.5 * (quadratic + xp.trace(xp.linalg.solve(safe, cov_a)) - cov_a.shape[0] + logdet_b - logdet_a)
    else:
        _, logdet = xp.linalg.slogdet(safe)
        value = 0.5 * order * quadratic + 0.5 * (logdet - (1 - order) * logdet_a - order * logdet_b) / (1 - order)
    return xp.where(defined, xp.maximum(value, 0), math.inf)
