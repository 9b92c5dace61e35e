"""Closed-form Gaussian estimators and Appendix D.2 of [ohayon2024], against Monte Carlo within 5 standard errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from jaxpr.core import InputError, example_keys
from jaxpr.toys import denoising as toy_denoising
from jaxpr.toys import denoising_gaussian, joint_gaussian, linear_gaussian
from jaxpr.toys.gaussian_estimators import (
    gaussian_conditional_mse,
    gaussian_dmax,
    gaussian_interpolation,
    gaussian_mmse,
    gaussian_mse,
    gaussian_output_law,
    gaussian_posterior,
    gaussian_residual_law,
    gaussian_tradeoff,
)

KEY = jax.random.key(2)
DRAWS = 40_000
SIGMAS = 5  # of the standard error
# Compiling takes longer than running: leave optimisation out.
QUICK = {"xla_backend_optimization_level": "0", "xla_llvm_disable_expensive_passes": True}

MEAN = np.array([1.0, -2.0, 0.5])
COV = np.array([[2.0, 0.6, 0.1], [0.6, 1.0, -0.3], [0.1, -0.3, 0.5]])
SQUARE = np.array([[1.0, 0.5, 0.0], [0.0, -1.0, 2.0], [0.3, 0.0, 1.0]])
LAW = linear_gaussian(MEAN, COV, SQUARE, 0.4 * np.eye(3))
WIDE = linear_gaussian(MEAN, COV, SQUARE[:2], 0.4 * np.eye(2))  # one direction of x is not measured
LAWS = {"square": LAW, "wide": WIDE}
MATRICES = {"square": SQUARE, "wide": SQUARE[:2]}
MAKERS = {
    "mmse": gaussian_mmse,
    "posterior": gaussian_posterior,
    "dmax": gaussian_dmax,
    "half": functools.partial(gaussian_interpolation, alpha=0.5),
}
every_law = pytest.mark.parametrize("name", LAWS)
every_estimator = pytest.mark.parametrize("maker", MAKERS)


@functools.partial(jax.jit, static_argnames=("name", "count"), compiler_options=QUICK)
def run(law, name, *args, count=None):
    """A method as one compiled program, which is much faster than its first call step by step."""
    return getattr(law, name)(*args) if count is None else getattr(law, name)(*args, count)


def assert_mean(values: np.ndarray, expected: float | np.ndarray) -> None:
    """The mean over draws lies within SIGMAS standard errors of `expected`."""
    values = np.asarray(values, np.float64)
    error = SIGMAS * values.std(axis=0) / np.sqrt(len(values))
    assert (np.abs(values.mean(axis=0) - np.asarray(expected)) <= error + 1e-5).all()


def w2_squared(cov_a: np.ndarray, cov_b: np.ndarray) -> float:
    root = scipy.linalg.sqrtm(cov_a).real
    return float(np.trace(cov_a + cov_b - 2 * scipy.linalg.sqrtm(root @ cov_b @ root).real))


def covariances(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of y, of E[x|y], and of x given y, in float64."""
    matrix = MATRICES[name]
    cov_y = matrix @ COV @ matrix.T + 0.4 * np.eye(len(matrix))
    explained = COV @ matrix.T @ np.linalg.solve(cov_y, matrix @ COV)
    return cov_y, explained, COV - explained


@pytest.mark.thorough
@every_law
@every_estimator
def test_errors_equal_monte_carlo(name, maker):
    law = LAWS[name]
    estimator = MAKERS[maker](law)
    x, y = run(law, "sample", KEY, count=DRAWS)
    errors = jnp.sum((x - run(estimator, "sample", jax.random.key(7), y)) ** 2, axis=1)
    assert_mean(errors, gaussian_mse(law, estimator))
    assert_mean(errors - gaussian_conditional_mse(law, estimator, y), 0.0)
    one = jnp.broadcast_to(y[:1], y.shape)
    drawn = run(law, "posterior_sample", jax.random.key(8), one)
    errors = jnp.sum((drawn - run(estimator, "sample", jax.random.key(9), one)) ** 2, axis=1)
    assert_mean(errors, gaussian_conditional_mse(law, estimator, y[:1])[0])


