"""Farthest points against the authors' numbers, a NumPy loop in float64, and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxpr.core import InputError
from jaxpr.selection import farthest_from_start, farthest_in_distances, farthest_points

KEY = jax.random.key(0)
# Roots of sums of up to 25 squares in float32, and faiss' matrix products, which lose more.
FLOAT32, FAISS = 1e-6, 1e-4


def points(seed, n=50, d=7):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def reference(features, start, count):
    """The definition: in float64, with a full table of distances."""
    table = cdist(features.astype(np.float64), features.astype(np.float64))
    chosen, gaps = [start], [np.inf]
    while len(chosen) < count:
        closest = table[chosen].min(axis=0)
        closest[chosen] = -1
        chosen.append(int(closest.argmax()))
        gaps.append(closest.max())
    return chosen, gaps


def test_the_authors_points(golden):
    x = golden["feat_A"]
    for name in ("fps_A_random", "fps_A_furthest"):
        ids = golden[name]
        assert farthest_from_start(x, ids[0], count=len(ids)).indices.tolist() == ids.tolist()
    table = cdist(x, x)
    np.testing.assert_allclose(table[:8], golden["dist_A_l2"], rtol=FAISS, atol=2e-3)
    ids = golden["fps_A_furthest"]
    assert ids[0] == np.unravel_index(table.argmax(), table.shape)[0]
    assert farthest_in_distances(table, ids[0], count=7).indices.tolist() == ids.tolist()


@pytest.mark.parametrize("d", [1, 7, 300])
def test_a_loop_in_float64_gives_the_same(d):
    x = points(d, d=d)
    for start, count in ((3, 1), (49, 50)) if d == 7 else ((3, 8),):
        found = farthest_from_start(x, start, count=count)
        chosen, gaps = reference(x, start, count)
        assert found.indices.tolist() == chosen
        np.testing.assert_allclose(found.distances, gaps, rtol=FLOAT32)
        assert found.indices.dtype == jnp.int32


def test_by_hand_with_ties_and_copies():
    x = np.array([[0.0], [1.0], [-1.0], [1.0], [0.0]], np.float32)
    found = farthest_from_start(x, 0, count=5)
    assert found.indices.tolist() == [0, 1, 2, 3, 4]  # 1 before -1 by index; then copies, by index
    assert found.distances.tolist() == [np.inf, 1, 1, 0, 0]
    square = np.array([[0, 0], [1, 0], [0, 1], [1, 1]], np.float32) + 100
    assert farthest_from_start(square, 2, count=4).indices.tolist() == [2, 1, 0, 3]


def test_one_point():
    found = farthest_points(KEY, np.ones((1, 3), np.float32), count=1, subset=1)
    assert found.indices.tolist() == [0]
    assert found.distances.tolist() == [np.inf]


def test_each_added_point_is_the_farthest_and_the_subset_is_random():
    x = points(1)
    select = jax.jit(lambda key: farthest_points(key, x, count=4, subset=9))
    found = [select(jax.random.key(s)) for s in range(40)]
    starts = {int(f.indices[0]) for f in found}
    assert len(starts) > 20
    for f in found:
        assert len(set(f.indices.tolist())) == 4
        assert (np.diff(f.distances) <= 0).all()
    # With every point in the subset only the start is random.
    whole = farthest_points(KEY, x, count=6, subset=50)
    assert whole.indices.tolist() == reference(x, int(whole.indices[0]), 6)[0]
    # With as many points as are asked for, the subset itself is what comes out, so all rows are equally likely.
    drawn = jax.jit(jax.vmap(lambda k: farthest_points(k, x, count=10, subset=10).indices))(jax.random.split(KEY, 4000))
    hits = np.bincount(np.asarray(drawn).ravel(), minlength=50)
    assert abs(hits - 800).max() < 5 * np.sqrt(800 * 0.8)
    first = np.bincount(np.asarray(drawn)[:, 0], minlength=50)
    assert abs(first - 80).max() < 5 * np.sqrt(80)


def test_invariances():
    x = points(2, d=4)
    permutation = np.random.default_rng(0).permutation(50)
    chosen = farthest_from_start(x, 5, count=9).indices
    moved = farthest_from_start(x * 2 + 3, 5, count=9).indices
    assert moved.tolist() == chosen.tolist()
    permuted = farthest_from_start(x[permutation], int(np.flatnonzero(permutation == 5)[0]), count=9).indices
    assert permutation[permuted].tolist() == chosen.tolist()


@pytest.mark.thorough
def test_jit_and_vmap_change_nothing():
    batch, keys = np.stack([points(s) for s in range(5)]), jax.random.split(KEY, 5)

    def select(key, x):
        return farthest_points(key, x, count=6, subset=20)

    compiled = jax.jit(select)
    loop = [select(keys[0], batch[0]), *(compiled(k, x) for k, x in zip(keys[1:], batch[1:], strict=True))]
    found = jax.vmap(compiled)(keys, batch)
    assert found.indices.tolist() == [f.indices.tolist() for f in loop]
    np.testing.assert_allclose(found.distances, [f.distances for f in loop], rtol=FLOAT32)
    starts = jax.vmap(lambda s: farthest_from_start(batch[0], s, count=3).indices)(jnp.arange(50))
    assert starts[7].tolist() == reference(batch[0], 7, 3)[0]


X = points(0, n=6, d=2)
NAN = np.where(np.arange(6)[:, None] == 3, np.nan, X)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: farthest_points(KEY, NAN, count=2, subset=6), "features: found NaN"),
        (lambda: farthest_points(KEY, X[:0], count=1, subset=1), "features: found 0 points"),
        (lambda: farthest_points(KEY, X[:, :0], count=1, subset=1), "features: found shape"),
        (lambda: farthest_points(KEY, X[0], count=1, subset=1), "features: found shape"),
        (lambda: farthest_points(KEY, X.astype(int), count=1, subset=1), "features: found dtype"),
        (lambda: farthest_points(KEY, X, count=7, subset=6), "count: found 7, expected at most"),
        (lambda: farthest_points(KEY, X, count=0, subset=6), "count: found 0"),
        (lambda: farthest_points(KEY, X, count=3, subset=2), "subset: found 2, expected from count = 3"),
        (lambda: farthest_points(KEY, X, count=3, subset=7), "subset: found 7"),
        (lambda: farthest_points(jax.random.PRNGKey(0), X, count=3, subset=6), "key: found uint32"),
        (lambda: farthest_points(jax.random.split(KEY), X, count=3, subset=6), "key: found keys of shape"),
        (lambda: farthest_from_start(X, 6, count=3), "start: found 6, expected 0 to 5"),
        (lambda: farthest_from_start(X, 1.0, count=3), "start: found 1.0, expected one integer"),
        (lambda: farthest_in_distances(X, 0, count=3), "distances: found shape"),
        (lambda: farthest_in_distances(X[:2], 0, count=2), "distances: found negative"),
    ],
)
def test_mistakes_are_named_in_one_line(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
