"""Uniformization against the authors' numbers and float64 references, in high dimensions, with copies and ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.special import log_softmax

from jaxpr.core import InputError
from jaxpr.selection import (
    neighbour_distance,
    uniformization,
    uniformization_from_gumbel,
    uniformization_log_probabilities,
)

KEY = jax.random.key(0)
RADII = 1e-6  # roots of float32 sums
FAISS = 1e-4  # faiss' matrix products
LOG = 1e-4  # d times the rounding of a logarithm


def points(seed, n=40, d=3):
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)


def radii_of(x, k):
    return np.sort(cdist(x.astype(np.float64), x.astype(np.float64)), axis=1)[:, k - 1]


def test_the_authors_weights_and_draws(golden):
    x = golden["feat_A"]
    radii = neighbour_distance(x, k=6)
    np.testing.assert_allclose(radii, golden["kth_A"], rtol=FAISS)
    for keep, suffix in ((1.0, "t0"), (0.9, "t0.1")):
        logs = np.asarray(uniformization_log_probabilities(radii, dim=25, keep=keep), np.float64)
        weights = np.exp(logs)
        expected = golden[f"knnweights_A_{suffix}"].astype(np.float64)
        assert (weights == 0).sum() == (expected == 0).sum() == round(60 * (1 - keep))
        np.testing.assert_array_equal(weights == 0, expected == 0)
        np.testing.assert_allclose(weights, expected, rtol=25 * FAISS)
        draws = np.random.RandomState(125).choice(60, 5, replace=False, p=weights / weights.sum())
        assert draws.tolist() == golden["unif_A" if keep == 1 else "unif_A_t0.1"].tolist()


@pytest.mark.parametrize(("d", "k"), [(1, 2), (25, 10), (4000, 39)])
def test_float64_gives_the_same_probabilities(d, k):
    x = points(d, d=d)
    found = uniformization(KEY, x, count=3, k=k, keep=1.0)
    radii = radii_of(x, k)
    np.testing.assert_allclose(found.radii, radii, rtol=2e-5 if d > 1000 else RADII)
    # With the radii as they are: their own rounding is multiplied by d.
    expected = log_softmax(d * np.log(np.asarray(found.radii, np.float64)))
    np.testing.assert_allclose(found.log_probabilities, expected, rtol=1e-5, atol=max(LOG, d * 1e-7))
    assert np.isfinite(found.log_probabilities).all()


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_small_and_large_features_do_not_overflow(scale):
    x = points(3, d=50)
    found = uniformization(KEY, (x * scale).astype(np.float32), count=5, k=6, keep=0.9)
    expected = uniformization(KEY, x, count=5, k=6, keep=0.9)
    np.testing.assert_allclose(found.log_probabilities, expected.log_probabilities, atol=1e-3)
    assert found.indices.tolist() == expected.indices.tolist()


def test_the_gumbel_trick_is_the_largest_sums():
    x, gumbel = points(4), np.random.default_rng(1).gumbel(size=40).astype(np.float32)
    found = uniformization_from_gumbel(x, gumbel, count=40, k=4, keep=1.0)
    scores = 3 * np.log(radii_of(x, 4)) + gumbel
    assert found.indices.tolist() == np.argsort(-scores).tolist()


def test_draws_follow_the_probabilities_without_replacement():
    x = points(5, n=6)
    draw = jax.jit(jax.vmap(lambda key: uniformization(key, x, count=2, k=3, keep=0.8)))
    found = draw(jax.random.split(KEY, 40_000))
    first, second = np.asarray(found.indices).T
    assert (first != second).all()
    p = np.exp(np.asarray(found.log_probabilities[0], np.float64))
    assert (p == 0).sum() == 1  # int(6 · 0.2)
    pairs = np.zeros((6, 6))
    np.add.at(pairs, (first, second), 1 / 40_000)
    expected = p[:, None] * p[None] / (1 - p[:, None])
    np.fill_diagonal(expected, 0)
    assert abs(pairs - expected).max() < 5 * np.sqrt(0.25 / 40_000)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("n", "keep", "dropped"), [(60, 0.9, 6), (100, 0.7, 30), (10, 0.95, 0), (7, 1, 0), (9, 0.3, 6)]
)
def test_the_share_kept_is_rounded_as_the_authors_do(n, keep, dropped):
    found = uniformization_log_probabilities(jnp.arange(1.0, n + 1), dim=2, keep=keep)
    assert np.flatnonzero(np.isneginf(found)).tolist() == list(range(n - dropped, n))


def test_equal_radii_are_discarded_from_the_end():
    found = uniformization_log_probabilities(jnp.ones(10), dim=2, keep=0.7)
    np.testing.assert_allclose(
        found, np.log([1 / 7] * 7 + [0] * 3, where=[True] * 7 + [False] * 3, out=np.full(10, -np.inf)), rtol=1e-6
    )


@pytest.mark.thorough
def test_copies_have_no_weight_and_come_last():
    x = np.concatenate([np.zeros((4, 2)), points(6, n=6, d=2) + 5]).astype(np.float32) + 100
    found = uniformization(KEY, x, count=8, k=3, keep=1.0)
    assert np.isneginf(found.log_probabilities[:4]).all()
    assert set(found.indices[:6].tolist()) == set(range(4, 10))
    assert found.indices[6:].tolist() == [0, 1]
    # Discarded rows are never taken, not even after copies.
    kept = uniformization(KEY, x, count=7, k=3, keep=0.7)
    assert set(kept.indices[3:].tolist()) == {0, 1, 2, 3}
    assert np.isneginf(kept.log_probabilities).sum() == 7
    # Nothing but copies: no probabilities, still a set.
    same = uniformization(KEY, np.ones((5, 2), np.float32), count=3, k=2, keep=1.0)
    assert np.isnan(same.log_probabilities).all()
    assert same.indices.tolist() == [0, 1, 2]


def test_translation_and_permutation():
    x, gumbel = points(7), np.random.default_rng(2).gumbel(size=40).astype(np.float32)
    order = np.random.default_rng(3).permutation(40)
    base = uniformization_from_gumbel(x, gumbel, count=9, k=5, keep=0.8)
    moved = uniformization_from_gumbel(x + 2, gumbel, count=9, k=5, keep=0.8)
    permuted = uniformization_from_gumbel(x[order], gumbel[order], count=9, k=5, keep=0.8)
    assert moved.indices.tolist() == base.indices.tolist() == order[permuted.indices].tolist()


def test_jit_and_vmap_change_nothing():
    batch, keys = np.stack([points(s, d=25) for s in range(4)]), jax.random.split(KEY, 4)

    def select(key, x):
        return uniformization(key, x, count=6, k=6, keep=0.9)

    compiled = jax.jit(select)
    loop = [select(keys[0], batch[0]), *(compiled(k, x) for k, x in zip(keys[1:], batch[1:], strict=True))]
    found = jax.vmap(compiled)(keys, batch)
    assert found.indices.tolist() == [f.indices.tolist() for f in loop]
    np.testing.assert_allclose(found.radii, [f.radii for f in loop], rtol=RADII)
    np.testing.assert_allclose(found.log_probabilities, [f.log_probabilities for f in loop], rtol=1e-5, atol=LOG)


X = points(0, n=6, d=2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: uniformization(KEY, X * np.nan, count=2, k=3, keep=1.0), "features: found NaN"),
        (lambda: uniformization(KEY, X[:0], count=2, k=3, keep=1.0), "features: found 0 points"),
        (lambda: uniformization(KEY, X, count=7, k=3, keep=1.0), "count: found 7, expected at most"),
        (lambda: uniformization(KEY, X, count=4, k=3, keep=0.5), "count: found 4, expected at most the number of po"),
        (lambda: uniformization(KEY, X, count=2, k=6, keep=1.0), "k: found 6, expected less than"),
        (lambda: uniformization(KEY, X, count=2, k=1, keep=1.0), "k: found 1, expected an integer of at least 2"),
        (lambda: uniformization(KEY, X, count=2, k=2.0, keep=1.0), "k: found 2.0"),
        (lambda: uniformization(KEY, X, count=2, k=3, keep=0.0), "keep: found 0.0, expected a number greater"),
        (lambda: uniformization(KEY, X, count=2, k=3, keep=1.1), "keep: found 1.1"),
        (lambda: uniformization(KEY, X, count=2, k=3, keep=np.nan), "keep: found nan"),
        (lambda: uniformization_from_gumbel(X, X[:, 0][:3], count=2, k=3, keep=1), "gumbel: found shape (3,)"),
        (lambda: uniformization_log_probabilities(-jnp.ones(3), dim=2, keep=1), "radii: found negative"),
        (lambda: uniformization_log_probabilities(jnp.ones(0), dim=2, keep=1), "radii: found shape"),
    ],
)
def test_mistakes_are_named_in_one_line(call, message):
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