@every_law
@pytest.mark.parametrize("maker", ["posterior", "dmax"])
def test_outputs_have_the_law_of_x(name, maker):
    law = LAWS[name]
    estimator = MAKERS[maker](law)
    output = gaussian_output_law(law, estimator)
    np.testing.assert_allclose(output.marginal_x.mean, MEAN, atol=1e-5)
    np.testing.assert_allclose(output.marginal_x.covariance, COV, atol=1e-5)
    drawn = run(estimator, "sample", KEY, run(law, "sample", KEY, count=DRAWS).y)
    assert_mean(drawn, MEAN)
    centred = drawn - MEAN[None]
    assert_mean(centred[:, :, None] * centred[:, None], COV)


def test_dmax_equals_the_transport_formula():
    _, explained, _ = covariances("square")
    root = scipy.linalg.sqrtm(explained).real
    inverse = np.linalg.inv(root)
    transport = inverse @ scipy.linalg.sqrtm(root @ COV @ root).real @ inverse  # [adrai2023, Eq. (2)]
    np.testing.assert_allclose(gaussian_dmax(LAW).matrix, transport @ np.asarray(LAW.gain, np.float64), atol=2e-5)
    np.testing.assert_allclose(gaussian_dmax(LAW).root, 0, atol=1e-6)


@every_law
def test_tradeoff_is_the_optimal_one(name):
    _, explained, conditional = covariances(name)
    distance = w2_squared(explained, COV)
    law = LAWS[name]
    for alpha in (0.0, 0.3, 1.0):
        point = gaussian_tradeoff(law, alpha=alpha)
        np.testing.assert_allclose(point.mse, np.trace(conditional) + (1 - alpha) ** 2 * distance, rtol=1e-4)
        np.testing.assert_allclose(point.w2, alpha * np.sqrt(distance), rtol=1e-3)
        estimator = gaussian_interpolation(law, alpha=alpha)
        np.testing.assert_allclose(gaussian_mse(law, estimator), point.mse, rtol=1e-5)
        output = np.asarray(gaussian_output_law(law, estimator).marginal_x.covariance, np.float64)
        np.testing.assert_allclose(w2_squared(output, COV), float(point.w2) ** 2, atol=1e-4)


def test_dmax_beats_the_posterior_sampler_and_both_lie_above_the_least_error():
    errors = [float(gaussian_mse(LAW, make(LAW))) for make in (gaussian_mmse, gaussian_dmax, gaussian_posterior)]
    assert errors[0] < errors[1] < errors[2]
    np.testing.assert_allclose(errors[2], 2 * errors[0], rtol=1e-5)


@every_law
def test_residual_noise_of_the_posterior_sampler_is_the_noise(name):
    """Eqs. (100)-(105) and back, (106)-(110)."""
    law, matrix = LAWS[name], MATRICES[name]
    estimator = gaussian_posterior(law)
    residual = gaussian_residual_law(law, estimator, matrix)
    count = len(matrix)
    np.testing.assert_allclose(residual.marginal_x.covariance, 0.4 * np.eye(count), atol=1e-5)
    np.testing.assert_allclose(residual.gain, 0, atol=1e-5)  # n̂ independent of x̂
    x, y = run(law, "sample", KEY, count=40)
    n = y - x @ matrix.T.astype(np.float32)
    expected = scipy.stats.multivariate_normal(np.zeros(count), 0.4 * np.eye(count)).logpdf(n)
    np.testing.assert_allclose(run(residual, "log_posterior", n, x), expected, atol=1e-3)
    output = gaussian_output_law(law, estimator)
    np.testing.assert_allclose(run(output, "log_likelihood", x, y), expected, atol=1e-3)
    np.testing.assert_allclose(run(output, "log_density", x, y), run(law, "log_density", x, y), atol=1e-3)


@every_estimator
def test_residual_law_equals_monte_carlo(maker):
    estimator = MAKERS[maker](WIDE)
    residual = gaussian_residual_law(WIDE, estimator, SQUARE[:2])
    y = run(WIDE, "sample", KEY, count=DRAWS).y
    x_hat = run(estimator, "sample", jax.random.key(7), y)
    n_hat = y - x_hat @ SQUARE[:2].T.astype(np.float32)
    assert_mean(n_hat, residual.marginal_x.mean)
    centred_n, centred_x = n_hat - residual.marginal_x.mean[None], x_hat - residual.marginal_y.mean[None]
    assert_mean(centred_n[:, :, None] * centred_n[:, None], residual.marginal_x.covariance)
    assert_mean(centred_n[:, :, None] * centred_x[:, None], residual.gain @ residual.marginal_y.covariance)


