"""Rényi divergences between Gaussians in closed form."""

import functools
import math
from types import ModuleType
from typing import Any

import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular

from jaxpr.core import (
    AnyArray,
    Array,
    InputError,
    check_finite,
    check_floats,
    check_positive,
    check_square,
    in_float64,
    is_float32,
)
from jaxpr.numerics.psd import scaled_cholesky

__all__ = ["renyi_between", "renyi_gaussian"]

# Variances that differ by less than this factor in every direction are close: few digits cancel beyond it.
_CLOSE = 4


def renyi_gaussian(mean_a: AnyArray, cov_a: AnyArray, mean_b: AnyArray, cov_b: AnyArray, *, order: float) -> AnyArray:
    r"""Rényi divergence $D_\alpha(a\|b) = \frac{1}{\alpha-1}\ln\int a^\alpha b^{1-\alpha}$ of two Gaussians.

    With $\Delta = \mu_a-\mu_b$ and $\Sigma_* = (1-\alpha)\Sigma_a+\alpha\Sigma_b$ it is $\frac\alpha2 \Delta^\top
    \Sigma_*^{-1}\Delta - \frac{1}{2(\alpha-1)}
    \ln\frac{\det\Sigma_*}{\det\Sigma_a^{1-\alpha}\det\Sigma_b^\alpha}$ (Gil, Alajaji and Linder 2013, Table 2).
    Order 1 is the Kullback-Leibler divergence, order 1/2 is twice the Bhattacharyya distance and symmetric.

    Note:
        In float32, in a program for a TPU, off by 2e-6 of itself where eigenvalues lie within a factor of ten (5e-5 if
        the two differ by one per cent only); where they span six decades by up to 2e-2, and by a quarter if the two
        nearly coincide (d = 4 to 512, with LAPACK's float32). Correlation matrices that are singular up to four
        roundings give inf.

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
    check_positive("order", order, scalar=True)
    for name, matrix in (("cov_a", cov_a), ("cov_b", cov_b)):
        check_square(name, matrix)
    for name, mean in (("mean_a", mean_a), ("mean_b", mean_b)):
        if len(check_floats(name, mean, expected="a mean (d,)")) != 1:
            raise InputError(f"{name}: found shape {mean.shape}, expected a mean (d,)")
        check_finite(name, mean)
    shapes = {mean_a.shape[0], mean_b.shape[0], cov_a.shape[0], cov_b.shape[0]}
    if len(shapes) != 1:
        raise InputError(f"mean_a, cov_a, mean_b and cov_b: found dimensions {sorted(shapes)}, expected one")
    return in_float64(functools.partial(_renyi, order=float(order)))(mean_a, cov_a, mean_b, cov_b)


def _renyi(xp: ModuleType, mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any, *, order: float) -> Any:
    shift = mean_a - mean_b
    return renyi_between(xp, cov_a, cov_b, xp.outer(shift, shift), order=order)


def renyi_between(xp: ModuleType, cov_a: Any, cov_b: Any, shift_second_moment: Any, *, order: float) -> Any:
    """Mean divergence of two Gaussians whose mean difference is random with this second moment E[ΔΔᵀ], (d, d)."""
    if is_float32(cov_a):
        return _renyi_in_float32(cov_a, cov_b, shift_second_moment, order)
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


def _renyi_in_float32(cov_a: Array, cov_b: Array, shift_second_moment: Array, order: float) -> Array:
    r"""The same where determinants have few digits.

    Where the two covariances are close, their differences would lose them all. There the divergence is a sum of
    $f(\lambda_i) \ge 0$ with f(1) = f'(1) = 0 over the eigenvalues λ of Σ_a in coordinates in which Σ_b is white.
    """
    mixed = cov_b if order == 1 else (1 - order) * cov_a + order * cov_b
    factors, scales, regular = zip(*(scaled_cholesky(cov) for cov in (cov_a, cov_b, mixed)), strict=True)
    logdets = [2 * jnp.sum(jnp.log(jnp.diagonal(f)) + jnp.log(s)) for f, s in zip(factors, scales, strict=True)]
    whole = [scale[:, None] * scale[None] for scale in scales]
    quadratic = jnp.trace(cho_solve((factors[2], True), shift_second_moment / whole[2]))
    half = solve_triangular(factors[1], cov_a / whole[1], lower=True)
    white = solve_triangular(factors[1], half.T, lower=True)
    values = jnp.linalg.eigvalsh(white)
    close = (values[0] > 1 / _CLOSE) & (values[-1] < _CLOSE) & (order + (1 - order) * values[-1] > 1 / _CLOSE)
    less = jnp.where(close, values - 1, 0)
    if order == 1:
        near = jnp.sum(less - jnp.log1p(less)) / 2
        far = (jnp.trace(white) - len(values) + logdets[1] - logdets[0]) / 2
    else:
        near = jnp.sum(jnp.log1p((1 - order) * less) / (1 - order) - jnp.log1p(less)) / 2
        far = (logdets[2] - (1 - order) * logdets[0] - order * logdets[1]) / (2 * (1 - order))
    value = order / 2 * quadratic + jnp.where(close, near, far)
    return jnp.where(regular[0] & regular[1] & regular[2], jnp.maximum(value, 0), math.inf)
