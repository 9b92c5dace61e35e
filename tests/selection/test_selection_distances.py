"""Selections from distances alone: the same as from features where these are known, and against small loops."""

import functools
import itertools

import jax
import numpy as np
import pytest
from random_points import points
from scipy.spatial.distance import cdist
from sklearn.decomposition import PCA

from jaxpr.core import InputError
from jaxpr.selection import (
    farthest_points,
    farthest_points_in_distances,
    farthest_tree,
    hierarchy,
    hierarchy_in_distances,
    kmedoids_representatives,
    overlapping_tree,
    principal_components,
    set_report,
    uniformization,
    uniformization_hierarchy,
    uniformization_hierarchy_in_distances,
    uniformization_in_distances,
)

KEY = jax.random.key(3)


def table(x):
    return cdist(x, x).astype(np.float32)


@pytest.mark.thorough
def test_distances_of_features_give_what_the_features_give():
    x = points(0)
    gaps = table(x)
    expected = farthest_points(KEY, x, count=5, subset=20)
    found = farthest_points_in_distances(KEY, gaps, count=5, subset=20)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.distances, expected.distances, rtol=1e-5)
    expected = uniformization(KEY, x, count=5, k=6, keep=0.9)
    found = uniformization_in_distances(KEY, gaps, count=5, k=6, keep=0.9, dim=4)
    np.testing.assert_array_equal(found.indices, expected.indices)
    np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, rtol=1e-4)


@pytest.mark.thorough
def test_distances_of_features_give_the_trees_of_the_features():
    x = points(0)
    gaps = table(x)
    for expected, found in (
        (hierarchy(KEY, x, count=5), hierarchy_in_distances(KEY, gaps, count=5)),
        (
            uniformization_hierarchy(KEY, x, count=5, k=6),
            uniformization_hierarchy_in_distances(KEY, gaps, count=5, k=6, dim=4),
        ),
    ):
        for one, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_dimension_is_the_exponent_of_the_distances():
    gaps = table(points(1))
    radii = np.sort(gaps.astype(np.float64), axis=1)[:, 5]
    found = uniformization_in_distances(KEY, gaps, count=5, k=6, keep=1.0)
    np.testing.assert_allclose(np.exp(found.log_probabilities), radii**5 / np.sum(radii**5), rtol=1e-4)


MEDOIDS = jax.jit(functools.partial(kmedoids_representatives, count=3, restarts=4))


def test_medoids_are_the_best_of_all_sets():
    gaps = table(points(2, n=12, d=2))
    squares = gaps.astype(np.float64) ** 2
    best = min(squares[list(chosen)].min(axis=0).sum() for chosen in itertools.combinations(range(12), 3))
    found = MEDOIDS(KEY, gaps)
    assert bool(found.converged)
    np.testing.assert_allclose(found.inertia, best, rtol=1e-5)
    np.testing.assert_array_equal(found.labels, squares[np.asarray(found.indices)].argmin(axis=0))
    np.testing.assert_array_equal(found.sizes, np.bincount(found.labels, minlength=3))
    assert list(found.sizes) == sorted(found.sizes, reverse=True)
    copies = MEDOIDS(KEY, np.zeros((12, 12), np.float32))
    assert len(set(np.asarray(copies.indices).tolist())) == 3
    assert (float(copies.inertia), int(copies.sizes.sum()), int(copies.sizes.min())) == (0, 12, 1)


@pytest.mark.thorough
def test_medoids_of_many_problems():
    tables = np.stack([table(points(seed, n=12, d=2)) for seed in (3, 4)])
    keys = jax.random.split(KEY, 2)
    together = jax.vmap(MEDOIDS)(keys, tables)
    for i in range(2):
        np.testing.assert_array_equal(together.indices[i], MEDOIDS(keys[i], tables[i]).indices)


