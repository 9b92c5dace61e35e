"""Streaming moments: NumPy's mean and covariance, the laws of a monoid, and digits kept under a large mean."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.numerics.moments import Moments

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "feature_metrics" / "golden.npz")
FLOAT64 = 1e-12  # float64 sums of at most 300 terms of size one
FLOAT32 = 2e-6  # one rounding of the state to float32 per batch
D = 5


def points(seed, n, *, d=D, offset=0.0):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, d)) @ rng.standard_normal((d, d)) + offset).astype(np.float32)


def moments(x):
    return Moments.zero(x.shape[1]).update(x)


def assert_close(found, expected, *, rtol=FLOAT64):
    assert found.count == expected.count
    np.testing.assert_allclose(found.mean, expected.mean, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(found.scatter, expected.scatter, rtol=rtol, atol=rtol * np.abs(expected.scatter).max())


@pytest.mark.parametrize("n", [2, 3, 50, 300])
@pytest.mark.parametrize("d", [1, 5])
def test_equals_numpy(n, d):
    x = points(n, n, d=d)
    found = moments(x)
    wide = x.astype(np.float64)
    assert found.count == n
    assert found.mean.dtype == found.covariance.dtype == np.float64
    np.testing.assert_allclose(found.mean, wide.mean(axis=0), rtol=FLOAT64, atol=FLOAT64)
    np.testing.assert_allclose(found.covariance, np.cov(wide.T).reshape(d, d), rtol=FLOAT64, atol=FLOAT64)


def test_equals_torch_fidelity():
    found = moments(GOLDEN["features_1"])
    # Its mean is a float32 sum, its covariance is computed in float64.
    np.testing.assert_allclose(found.mean, GOLDEN["mu1"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(found.covariance[0], GOLDEN["sigma1_row0"], rtol=FLOAT64)


@pytest.mark.parametrize("seed", range(4))
def test_random_splits_give_the_whole(seed):
    x = points(7, 120, offset=3.0)
    cuts = np.sort(np.random.default_rng(seed).integers(1, 119, size=6))
    parts = [part for part in np.split(x, cuts) if len(part)]
    streamed = functools.reduce(Moments.update, parts, Moments.zero(D))
    merged = functools.reduce(Moments.merge, [moments(part) for part in parts[::-1]])
    assert_close(streamed, moments(x))
    assert_close(merged, moments(x))


def test_merge_is_associative_and_commutative():
    a, b, c = (moments(points(seed, n, offset=seed)) for seed, n in ((1, 1), (2, 40), (3, 7)))
    assert_close(a.merge(b).merge(c), a.merge(b.merge(c)))
    assert_close(a.merge(b), b.merge(a))


def test_zero_is_neutral():
    a, zero = moments(points(1, 10)), Moments.zero(D)
    for found in (a.merge(zero), zero.merge(a)):
        for left, right in zip(found, a, strict=True):
            np.testing.assert_array_equal(left, right)
    nothing = zero.merge(zero)
    assert nothing.count == 0
    np.testing.assert_array_equal(nothing.mean, np.zeros(D))
    np.testing.assert_array_equal(nothing.scatter, np.zeros((D, D)))


def test_large_mean_keeps_digits():
    rng = np.random.default_rng(0)
    # float32 cannot hold more of a value near 1e4 than 1e-3, so the points are multiples of 2^-8, held exactly.
    x = (1e4 + rng.integers(-256, 256, size=(1000, 3)) / 256).astype(np.float32)
    found = functools.reduce(Moments.update, np.split(x, 10), Moments.zero(3))
    exact = np.cov((x.astype(np.float64) - 1e4).T)
    np.testing.assert_allclose(found.mean, 1e4 + (x.astype(np.float64) - 1e4).mean(axis=0), rtol=1e-15)
    # Means near 1e4 are rounded at 2e-12, which enters differences of means of size 0.1.
    np.testing.assert_allclose(found.covariance, exact, rtol=1e-10, atol=1e-12)


def test_update_under_jit():
    x = points(1, 60)
    state = jax.jit(Moments.update)(Moments.zero(D), x[:20])
    assert {leaf.dtype for leaf in state} == {np.dtype(np.float32)}
    state = jax.jit(Moments.update)(state, x[20:])
    assert_close(state, moments(x), rtol=FLOAT32)
    np.testing.assert_allclose(state.covariance, moments(x).covariance, rtol=FLOAT32, atol=FLOAT32)


def test_inside_scan():
    x = points(2, 60)
    start = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), Moments.zero(D))
    state, _ = jax.lax.scan(lambda s, part: (s.update(part), None), start, x.reshape(6, 10, D))
    assert_close(state, moments(x), rtol=FLOAT32)


@pytest.mark.parametrize("n", [0, 1])
def test_covariance_of_fewer_than_two_points_is_nan(n):
    state = Moments.zero(D) if n == 0 else moments(points(1, 1))
    assert state.count == n
    assert np.isnan(state.covariance).all()
    assert np.isnan(jax.jit(lambda s: s.covariance)(state)).all()


def test_merge_does_not_change_its_arguments():
    a, x = moments(points(1, 10)), points(2, 10)
    before = [np.array(leaf) for leaf in a]
    a.update(x)
    a.merge(moments(x))
    for leaf, old in zip(a, before, strict=True):
        np.testing.assert_array_equal(leaf, old)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.full((3, D), np.nan, np.float32), "features: found NaN or infinite"),
        (np.full((3, D), np.inf, np.float32), "features: found NaN or infinite"),
        (np.ones((3, D + 1), np.float32), "features: found width 6, expected 5"),
        (np.ones(D, np.float32), "features: found shape"),
        (np.ones((3, D), np.int32), "features: found dtype int32"),
        (np.ones((0, D), np.float32), "features: found 0 points"),
    ],
)
def test_bad_features(features, message):
    with pytest.raises(InputError, match=message):
        Moments.zero(D).update(features)


def test_bad_dimensions():
    with pytest.raises(InputError, match="other: found moments of dimension 4, expected 5"):
        Moments.zero(D).merge(Moments.zero(4))
    with pytest.raises(InputError, match="dim: found 0"):
        Moments.zero(0)
