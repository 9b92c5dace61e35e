"""Cluster representatives: k-means, then the point nearest to each centroid ([cohen2024md], Section 4)."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import HIGHEST, Array, Key, check_count, check_key, check_points, scan
from jaxpr.selection.inputs import prepare_features, squared_gaps

__all__ = ["KMeansRepresentatives", "kmeans_from_centroids", "kmeans_representatives", "nearest_to_centroids"]


class KMeansRepresentatives(NamedTuple):
    """Clusters and their representatives, the largest cluster first.

    Attributes:
        indices: (count,) the row that represents each cluster.
        centroids: (count, d).
        labels: (N,) the cluster of each row, 0..count-1.
        sizes: (count,) rows in each cluster; zero where fewer than `count` rows are different, and possibly for
            clusters that were empty from the start of `kmeans_from_centroids`.
        inertia: sum of the squared distances of the rows to their centroids, scalar.
        converged: whether the labels stopped changing, scalar.
    """

    indices: Array
    centroids: Array
    labels: Array
    sizes: Array
    inertia: Array
    converged: Array


def kmeans_representatives(
    key: Key, features: Array, *, count: int, restarts: int = 10, iterations: int = 300, distinct: bool = True
) -> KMeansRepresentatives:
    """One representative for each of `count` clusters ([cohen2024md], Section 4).

    Greedy k-means++ seeds (the best of 2 + log(count) candidates at each step), Lloyd's iterations until no label
    changes, the best of `restarts` runs by inertia, and from there single moves and further iterations until neither
    lowers the inertia.

    Args:
        key: for the seeds.
        features: (N, d), one row per restoration.
        count: clusters and representatives; 5 in the paper, 20 in its Figure 4. Static.
        restarts: runs from different seeds; the authors' value. Static.
        iterations: at most so many per run; the authors' value. Static.
        distinct: a row that is nearest to several centroids represents the first of them, and the others take their
            nearest remaining row. False lets `indices` repeat, as the authors' program does. Static.

    Returns:
        `KMeansRepresentatives`.

    Note:
        The authors call scikit-learn, which makes no single moves; they leave poor states of Lloyd's algorithm at
        little cost, and fill empty clusters.

    Raises:
        InputError: not points, NaN, count > N, or a count that is not positive.
    """
    check_key(key, single=True)
    features = prepare_features(features, count=count)
    check_count("restarts", restarts)
    check_count("iterations", iterations)
    # The matrix products of the iterations lose fewest digits near the origin.
    centre = jnp.mean(features, axis=0)
    points = features - centre[None]

    def run(k_run: Key) -> tuple[Array, Array]:
        centroids, _ = _lloyd(points, _seeds(k_run, points, count), iterations, moves=False)
        return centroids, jnp.sum(jnp.min(squared_gaps(centroids, points), axis=0))

    found, inertia = jax.vmap(run)(jax.random.split(key, restarts))
    centroids, converged = _lloyd(points, found[jnp.argmin(inertia)], iterations, moves=True)
    return _result(features, centroids + centre[None], converged, distinct)


def kmeans_from_centroids(
    features: Array, centroids: Array, *, iterations: int = 300, distinct: bool = True
) -> KMeansRepresentatives:
    """Lloyd's algorithm alone, from given centroids (count, d); nothing is random. An empty cluster keeps its centroid.

    Options as `kmeans_representatives`.

    Raises:
        InputError: not points, NaN, widths differ, or more centroids than points.
    """
    check_points("centroids", centroids)
    features = prepare_features(features, count=jnp.shape(centroids)[0])
    check_points("centroids", centroids, width=features.shape[1])
    check_count("iterations", iterations)
    centre = jnp.mean(features, axis=0)
    start = jnp.asarray(centroids, features.dtype) - centre[None]
    found, converged = _lloyd(features - centre[None], start, iterations, moves=False)
    return _result(features, found + centre[None], converged, distinct)


def nearest_to_centroids(features: Array, centroids: Array, *, distinct: bool) -> Array:
    """The row nearest to each centroid, (count,); equal distances go to the lowest index.

    Args:
        features: (N, d).
        centroids: (count, d), count <= N.
        distinct: whether centroids, in their order, take only rows that are not taken yet. Static.

    Raises:
        InputError: not points, NaN, widths differ, or more centroids than points.
    """
    check_points("centroids", centroids)
    features = prepare_features(features, count=jnp.shape(centroids)[0])
    check_points("centroids", centroids, width=features.shape[1])
    distances = squared_gaps(jnp.asarray(centroids, features.dtype), features)
    if not distinct:
        return jnp.argmin(distances, axis=1).astype(jnp.int32)

    def take(taken: Array, row: Array) -> tuple[Array, Array]:
        index = jnp.argmin(jnp.where(taken, jnp.inf, row)).astype(jnp.int32)
        return taken.at[index].set(True), index

    return jax.lax.scan(take, jnp.zeros(features.shape[0], bool), distances)[1]


def _result(features: Array, centroids: Array, converged: Array, distinct: bool) -> KMeansRepresentatives:
    """Labels, sizes and inertia from exact distances, with the largest cluster first."""
    count = centroids.shape[0]
    labels = jnp.argmin(squared_gaps(features, centroids), axis=1)
    order = jnp.argsort(-_sizes(labels, count), stable=True)
    centroids = centroids[order]
    distances = squared_gaps(features, centroids)
    labels = jnp.argmin(distances, axis=1).astype(jnp.int32)
    indices = nearest_to_centroids(features, centroids, distinct=distinct)
    inertia = jnp.sum(jnp.min(distances, axis=1))
    return KMeansRepresentatives(indices, centroids, labels, _sizes(labels, count), inertia, converged)


def _sizes(labels: Array, count: int) -> Array:
    return jnp.sum(labels[:, None] == jnp.arange(count, dtype=labels.dtype)[None], axis=0, dtype=jnp.int32)


def _seeds(key: Key, points: Array, count: int) -> Array:
    """Greedy k-means++ (Arthur & Vassilvitskii 2007): candidates are drawn by their squared distance to the seeds."""
    k_first, k_rest = jax.random.split(key)
    size, dtype = points.shape[0], points.dtype
    first = jax.random.randint(k_first, (), 0, size, jnp.int32)
    closest = squared_gaps(points[first][None], points)[0]
    trials = 2 + int(math.log(count))

    def step(closest: Array, draws: Array) -> tuple[Array, Array]:
        cumulative = jnp.cumsum(closest)
        below = cumulative[None, :] <= (draws * cumulative[-1])[:, None]
        candidates = jnp.minimum(jnp.sum(below, axis=1, dtype=jnp.int32), size - 1)
        left = jnp.minimum(closest[None], squared_gaps(points[candidates], points))
        best = jnp.argmin(jnp.sum(left, axis=1))
        return left[best], candidates[best]

    draws = jax.random.uniform(k_rest, (count - 1, trials), dtype)
    _, others = scan(step, closest, draws)
    return points[jnp.concatenate([first[None], others])]


class _Run(NamedTuple):
    """State of Lloyd's algorithm."""

    centroids: Array
    labels: Array
    changing: Array
    done: Array


