"""Nearest neighbours in blocks, against all pairs of distances from SciPy, sorted."""

import jax
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxpr.core import InputError
from jaxpr.numerics.neighbours import nearest_distances, squared_distances

# |a|² + |b|² - 2ab in float32: a few roundings of squares of size 20 (5 dimensions), so 1e-5 on squared distances and
# less than its root near distance zero.
SQUARED = 2e-5
NEAR_ZERO = 5e-3


def points(seed, n, d=5):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def expected(queries, pts, k):
    return np.sort(cdist(queries.astype(np.float64), pts.astype(np.float64)), axis=1)[:, :k]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("n", "m", "k", "block"),
    [
        (1, 1, 1, 2048),
        (7, 13, 13, 2048),  # all of them: every lane holds at most one
        (5, 129, 3, 128),  # one point in the second block
        (33, 301, 5, 128),  # three blocks, the last with 45 points
        (33, 301, 5, 200),  # rounded up to 256
    ],
)
def test_nearest_distances_equal_a_sort(n, m, k, block):
    queries, pts = points(1, n), points(2, m)
    found = nearest_distances(queries, pts, k=k, block=block)
    assert found.shape == (n, k)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected(queries, pts, k), atol=SQUARED)
    assert (np.diff(found, axis=1) >= 0).all()


def test_a_point_is_its_own_neighbour():
    pts = points(3, 40)
    found = np.asarray(nearest_distances(pts, pts, k=2, block=128))
    np.testing.assert_allclose(found[:, 0], 0, atol=NEAR_ZERO)
    np.testing.assert_allclose(found[:, 1], expected(pts, pts, 2)[:, 1], atol=SQUARED)


def test_duplicates_count_each():
    base = points(4, 30)
    pts = np.concatenate([base] * 5)  # copies of one point in one lane position and in several
    found = np.asarray(nearest_distances(points(5, 9), pts, k=12, block=128))
    reference = np.repeat(expected(points(5, 9), base, 3), 5, axis=1)[:, :12]
    np.testing.assert_allclose(found, reference, atol=SQUARED)


def test_a_common_offset_costs_little():
    queries, pts = points(1, 20), points(2, 50)
    # Values near 100 are float32 multiples of 8e-6, which moves distances as much.
    found = nearest_distances(queries + 100, pts + 100, k=3)
    np.testing.assert_allclose(found, expected(queries, pts, 3), atol=5e-5)
    np.testing.assert_allclose(squared_distances(queries + 100, pts + 100), cdist(queries, pts) ** 2, atol=2e-4)


def test_jit_equals_eager():
    queries, pts = points(1, 17), points(2, 140)
    eager = nearest_distances(queries, pts, k=4, block=128)
    jitted = jax.jit(lambda a, b: nearest_distances(a, b, k=4, block=128))(queries, pts)
    np.testing.assert_allclose(jitted, eager, atol=SQUARED)


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (7, 13, 5), (20, 3, 40)])
def test_squared_distances(n, m, d):
    a, b = points(6, n, d), points(7, m, d)
    found = np.asarray(squared_distances(a, b))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, cdist(a, b, "sqeuclidean"), rtol=1e-5, atol=SQUARED)
    assert (np.asarray(squared_distances(a, a)) >= 0).all()


@pytest.mark.parametrize(
    ("queries", "pts", "options", "message"),
    [
        (points(1, 3), points(2, 4), {"k": 5}, "points: found 4 points, expected at least 5"),
        (points(1, 3), points(2, 4), {"k": 0}, "k: found 0"),
        (points(1, 3), points(2, 4), {"k": 1, "block": 0}, "block: found 0"),
        (points(1, 3), points(2, 4, 6), {"k": 1}, "points: found width 6, expected 5"),
        (points(1, 3)[0], points(2, 4), {"k": 1}, "queries: found shape"),
        (points(1, 3) * np.nan, points(2, 4), {"k": 1}, "queries: found NaN"),
    ],
)
def test_errors(queries, pts, options, message):
    with pytest.raises(InputError, match=message):
        nearest_distances(queries, pts, **options)


def test_squared_distances_errors():
    with pytest.raises(InputError, match="b: found width 6, expected 5"):
        squared_distances(points(1, 3), points(2, 4, 6))
