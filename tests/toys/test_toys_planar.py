"""Uniform laws on the plane: areas, quadrature, Monte Carlo within 5 standard errors, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError, example_keys
from jaxpr.toys import EllipticRing, elliptic_ring, uniform_disk, uniform_square

KEY = jax.random.key(11)
DRAWS = 40_000
SIGMAS = 5  # of the standard error
LAWS = {
    "disk": uniform_disk(),
    "ring": elliptic_ring(np.array([0.5, 0.9]), np.array([1.5, 1.0])),
    "square": uniform_square(side=2.0),
}
AREAS = {"disk": np.pi, "ring": np.pi * (1.5 - 0.45), "square": 4.0}
AXIS = np.linspace(-2.1, 2.1, 1201)
STEP = AXIS[1] - AXIS[0]
GRID = np.stack(np.meshgrid(AXIS, AXIS, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)
QUADRATURE = 5e-3  # borders cross cells of this grid

each = pytest.mark.parametrize("name", LAWS)


# Compiling takes longer than running: leave optimisation out.
QUICK = {"xla_backend_optimization_level": "0", "xla_llvm_disable_expensive_passes": True}


@functools.partial(jax.jit, static_argnames=("name", "count"), compiler_options=QUICK)
def run(law, name, *args, count=None):
    """A method of a law as one compiled program, which is much faster than its first call step by step."""
    return getattr(law, name)(*args) if count is None else getattr(law, name)(*args, count)


@each
def test_densities_integrate_to_one(name):
    density = np.exp(np.asarray(run(LAWS[name], "log_density_x", GRID), np.float64))
    assert set(np.round(density, 6)) == {0.0, round(1 / AREAS[name], 6)}
    assert abs(density.sum() * STEP**2 - 1) < QUADRATURE
    along = np.exp(np.asarray(run(LAWS[name], "log_density_y", AXIS[:, None].astype(np.float32)), np.float64))
    assert abs(along.sum() * STEP - 1) < QUADRATURE
    np.testing.assert_allclose(density.reshape(1201, 1201).sum(axis=1) * STEP, along, atol=2 * STEP)


@each
def test_samples_are_inside_and_uniform(name):
    x, y = run(LAWS[name], "sample", KEY, count=DRAWS)
    assert x.dtype == y.dtype == jnp.float32
    np.testing.assert_array_equal(x[:, :1], y)
    assert run(LAWS[name], "contains", x).all()
    # Shares in the cells of a coarse grid, against the areas of the cells.
    inside = np.asarray(run(LAWS[name], "contains", GRID)).astype(float)
    edges = np.linspace(-2.1, 2.1, 7)
    expected = np.histogram2d(*GRID.T, bins=edges, weights=inside)[0] * STEP**2 / AREAS[name]
    found = np.histogram2d(*np.asarray(x).T, bins=edges)[0] / DRAWS
    error = np.sqrt(expected * (1 - expected) / DRAWS)
    assert (np.abs(found - expected) <= SIGMAS * error + QUADRATURE * expected + 1e-6).all()


@pytest.mark.thorough
@each
@pytest.mark.parametrize("at", [0.2, 0.9])
def test_posterior_moments_and_samples(name, at):
    law = LAWS[name]
    y = jnp.full((DRAWS, 1), at, jnp.float32)
    line = np.stack([np.full(42001, at), np.linspace(-2.1, 2.1, 42001)], axis=1).astype(np.float32)
    posterior = np.exp(np.asarray(run(law, "log_posterior", line, line[:, :1]), np.float64)) * 1e-4
    assert abs(posterior.sum() - 1) < 3e-3
    mean = (posterior * line[:, 1]).sum()
    variance = (posterior * (line[:, 1] - mean) ** 2).sum()
    np.testing.assert_allclose(law.posterior_mean(y[:1]), [[at, mean]], atol=3e-3)
    np.testing.assert_allclose(law.posterior_covariance(y[:1]), [[[0, 0], [0, variance]]], atol=5e-3)
    drawn = run(law, "posterior_sample", KEY, y)
    np.testing.assert_array_equal(drawn[:, :1], y)
    assert np.isfinite(run(law, "log_posterior", drawn, y)).mean() > 0.999  # some lie on the border, up to rounding
    second = np.asarray(drawn[:, 1], np.float64)
    for value, expected in ((second, mean), ((second - mean) ** 2, variance), (np.abs(second) < 0.5, None)):
        if expected is None:
            expected = posterior[np.abs(line[:, 1]) < 0.5].sum()
        assert abs(value.mean() - expected) < SIGMAS * value.std() / np.sqrt(DRAWS) + 3e-3


@each
def test_posterior_samples_restore_the_law(name):
    x, y = run(LAWS[name], "sample", KEY, count=DRAWS)
    drawn = run(LAWS[name], "posterior_sample", jax.random.key(1), y)
    for statistic in (lambda p: p[:, 1], lambda p: p[:, 1] ** 2, lambda p: p[:, 0] ** 2 * p[:, 1] ** 2):
        difference = np.asarray(statistic(drawn) - statistic(x), np.float64)
        assert abs(difference.mean()) < SIGMAS * difference.std() / np.sqrt(DRAWS) + 1e-12


@each
def test_least_error_is_the_posterior_variance(name):
    x, y = run(LAWS[name], "sample", KEY, count=DRAWS)
    variances = run(LAWS[name], "posterior_covariance", y)[:, 1, 1]
    difference = np.asarray((x[:, 1] - run(LAWS[name], "posterior_mean", y)[:, 1]) ** 2 - variances, np.float64)
    assert abs(difference.mean()) < SIGMAS * difference.std() / np.sqrt(DRAWS)


def test_closed_forms_of_the_disk():
    law = LAWS["disk"]
    y = jnp.array([[0.0], [0.6], [-0.8]])
    np.testing.assert_allclose(np.exp(law.log_density_y(y)), 2 / np.pi * np.array([1, 0.8, 0.6]), rtol=1e-5)
    np.testing.assert_allclose(law.posterior_covariance(y)[:, 1, 1], np.array([1, 0.64, 0.36]) / 3, rtol=1e-5)
    assert law.area == np.float32(np.pi)
    np.testing.assert_allclose(uniform_disk(radius=2.0).area, 4 * np.pi, rtol=1e-6)


@pytest.mark.thorough
def test_outside_there_is_no_density_and_the_estimate_continues():
    beyond = jnp.array([[1.5], [-3.0]])
    for law, centre in ((LAWS["disk"], 0.0), (uniform_square(), 0.5)):
        assert (run(law, "log_density_y", beyond) == -np.inf).all()
        for estimate in (run(law, "posterior_mean", beyond), run(law, "posterior_sample", KEY, beyond)):
            np.testing.assert_array_equal(estimate, [[1.5, centre], [-3.0, centre]])
    off_line = jnp.array([[0.1, 0.0]])
    assert LAWS["disk"].log_posterior(off_line, jnp.array([[0.2]]))[0] == -np.inf


def test_more_samples_leave_the_first_unchanged():
    for law in (LAWS["ring"], LAWS["square"]):
        many = run(law, "sample", KEY, count=DRAWS)
        few = run(law, "sample", example_keys(KEY, 9)[2:], count=7)
        np.testing.assert_allclose(few.x, many.x[2:9], rtol=1e-6)
        np.testing.assert_array_equal(few.x[:, :1], few.y)


def test_jit_and_vmap_equal_eager():
    x = jnp.array([[0.1, 0.1], [0.9, 0.2], [0.0, 0.8]])

    def everything(size):
        law = elliptic_ring(0.5 * size, size)
        return law.log_density_x(x), law.log_density_y(x[:, :1]), law.posterior_covariance(x[:, :1])

    sizes = jnp.array([[1.0, 2.0], [3.0, 1.0]])
    batched = jax.jit(jax.vmap(everything), compiler_options=QUICK)(sizes)
    for found, expected in zip(batched, everything(sizes[1]), strict=True):
        np.testing.assert_allclose(found[1], expected, rtol=1e-5, atol=1e-6)
    assert isinstance(LAWS["disk"], EllipticRing)


def test_an_impossible_ring_gives_nan_and_ends():
    law = EllipticRing(jnp.array([2.0, 2.0]), jnp.array([1.0, 1.0]))
    assert np.isnan(run(law, "sample", KEY, count=2).x).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: elliptic_ring(np.array([1.0, 0.5]), np.array([1.0, 2.0])), "inner: found half axes .* smaller"),
        (lambda: elliptic_ring(np.array([-1.0, 0.5]), np.array([1.0, 2.0])), "inner: found"),
        (lambda: elliptic_ring(np.array(1.0), np.array([1.0, 2.0])), r"inner: found shape \(\), expected two half"),
        (lambda: uniform_disk(radius=0.0), "radius: found 0.0"),
        (lambda: uniform_square(side=-1.0), "side: found -1.0"),
        (lambda: LAWS["disk"].posterior_mean(jnp.zeros((3, 2))), "y: found width 2, expected 1"),
        (lambda: LAWS["square"].contains(jnp.zeros((3, 1))), "x: found width 1, expected 2"),
        (lambda: LAWS["disk"].sample(KEY, 0), "n: found 0"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
