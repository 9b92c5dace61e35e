"""Conditional Fréchet distance: the mean over y of distances between conditional Gaussians, in plain NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from jaxpr.core import InputError
from jaxpr.metrics import Moments, conditional_frechet_distance, frechet_distance, joint_features

FLOAT64 = 1e-9  # float64 eigenproblems of at most 12 rows, condition up to 1e4
FLOAT32 = 1e-3  # relative; float32 covariances, whose traces cancel


def gaussian(mean, cov):
    """Moments with exactly this mean and covariance."""
    return Moments(np.array(101.0), np.asarray(mean, np.float64), 100 * np.asarray(cov, np.float64))


def joint(seed, width, dim_y, *, cov_y=None):
    """Mean and covariance of (x, y) with x = A y + b + noise."""
    rng = np.random.default_rng(seed)
    gain, noise = rng.standard_normal((width, dim_y)), rng.standard_normal((width, width))
    cov_y = np.eye(dim_y) if cov_y is None else cov_y
    cov_x = gain @ cov_y @ gain.T + noise @ noise.T
    cov = np.block([[cov_x, gain @ cov_y], [cov_y @ gain.T, cov_y]])
    return gain, rng.standard_normal(width), noise @ noise.T, cov


def measurements(seed, dim_y, *, rank):
    factor = np.random.default_rng(seed).standard_normal((dim_y, rank))
    return factor @ factor.T, factor


def w2(cov_a, cov_b):
    root = scipy.linalg.sqrtm(cov_a)
    return np.trace(cov_a + cov_b) - 2 * np.trace(scipy.linalg.sqrtm(root @ cov_b @ root)).real


@pytest.mark.parametrize("rank", [4, 2, 1])  # of the measurements' covariance
def test_is_the_mean_of_the_distances_of_the_conditional_laws(rank):
    width, dim_y = 3, 4
    cov_y, factor = measurements(7, dim_y, rank=rank)
    gain_a, shift_a, noise_a, cov_a = joint(1, width, dim_y, cov_y=cov_y)
    gain_b, shift_b, noise_b, cov_b = joint(2, width, dim_y, cov_y=cov_y)
    mean_y = np.arange(dim_y) / 2
    means = [np.concatenate([g @ mean_y + s, mean_y]) for g, s in ((gain_a, shift_a), (gain_b, shift_b))]
    found = conditional_frechet_distance(gaussian(means[0], cov_a), gaussian(means[1], cov_b), width=width)
    # Closed form: the conditional means differ by (A - B) y + a - b, the conditional covariances do not depend on y.
    difference, offset = gain_a - gain_b, (gain_a - gain_b) @ mean_y + shift_a - shift_b
    expected = np.sum(offset**2) + np.trace(difference @ cov_y @ difference.T) + w2(noise_a, noise_b)
    np.testing.assert_allclose(found, expected, rtol=FLOAT64)
    # Monte Carlo over y.
    y = mean_y + np.random.default_rng(3).standard_normal((200_000, rank)) @ factor.T
    squares = np.sum((y @ difference.T + shift_a - shift_b) ** 2, axis=1)
    assert abs(squares.mean() + w2(noise_a, noise_b) - found) < 4 * squares.std() / np.sqrt(len(y))


def test_from_points_equals_the_formula_with_pinv():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((400, 5))
    y = np.concatenate([y, y[:, :2]], axis=1).astype(np.float32)  # copied coordinates: singular
    x = (y @ rng.standard_normal((7, 4)) + rng.standard_normal((400, 4))).astype(np.float32)
    fake = (0.8 * x + 0.1 * y[:, :4] + 0.3).astype(np.float32)
    moments = [Moments.zero(11).update(np.asarray(joint_features(z, y))) for z in (x, fake)]
    cov = [np.cov(np.concatenate([z, y], axis=1).astype(np.float64).T) for z in (x, fake)]
    inverse = np.linalg.pinv(cov[0][4:, 4:], rcond=1e-10)
    rests = [c[:4, :4] - c[:4, 4:] @ inverse @ c[4:, :4] for c in cov]
    cross = cov[0][:4, 4:] - cov[1][:4, 4:]
    shift = np.sum((x.astype(np.float64).mean(0) - fake.astype(np.float64).mean(0)) ** 2)
    expected = shift + np.trace(cross @ inverse @ cross.T) + w2(*rests)
    found = conditional_frechet_distance(*moments, width=4)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=FLOAT64)


def test_equals_the_frechet_distance_where_y_tells_nothing():
    rng = np.random.default_rng(0)
    parts = [rng.standard_normal((3, 3)) for _ in range(3)]
    covs = [p @ p.T for p in parts]
    joints = [scipy.linalg.block_diag(c, covs[2]) for c in covs[:2]]
    a, b = gaussian(np.arange(6), joints[0]), gaussian(np.r_[2, 2, 2, 3, 4, 5], joints[1])
    expected = frechet_distance(gaussian(np.arange(3), covs[0]), gaussian([2, 2, 2], covs[1]))
    np.testing.assert_allclose(conditional_frechet_distance(a, b, width=3), expected, rtol=FLOAT64)


def test_zero_for_equal_laws_and_at_least_the_marginal():
    rng = np.random.default_rng(1)
    y = rng.standard_normal((500, 3)).astype(np.float32)
    x = (y @ rng.standard_normal((3, 4)) + 0.5 * rng.standard_normal((500, 4))).astype(np.float32)
    real = Moments.zero(7).update(np.asarray(joint_features(x, y)))
    np.testing.assert_allclose(conditional_frechet_distance(real, real, width=4), 0, atol=1e-12)
    # The right marginal law given the wrong measurement: only the conditional distance sees it.
    shuffled = x[rng.permutation(500)]
    fake = Moments.zero(7).update(np.asarray(joint_features(shuffled, y)))
    marginal = frechet_distance(Moments.zero(4).update(x), Moments.zero(4).update(shuffled))
    np.testing.assert_allclose(marginal, 0, atol=1e-6)
    assert conditional_frechet_distance(real, fake, width=4) > 1


def test_a_function_of_y_leaves_the_posterior_spread():
    """The mean of x given y has no conditional spread: the distance is the trace of the posterior covariance."""
    gain, shift, noise, cov = joint(5, 3, 4)
    restored = cov.copy()
    restored[:3, :3] = gain @ gain.T
    mean = np.concatenate([shift, np.zeros(4)])
    found = conditional_frechet_distance(gaussian(mean, cov), gaussian(mean, restored), width=3)
    np.testing.assert_allclose(found, np.trace(noise), rtol=1e-6)  # zero variances found as 1e-16, roots of 1e-8


def test_jit_and_gradient():
    cov, other = joint(5, 3, 4)[3], joint(6, 3, 4)[3]
    a, b = gaussian(np.zeros(7), cov), gaussian(np.ones(7) * [1, 1, 1, 0, 0, 0, 0], other)
    single = [jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), m) for m in (a, b)]
    jitted = jax.jit(lambda a, b: conditional_frechet_distance(a, b, width=3))
    assert jitted(*single).dtype == jnp.float32
    np.testing.assert_allclose(jitted(*single), conditional_frechet_distance(a, b, width=3), rtol=FLOAT32)
    mean = single[1].mean
    slope = jax.grad(lambda m: conditional_frechet_distance(single[0], single[1]._replace(mean=m), width=3))(mean)
    np.testing.assert_allclose(slope, [2, 2, 2, 0, 0, 0, 0], atol=1e-4)


def test_errors():
    a = gaussian(np.zeros(5), np.eye(5))
    with pytest.raises(InputError, match="fake: found features of dimension 4, expected 5 as in real"):
        conditional_frechet_distance(a, gaussian(np.zeros(4), np.eye(4)), width=2)
    with pytest.raises(InputError, match="width: found 5, expected less than the joint dimension 5"):
        conditional_frechet_distance(a, a, width=5)
    with pytest.raises(InputError, match="width: found 0"):
        conditional_frechet_distance(a, a, width=0)
    with pytest.raises(InputError, match="fake: found 0 points, expected at least two"):
        conditional_frechet_distance(a, Moments.zero(5), width=2)
    with pytest.raises(InputError, match="fake: found other measurements than in real"):
        conditional_frechet_distance(a, gaussian(np.zeros(5), 2 * np.eye(5)), width=2)
    with pytest.raises(InputError, match="fake: found 102 points, expected 101 as in real"):
        conditional_frechet_distance(a, a._replace(count=np.array(102.0)), width=2)
