"""Kernel distance: float64 definition over all pairs, torch-fidelity's numbers, unbiasedness, small sets, jackknife."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.metrics import (
    SmallSubsetWarning,
    kernel_distance,
    kernel_distance_full,
    kernel_distance_grouped,
    kernel_distance_subsets,
)
from jaxpr.numerics import jackknife

FOLDER = Path(__file__).parents[1] / "golden" / "feature_metrics"
GOLDEN = np.load(FOLDER / "golden.npz")
VALUES = json.loads((FOLDER / "values.json").read_text())
REAL, FAKE = GOLDEN["features_2"], GOLDEN["features_1"]
KEY = jax.random.key(0)

THEIR_FLOAT32 = 2e-5  # relative; torch-fidelity's kernels and sums are float32
FLOAT32 = 1e-5  # float32 kernels of 32 dimensions, relative to a distance of 0.05


def points(seed, n, d=8, *, offset=0.0):
    return (np.random.default_rng(seed).standard_normal((n, d)) + offset).astype(np.float32)


def naive(real, fake):
    """The definition in float64."""
    real, fake = real.astype(np.float64), fake.astype(np.float64)

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    def within(a):
        k = kernel(a, a)
        return (k.sum() - np.trace(k)) / (len(a) * (len(a) - 1))

    return within(real) + within(fake) - 2 * kernel(real, fake).mean()


def official_subsets(count, size, subsets):
    rng = np.random.RandomState(2020)  # torch-fidelity draws so
    drawn = [rng.choice(count, size, replace=False) for _ in range(2 * subsets)]
    return np.stack(drawn[1::2]), np.stack(drawn[::2])  # real, fake


def test_golden():
    real, fake = official_subsets(300, 100, 10)
    np.testing.assert_array_equal(fake[0], GOLDEN["kid_first_indices_1"])
    np.testing.assert_array_equal(real[0], GOLDEN["kid_first_indices_2"])
    found = kernel_distance_subsets(REAL, FAKE, real, fake)
    expected = VALUES["kid_poly_subset100_x10"]
    np.testing.assert_allclose(np.mean(found), expected["mean"], rtol=THEIR_FLOAT32)
    np.testing.assert_allclose(np.std(found), expected["std"], rtol=THEIR_FLOAT32)


def test_golden_of_all_points():
    found = kernel_distance_full(REAL, FAKE)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, VALUES["mmd2_float64_all_unbiased"], rtol=FLOAT32)
    np.testing.assert_allclose(found, VALUES["kid_poly_subset300_x1"]["mean"], rtol=THEIR_FLOAT32)


@pytest.mark.thorough
@pytest.mark.parametrize(("n", "m", "d"), [(2, 2, 1), (3, 50, 4), (257, 130, 16), (400, 401, 64)])
@pytest.mark.parametrize("block", [64, 1024])
def test_full_equals_the_definition(n, m, d, block):
    real, fake = points(n, n, d), points(m + 1, m, d, offset=0.4)
    np.testing.assert_allclose(kernel_distance_full(real, fake, block=block), naive(real, fake), rtol=1e-5, atol=1e-6)


def test_a_common_part_costs_no_digits():
    """Kernels of size (1 + 25)³ and a distance below one: naive float32 sums lose most digits."""
    real, fake = points(1, 500, 32, offset=5.0), points(2, 400, 32, offset=5.001)
    np.testing.assert_allclose(kernel_distance_full(real, fake), naive(real, fake), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("n", "m", "size", "subsets"), [(40, 50, 30, 12), (900, 800, 20, 6)])
def test_subsets_equal_the_definition_on_both_ways(n, m, size, subsets):
    """The first forms all pairs of the sets once, the second gathers each subset."""
    real, fake = points(1, n), points(2, m, offset=0.5)
    rng = np.random.default_rng(0)
    rows = [np.stack([rng.choice(count, size, replace=False) for _ in range(subsets)]) for count in (n, m)]
    expected = [naive(real[i], fake[j]) for i, j in zip(*rows, strict=True)]
    np.testing.assert_allclose(kernel_distance_subsets(real, fake, *rows), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.thorough
def test_statistics_of_the_subsets():
    found = kernel_distance(KEY, REAL, FAKE, subsets=30, subset_size=80)
    assert (found.subsets, found.subset_size) == (30, 80)
    np.testing.assert_allclose(found.stderr, found.std * np.sqrt(30 / 29) / np.sqrt(30))
    # Subsets of 80 of 300 points are nearly independent; the mean estimates the value of all points.
    assert abs(found.value - kernel_distance_full(REAL, FAKE)) < 4 * found.stderr
    assert np.isnan(kernel_distance(KEY, REAL, FAKE, subsets=1, subset_size=80).stderr)


def test_seeds():
    run = [kernel_distance(jax.random.key(s), REAL, FAKE, subsets=5, subset_size=50).value for s in (0, 0, 1)]
    assert run[0] == run[1] != run[2]


def test_whole_sets_as_subsets_give_the_full_estimate():
    found = kernel_distance(KEY, REAL, FAKE, subsets=4, subset_size=300)
    np.testing.assert_allclose(found.value, kernel_distance_full(REAL, FAKE), rtol=1e-5)
    np.testing.assert_allclose(found.std, 0, atol=1e-6)


def test_small_sets_shrink_the_subsets_and_say_so():
    """Other programs stop here (torch-fidelity issue 45)."""
    with pytest.warns(
        SmallSubsetWarning, match="300 real and 40 fake points; subsets of 40 points used instead of 1000"
    ):
        found = kernel_distance(KEY, REAL, FAKE[:40], subsets=10, subset_size=1000)
    assert found.subset_size == 40
    assert np.isfinite(found.value)


def test_unbiased_at_any_count():
    """The mean over repetitions of equal laws is zero, also for 5 points, where the Fréchet distance is far off."""
    rng = np.random.default_rng(0)
    draws = rng.standard_normal((400, 2, 5, 3)).astype(np.float32)
    values = jax.vmap(lambda pair: kernel_distance_full(pair[0], pair[1]))(jnp.asarray(draws))
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(400)


def test_order_of_the_points_does_not_matter():
    order = np.random.default_rng(0).permutation(300)
    expected = kernel_distance_full(REAL, FAKE)
    np.testing.assert_allclose(kernel_distance_full(REAL[order], FAKE, block=70), expected, rtol=FLOAT32)
    np.testing.assert_allclose(kernel_distance_full(FAKE, REAL), expected, rtol=FLOAT32)


def test_grouped_equals_the_jackknife_that_leaves_groups_out():
    real, fake = points(1, 120), points(2, 90, offset=0.3)
    labels = [np.array([f"photo {i % 6}" for i in range(n)]) for n in (120, 90)]
    names = sorted(set(labels[0]))

    def statistic(kept):
        return naive(real[np.isin(labels[0], kept)], fake[np.isin(labels[1], kept)])

    expected = jackknife(statistic, names)
    found = kernel_distance_grouped(real, fake, *labels, block=50)
    np.testing.assert_allclose(found[:2], expected, rtol=1e-5)
    left_out = [statistic([name for name in names if name != out]) for out in names]
    np.testing.assert_allclose(found.left_out, left_out, rtol=1e-4)


def test_grouped_with_singletons_and_with_one_group():
    found = kernel_distance_grouped(REAL, FAKE, np.arange(300), np.arange(300))
    np.testing.assert_allclose(found.value, kernel_distance_full(REAL, FAKE), rtol=FLOAT32)
    assert found.stderr > 0
    assert np.isnan(kernel_distance_grouped(REAL, FAKE, np.zeros(300), np.zeros(300)).stderr)


def test_jit():
    jitted = jax.jit(lambda k, a, b: kernel_distance(k, a, b, subsets=6, subset_size=50)[:3])(KEY, REAL, FAKE)
    eager = kernel_distance(KEY, REAL, FAKE, subsets=6, subset_size=50)
    assert jitted[0].dtype == jnp.float32
    np.testing.assert_allclose(jitted, eager[:3], rtol=1e-4)  # float32 mean and spread of the subsets


@pytest.mark.parametrize(
    ("real", "fake", "options", "message"),
    [
        (REAL, FAKE[:, :5], {}, "fake: found width 5, expected 32"),
        (REAL[:1], FAKE, {}, "real: found 1 points, expected at least 2"),
        (REAL, FAKE * np.nan, {}, "fake: found NaN"),
        (REAL, FAKE, {"subsets": 0}, "subsets: found 0"),
        (REAL, FAKE, {"subset_size": 1}, "subset_size: found 1, expected an integer of at least 2"),
    ],
)
def test_errors(real, fake, options, message):
    with pytest.raises(InputError, match=message):
        kernel_distance(KEY, real, fake, **({"subsets": 5, "subset_size": 20} | options))
    if not options:
        with pytest.raises(InputError, match=message):
            kernel_distance_full(real, fake)


def test_errors_of_indices_and_groups():
    rows = np.zeros((2, 3), int)
    with pytest.raises(InputError, match=r"fake_indices: found rows in \[0, 300\], expected \[0, 299\]"):
        kernel_distance_subsets(REAL, FAKE, rows, rows + np.array([0, 1, 300]))
    with pytest.raises(InputError, match=r"fake_indices: found shape \(2, 2\), expected"):
        kernel_distance_subsets(REAL, FAKE, rows, rows[:, :2])
    with pytest.raises(InputError, match=r"fake_groups: found shape \(299,\), expected \(300,\)"):
        kernel_distance_grouped(REAL, FAKE, np.zeros(300), np.zeros(299))
    with pytest.raises(InputError, match="fake_groups: found other labels than in real_groups"):
        kernel_distance_grouped(REAL, FAKE, np.zeros(300), np.arange(300))
