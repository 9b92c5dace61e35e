"""Jointly Gaussian laws: SciPy's densities, the Schur complement, Monte Carlo within 5 standard errors, edge cases."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxpr.core import InputError, example_keys
from jaxpr.toys import (
    JointGaussian,
    denoising_gaussian,
    joint_gaussian,
    linear_gaussian,
    normal,
)

KEY = jax.random.key(3)
DRAWS = 40_000
SIGMAS = 5  # of the standard error; with fixed seeds, what passes once passes always
ROUNDING = {"rtol": 1e-6, "atol": 1e-6}  # products of another number of rows add in another order
FLOAT32 = 2e-5  # log densities of about ten nats in float32

MEAN = np.array([1.0, -2.0, 0.5])
COV = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 0.5]])
MATRIX = np.array([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0]])
NOISE = np.array([[0.3, 0.1], [0.1, 0.2]])
JOINT_MEAN = np.concatenate([MEAN, MATRIX @ MEAN])
JOINT_COV = np.block([[COV, COV @ MATRIX.T], [MATRIX @ COV, MATRIX @ COV @ MATRIX.T + NOISE]])
LAW = linear_gaussian(MEAN, COV, MATRIX, NOISE)


# Compiling takes longer than running: leave optimisation out.
QUICK = {"xla_backend_optimization_level": "0", "xla_llvm_disable_expensive_passes": True}


@functools.partial(jax.jit, static_argnames=("name", "count"), compiler_options=QUICK)
def run(law, name, *args, count=None):
    """A method of a law as one compiled program, which is much faster than its first call step by step."""
    return getattr(law, name)(*args) if count is None else getattr(law, name)(*args, count)


X, Y = run(LAW, "sample", jax.random.key(8), count=50)


def schur(y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gain = np.linalg.solve(JOINT_COV[3:, 3:], JOINT_COV[3:, :3]).T
    return MEAN + (y - JOINT_MEAN[3:]) @ gain.T, COV - gain @ JOINT_COV[3:, :3]


def assert_moments(points: np.ndarray, mean: np.ndarray, cov: np.ndarray) -> None:
    """Sample mean and covariance within SIGMAS standard errors of those of a Gaussian."""
    points = np.asarray(points, np.float64)
    variance = np.diag(cov)
    count = len(points)
    assert (np.abs(points.mean(axis=0) - mean) <= SIGMAS * np.sqrt(variance / count) + 1e-7).all()
    error = np.sqrt((np.outer(variance, variance) + cov**2) / count)
    assert (np.abs(np.cov(points.T).reshape(cov.shape) - cov) <= SIGMAS * error + 1e-7).all()


def test_samples_have_the_joint_moments():
    x, y = run(LAW, "sample", KEY, count=DRAWS)
    assert x.dtype == y.dtype == jnp.float32
    assert_moments(np.concatenate([x, y], axis=1), JOINT_MEAN, JOINT_COV)


@pytest.mark.parametrize("law", [LAW, joint_gaussian(JOINT_MEAN, JOINT_COV, width=3)], ids=["linear", "joint"])
def test_densities_equal_those_of_scipy(law):
    both = np.concatenate([X, Y], axis=1).astype(np.float64)
    joint = scipy.stats.multivariate_normal(JOINT_MEAN, JOINT_COV).logpdf(both)
    alone_x = scipy.stats.multivariate_normal(MEAN, COV).logpdf(both[:, :3])
    alone_y = scipy.stats.multivariate_normal(JOINT_MEAN[3:], JOINT_COV[3:, 3:]).logpdf(both[:, 3:])
    np.testing.assert_allclose(run(law, "log_density", X, Y), joint, atol=FLOAT32)
    np.testing.assert_allclose(run(law, "log_density_x", X), alone_x, atol=FLOAT32)
    np.testing.assert_allclose(run(law, "log_density_y", Y), alone_y, atol=FLOAT32)
    np.testing.assert_allclose(run(law, "log_posterior", X, Y), joint - alone_y, atol=FLOAT32)
    noise = scipy.stats.multivariate_normal(np.zeros(2), NOISE).logpdf(both[:, 3:] - both[:, :3] @ MATRIX.T)
    np.testing.assert_allclose(run(law, "log_likelihood", X, Y), noise, atol=2 * FLOAT32)


def test_posterior_equals_the_schur_complement():
    mean, cov = schur(np.asarray(Y, np.float64))
    np.testing.assert_allclose(LAW.posterior_mean(Y), mean, atol=1e-5)
    covariances = LAW.posterior_covariance(Y)
    assert covariances.shape == (50, 3, 3)
    np.testing.assert_allclose(covariances[7], cov, atol=1e-6)


def test_posterior_samples_have_the_posterior_moments():
    mean, cov = schur(np.asarray(Y[:1], np.float64))
    drawn = run(LAW, "posterior_sample", KEY, jnp.broadcast_to(Y[:1], (DRAWS, 2)))
    assert_moments(drawn, mean[0], cov)


def test_posterior_samples_restore_the_joint_law():
    _, y = run(LAW, "sample", KEY, count=DRAWS)
    drawn = run(LAW, "posterior_sample", jax.random.key(4), y)
    assert_moments(np.concatenate([drawn, y], axis=1), JOINT_MEAN, JOINT_COV)


def test_scores_are_gradients():
    def gradient(fn, at):
        return jax.jit(jax.grad(lambda p: jnp.sum(fn(p))), compiler_options=QUICK)(at)

    np.testing.assert_allclose(LAW.score_x(X), gradient(LAW.log_density_x, X), atol=1e-4)
    np.testing.assert_allclose(LAW.score_y(Y), gradient(LAW.log_density_y, Y), atol=1e-4)
    for density in (LAW.log_posterior, LAW.log_density):
        np.testing.assert_allclose(LAW.score_posterior(X, Y), gradient(lambda p, d=density: d(p, Y), X), atol=1e-4)


def test_density_integrates_to_one():
    law = denoising_gaussian(noise_std=0.7)
    grid = np.linspace(-8, 8, 401)
    x, y = (a.reshape(-1, 1).astype(np.float32) for a in np.meshgrid(grid, grid))
    mass = np.exp(np.asarray(run(law, "log_density", x, y), np.float64)).sum() * (grid[1] - grid[0]) ** 2
    assert abs(mass - 1) < 1e-4


def test_the_toy_of_the_paper():
    law = denoising_gaussian(noise_std=1.0)  # Appendix D.1 has the covariance ((1, 1), (1, 2))
    np.testing.assert_allclose(law.gain, [[0.5]], rtol=1e-6)
    np.testing.assert_allclose(law.marginal_y.covariance, [[2.0]], rtol=1e-6)
    np.testing.assert_allclose(law.residual.covariance, [[0.5]], rtol=1e-6)


def test_more_samples_leave_the_first_unchanged_and_keys_may_come_one_by_one():
    few = run(LAW, "sample", example_keys(jax.random.key(8), 9)[2:], count=7)
    np.testing.assert_allclose(few.x, X[2:9], **ROUNDING)
    np.testing.assert_allclose(few.y, Y[2:9], **ROUNDING)
    whole = run(LAW, "posterior_sample", KEY, Y)
    some = run(LAW, "posterior_sample", example_keys(KEY, 50)[10:17], Y[10:17])
    np.testing.assert_allclose(some, whole[10:17], **ROUNDING)


@pytest.mark.thorough
def test_jit_and_vmap_equal_eager():
    def everything(std):
        law = linear_gaussian(MEAN, COV, MATRIX, jnp.square(std) * NOISE)
        return law.posterior_mean(Y), law.log_density(X, Y), law.score_posterior(X, Y), law.posterior_sample(KEY, Y)

    eager = [everything(jnp.asarray(s)) for s in (0.5, 2.0)]
    batched = jax.jit(jax.vmap(everything), compiler_options=QUICK)(jnp.array([0.5, 2.0]))
    for i, one in enumerate(eager):
        for found, expected in zip(batched, one, strict=True):
            np.testing.assert_allclose(found[i], expected, rtol=1e-5, atol=1e-4)


def test_a_law_is_a_pytree_of_float32():
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(LAW))
    assert isinstance(jax.jit(lambda law: law)(LAW), JointGaussian)
    assert (LAW.dim_x, LAW.dim_y) == (3, 2)


def test_tiny_noise_keeps_its_digits():
    law = denoising_gaussian(noise_std=1e-4, dim=2)
    np.testing.assert_allclose(law.residual.root, 1e-4 * np.eye(2), rtol=1e-5, atol=1e-10)
    one = jnp.array([[0.5, 0.25]])
    assert np.isclose(run(law, "log_posterior", one, one)[0], -np.log(2 * np.pi * 1e-8), atol=1e-3)


def test_measurement_without_noise():
    law = linear_gaussian(MEAN, COV, MATRIX, np.zeros((2, 2)))
    x, y = run(law, "sample", KEY, count=50)
    np.testing.assert_allclose(x @ MATRIX.T.astype(np.float32), y, atol=1e-5)
    drawn = run(law, "posterior_sample", KEY, y)
    np.testing.assert_allclose(drawn @ MATRIX.T.astype(np.float32), y, atol=1e-5)
    assert np.abs(drawn - law.posterior_mean(y)).max() > 0.1  # one direction of x stays unknown
    assert np.isnan(run(law, "log_posterior", x, y)).all()
    assert np.isfinite(run(law, "log_density_x", x)).all()


@pytest.mark.parametrize("noise", [0.0, 0.25])
def test_a_singular_matrix_that_sees_one_direction_twice(noise):
    matrix = np.array([[1.0, 1.0], [2.0, 2.0]])
    law = linear_gaussian(np.zeros(2), np.eye(2), matrix, noise * np.eye(2))
    difference = jnp.array([[1.0, -1.0]])
    x, y = run(law, "sample", KEY, count=50)
    assert np.isfinite(law.posterior_mean(y)).all()
    np.testing.assert_allclose(difference @ law.gain, 0, atol=1e-6)
    np.testing.assert_allclose(difference @ law.residual.covariance @ difference.T, 2, rtol=1e-5)
    assert np.isfinite(run(law, "log_density", x, y)).all() == (noise > 0)


def test_singular_prior_and_zero_prior():
    law = linear_gaussian(np.ones(2), np.ones((2, 2)), np.eye(2), np.eye(2))
    x = run(law, "sample", KEY, count=50).x
    np.testing.assert_allclose(x[:, 0], x[:, 1], atol=1e-5)
    assert np.isnan(run(law, "log_density_x", x)).all()
    known = linear_gaussian(np.ones(1), np.zeros((1, 1)), np.eye(1), np.eye(1))
    np.testing.assert_array_equal(known.posterior_mean(jnp.array([[5.0]])), [[1.0]])
    np.testing.assert_array_equal(known.residual.root, [[0.0]])


def test_normal_alone():
    law = normal(MEAN, COV)
    assert_moments(run(law, "sample", KEY, count=DRAWS), MEAN, COV)
    np.testing.assert_allclose(law.covariance, COV, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: normal(MEAN, COV[:2]), r"cov: found shape \(2, 3\), expected \(d, d\)"),
        (lambda: normal(MEAN[:2], COV), r"mean: found shape \(2,\), expected \(3,\)"),
        (lambda: normal(MEAN, -COV), "cov: found eigenvalue .*, expected a positive semi-definite"),
        (lambda: normal(MEAN[:2], np.array([[1.0, 0.5], [0.0, 1.0]])), "cov: found an asymmetric matrix"),
        (lambda: normal(MEAN, COV * np.nan), "cov: found NaN"),
        (lambda: joint_gaussian(MEAN, COV, width=3), "width: found 3, expected less than the 3"),
        (lambda: linear_gaussian(MEAN, COV, MATRIX[:, :2], NOISE), r"matrix: found shape \(2, 2\), expected \(m, 3\)"),
        (lambda: linear_gaussian(MEAN, COV, MATRIX, COV), r"noise_cov: found shape \(3, 3\), expected \(2, 2\)"),
        (lambda: denoising_gaussian(noise_std=-1.0), "noise_std: found -1.0"),
        (lambda: LAW.posterior_mean(X), "y: found width 3, expected 2"),
        (lambda: LAW.log_density(X[:3], Y), "y: found 50 points, expected 3 as x"),
        (lambda: LAW.sample(KEY, 0), "n: found 0"),
        (lambda: LAW.sample(jax.random.PRNGKey(0), 3), "key: found uint32"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
