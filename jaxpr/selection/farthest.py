"""Distant representatives: farthest-point selection (Eldar et al. 1997; [cohen2024md], Section 4)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import Array, InputError, Key, check_count, check_key
from jaxpr.selection.inputs import check_index, prepare_distances, prepare_features, squared_gaps

__all__ = ["FarthestPoints", "farthest_from_start", "farthest_in_distances", "farthest_points"]


class FarthestPoints(NamedTuple):
    """Points far from each other, in the order in which they were found.

    Attributes:
        indices: (count,) distinct rows; the first is the start.
        distances: (count,) distance of each to the nearest of those before it, never increasing; infinite for the
            start.
    """

    indices: Array
    distances: Array


def farthest_points(key: Key, features: Array, *, count: int, subset: int) -> FarthestPoints:
    """Start anywhere, then always add the point that is farthest from those chosen ([cohen2024md], Section 4).

    Args:
        key: draws the random subset, and the start among it.
        features: (N, d), one row per restoration.
        count: points to select; 5 in the paper, 20 in its Figure 4. Static.
        subset: L of [cohen2024md], Appendix B: the search runs on L rows drawn without replacement; a smaller L makes
            rare points rarer. N takes all, as in the paper's Figure 4. count <= subset <= N. Static.

    Returns:
        `FarthestPoints`; equal distances are decided by the lowest index. Copies of a chosen point come last, and no
        row is chosen twice.

    Note:
        The authors' program takes the first L rows, which are random if the rows are.

    Raises:
        InputError: not points, NaN, count > N, or subset outside count..N.
    """
    check_key(key, single=True)
    features = prepare_features(features, count=count)
    pool, start = random_pool(key, features.shape[0], count=count, subset=subset)
    if pool is None:
        return farthest_from_start(features, start, count=count)
    found = farthest_from_start(features[pool], start, count=count)
    return FarthestPoints(pool[found.indices], found.distances)


def random_pool(key: Key, total: int, *, count: int, subset: int) -> tuple[Array | None, Array]:
    """The rows to search, ascending, so that ties still go to the lowest index, and where among them to start.

    None in place of the rows stands for all of them.
    """
    check_count("subset", subset)
    if not count <= subset <= total:
        raise InputError(f"subset: found {subset}, expected from count = {count} to the number of points, {total}")
    k_subset, k_start = jax.random.split(key)
    start = jax.random.randint(k_start, (), 0, subset, jnp.int32)
    if subset == total:
        return None, start
    return jnp.sort(jax.random.choice(k_subset, total, (subset,), replace=False)), start


def farthest_from_start(features: Array, start: Array, *, count: int) -> FarthestPoints:
    """`farthest_points` from a given start on all rows; nothing is random.

    Args:
        features: (N, d).
        start: the first row, 0..N-1. Traced.
        count: points to select, at most N. Static.

    Raises:
        InputError: not points, NaN, count > N, or no such start.
    """
    features = prepare_features(features, count=count)
    check_index("start", start, features.shape[0])
    found = _search(
        lambda last: squared_gaps(features[last][None], features)[0], start, features.shape[0], features.dtype, count
    )
    return FarthestPoints(found.indices, jnp.sqrt(found.distances))


def farthest_in_distances(distances: Array, start: Array, *, count: int) -> FarthestPoints:
    """`farthest_from_start` for any dissimilarity, for example LPIPS ([cohen2024md], Section 4.1).

    Args:
        distances: (N, N) symmetric, non-negative.
        start: the first row, 0..N-1. Traced.
        count: points to select, at most N. Static.

    Raises:
        InputError: not square, NaN, negative, count > N, or no such start.
    """
    table = prepare_distances(distances, count=count)
    check_index("start", start, table.shape[0])
    return _search(lambda last: table[last], start, table.shape[0], table.dtype, count)


def _search(
    distances_to: Callable[[Array], Array], start: Array, size: int, dtype: jnp.dtype, count: int
) -> FarthestPoints:
    """The loop itself; distances may be squared. Chosen rows are marked by -1."""

    def step(state: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, Array, Array], tuple[Array, Array]]:
        closest, last, gap = state
        closest = jnp.minimum(closest, distances_to(last)).at[last].set(-1)
        following = jnp.argmax(closest).astype(jnp.int32)
        return (closest, following, closest[following]), (last, gap)

    infinite = jnp.asarray(jnp.inf, dtype)
    state = jnp.full(size, infinite), jnp.asarray(start, jnp.int32), infinite
    _, (indices, distances) = jax.lax.scan(step, state, length=count)
    return FarthestPoints(indices, distances)
