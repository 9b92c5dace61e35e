"""Pairwise distances and nearest neighbours in blocks: no (N, M) matrix is ever stored."""

import jax
import jax.numpy as jnp

from jaxpr.core import HIGHEST, Array, check_count, check_points

__all__ = ["nearest_distances", "squared_distances"]

# Columns that the running selection treats side by side; a multiple of every vector width in use.
_LANES = 128
# The network's program, and the time to compile it, grow with k; beyond this a partial sort per block takes over.
_LARGEST_NETWORK = 16


def squared_distances(a: Array, b: Array) -> Array:
    """Squared Euclidean distances, (N, M), by one full-precision matrix product.

    Both sets are centred at the mean of `b` first: the expansion |a|² + |b|² - 2ab cancels less near the origin.

    Args:
        a: (N, d).
        b: (M, d).

    Raises:
        InputError: not points, or of different widths.
    """
    check_points("a", a)
    check_points("b", b, width=a.shape[1])
    centre = jnp.mean(b, axis=0)
    a, b = a - centre[None], b - centre[None]
    squares = jnp.sum(a * a, axis=1)[:, None] + jnp.sum(b * b, axis=1)[None, :]
    return jnp.maximum(squares - 2 * jnp.matmul(a, b.T, precision=HIGHEST), 0)


def nearest_distances(queries: Array, points: Array, *, k: int, block: int = 2048) -> Array:
    """Distances from each query to its k nearest points, ascending, (N, k).

    A query that is itself one of the points counts, at distance zero up to float32 cancellation.

    Args:
        queries: (N, d).
        points: (M, d), M >= k.
        k: number of neighbours. Static.
        block: points per step. Static; memory is O(N · (block + 128 k)).

    Returns:
        Euclidean distances, (N, k).

    Raises:
        InputError: fewer than k points, different widths, or k < 1.
    """
    check_count("k", k)
    check_count("block", block)
    check_points("queries", queries)
    check_points("points", points, width=queries.shape[1], at_least=k)
    block = -(-min(block, points.shape[0]) // _LANES) * _LANES
    blocks = -(-points.shape[0] // block)
    centre = jnp.mean(points, axis=0)
    queries, points = queries - centre[None], points - centre[None]
    query_squares = jnp.sum(queries * queries, axis=1)[:, None]
    padding = blocks * block - points.shape[0]
    padded = jnp.pad(points, ((0, padding), (0, 0))).reshape(blocks, block, -1)
    # Padded points are infinitely far away, so they are never among the nearest.
    squares = jnp.pad(jnp.sum(points * points, axis=1), (0, padding), constant_values=jnp.inf).reshape(blocks, block)

    def step(best: tuple[Array, ...], piece: tuple[Array, Array]) -> tuple[tuple[Array, ...], None]:
        pts, sq = piece
        found = query_squares + sq[None] - 2 * jnp.matmul(queries, pts.T, precision=HIGHEST)
        if k > _LARGEST_NETWORK:
            return (_smallest(jnp.concatenate([*best, found], axis=1), k),), None
        for column in range(0, block, _LANES):
            best = _insert(best, jax.lax.slice_in_dim(found, column, column + _LANES, axis=1))
        return best, None

    lists, width = (1, k) if k > _LARGEST_NETWORK else (k, _LANES)
    start = tuple(jnp.full((queries.shape[0], width), jnp.inf, queries.dtype) for _ in range(lists))
    best, _ = jax.lax.scan(step, start, (padded, squares))
    return jnp.sqrt(jnp.maximum(_smallest(jnp.concatenate(best, axis=1), k), 0))


def _smallest(values: Array, k: int) -> Array:
    """The k smallest of each row, ascending."""
    return -jax.lax.top_k(-values, k)[0]


def _insert(best: tuple[Array, ...], new: Array) -> tuple[Array, ...]:
    """Insert one value per lane into the lane's ascending list: a network of minima and maxima, which vectorises."""
    kept = []
    for value in best:
        kept.append(jnp.minimum(value, new))
        new = jnp.maximum(value, new)
    return tuple(kept)
