"""k-means against scikit-learn and the authors' numbers, by hand, with copies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.cluster import KMeans

from jaxpr.core import InputError
from jaxpr.selection import kmeans_from_centroids, kmeans_representatives, nearest_to_centroids

KEY = jax.random.key(0)
FLOAT32 = 1e-5
# Compiled, since programs with loops are compiled at every call otherwise.
select = jax.jit(kmeans_representatives, static_argnames=("count", "restarts", "iterations", "distinct"))
lloyd = jax.jit(kmeans_from_centroids, static_argnames=("iterations", "distinct"))


def points(seed, n=80, d=5):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def check(x, found):
    """The result describes a k-means partition of x, whatever its quality."""
    x, centroids = x.astype(np.float64), np.asarray(found.centroids, np.float64)
    table = cdist(x, centroids, "sqeuclidean")
    np.testing.assert_array_equal(found.labels, table.argmin(axis=1))
    np.testing.assert_allclose(found.inertia, table.min(axis=1).sum(), rtol=FLOAT32, atol=1e-9)
    np.testing.assert_array_equal(found.sizes, np.bincount(found.labels, minlength=len(centroids)))
    assert (np.diff(found.sizes) <= 0).all()
    assert bool(found.converged)
    for cluster, size in enumerate(np.asarray(found.sizes)):
        if size:
            np.testing.assert_allclose(centroids[cluster], x[found.labels == cluster].mean(axis=0), atol=FLOAT32)


@pytest.mark.thorough
def test_the_authors_representatives(golden):
    x, centroids = golden["feat_A"], golden["kmeans_A_centers"]
    for distinct in (False, True):
        ids = nearest_to_centroids(x, centroids, distinct=distinct)
        assert ids.tolist() == golden["kmeans_A_ids"].tolist()
    still = lloyd(x, centroids)
    check(x, still)
    np.testing.assert_allclose(still.inertia, golden["kmeans_A_inertia"], rtol=FLOAT32)
    assert set(still.indices.tolist()) == set(golden["kmeans_A_ids"].tolist())
    found = select(KEY, x, count=5)
    check(x, found)
    assert found.inertia <= golden["kmeans_A_inertia"] * 1.02


@pytest.mark.thorough
@pytest.mark.parametrize(("n", "d", "count"), [(80, 5, 5), (300, 2, 20)])
def test_inertia_is_as_good_as_scikit_learns(n, d, count):
    for seed in range(4):
        x = points(seed, n, d)
        found = select(KEY, x, count=count)
        check(x, found)
        best = KMeans(n_clusters=count, n_init=10, random_state=0).fit(x.astype(np.float64)).inertia_
        assert found.inertia <= 1.02 * best


def test_separated_clusters_are_found():
    rng = np.random.default_rng(0)
    sizes, centres = (20, 9, 4, 1), np.array([[0, 0], [30, 0], [0, 30], [30, 30]])
    x = np.concatenate([c + rng.standard_normal((s, 2)) for s, c in zip(sizes, centres, strict=True)])
    found = select(KEY, (x + 1000).astype(np.float32), count=4)
    assert found.sizes.tolist() == list(sizes)
    np.testing.assert_array_equal(found.labels, np.repeat(np.arange(4), sizes))
    np.testing.assert_array_equal(np.asarray(found.labels)[found.indices], np.arange(4))
    own = x[:20]
    assert found.indices[0] == np.linalg.norm(own - own.mean(axis=0), axis=1).argmin()


def test_representatives_repeat_only_on_request():
    x = np.array([[0.0], [4.0], [5.0], [100.0]], np.float32)
    centroids = np.array([[3.9], [4.1], [90.0]], np.float32)
    assert nearest_to_centroids(x, centroids, distinct=False).tolist() == [1, 1, 3]
    assert nearest_to_centroids(x, centroids, distinct=True).tolist() == [1, 2, 3]
    assert nearest_to_centroids(x, np.array([[4.5]], np.float32), distinct=False).tolist() == [1]  # tie


@pytest.mark.thorough
def test_all_points_and_one_point():
    x = points(1, 9, 1)
    found = select(KEY, x, count=9)
    assert sorted(found.indices.tolist()) == list(range(9))
    assert found.inertia < FLOAT32
    one = select(KEY, x[:1], count=1)
    assert (one.indices.tolist(), one.sizes.tolist(), float(one.inertia)) == ([0], [1], 0)


def test_fewer_different_points_than_clusters():
    x = np.repeat(np.array([[1.0, 2.0], [3.0, 4.0]], np.float32), 4, axis=0)
    found = select(KEY, x, count=4)
    assert np.isfinite(found.centroids).all()
    assert found.sizes.tolist() == [4, 4, 0, 0]
    assert float(found.inertia) == 0
    assert len(set(found.indices.tolist())) == 4
    assert set(nearest_to_centroids(x, found.centroids, distinct=False).tolist()) == {0, 4}


def test_lloyd_by_hand():
    x = np.array([[0.0], [2.0], [10.0], [12.0]], np.float32)
    once = lloyd(x, np.array([[0.0], [1.0]], np.float32), iterations=1)
    np.testing.assert_allclose(once.centroids, [[0], [8]], atol=FLOAT32)
    assert not bool(once.converged)
    done = lloyd(x, np.array([[0.0], [1.0]], np.float32))
    np.testing.assert_allclose(done.centroids, [[1], [11]], atol=FLOAT32)
    assert done.indices.tolist() == [0, 2]
    assert bool(done.converged)


def test_invariances():
    x, start = points(2), points(3, 6)
    order = np.random.default_rng(0).permutation(80)
    base = lloyd(x, start)
    moved = lloyd(x + 3, start + 3)
    permuted = lloyd(x[order], start)
    np.testing.assert_array_equal(base.labels, moved.labels)
    np.testing.assert_array_equal(np.asarray(base.labels)[order], permuted.labels)
    assert base.indices.tolist() == moved.indices.tolist() == order[permuted.indices].tolist()


@pytest.mark.thorough
def test_jit_and_vmap_change_nothing():
    # The shapes of the authors' features, which are compiled already.
    batch, keys = np.stack([points(s, 60, 25) for s in range(3)]), jax.random.split(KEY, 3)
    loop = [select(k, x, count=5) for k, x in zip(keys, batch, strict=True)]
    found = jax.vmap(lambda key, x: select(key, x, count=5))(keys, batch)
    assert found.indices.tolist() == [f.indices.tolist() for f in loop]
    np.testing.assert_array_equal(found.labels, [f.labels for f in loop])
    np.testing.assert_allclose(found.inertia, jnp.stack([f.inertia for f in loop]), rtol=FLOAT32)
    start = batch[0, :5]
    eager, compiled = kmeans_from_centroids(batch[0], start), lloyd(batch[0], start)
    np.testing.assert_array_equal(eager.labels, compiled.labels)
    assert eager.indices.tolist() == compiled.indices.tolist()


X = points(0, n=6, d=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: kmeans_representatives(KEY, X * np.inf, count=2), "features: found NaN or infinite"),
        (lambda: kmeans_representatives(KEY, X[:0], count=2), "features: found 0 points"),
        (lambda: kmeans_representatives(KEY, X[None], count=2), "features: found shape"),
        (lambda: kmeans_representatives(KEY, X, count=7), "count: found 7, expected at most the number of points, 6"),
        (lambda: kmeans_representatives(KEY, X, count=True), "count: found True"),
        (lambda: kmeans_representatives(KEY, X, count=2, restarts=0), "restarts: found 0"),
        (lambda: kmeans_representatives(KEY, X, count=2, iterations=0), "iterations: found 0"),
        (lambda: kmeans_representatives(0, X, count=2), "key: found int"),
        (lambda: nearest_to_centroids(X, X[:, :1], distinct=True), "centroids: found width 1, expected 2"),
        (lambda: kmeans_from_centroids(X[:2], X), "count: found 6, expected at most the number of points, 2"),
    ],
)
def test_mistakes_are_named_in_one_line(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
