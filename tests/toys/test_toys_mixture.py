"""Mixtures: quadrature of Bayes' rule, Monte Carlo within 5 standard errors, gradients, edge cases."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxpr.core import InputError, example_keys
from jaxpr.toys import (
    JointMixture,
    imbalanced_mixture,
    linear_gaussian,
    linear_mixture,
    planar_mixture,
)

KEY = jax.random.key(5)
DRAWS = 40_000
SIGMAS = 5  # of the standard error
ROUNDING = {"rtol": 1e-6, "atol": 1e-6}  # products of another number of rows add in another order
WEIGHTS = np.array([0.5, 0.3, 0.2])
MEANS = np.array([[-2.0, 0.0], [1.5, 1.0], [0.5, -2.0]])
COVS = np.array([[[0.6, 0.2], [0.2, 0.3]], [[0.2, -0.1], [-0.1, 0.5]], [[0.4, 0.0], [0.0, 0.1]]])
MATRIX = np.array([[1.0, -0.5]])
NOISE = np.array([[0.3]])
LAW = linear_mixture(WEIGHTS, MEANS, COVS, MATRIX, NOISE)


# Compiling takes longer than running: leave optimisation out.
QUICK = {"xla_backend_optimization_level": "0", "xla_llvm_disable_expensive_passes": True}


@functools.partial(jax.jit, static_argnames=("name", "count"), compiler_options=QUICK)
def run(law, name, *args, count=None):
    """A method of a law as one compiled program, which is much faster than its first call step by step."""
    return getattr(law, name)(*args) if count is None else getattr(law, name)(*args, count)


X, Y = run(LAW, "sample", jax.random.key(8), count=40)

AXIS = np.linspace(-7, 7, 281)
STEP = AXIS[1] - AXIS[0]
GRID = np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), axis=-1).reshape(-1, 2)
PRIOR = sum(w * scipy.stats.multivariate_normal(m, c).pdf(GRID) for w, m, c in zip(WEIGHTS, MEANS, COVS, strict=True))


def bayes(y: float) -> tuple[float, np.ndarray]:
    """p(y) and p(x|y) on the grid, by quadrature of prior times likelihood."""
    joint = PRIOR * scipy.stats.norm(0, np.sqrt(0.3)).pdf(y - GRID @ MATRIX[0])
    evidence = joint.sum() * STEP**2
    return evidence, joint / evidence


@pytest.mark.parametrize("y", [-3.0, -0.4, 0.7, 2.5])
def test_posterior_equals_bayes_rule_by_quadrature(y):
    evidence, posterior = bayes(y)
    at = jnp.array([[y]])
    np.testing.assert_allclose(np.exp(run(LAW, "log_density_y", at)), [evidence], rtol=1e-4)
    mean = (posterior[:, None] * GRID).sum(axis=0) * STEP**2
    centred = GRID - mean
    covariance = np.einsum("g,gi,gj->ij", posterior, centred, centred) * STEP**2
    np.testing.assert_allclose(run(LAW, "posterior_mean", at)[0], mean, atol=1e-4)
    np.testing.assert_allclose(run(LAW, "posterior_covariance", at)[0], covariance, atol=2e-4)
    points = GRID[::997].astype(np.float32)
    found = np.exp(run(LAW, "log_posterior", points, jnp.full((len(points), 1), y)))
    np.testing.assert_allclose(found, posterior[::997], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(np.exp(run(LAW, "log_density_x", points)), PRIOR[::997], rtol=1e-3, atol=1e-7)


def test_densities_integrate_to_one():
    points = GRID.astype(np.float32)
    assert abs(np.exp(np.asarray(run(LAW, "log_density_x", points), np.float64)).sum() * STEP**2 - 1) < 1e-4
    at = jnp.full((len(points), 1), 0.7)
    assert abs(np.exp(np.asarray(run(LAW, "log_posterior", points, at), np.float64)).sum() * STEP**2 - 1) < 1e-4
    line = np.linspace(-9, 9, 2001, dtype=np.float32)[:, None]
    assert abs(np.exp(np.asarray(run(LAW, "log_density_y", line), np.float64)).sum() * 18 / 2000 - 1) < 1e-4


def test_chain_rule_of_densities():
    noise = scipy.stats.norm(0, np.sqrt(0.3)).logpdf(np.asarray(Y)[:, 0] - np.asarray(X) @ MATRIX[0])
    np.testing.assert_allclose(run(LAW, "log_likelihood", X, Y), noise, atol=5e-5)
    np.testing.assert_allclose(
        run(LAW, "log_posterior", X, Y) + run(LAW, "log_density_y", Y), run(LAW, "log_density", X, Y), atol=2e-5
    )


def test_scores_are_gradients():
    def gradient(fn, at):
        return jax.jit(jax.grad(lambda p: jnp.sum(fn(p))), compiler_options=QUICK)(at)

    np.testing.assert_allclose(run(LAW, "score_x", X), gradient(LAW.log_density_x, X), atol=2e-4)
    np.testing.assert_allclose(run(LAW, "score_y", Y), gradient(LAW.log_density_y, Y), atol=2e-4)
    for density in (LAW.log_posterior, LAW.log_density):
        np.testing.assert_allclose(
            run(LAW, "score_posterior", X, Y), gradient(lambda p, d=density: d(p, Y), X), atol=2e-4
        )


def test_posterior_mean_obeys_tweedie():
    """E[Ax|y] = y + Σ_n ∇ log p(y), an identity that no Gaussian-mixture formula enters."""
    expected = Y + run(LAW, "score_y", Y) @ jnp.asarray(NOISE, jnp.float32)
    np.testing.assert_allclose(run(LAW, "posterior_mean", Y) @ MATRIX.T.astype(np.float32), expected, atol=1e-4)


def test_sample_moments():
    x, y = (np.asarray(a, np.float64) for a in run(LAW, "sample", KEY, count=DRAWS))
    matched = LAW.matched_gaussian()
    both = np.concatenate([x, y], axis=1)
    mean = np.concatenate([matched.marginal_x.mean, matched.marginal_y.mean])
    assert (np.abs(both.mean(axis=0) - mean) < SIGMAS * both.std(axis=0) / np.sqrt(DRAWS)).all()
    for found, law in ((x, matched.marginal_x), (y, matched.marginal_y)):
        centred = found - found.mean(axis=0)
        products = centred[:, :, None] * centred[:, None]
        error = SIGMAS * products.std(axis=0) / np.sqrt(DRAWS)
        assert (np.abs(products.mean(axis=0) - law.covariance) < error).all()
    cross = (x - x.mean(axis=0)) * (y - y.mean(axis=0))
    expected = matched.gain @ matched.marginal_y.covariance
    assert (np.abs(cross.mean(axis=0) - expected[:, 0]) < SIGMAS * cross.std(axis=0) / np.sqrt(DRAWS)).all()


def test_posterior_samples_follow_the_posterior():
    at = jnp.array([[0.7]])
    drawn = np.asarray(run(LAW, "posterior_sample", KEY, jnp.broadcast_to(at, (DRAWS, 1))), np.float64)
    _, posterior = bayes(0.7)
    # Moments and the mass of half planes, which tell modes apart.
    for statistic in (lambda p: p[:, 0], lambda p: p[:, 1] ** 2, lambda p: p[:, 0] * p[:, 1], lambda p: p[:, 1] > 0.51):
        expected = (posterior * statistic(GRID)).sum() * STEP**2
        values = statistic(drawn).astype(np.float64)
        assert abs(values.mean() - expected) < SIGMAS * values.std() / np.sqrt(DRAWS) + 1e-3 * (values.max() <= 1)


def test_least_error_estimator_beats_linear_and_sampler_doubles():
    x, y = run(LAW, "sample", KEY, count=DRAWS)

    def errors(estimate):
        return np.asarray(jnp.sum((x - estimate) ** 2, axis=1), np.float64)

    best = errors(run(LAW, "posterior_mean", y))
    linear = errors(LAW.matched_gaussian().posterior_mean(y))
    drawn = errors(run(LAW, "posterior_sample", jax.random.key(9), y))
    assert (linear - best).mean() > SIGMAS * (linear - best).std() / np.sqrt(DRAWS)
    doubled = drawn - 2 * best
    assert abs(doubled.mean()) < SIGMAS * doubled.std() / np.sqrt(DRAWS)
    trace = jnp.trace(run(LAW, "posterior_covariance", y), axis1=1, axis2=2)
    assert abs((best - trace).mean()) < SIGMAS * (best - trace).std() / np.sqrt(DRAWS)


def test_one_component_is_the_gaussian():
    gaussian = linear_gaussian(MEANS[0], COVS[0], MATRIX, NOISE)
    single = linear_mixture(np.array([2.0]), MEANS[:1], COVS[:1], MATRIX, NOISE)
    alone = linear_mixture(np.array([1.0, 0.0, 0.0]), MEANS, COVS, MATRIX, NOISE)
    both = {"log_density": (X, Y), "score_posterior": (X, Y), "posterior_mean": (Y,)}
    more = {"log_posterior": (X, Y), "posterior_covariance": (Y,), "log_density_y": (Y,), "score_y": (Y,)}
    for law, names in ((single, both), (alone, both | more)):
        for name, points in names.items():
            np.testing.assert_allclose(run(law, name, *points), run(gaussian, name, *points), atol=1e-4)
    gradient = jax.jit(jax.grad(lambda p: jnp.sum(alone.log_density_x(p))), compiler_options=QUICK)
    assert np.isfinite(gradient(X)).all()


def test_a_component_without_weight_never_occurs():
    law = linear_mixture(np.array([0.5, 0.5, 0.0]), MEANS, COVS, MATRIX, NOISE)
    assert (np.asarray(run(law, "posterior_weights", Y))[:, 2] == 0).all()
    x, _ = run(law, "sample", KEY, count=DRAWS)
    # Most of the third lies here; the others are 2.7 deviations away in both directions, or 3.5 in one.
    assert np.sum((x[:, 0] > 0) & (x[:, 1] < -1.5)) < 40  # of about 6000


def test_far_measurements_stay_finite():
    far = jnp.array([[1e4], [-1e4]])
    assert np.isfinite(run(LAW, "posterior_mean", far)).all()
    assert np.isfinite(run(LAW, "log_density_y", far)).all()
    assert np.isfinite(run(LAW, "posterior_sample", KEY, far)).all()


def test_tiny_noise_and_no_information():
    sharp = linear_mixture(WEIGHTS, MEANS, COVS, np.eye(2), 1e-8 * np.eye(2))
    x, y = run(sharp, "sample", KEY, count=40)
    np.testing.assert_allclose(run(sharp, "posterior_mean", y), x, atol=6e-4)
    blind = linear_mixture(WEIGHTS, MEANS, COVS, np.zeros((1, 2)), np.eye(1))
    np.testing.assert_allclose(run(blind, "posterior_weights", Y), np.broadcast_to(WEIGHTS, (40, 3)), atol=1e-6)
    np.testing.assert_allclose(run(blind, "log_posterior", X, Y), blind.log_density_x(X), atol=1e-4)


def test_one_dimension():
    law = linear_mixture(
        np.array([0.5, 0.5]), np.array([[-1.0], [1.0]]), 0.1 * np.ones((2, 1, 1)), np.eye(1), np.eye(1)
    )
    np.testing.assert_allclose(run(law, "posterior_mean", jnp.zeros((1, 1))), [[0.0]], atol=1e-6)
    assert (law.dim_x, law.dim_y) == (1, 1)


@pytest.mark.thorough
def test_more_samples_leave_the_first_unchanged():
    few = run(LAW, "sample", jax.random.key(8), count=7)
    np.testing.assert_allclose(few.x, X[:7], **ROUNDING)
    np.testing.assert_allclose(few.y, Y[:7], **ROUNDING)
    whole = run(LAW, "posterior_sample", KEY, Y)
    some = run(LAW, "posterior_sample", example_keys(KEY, 40)[10:17], Y[10:17])
    np.testing.assert_allclose(some, whole[10:17], **ROUNDING)


def test_jit_and_vmap_equal_eager():
    def everything(weights):
        law = linear_mixture(weights, MEANS, COVS, MATRIX, NOISE)
        return law.log_density(X, Y), law.score_posterior(X, Y), law.posterior_mean(Y)

    weights = jnp.array([[0.2, 0.3, 0.5], [0.0, 1.0, 1.0]])
    batched = jax.jit(jax.vmap(everything), compiler_options=QUICK)(weights)
    for i in (1,):
        for found, expected in zip(batched, everything(weights[i]), strict=True):
            np.testing.assert_allclose(found[i], expected, rtol=2e-4, atol=2e-4)


@pytest.mark.thorough
def test_the_imbalanced_mixture():
    law = imbalanced_mixture(noise_std=100.0)
    assert isinstance(law, JointMixture)
    assert law.log_weights.shape == (10,)
    np.testing.assert_allclose(np.exp(law.log_weights), [0.95] + [0.05 / 9] * 9, rtol=1e-5)
    x, y = run(law, "sample", KEY, count=DRAWS)
    for points in (x, run(law, "posterior_sample", jax.random.key(6), y)):
        share = np.mean(np.asarray(jnp.sum(points**2, axis=1)) < 2.0**2)
        # Each component keeps all but exp(-8) of its mass within four deviations, that is on its side of radius 2.
        assert abs(share - 0.95) < SIGMAS * np.sqrt(0.95 * 0.05 / DRAWS) + 2 * np.exp(-8)
    assert imbalanced_mixture(noise_std=1.0, central=0.0).log_weights[0] == -np.inf


def test_the_mixture_on_the_plane():
    law = planar_mixture(noise_std=1.0)
    assert law.log_weights.shape == (4,)
    x, y = run(law, "sample", KEY, count=40)
    assert np.isfinite(run(law, "log_density", x, y)).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_mixture(WEIGHTS[:2], MEANS, COVS, MATRIX, NOISE), r"weights: found shape \(2,\)"),
        (lambda: linear_mixture(-WEIGHTS, MEANS, COVS, MATRIX, NOISE), "weights: found"),
        (lambda: linear_mixture(0 * WEIGHTS, MEANS, COVS, MATRIX, NOISE), "weights: found only zeros"),
        (lambda: linear_mixture(WEIGHTS, MEANS, COVS[:2], MATRIX, NOISE), r"covs: found shape \(2, 2, 2\)"),
        (lambda: linear_mixture(WEIGHTS, MEANS, -COVS, MATRIX, NOISE), "covs: found eigenvalue"),
        (lambda: imbalanced_mixture(noise_std=0.0), "noise_std: found 0.0"),
        (lambda: imbalanced_mixture(noise_std=1.0, central=1.5), r"central: found 1.5, expected a mass in \[0, 1\]"),
        (lambda: LAW.posterior_sample(KEY, X), "y: found width 2, expected 1"),
        (lambda: LAW.sample(KEY, -1), "n: found -1"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
