"""Cluster representatives from distances alone: k-medoids, the form of k-means that needs no coordinates."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import HIGHEST, Array, Key, check_count, check_key, scan
from jaxpr.selection.inputs import prepare_distances

__all__ = ["KMedoids", "kmedoids_representatives"]


class KMedoids(NamedTuple):
    """Clusters around points of their own, the largest cluster first.

    Attributes:
        indices: (count,) distinct rows, the middle of each cluster.
        labels: (N,) the cluster of each row, 0..count-1.
        sizes: (count,) rows in each cluster, at least one.
        inertia: sum of the squared distances of the rows to the middles of their clusters, scalar.
        converged: whether no exchange of a middle for another row would lower the inertia, scalar.
    """

    indices: Array
    labels: Array
    sizes: Array
    inertia: Array
    converged: Array


def kmedoids_representatives(
    key: Key, distances: Array, *, count: int, restarts: int = 10, iterations: int = 300
) -> KMedoids:
    """One representative for each of `count` clusters, from distances (N, N); compare `kmeans_representatives`.

    k-means++ seeds; alternately every row to the nearest middle, and to each cluster the member with the least sum of
    squared distances to the others as its middle; of `restarts` runs the best; from there single exchanges of a middle
    for another row (Kaufman & Rousseeuw 1990), the best first, until none lowers the inertia.

    Args:
        key: for the seeds.
        distances: (N, N) symmetric, non-negative.
        count: clusters and representatives. Static.
        restarts: runs from different seeds. Static.
        iterations: at most so many per run, and so many exchanges. Static.

    Raises:
        InputError: not square, NaN, negative, count > N, or a count that is not positive.
    """
    check_key(key, single=True)
    table = prepare_distances(distances, count=count)
    check_count("restarts", restarts)
    check_count("iterations", iterations)
    squares = table * table

    def run(k_run: Key) -> tuple[Array, Array]:
        medoids = _alternate(squares, _seeds(k_run, squares, count), iterations)
        return medoids, _inertia(squares, medoids)

    found, inertia = jax.vmap(run)(jax.random.split(key, restarts))
    medoids, converged = _exchange(squares, found[jnp.argmin(inertia)], iterations)
    sizes = jnp.bincount(_labels(squares, medoids), length=count)
    medoids = medoids[jnp.argsort(-sizes, stable=True)]
    labels = _labels(squares, medoids)
    sizes = jnp.bincount(labels, length=count).astype(jnp.int32)
    return KMedoids(medoids, labels, sizes, _inertia(squares, medoids), converged)


def _labels(squares: Array, medoids: Array) -> Array:
    """The nearest medoid of each row; each is its own, copies of others included."""
    nearest = jnp.argmin(squares[medoids], axis=0).astype(jnp.int32)
    return nearest.at[medoids].set(jnp.arange(medoids.shape[0], dtype=jnp.int32))


def _inertia(squares: Array, medoids: Array) -> Array:
    return jnp.sum(jnp.min(squares[medoids], axis=0))


def _seeds(key: Key, squares: Array, count: int) -> Array:
    """Distinct rows, drawn by their squared distance to those drawn before (Arthur & Vassilvitskii 2007)."""
    k_first, k_rest = jax.random.split(key)
    size = squares.shape[0]
    first = jax.random.randint(k_first, (), 0, size, jnp.int32)

    def step(closest: Array, draws: Array) -> tuple[Array, Array]:
        # Copies come after all others; what was drawn is marked by -1.
        weights = jnp.where(closest > 0, jnp.log(closest) + draws, jnp.finfo(squares.dtype).min)
        chosen = jnp.argmax(jnp.where(closest < 0, -jnp.inf, weights)).astype(jnp.int32)
        return jnp.minimum(closest, squares[chosen]).at[chosen].set(-1), chosen

    draws = jax.random.gumbel(k_rest, (count - 1, size), squares.dtype)
    _, others = scan(step, squares[first].at[first].set(-1), draws)
    return jnp.concatenate([first[None], others])


def _alternate(squares: Array, medoids: Array, iterations: int) -> Array:
    clusters = jnp.arange(medoids.shape[0], dtype=jnp.int32)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        before, _, done = state
        is_member = _labels(squares, before)[:, None] == clusters[None]
        costs = jnp.matmul(squares, is_member.astype(squares.dtype), precision=HIGHEST)
        after = jnp.argmin(jnp.where(is_member, costs, jnp.inf), axis=0).astype(jnp.int32)
        return after, jnp.any(after != before), done + 1

    start = medoids, jnp.asarray(True), jnp.asarray(0, jnp.int32)
    return jax.lax.while_loop(lambda state: state[1] & (state[2] < iterations), step, start)[0]


def _exchange(squares: Array, medoids: Array, iterations: int) -> tuple[Array, Array]:
    """The medoids when no single exchange lowers the inertia by more than rounding, and whether that was reached."""
    clusters = jnp.arange(medoids.shape[0], dtype=jnp.int32)

    def step(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        medoids, _, done = state
        rows = squares[medoids]

        def without(cluster: Array) -> Array:
            """(N,) the inertia with each row in place of this cluster's medoid."""
            others = jnp.min(jnp.where(clusters[:, None] == cluster, jnp.inf, rows), axis=0)
            return jnp.sum(jnp.minimum(squares, others[None]), axis=1)

        costs = jax.lax.map(without, clusters)
        place = jnp.argmin(costs)
        cluster, row = place // squares.shape[0], (place % squares.shape[0]).astype(jnp.int32)
        before = jnp.sum(jnp.min(rows, axis=0))
        lower = jnp.min(costs) < before * (1 - 1e-6)
        return jnp.where(lower, medoids.at[cluster].set(row), medoids), lower, done + 1

    start = medoids, jnp.asarray(True), jnp.asarray(0, jnp.int32)
    found, lower, _ = jax.lax.while_loop(lambda state: state[1] & (state[2] < iterations), step, start)
    return found, ~lower
