r"""D_max beyond Gaussian laws, where it is exact, and the line from it to the estimator of least error.

D_max has the least mean squared error among estimators whose outputs have the law of x; it is the optimal transport of
E[x|y] to that law, [adrai2023, Eq. (3)]. In general it has no closed form; here are two families in which it has.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, Estimator, InputError, Key, Sampler, check_points, defined_where, is_traced
from jaxpr.toys.mixture import JointMixture
from jaxpr.toys.planar import EllipticRing, UniformSquare

__all__ = ["interpolated", "monotone_dmax", "planar_dmax"]

_HALVINGS = 64


def planar_dmax(law: EllipticRing | UniformSquare) -> Sampler:
    """D_max of a uniform law on the plane seen through y = x₁: it is the posterior sampler.

    E[x|y] = (y, c) lies on a horizontal line, so a transport to x pays at least (x₂ - c)² for every point of x, and
    the one that keeps the first coordinate pays nothing else. Its mean squared error is twice the least one; sampling
    the posterior costs no more here than any estimator with perfect outputs, which is not so in general.

    Args:
        law: of `uniform_disk`, `elliptic_ring` or `uniform_square`.
    """
    return law.posterior_sample


def monotone_dmax(law: JointMixture, y: Array) -> Array:
    r"""D_max for one-dimensional x and y = a x + n, n Gaussian: the quantile of x at the rank of y.

    E[x|y] increases with a y, so its optimal transport on the line is $F_x^{-1}(F_y(y))$, and with the rank turned
    around for a < 0. The quantile is found by halving an interval, in logarithms of the smaller tail, so that far
    measurements keep their digits.

    Args:
        law: of `linear_mixture` with d = m = 1 and noise.
        y: (N, 1).

    Returns:
        (N, 1); NaN where a = 0, for y says nothing of x and D_max is a draw of the prior.

    Raises:
        InputError: the law is not one-dimensional, or y is not finite points of one coordinate.
    """
    if (law.dim_x, law.dim_y) != (1, 1):
        raise InputError(f"law: found x and y of {law.dim_x} and {law.dim_y} dimensions, expected one each")
    check_points("y", y, width=1)
    c = law.components
    mean_x, std_x = c.marginal_x.mean[:, 0], c.marginal_x.root[:, 0, 0]
    direction = jnp.sign(jnp.sum(c.gain))
    rank_y = (law.log_weights, c.marginal_y.mean[:, 0] * direction, c.marginal_y.root[:, 0, 0])
    target = y[:, 0] * direction
    lower_tail, upper_tail = _log_tail(rank_y, target, 1), _log_tail(rank_y, target, -1)
    side = jnp.where(lower_tail < upper_tail, 1, -1)
    wanted = jnp.minimum(lower_tail, upper_tail)
    # No further out in its own deviations than y is, of any component.
    reach = jnp.max(jnp.abs(target[:, None] - rank_y[1][None]) / rank_y[2][None], axis=1) + 1
    low = jnp.min(mean_x[None] - reach[:, None] * std_x[None], axis=1)
    high = jnp.max(mean_x[None] + reach[:, None] * std_x[None], axis=1)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = low + (high - low) / 2
        found = _log_tail((law.log_weights, mean_x, std_x), middle, side)
        below = jnp.where(side > 0, found < wanted, found > wanted)
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, _HALVINGS, halve, (low, high))
    return defined_where(direction != 0, (low + (high - low) / 2)[:, None])


def interpolated(perceptual: Sampler, least_error: Estimator, *, alpha: float | Array) -> Sampler:
    """(1 - α) x̂₀ + α E[x|y], [adrai2023, Eq. (4)]: D_max at α = 0, the estimator of least error at α = 1.

    Args:
        perceptual: maps (key, y) to x̂₀; D_max for the best tradeoff, or the posterior sampler.
        least_error: maps y to E[x|y].
        alpha: one number; values outside [0, 1] extrapolate. Traced.

    Raises:
        InputError: alpha is not one finite number.
    """
    if np.shape(alpha) != () or not (is_traced(alpha) or np.isfinite(alpha)):
        raise InputError(f"alpha: found {alpha!r}, expected one finite number")

    def sampler(key: Key, y: Array) -> Array:
        return (1 - alpha) * perceptual(key, y) + alpha * least_error(y)

    return sampler


def _log_tail(mixture: tuple[Array, Array, Array], points: Array, side: Array | int) -> Array:
    """Log of the mass below (side 1) or above (side -1) each point, (N,), under a mixture on the line."""
    log_weights, means, stds = mixture
    side = jnp.broadcast_to(jnp.asarray(side, points.dtype), points.shape)
    reduced = side[:, None] * (points[:, None] - means[None]) / stds[None]
    return jax.nn.logsumexp(log_weights[None] + jax.scipy.special.log_ndtr(reduced), axis=1)