def ways(tree):
    """For each node the points that the screens on the way to it show."""
    found = []
    for node in range(len(tree.point)):
        seen, above = [], int(tree.parent[node])
        while True:
            seen += tree.point[tree.parent == above].tolist()
            if above < 0:
                break
            above = int(tree.parent[above])
        found.append(seen)
    return found


def test_without_overlap_the_tree_is_that_of_farthest_points():
    x, priority = points(5), np.random.default_rng(5).random(60).astype(np.float32)
    expected = farthest_tree(x, priority, count=4)
    found = overlapping_tree(table(x), priority, count=4, factor=np.inf)
    assert not found.guest.any()
    np.testing.assert_array_equal(np.sort(found.point), np.arange(60))
    parents = np.where(found.parent < 0, -1, found.point[found.parent])
    np.testing.assert_array_equal(parents, np.asarray(expected.parent)[found.point])
    np.testing.assert_array_equal(found.rank, np.asarray(expected.rank)[found.point])


def test_branches_overlap_in_near_neighbours_and_nothing_is_shown_twice_on_a_way():
    x, priority = points(6, n=80, d=2), np.random.default_rng(6).random(80).astype(np.float32)
    gaps = table(x)
    found = overlapping_tree(gaps, priority, count=4, factor=1.0, closest=0.2)
    near = np.quantile(gaps[np.triu_indices(80, 1)], 0.2)
    assert 5 < found.guest.sum() < 80
    np.testing.assert_array_equal(np.sort(found.point[~found.guest]), np.arange(80))
    neighbours = np.where(np.eye(80, dtype=bool), np.inf, gaps)
    assert all(neighbours[:, point].min() < near for point in found.point[found.guest])
    assert all(len(set(seen)) == len(seen) for seen in ways(found))
    assert np.unique(np.stack([found.parent, found.rank]), axis=1).shape[1] == len(found.point)
    assert found.rank.max() == 3
    with pytest.raises(InputError, match=r"closest: found 2, expected a number from 0 to 1"):
        overlapping_tree(gaps, priority, count=4, factor=1.0, closest=2)


@pytest.mark.parametrize("shape", [(40, 6), (12, 90)])
def test_components_are_those_of_scikit_learn_with_their_signs(shape):
    x = points(7, *shape) * np.linspace(1, 3, shape[1], dtype=np.float32)
    kept = min(25, shape[0] - 1, shape[1])
    reference = PCA(kept, svd_solver="full").fit(x.astype(np.float64))
    found = principal_components(x)
    assert found.features.shape == (shape[0], kept)
    signs = np.sign(np.take_along_axis(reference.components_, np.abs(reference.components_).argmax(1)[:, None], 1))
    np.testing.assert_allclose(found.axes, signs * reference.components_, atol=2e-4)
    np.testing.assert_allclose(found.features, reference.transform(x) * signs[:, 0], atol=2e-3)
    np.testing.assert_allclose(found.project(x[:3]), found.features[:3], atol=1e-4)


def test_components_of_points_that_do_not_vary_are_zero():
    found = principal_components(np.ones((4, 3), np.float32))
    assert not np.asarray(found.features).any()
    assert np.isfinite(found.axes).all()


def test_a_report_is_the_mean_of_pairs_and_of_nearest_ones():
    x, further = points(8, n=5), points(9, n=7)
    to = cdist(further, x).astype(np.float32)
    found = set_report(table(x), to)
    pairs = [np.linalg.norm(x[i] - x[j]) for i, j in itertools.combinations(range(5), 2)]
    np.testing.assert_allclose(found.diversity, np.mean(pairs), rtol=1e-5)
    np.testing.assert_allclose(found.nearest, [min(row) for row in to], rtol=1e-6)
    np.testing.assert_allclose(found.coverage_distance, np.mean([min(row) for row in to]), rtol=1e-5)
    assert np.isnan(set_report(table(x), to[:0]).coverage_distance)
    with pytest.raises(InputError, match="held_out: found width 4, expected 5"):
        set_report(table(x), to[:, :4])
