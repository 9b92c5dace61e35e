"""The uncertainty-perception function of [cohen2024up] and its bounds."""

import enum
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, check_count, check_positive

__all__ = ["Region", "UncertaintyBounds", "eta", "region", "uncertainty_bounds"]


class UncertaintyBounds(NamedTuple):
    """Between what U(P) lies, in squared units of the variable.

    Attributes:
        lower: η(P) N(X|Y).
        upper: η(P) N(X_G|Y).
    """

    lower: Array
    upper: Array


class Region(enum.StrEnum):
    """Where a restorer lies on the uncertainty-perception plane."""

    IMPOSSIBLE = "impossible"
    """Below the lower bound, where no restorer that is Gaussian given y lies; others, and estimation errors, can."""
    OPTIMAL = "optimal"
    """Between the bounds, where the best restorers are."""
    SUBOPTIMAL = "suboptimal"
    """Above the upper bound: another restorer is more certain at the same perceptual quality."""


def eta(divergence: ArrayLike, dim: int) -> Array:
    r"""The factor $\eta(P) = 2a - \sqrt{(2a-1)^2 - 1}$ with $a = e^{2P/d}$, for Rényi divergence of order 1/2.

    Derivation. Given Y, let X be Gaussian with covariance Σ, and let X̂ be Gaussian with the same mean and covariance
    sΣ, 0 < s <= 1, independent of X. The error X̂ - X then has covariance (1 + s)Σ, so its entropy power is
    (1 + s) N(X|Y): the more X̂ varies, the more uncertain its error. The divergence of order 1/2 between the two is
    twice their Bhattacharyya distance,

    $P = 2 \cdot \frac12 \ln\frac{\det\frac{(1+s)\Sigma}{2}}{\sqrt{\det\Sigma\,\det s\Sigma}} = d
    \ln\frac{1+s}{2\sqrt s}$,

    so $(1+s)^2 = 4 s\, a$ with $a = e^{2P/d}$. Of the two roots of $s^2 - (4a-2)s + 1 = 0$ the one below 1 is
    $s = (2a-1) - \sqrt{(2a-1)^2-1}$, the least variation that divergence P allows, and $\eta(P) = 1 + s$. It falls from
    2 at P = 0 (a posterior sampler) to 1 as P grows (the mean), and is convex. Non-Gaussian X|Y enter through their
    entropy power; see `uncertainty_bounds`.

    Evaluated as $s = b / (2 - b + 2\sqrt{1-b})$ with $b = e^{-2P/d}$, which neither overflows nor cancels.

    Args:
        divergence: P >= 0, nats, any shape.
        dim: dimension d of X. Static.

    Returns:
        Values in (1, 2], shape of `divergence`. The slope at P = 0 is minus infinity.

    Raises:
        InputError: a negative divergence, or dim is not a positive integer.
    """
    check_count("dim", dim)
    if isinstance(divergence, jax.Array | np.ndarray):
        divergence = jnp.asarray(divergence)
        check_positive(
            "divergence", jnp.where(divergence == jnp.inf, jnp.zeros_like(divergence), divergence), or_zero=True
        )
    elif divergence != math.inf:
        check_positive("divergence", divergence, or_zero=True)
    exponent = 2 * jnp.asarray(divergence, jnp.result_type(float, divergence)) / dim
    b, rest = jnp.exp(-exponent), -jnp.expm1(-exponent)
    return 1 + b / (2 - b + 2 * jnp.sqrt(rest))


def uncertainty_bounds(
    divergence: ArrayLike, dim: int, *, inherent: ArrayLike, gaussian: ArrayLike
) -> UncertaintyBounds:
    r"""$\eta(P) N(X|Y) \le U(P) \le \eta(P) N(X_G|Y)$ ([cohen2024up]).

    U(P) is the least entropy power of the error X̂ - X given Y among restorers whose conditional divergence from X is at
    most P. N(X|Y) is the inherent uncertainty of the problem, N(X_G|Y) that of Gaussians with the same covariance given
    Y, which is at least as large. For Gaussian problems both bounds meet.

    Note:
        The source states the lower bound for all restorers. It holds for those that are Gaussian given y. One that
        shows the posterior mean with chance ε and a posterior sample otherwise has P = -ln(1 - ε) in any dimension, and
        an error whose entropy power tends to 2^(1 - ε) N(X|Y) as d grows, while η(P) tends to 2: it passes below.

    Args:
        divergence: P >= 0, nats.
        dim: dimension of X. Static.
        inherent: N(X|Y), squared units.
        gaussian: N(X_G|Y), squared units.

    Raises:
        InputError: see `eta`; a negative entropy power.
    """
    check_positive("inherent", inherent, or_zero=True)
    check_positive("gaussian", gaussian, or_zero=True)
    factor = eta(divergence, dim)
    return UncertaintyBounds(factor * jnp.asarray(inherent), factor * jnp.asarray(gaussian))


def region(uncertainty: float, bounds: UncertaintyBounds) -> Region:
    """Which of the three regions of the plane a restorer with this uncertainty lies in.

    Args:
        uncertainty: entropy power of the error, squared units.
        bounds: at the restorer's divergence.

    Raises:
        InputError: a negative uncertainty, or one that is not finite.
    """
    check_positive("uncertainty", uncertainty, or_zero=True, scalar=True)
    if uncertainty < float(bounds.lower):
        return Region.IMPOSSIBLE
    return Region.OPTIMAL if uncertainty <= float(bounds.upper) else Region.SUBOPTIMAL