def test_residual_noise_of_dmax_is_a_function_of_the_output():
    law = denoising_gaussian(noise_std=1.0)
    residual = gaussian_residual_law(law, gaussian_dmax(law), np.eye(1))
    np.testing.assert_allclose(residual.gain, [[np.sqrt(2) - 1]], rtol=1e-5)
    np.testing.assert_allclose(residual.residual.root, 0, atol=1e-6)
    assert np.isnan(residual.log_posterior(jnp.zeros((1, 1)), jnp.zeros((1, 1)))).all()


@pytest.mark.parametrize("std", [0.2, 1.0, 3.0])
def test_the_scalar_formulas_equal_the_general_ones(std):
    law, y = denoising_gaussian(noise_std=std), jnp.array([[-3.0], [0.0], [0.5], [2.0]])
    toy = toy_denoising
    rows = (
        (gaussian_mmse, toy.denoising_mmse, toy.mmse_conditional_mse(noise_std=std), toy.mmse_residual_noise),
        (
            gaussian_dmax,
            toy.denoising_dmax,
            toy.dmax_conditional_mse(y[:, 0], noise_std=std),
            toy.dmax_residual_noise,
        ),
        (gaussian_posterior, None, toy.posterior_conditional_mse(noise_std=std), toy.posterior_residual_noise),
    )
    for make, scalar, conditional, noise in rows:
        estimator = make(law)
        if scalar is not None:
            np.testing.assert_allclose(run(estimator, "mean", y), scalar(y, noise_std=std), rtol=1e-5)
            np.testing.assert_allclose(estimator.root, 0, atol=1e-6)
        found = gaussian_conditional_mse(law, estimator, y)
        np.testing.assert_allclose(found, jnp.broadcast_to(conditional, (4,)), rtol=1e-4)
        residual = gaussian_residual_law(law, estimator, np.eye(1))
        expected = noise(noise_std=std)
        np.testing.assert_allclose(residual.marginal_x.covariance[0, 0], expected.variance, rtol=1e-4)
        covariance = residual.gain @ residual.marginal_y.covariance
        np.testing.assert_allclose(covariance[0, 0], expected.covariance, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("std", [0.5, 2.0])
def test_the_scalar_formulas_equal_monte_carlo(std):
    """Eqs. (84)-(86), (94)-(96) at one y, and the residual noises over all y, from x and n alone."""
    k_x, k_n, k_w = jax.random.split(KEY, 3)
    x = jax.random.normal(k_x, (DRAWS,))
    y = x + std * jax.random.normal(k_n, (DRAWS,))
    toy = toy_denoising
    estimates = {
        "mmse": toy.denoising_mmse(y, noise_std=std),
        "posterior": toy.denoising_posterior(k_w, y, noise_std=std),
        "dmax": toy.denoising_dmax(y, noise_std=std),
    }
    conditional = {
        "mmse": toy.mmse_conditional_mse(noise_std=std),
        "posterior": toy.posterior_conditional_mse(noise_std=std),
        "dmax": toy.dmax_conditional_mse(y, noise_std=std),
    }
    noises = {name: getattr(toy, f"{name}_residual_noise")(noise_std=std) for name in estimates}
    for name, x_hat in estimates.items():
        excess = (x - x_hat) ** 2 - conditional[name]
        # Zero given y means zero against every function of y; these two would see a wrong constant or slope.
        assert_mean(excess, 0.0)
        assert_mean(excess * y**2, 0.0)
        assert_mean((y - x_hat) ** 2, noises[name].variance)
        assert_mean((y - x_hat) * x_hat, noises[name].covariance)
    for name in ("posterior", "dmax"):
        assert_mean(estimates[name] ** 2, 1.0)  # the law of x
    assert_mean((x**2 - toy.posterior_second_moment(y, noise_std=std)) * y**2, 0.0)


def test_the_decomposition_gives_all_three():
    """Eqs. (88)-(98): from the moments of x and x̂ given y to (84), (85) and (86)."""
    y, std, toy = jnp.linspace(-4, 4, 9), 0.8, toy_denoising
    mean, second = toy.denoising_mmse(y, noise_std=std), toy.posterior_second_moment(y, noise_std=std)
    dmax = toy.denoising_dmax(y, noise_std=std)
    rows = (
        (mean, mean**2, toy.mmse_conditional_mse(noise_std=std)),
        (mean, second, toy.posterior_conditional_mse(noise_std=std)),
        (dmax, dmax**2, toy.dmax_conditional_mse(y, noise_std=std)),
    )
    for estimate_mean, estimate_second, expected in rows:
        found = toy.independent_conditional_mse(mean, second, estimate_mean, estimate_second)
        np.testing.assert_allclose(found, jnp.broadcast_to(expected, (9,)), rtol=1e-4)


def test_small_noise_keeps_its_digits():
    std = 1e-3
    found = toy_denoising.dmax_residual_noise(noise_std=std)
    np.testing.assert_allclose(found.covariance, np.sqrt(1 + std**2) - 1, rtol=1e-5)
    np.testing.assert_allclose(toy_denoising.mmse_conditional_mse(noise_std=std), std**2, rtol=1e-5)


def test_edge_laws():
    exact = linear_gaussian(MEAN, COV, np.eye(3), np.zeros((3, 3)))
    for make in (gaussian_mmse, gaussian_posterior, gaussian_dmax):
        np.testing.assert_allclose(make(exact).matrix, np.eye(3), atol=1e-4)
        np.testing.assert_allclose(make(exact).root, 0, atol=1e-4)
    blind = linear_gaussian(MEAN, COV, np.zeros((2, 3)), np.eye(2))
    dmax = gaussian_dmax(blind)
    np.testing.assert_array_equal(dmax.matrix, np.zeros((3, 2)))
    np.testing.assert_allclose(dmax.root @ dmax.root.T, COV, atol=1e-5)
    np.testing.assert_allclose(gaussian_mse(blind, dmax), 2 * np.trace(COV), rtol=1e-5)
    flat = linear_gaussian(MEAN, np.outer(MEAN, MEAN), np.eye(3), np.eye(3))  # x on a line
    np.testing.assert_allclose(
        gaussian_output_law(flat, gaussian_dmax(flat)).marginal_x.covariance, np.outer(MEAN, MEAN), atol=1e-4
    )


def test_samples_do_not_depend_on_the_batch():
    estimator = gaussian_posterior(LAW)
    y = run(LAW, "sample", KEY, count=40).y
    whole = run(estimator, "sample", KEY, y)
    some = run(estimator, "sample", example_keys(KEY, 40)[5:12], y[5:12])
    np.testing.assert_allclose(some, whole[5:12], rtol=1e-6, atol=1e-6)


def test_jit_equals_eager():
    def everything(std):
        law = joint_gaussian(
            np.zeros(2), jnp.array([[1.0, 1.0], [1.0, 1.0]]) + std**2 * jnp.diag(jnp.array([0, 1.0])), width=1
        )
        estimator = gaussian_interpolation(law, alpha=0.25)
        return estimator, gaussian_tradeoff(law, alpha=0.25), gaussian_residual_law(law, estimator, np.eye(1)).gain

    batched = jax.jit(jax.vmap(everything), compiler_options=QUICK)(jnp.array([0.5, 2.0]))
    for i, std in enumerate((0.5, 2.0)):
        expected = everything(jnp.asarray(std))
        jax.tree.map(lambda b, e, i=i: np.testing.assert_allclose(b[i], e, atol=2e-5), batched, expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gaussian_interpolation(LAW, alpha=np.nan), "alpha: found nan"),
        (lambda: gaussian_tradeoff(LAW, alpha=1.5), r"alpha: found 1.5, expected a number in \[0, 1\]"),
        (lambda: gaussian_mse(WIDE, gaussian_mmse(LAW)), r"estimator: found a matrix of shape \(3, 3\)"),
        (lambda: gaussian_residual_law(WIDE, gaussian_mmse(WIDE), SQUARE), r"matrix: found shape \(3, 3\)"),
        (lambda: gaussian_mmse(LAW).mean(jnp.zeros((2, 2))), "y: found width 2, expected 3"),
        (lambda: toy_denoising.mmse_conditional_mse(noise_std=-1.0), "noise_std: found -1.0"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