def _lloyd(points: Array, centroids: Array, iterations: int, *, moves: bool) -> tuple[Array, Array]:
    """Lloyd's iterations until no label changes and, with `moves`, no single move helps: centroids and success."""
    product = functools.partial(jnp.matmul, precision=HIGHEST)
    clusters = jnp.arange(centroids.shape[0], dtype=jnp.int32)
    squares = jnp.sum(points * points, axis=1)[:, None]
    tolerance = 1e-6 * jnp.mean(squares)  # of a gain, well above the rounding of distances

    def distances(centroids: Array) -> Array:
        return squares + jnp.sum(centroids * centroids, axis=1)[None] - 2 * product(points, centroids.T)

    def move(labels: Array, sizes: Array, to: Array) -> Array:
        """The labels after the single move that lowers the inertia most (Hartigan & Wong 1979), if there is one."""
        is_own = labels[:, None] == clusters[None]
        own, own_size = jnp.sum(jnp.where(is_own, to, 0), axis=1), sizes[labels]
        loss = jnp.where(is_own, jnp.inf, to * (sizes / (sizes + 1))[None])
        gain = own * own_size / jnp.maximum(own_size - 1, 1) - jnp.min(loss, axis=1)
        gain = jnp.where(own_size > 1, gain, -jnp.inf)
        point = jnp.argmax(gain)
        target = jnp.argmin(loss[point]).astype(jnp.int32)
        return labels.at[point].set(jnp.where(gain[point] > tolerance, target, labels[point]))

    def step(run: _Run) -> _Run:
        members = (run.labels[None] == clusters[:, None]).astype(points.dtype)
        sizes = jnp.sum(members, axis=1)
        means = product(members, points) / jnp.maximum(sizes, 1)[:, None]
        centroids = jnp.where(sizes[:, None] > 0, means, run.centroids)
        to = distances(centroids)
        labels = jnp.argmin(to, axis=1).astype(jnp.int32)
        if moves:
            labels = jnp.where(jnp.any(labels != run.labels), labels, move(labels, sizes, to))
        return _Run(centroids, labels, jnp.any(labels != run.labels), run.done + 1)

    start = jnp.argmin(distances(centroids), axis=1).astype(jnp.int32)
    run = jax.lax.while_loop(
        lambda run: run.changing & (run.done < iterations),
        step,
        _Run(centroids, start, jnp.asarray(True), jnp.asarray(0, jnp.int32)),
    )
    return run.centroids, ~run.changing
