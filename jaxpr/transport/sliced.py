r"""Transport on the line, exact by sorting, and its average over random lines.

$W_p^p = \int_0^1 |F^{-1}(t) - G^{-1}(t)|^p\,dt$ for every p >= 1: quantiles are matched with quantiles. JAX code: jits,
vmaps, differentiates. Differences are scaled before they are raised to the power p, so distances are right wherever
their dtype can hold them; half precision is computed in float32.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    HIGHEST,
    Array,
    ArrayLike,
    InputError,
    Key,
    check_count,
    check_finite,
    check_floats,
    described,
    example_keys,
    is_number,
)
from jaxpr.numerics.guards import power_of_two, widened
from jaxpr.transport.inputs import check_pair, weight_pair

__all__ = ["sliced_wasserstein", "wasserstein_1d"]

# Projections computed at a time.
_CHUNK = 32


def wasserstein_1d(
    x: ArrayLike,
    y: ArrayLike,
    *,
    p: float,
    weights_x: ArrayLike | None = None,
    weights_y: ArrayLike | None = None,
) -> Array:
    """The exact Wasserstein-p distance between weighted numbers (the distance, not its p-th power).

    Equal numbers of unweighted points are sorted and subtracted; otherwise the two quantile functions are merged.
    The gradient is zero where the distance is.

    Args:
        x: (n,) finite floats.
        y: (m,) finite floats.
        p: at least 1. Static.
        weights_x: (n,) non-negative; None: equal weights.
        weights_y: (m,); the same sum as `weights_x`. Weights are normalised to sum to one.

    Returns:
        Scalar, the points' dtype.

    Raises:
        InputError: shapes, values or p are wrong, or sums of weights differ.
    """
    _check_order(p)
    for name, values in (("x", x), ("y", y)):
        shape = check_floats(name, values, expected="numbers (n,)")
        if len(shape) != 1 or shape[0] == 0:
            raise InputError(f"{name}: found shape {shape}, expected numbers (n,) with n >= 1")
        check_finite(name, values)
    dtype = jnp.result_type(x, y)
    x, y = widened(x), widened(y)
    weights = weight_pair(weights_x, weights_y, len(x), len(y))
    if weights[0] is None or weights[1] is None:
        found = _by_ranks(x, y, p)
    else:
        a, b = (jnp.asarray(w, jnp.result_type(x, y)) for w in weights)
        found = _by_quantiles(x, y, a / jnp.sum(a), b / jnp.sum(b), p)
    return found.astype(dtype)


def sliced_wasserstein(key: Key, x: Array, y: Array, *, projections: int, p: float) -> Array:
    r"""Sliced Wasserstein distance $(\mathbb{E}_\theta W_p^p(\theta^\top x, \theta^\top y))^{1/p}$, by Monte Carlo.

    Directions θ are uniform on the sphere, each from its own key, so more projections extend fewer.

    Args:
        key: one key, or an array of one key for each projection.
        x: (n, d) points.
        y: (m, d) points.
        projections: number of directions. Static.
        p: at least 1. Static.

    Returns:
        Scalar, the points' dtype.

    Raises:
        InputError: shapes, values or options are wrong.
    """
    check_pair(x, y)
    check_count("projections", projections)
    _check_order(p)
    given, (x, y) = jnp.result_type(x, y), (widened(x), widened(y))
    dtype = jnp.result_type(x, y)
    normal = jax.vmap(lambda k: jax.random.normal(k, (x.shape[1],), dtype))(example_keys(key, projections))
    directions = normal / jnp.linalg.norm(normal, axis=1, keepdims=True)

    def distance(direction: Array) -> Array:
        left, right = (jnp.matmul(points, direction, precision=HIGHEST) for points in (x, y))
        return _by_ranks(left, right, p)

    distances = jax.lax.map(distance, directions, batch_size=_CHUNK)
    return _mean_power(distances, jnp.full(projections, 1 / projections, dtype), p).astype(given)


def _by_ranks(x: Array, y: Array, p: float) -> Array:
    """W_p of unweighted numbers (n,) and (m,)."""
    n, m = len(x), len(y)
    x, y = jnp.sort(x), jnp.sort(y)
    if n == m:
        return _mean_power(x - y, jnp.full(n, 1 / n, x.dtype), p)
    # Quantile functions jump at i/n and j/m; in units of 1/(nm) these are integers, so ties are exact.
    stops = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    starts = np.concatenate([[0], stops[:-1]])
    widths = jnp.asarray((stops - starts) / (n * m), x.dtype)
    rows, columns = jnp.asarray(starts // m), jnp.asarray(starts // n)
    return _mean_power(x[rows] - y[columns], widths, p)


def _by_quantiles(x: Array, y: Array, a: Array, b: Array, p: float) -> Array:
    order_x, order_y = jnp.argsort(x), jnp.argsort(y)
    upto_x, upto_y = jnp.cumsum(a[order_x]), jnp.cumsum(b[order_y])
    stops = jnp.sort(jnp.concatenate([upto_x, upto_y]))
    widths = jnp.diff(stops, prepend=jnp.zeros(1, stops.dtype))
    rows, columns = (
        jnp.minimum(jnp.searchsorted(upto, stops, side="left"), len(upto) - 1) for upto in (upto_x, upto_y)
    )
    return _mean_power(x[order_x][rows] - y[order_y][columns], widths, p)


def _mean_power(differences: Array, shares: Array, p: float) -> Array:
    """(sum of shares |differences|^p)^(1/p), with gradient zero at zero."""
    # The largest that counts is near one, so that no power overflows and none that matters vanishes.
    scale = power_of_two(jnp.max(jnp.where(shares > 0, jnp.abs(differences), 0)))
    scaled = jnp.where(shares > 0, differences / scale, 0)
    return _root(jnp.sum(shares * _power(scaled, p)), p) * scale


def _power(difference: Array, p: float) -> Array:
    """|difference|^p with derivative zero at zero."""
    if p == 2:
        return difference * difference
    zero = difference == 0
    size = jnp.abs(jnp.where(zero, 1, difference))
    return jnp.where(zero, 0, size if p == 1 else size**p)


def _root(power: Array, p: float) -> Array:
    if p == 1:
        return power
    zero = power == 0
    return jnp.where(zero, 0, jnp.where(zero, 1, power) ** (1 / p))


def _check_order(p: float) -> None:
    if not is_number(p) or not 1 <= p < float("inf"):
        raise InputError(f"p: found {described(p)}, expected a number of at least 1")
