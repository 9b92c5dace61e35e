"""Fréchet distance: closed forms, SciPy's matrix square root, and golden FIDs (tests/golden/feature_metrics)."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from jaxpr.core import InputError
from jaxpr.metrics import (
    Moments,
    SmallSampleWarning,
    frechet_bias_note,
    frechet_distance,
    frechet_distance_from_features,
    frechet_extrapolated,
    joint_features,
)

FOLDER = Path(__file__).parents[1] / "golden" / "feature_metrics"
GOLDEN = np.load(FOLDER / "golden.npz")
VALUES = json.loads((FOLDER / "values.json").read_text())

GOLDEN_FID = 1e-7  # relative; their means are summed in float32
SCIPY = 1e-8  # relative; sqrtm of a product with condition number up to 1e6
FLOAT64 = 1e-10  # float64 eigenproblems of at most 32 rows
FEW_POINTS = pytest.mark.filterwarnings("ignore::jaxpr.metrics.SmallSampleWarning")
FLOAT32 = 1e-4  # relative; float32 covariances, whose traces of about 30 cancel to a few units


def points(seed, n, d, *, offset=0.0):
    rng = np.random.default_rng(seed)
    mixing = np.eye(d) + 0.3 * rng.standard_normal((d, d))
    return (rng.standard_normal((n, d)) @ mixing + offset).astype(np.float32)


def moments(x):
    return Moments.zero(x.shape[1]).update(x)


def gaussian(mean, cov):
    """Moments with exactly this mean and covariance."""
    return Moments(np.array(11.0), np.asarray(mean, np.float64), 10 * np.asarray(cov, np.float64))


def by_scipy(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(cov_a + cov_b) - 2 * np.trace(root).real


def test_golden():
    fake, real = moments(GOLDEN["features_1"]), moments(GOLDEN["features_2"])
    found = frechet_distance(real, fake)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, VALUES["fid"], rtol=GOLDEN_FID)
    np.testing.assert_allclose(found, VALUES["fid_pytorch_fid"], rtol=GOLDEN_FID)


@FEW_POINTS
def test_golden_of_fewer_points_than_dimensions():
    fake, real = moments(GOLDEN["features_1"][:20]), moments(GOLDEN["features_2"][:25])
    np.testing.assert_allclose(frechet_distance(real, fake), VALUES["fid_rank_deficient_20_25"], rtol=GOLDEN_FID)


@pytest.mark.parametrize("d", [1, 2, 7, 32])
def test_equals_scipy(d):
    a, b = points(d, 40 * d, d), points(d + 1, 50 * d, d, offset=0.1)
    expected = (
        by_scipy(a, b)
        if d > 1
        else (a.mean() - b.mean(dtype=np.float64)) ** 2
        + (np.std(a.astype(np.float64), ddof=1) - np.std(b.astype(np.float64), ddof=1)) ** 2
    )
    rtol = SCIPY if d > 1 else 1e-6  # float32 mean of the reference
    np.testing.assert_allclose(frechet_distance(moments(a), moments(b)), expected, rtol=rtol)


@pytest.mark.parametrize(
    ("mean_a", "var_a", "mean_b", "var_b"),
    [
        ([0.0], [1.0], [3.0], [1.0]),
        ([0.0], [4.0], [0.0], [9.0]),
        ([1.0, 2.0, 3.0], [1.0, 4.0, 9.0], [0.0, 2.0, 5.0], [9.0, 4.0, 0.25]),
        ([0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_diagonal_gaussians(mean_a, var_a, mean_b, var_b):
    expected = np.sum(np.subtract(mean_a, mean_b) ** 2) + np.sum((np.sqrt(var_a) - np.sqrt(var_b)) ** 2)
    found = frechet_distance(gaussian(mean_a, np.diag(var_a)), gaussian(mean_b, np.diag(var_b)))
    np.testing.assert_allclose(found, expected, rtol=FLOAT64)


def test_symmetric_and_blind_to_rotations():
    a, b = points(1, 60, 6), points(2, 80, 6)
    q = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    expected = frechet_distance(moments(a), moments(b))
    np.testing.assert_allclose(frechet_distance(moments(b), moments(a)), expected, rtol=FLOAT64)
    turned = frechet_distance(moments(a.astype(np.float64) @ q), moments(b.astype(np.float64) @ q))
    np.testing.assert_allclose(turned, expected, rtol=FLOAT64)


@FEW_POINTS
@pytest.mark.parametrize(("n", "d"), [(50, 6), (10, 32), (2, 5)])
def test_identical_sets(n, d):
    a = moments(points(3, n, d))
    found = frechet_distance(a, a)
    # Cancellation of two traces, of about d · 1e-16 of their size.
    np.testing.assert_allclose(found, 0, atol=1e-12 * np.trace(a.covariance))
    assert found >= 0


def test_a_shift_is_its_squared_length():
    a = points(4, 30, 5).astype(np.float64)
    shift = np.array([1.0, -2.0, 0.5, 0.0, 3.0])
    np.testing.assert_allclose(frechet_distance(moments(a), moments(a + shift)), np.sum(shift**2), rtol=FLOAT64)


@FEW_POINTS
@pytest.mark.parametrize(("n", "m"), [(5, 200), (200, 5), (5, 7), (2, 2)])
def test_fewer_points_than_dimensions(n, m):
    a, b = points(5, n, 24), points(6, m, 24, offset=0.2)
    found = frechet_distance(moments(a), moments(b))
    # The nuclear norm of the product of the centred points, which needs no covariance.
    factors = [(x - x.mean(axis=0)) / np.sqrt(len(x) - 1) for x in (a.astype(np.float64), b.astype(np.float64))]
    overlap = np.linalg.svd(factors[0] @ factors[1].T, compute_uv=False).sum()
    shift = np.sum((a.astype(np.float64).mean(0) - b.astype(np.float64).mean(0)) ** 2)
    expected = shift + sum(np.sum(f**2) for f in factors) - 2 * overlap
    # One regular and one singular covariance: zero eigenvalues are found as 1e-16, their roots as 1e-8.
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@pytest.mark.parametrize("n", [300, 12])
def test_joint_distance_is_at_least_the_marginal(n):
    rng = np.random.default_rng(n)
    y = rng.standard_normal((n, 4)).astype(np.float32)
    x = (y @ rng.standard_normal((4, 6)) + 0.5 * rng.standard_normal((n, 6))).astype(np.float32)
    restored = (0.9 * x + 0.1).astype(np.float32)
    shuffled = x[rng.permutation(n)]
    for fake in (restored, shuffled):
        joint = frechet_distance(moments(joint_features(x, y)), moments(joint_features(fake, y)))
        marginal = frechet_distance(moments(x), moments(fake))
        assert joint >= marginal - 1e-6
    # Shuffling keeps the marginal law and destroys the joint one.
    np.testing.assert_allclose(marginal, 0, atol=1e-6)
    assert joint > 1


@pytest.mark.parametrize(("n", "d"), [(300, 32), (80, 5)])
def test_jit_agrees(n, d):
    a, b = points(7, n, d), points(8, n, d, offset=0.2)
    expected = frechet_distance(moments(a), moments(b))
    found = jax.jit(lambda a, b: frechet_distance(moments(a), moments(b)))(a, b)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=FLOAT32)


def test_jit_of_singular_and_of_undefined_covariances():
    fake, real = GOLDEN["features_1"][:20], GOLDEN["features_2"][:25]
    jitted = jax.jit(lambda a, b: frechet_distance(moments(a), moments(b)))
    # Eigenvalues that are float32 rounding errors, 1e-7 each, have roots of 3e-4: a dozen of them.
    np.testing.assert_allclose(jitted(real, fake), VALUES["fid_rank_deficient_20_25"], rtol=1e-3)
    assert np.isnan(jitted(real, fake[:1]))


def test_gradient_of_a_shift():
    a, b = points(9, 40, 3), points(10, 40, 3)
    gradient = jax.grad(lambda shift: frechet_distance(moments(a), moments(b + shift[None])))(jnp.zeros(3))
    expected = 2 * (b.mean(axis=0) - a.mean(axis=0))
    np.testing.assert_allclose(gradient, expected, atol=1e-4)  # float32 means and covariances


def test_errors():
    good = moments(points(1, 10, 3))
    with pytest.raises(InputError, match="fake: found features of dimension 4, expected 3 as in real"):
        frechet_distance(good, moments(points(1, 10, 4)))
    with pytest.raises(InputError, match="fake: found 1 points, expected at least two"):
        frechet_distance(good, moments(points(1, 1, 3)))
    with pytest.raises(InputError, match="real: found 0 points"):
        frechet_distance(Moments.zero(3), good)


@FEW_POINTS
@pytest.mark.parametrize(("n", "m", "d"), [(300, 300, 32), (20, 25, 32), (32, 32, 32), (2, 3, 32), (5, 100, 24)])
def test_from_features_equals_from_moments(n, m, d):
    a, b = points(n, n, d), points(m + 1, m, d, offset=0.2)
    found = frechet_distance_from_features(a, b)
    assert found.dtype == np.float64
    # Moments of few points have zero eigenvalues that are found as 1e-16, their roots as 1e-8.
    np.testing.assert_allclose(found, frechet_distance(moments(a), moments(b)), rtol=1e-7)


@FEW_POINTS
def test_from_features_golden_and_closed_form():
    found = frechet_distance_from_features(GOLDEN["features_2"][:25], GOLDEN["features_1"][:20])
    np.testing.assert_allclose(found, VALUES["fid_rank_deficient_20_25"], rtol=GOLDEN_FID)
    # Two points on a line each, at ±1 and at ±2 of one direction: variances 2 and 8, means 3 apart in another one.
    axis, other = np.eye(7)[0], np.eye(7)[3]
    a, b = np.stack([axis, -axis]), np.stack([2 * axis, -2 * axis]) + 3 * other
    np.testing.assert_allclose(frechet_distance_from_features(a, b), 9 + (np.sqrt(8) - np.sqrt(2)) ** 2, rtol=FLOAT64)
    # Orthogonal supports have no overlap.
    c = np.stack([other, -other])
    np.testing.assert_allclose(frechet_distance_from_features(a, c), 4, rtol=FLOAT64)


@FEW_POINTS
@pytest.mark.parametrize(("rank_a", "rank_b", "d"), [(5, 9, 40), (40, 9, 40), (1, 1, 12)])
def test_random_singular_gaussians(rank_a, rank_b, d):
    """Covariances FFᵀ and GGᵀ of known factors: the overlap is the nuclear norm of FᵀG."""
    rng = np.random.default_rng(rank_a)
    f, g = rng.standard_normal((d, rank_a)), rng.standard_normal((d, rank_b))
    expected = np.sum(f**2) + np.sum(g**2) - 2 * np.linalg.svd(f.T @ g, compute_uv=False).sum()
    found = frechet_distance(gaussian(np.zeros(d), f @ f.T), gaussian(np.zeros(d), g @ g.T))
    np.testing.assert_allclose(found, expected, rtol=1e-7)


@FEW_POINTS
def test_nearly_singular_covariances_give_finite_numbers():
    """Where sqrtm of a product turns complex or NaN (pytorch-fid issue 103, scipy issue 19415)."""
    rng = np.random.default_rng(0)
    base = rng.standard_normal((64, 6))
    features = (base @ rng.standard_normal((6, 48)) + 1e-7 * rng.standard_normal((64, 48))).astype(np.float32)
    dead = np.concatenate([features, np.zeros((64, 16), np.float32)], axis=1)  # units that never fire
    for x in (features, dead, np.zeros_like(features)):
        distance = frechet_distance(moments(x), moments(1.5 * x))
        scale = np.trace(moments(x).covariance)
        expected = 0.25 * (scale + np.sum(x.astype(np.float64).mean(0) ** 2))
        np.testing.assert_allclose(distance, expected, rtol=1e-5)


@pytest.mark.parametrize("batch", [1, 7, 64, 300])
def test_batches_and_their_order_do_not_matter(batch):
    """Where other programs give another number for another batch size (torchmetrics issue 1620)."""
    a, b = points(1, 300, 8, offset=100.0), points(2, 300, 8, offset=100.1)
    starts = np.random.default_rng(batch).permutation(np.arange(0, 300, batch))
    streamed = Moments.zero(8)
    for start in starts:
        streamed = streamed.update(a[start : start + batch])
    np.testing.assert_allclose(
        frechet_distance(streamed, moments(b)), frechet_distance(moments(a), moments(b)), rtol=1e-9
    )


def test_few_points_are_told():
    a, b = moments(points(1, 30, 32)), moments(points(2, 40, 32))
    with pytest.warns(SmallSampleWarning, match="30 points in 32 dimensions: biased upwards"):
        frechet_distance(a, b)
    with pytest.warns(SmallSampleWarning, match="30 points in 32 dimensions"):
        frechet_distance_from_features(points(1, 30, 32), points(2, 30, 32))
    with pytest.warns(SmallSampleWarning, match="20 points in 32 dimensions"):
        frechet_extrapolated(jax.random.key(0), points(1, 99, 32), points(2, 50, 32), points=4, smallest=0.4)
    assert frechet_bias_note(32, 32).startswith("32 points in 32 dimensions")
    assert frechet_bias_note(33, 32) == ""


@pytest.mark.thorough
def test_extrapolation_removes_the_bias():
    """Equal laws in 16 dimensions: the distance is 0, that of n points about c/n, that of infinitely many 0."""
    key, both = jax.random.key(0), points(1, 24000, 16)
    real, fake = both[:20000], both[20000:]
    found = frechet_extrapolated(key, real, fake, points=10)
    plain = frechet_distance(moments(real), moments(fake))
    assert found.sizes[0] == len(fake) // 10
    assert found.sizes[-1] == len(fake)
    np.testing.assert_allclose(found.values[-1], plain, rtol=FLOAT64)
    assert found.slope > 0
    assert (np.diff(found.values)[[0, 1, 2]] < 0).all()
    assert abs(found.value) < 0.2 * plain + 4 * found.stderr
    again = frechet_extrapolated(key, real, fake, points=10)
    assert again.value == found.value
    assert frechet_extrapolated(jax.random.key(1), real, fake, points=10).value != found.value
    equal = frechet_extrapolated(key, real, fake, points=10, subset_real=True)
    assert equal.slope > found.slope  # the bias of both sets


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"points": 1}, "points: found 1, expected an integer of at least 2"),
        ({"smallest": 1.0}, "smallest: found 1.0, expected a share between 0 and 1"),
        ({"points": 60}, "fake: found 40 points, expected enough for 60 different subset sizes"),
    ],
)
def test_extrapolation_errors(options, message):
    with pytest.raises(InputError, match=message):
        frechet_extrapolated(jax.random.key(0), points(1, 50, 3), points(2, 40, 3), **options)


def test_from_features_errors_and_jit():
    a, b = points(1, 40, 3), points(2, 50, 3)
    jitted = jax.jit(frechet_distance_from_features)(a, b)
    np.testing.assert_allclose(jitted, frechet_distance_from_features(a, b), rtol=FLOAT32)
    with pytest.raises(InputError, match="fake: found width 2, expected 3"):
        frechet_distance_from_features(a, b[:, :2])
    with pytest.raises(InputError, match="real: found 1 points, expected at least 2"):
        frechet_distance_from_features(a[:1], b)
