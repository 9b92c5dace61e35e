"""Fréchet distance: closed forms, SciPy's matrix square root, and golden FIDs (tests/golden/feature_metrics)."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from jaxpr._core import InputError
from jaxpr.metrics import Moments, frechet_distance, joint_features

FOLDER = Path(__file__).parents[1] / "golden" / "feature_metrics"
GOLDEN = np.load(FOLDER / "golden.npz")
VALUES = json.loads((FOLDER / "values.json").read_text())

GOLDEN_FID = 1e-7  # relative; their means are summed in float32
SCIPY = 1e-8  # relative; sqrtm of a product with condition number up to 1e6
FLOAT64 = 1e-10  # float64 eigenproblems of at most 32 rows
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
