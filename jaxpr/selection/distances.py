"""The selections from distances alone: for dissimilarities without features, such as LPIPS ([cohen2024md], Section 4).

Distances are (N, N), symmetric and non-negative; their diagonal is taken to be zero. Where a dimension is needed it is
an effective one: the authors take 5 for LPIPS distances.
"""

import jax
import jax.numpy as jnp

from jaxpr.core import Array, InputError, Key, check_count, check_key
from jaxpr.selection.farthest import FarthestPoints, farthest_in_distances, random_pool
from jaxpr.selection.hierarchy import Hierarchy, grow_tree, uniform_priority
from jaxpr.selection.inputs import prepare_distances
from jaxpr.selection.uniformization import Uniformization, drawn_by_radii

__all__ = [
    "farthest_points_in_distances",
    "hierarchy_in_distances",
    "uniformization_hierarchy_in_distances",
    "uniformization_in_distances",
]


def farthest_points_in_distances(key: Key, distances: Array, *, count: int, subset: int) -> FarthestPoints:
    """`farthest_points` from distances (N, N), with the same choices for the same key.

    Raises:
        InputError: not square, NaN, negative, count > N, or subset outside count..N.
    """
    check_key(key, single=True)
    table = prepare_distances(distances, count=count)
    pool, start = random_pool(key, table.shape[0], count=count, subset=subset)
    if pool is None:
        return farthest_in_distances(table, start, count=count)
    found = farthest_in_distances(table[pool][:, pool], start, count=count)
    return FarthestPoints(pool[found.indices], found.distances)


def uniformization_in_distances(
    key: Key, distances: Array, *, count: int, k: int, keep: float, dim: int = 5
) -> Uniformization:
    """`uniformization` from distances (N, N), with probabilities r^dim ([cohen2024md], eq. (6)).

    Args:
        key: for the draw.
        distances: (N, N).
        count: rows to draw without replacement. Static.
        k: neighbour that estimates the density, the row itself counted as the first, 2 <= k < N. Static.
        keep: share of the most probable rows to keep, in (0, 1]. Static.
        dim: effective dimension; the authors' value for LPIPS. Static.

    Raises:
        InputError: not square, NaN, negative, count greater than the number kept, k outside 2..N-1, keep outside
            (0, 1], or dim < 1.
    """
    check_key(key, single=True)
    table = prepare_distances(distances, count=count)
    check_count("dim", dim)
    gumbel = jax.random.gumbel(key, (table.shape[0],), table.dtype)
    return drawn_by_radii(_radii(table, k), gumbel, dim=dim, count=count, keep=keep)


def hierarchy_in_distances(key: Key, distances: Array, *, count: int) -> Hierarchy:
    """`hierarchy` from distances (N, N), with the same starts for the same key.

    Raises:
        InputError: not square, NaN, negative, or count outside 2..N.
    """
    check_key(key, single=True)
    table = _prepare(distances, count)
    priority = jax.random.uniform(key, (table.shape[0],), table.dtype)
    return _grow(table, priority, count=count, farthest=True)


def uniformization_hierarchy_in_distances(key: Key, distances: Array, *, count: int, k: int, dim: int = 5) -> Hierarchy:
    """`uniformization_hierarchy` from distances (N, N); `dim` as in `uniformization_in_distances`.

    Raises:
        InputError: not square, NaN, negative, count outside 2..N, k outside 2..N-1, or dim < 1.
    """
    check_key(key, single=True)
    table = _prepare(distances, count)
    check_count("dim", dim)
    return _grow(table, uniform_priority(key, _radii(table, k), dim=dim), count=count, farthest=False)


def _prepare(distances: Array, count: int) -> Array:
    check_count("count", count, at_least=2)
    return prepare_distances(distances, count=count)


def _radii(table: Array, k: int) -> Array:
    """Distance of each row to its k-th nearest, itself counted as the first, (N,)."""
    check_count("k", k, at_least=2)
    size = table.shape[0]
    if k >= size:
        raise InputError(f"k: found {k}, expected less than the number of points, {size}")
    off_diagonal = jnp.where(jnp.eye(size, dtype=bool), 0, table)
    return -jax.lax.top_k(-off_diagonal, k)[0][:, k - 1]


def _grow(table: Array, priority: Array, *, count: int, farthest: bool) -> Hierarchy:
    size = table.shape[0]
    rows = jnp.arange(size)
    return grow_tree(
        lambda leads: table[rows, leads], size, priority, count=count, farthest=farthest, dtype=table.dtype
    )
