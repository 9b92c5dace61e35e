"""Precision, recall, density, coverage: a float64 reference over all pairs, golden numbers, collapsed modes."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.distance import cdist

from jaxpr.core import InputError
from jaxpr.metrics import density_coverage, manifold_scores, precision_recall

FOLDER = Path(__file__).parents[1] / "golden" / "feature_metrics"
GOLDEN = np.load(FOLDER / "golden.npz")
VALUES = json.loads((FOLDER / "values.json").read_text())

FLOAT32 = 1e-6  # float32 means of zeros and ones
# Programs are compiled for each pair of sizes, so that tests about something else share one.
REAL, FAKE = 150, 160


def points(seed, n, d=6, *, scale=1.0, offset=0.0):
    return (np.random.default_rng(seed).standard_normal((n, d)) * scale + offset).astype(np.float32)


def naive(real, fake, k):
    """All four measures of every point in float64, from all distances, with closed balls."""
    real, fake = real.astype(np.float64), fake.astype(np.float64)

    def radii(x):
        distances = cdist(x, x)
        np.fill_diagonal(distances, np.inf)
        return np.sort(distances, axis=1)[:, k - 1]

    between = cdist(real, fake)
    in_real, in_fake = between <= radii(real)[:, None], between <= radii(fake)[None]
    return in_real.any(0), in_fake.any(1), in_real.sum(0) / k, in_real.any(1)


def assert_equal(scores, expected):
    for found, wanted in zip(scores, expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=FLOAT32)


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("n", "m", "d", "k", "block"),
    [
        (5, 4, 3, 3, 128),
        (40, 70, 2, 1, 128),
        (128, 128, 5, 3, 128),  # exactly one block of lanes
        (129, 300, 5, 4, 128),  # a second block with one new point
        (400, 290, 32, 5, 128),
        (400, 290, 32, 2, 256),
        (300, 310, 8, 17, 256),  # beyond the selection network
    ],
)
def test_equals_the_definition(n, m, d, k, block):
    real, fake = points(n, n, d), points(m + 1, m, d, scale=1.2, offset=0.2)
    assert_equal(manifold_scores(real, fake, k=k, block=block), naive(real, fake, k))


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("span", "k"), [(3, 1), (4, 3), (6, 5)])
def test_ties_and_copies_on_a_grid(seed, span, k):
    """Integer points: many copies, zero radii, distances that equal radii. Exact arithmetic decides."""
    rng = np.random.default_rng(seed)
    real = rng.integers(0, span, (180, 3)).astype(np.float32)
    fake = rng.integers(0, span + 1, (150, 3)).astype(np.float32)
    assert_equal(manifold_scores(real, fake, k=k, block=128), naive(real, fake, k))


@pytest.mark.thorough
@pytest.mark.parametrize("d", [3, 2048])
@pytest.mark.parametrize("copies", [1, 4])
def test_a_point_of_both_sets_lies_in_its_ball(d, copies):
    """Also with k or more copies, which make the radius zero, where float32 products give ±1e-6 of the squares."""
    base = points(d, 150, d, offset=3.0)
    real = np.concatenate([base] * copies)
    scores = manifold_scores(real, base, k=3)
    assert np.asarray(scores.fake_in_real).all()
    assert np.asarray(scores.real_covered).all()
    if copies == 1:
        assert np.asarray(scores.real_in_fake).all()


@pytest.mark.parametrize("k", [3, 5])
def test_golden(k):
    found = precision_recall(GOLDEN["features_2"], GOLDEN["features_1"], k=k)
    np.testing.assert_allclose(found.precision, VALUES[f"prc_k{k}"]["precision"], rtol=FLOAT32)
    np.testing.assert_allclose(found.recall, VALUES[f"prc_k{k}"]["recall"], rtol=FLOAT32)


def test_measures_are_means_of_the_scores():
    real, fake = points(1, REAL), points(2, FAKE, offset=0.5)
    scores = manifold_scores(real, fake, k=3)
    means = [np.mean(values) for values in scores]
    pr, dc = precision_recall(real, fake, k=3), density_coverage(real, fake, k=3)
    np.testing.assert_allclose([pr.precision, pr.recall, dc.density, dc.coverage], means, rtol=FLOAT32)


def test_collapsed_modes_have_high_precision_and_low_recall():
    """The mistake of exchanged precision and recall (torch-fidelity issue 58)."""
    centres = 20 * np.eye(6)
    rng = np.random.default_rng(0)
    real = (centres[np.arange(REAL) % 6] + rng.standard_normal((REAL, 6))).astype(np.float32)
    fake = (centres[0] + 0.5 * rng.standard_normal((FAKE, 6))).astype(np.float32)
    pr, dc = precision_recall(real, fake, k=3), density_coverage(real, fake, k=3)
    assert pr.precision > 0.9
    assert pr.recall < 0.2
    assert dc.density > 0.9
    assert dc.coverage < 0.21
    swapped = precision_recall(fake, real, k=3)
    np.testing.assert_allclose(swapped, pr[::-1])


def test_sets_far_apart_and_equal_sets():
    real = points(1, REAL)
    np.testing.assert_array_equal(precision_recall(real, real + 100, k=3), (0, 0))
    np.testing.assert_array_equal(precision_recall(real, real, k=3), (1, 1))
    np.testing.assert_array_equal(density_coverage(real, real + 100, k=3), (0, 0))
    assert density_coverage(real, real, k=3).coverage == 1


def test_density_of_equal_laws_is_about_one():
    found = density_coverage(points(1, 1500), points(2, 1500), k=3)
    np.testing.assert_allclose(found.density, 1, atol=0.1)  # the paper's expectation; a few standard errors
    np.testing.assert_allclose(found.coverage, 1 - 2.0**-3, atol=0.03)  # their lemma for N = M


def test_an_outlier_raises_precision_not_density():
    """The defect that density mends: one far real point has a ball that swallows all fake points around it."""
    real = np.concatenate([points(1, REAL - 1), np.full((1, 6), 50, np.float32)])
    fake = points(2, FAKE, offset=30.0)
    assert precision_recall(real, fake, k=3).precision == 1
    assert density_coverage(real, fake, k=3).density < 0.4


def test_order_and_block_do_not_matter():
    real, fake = points(3, REAL), points(4, FAKE, offset=0.3)
    order = np.random.default_rng(0).permutation(REAL)
    expected = manifold_scores(real, fake, k=3)
    found = manifold_scores(real[order], fake, k=3, block=128)
    np.testing.assert_array_equal(found.fake_density, expected.fake_density)
    np.testing.assert_array_equal(found.real_in_fake, expected.real_in_fake[order])


@pytest.mark.thorough
def test_jit_dtypes_and_common_offset():
    real, fake = points(5, REAL), points(6, FAKE, offset=0.4)
    expected = manifold_scores(real, fake, k=3)
    jitted = jax.jit(lambda a, b: manifold_scores(a, b, k=3))(real, fake)
    assert_equal(jitted, expected)
    assert all(value.dtype == jnp.float32 for value in expected)
    assert (
        manifold_scores(jnp.asarray(real, jnp.bfloat16), jnp.asarray(fake, jnp.bfloat16), k=3)[0].dtype == jnp.float32
    )
    moved = naive(real + np.float32(100), fake + np.float32(100), 3)
    assert_equal(manifold_scores(real + np.float32(100), fake + np.float32(100), k=3), moved)


@pytest.mark.parametrize(
    ("real", "fake", "k", "message"),
    [
        (points(1, 3), points(2, 9), 3, "real: found 3 points, expected more than k = 3"),
        (points(1, 9), points(2, 3), 4, "fake: found 3 points, expected more than k = 4"),
        (points(1, 9), points(2, 9, 5), 3, "fake: found width 5, expected 6"),
        (points(1, 9), points(2, 9), 0, "k: found 0"),
        (points(1, 9) * np.inf, points(2, 9), 1, "real: found NaN or infinite values"),
        (points(1, 9)[0], points(2, 9), 1, r"real: found shape \(6,\), expected points"),
    ],
)
@pytest.mark.parametrize("measure", [precision_recall, density_coverage, manifold_scores])
def test_errors(measure, real, fake, k, message):
    with pytest.raises(InputError, match=message):
        measure(real, fake, k=k)
