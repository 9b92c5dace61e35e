"""What a TPU runs in place of float64, run here on the CPU and compared with float64 on the host."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr import metrics, numerics, toys, transport, uncertainty
from jaxpr.core import in_float64, precision
from jaxpr.metrics import Moments

# Relative to the largest value; float32 has 6e-8. A factor of about three above what was found for d = 4 and 64.
WELL = 2e-6  # eigenvalues within a factor of ten
ROOT = 5e-4  # the root of a singular matrix: the root of its rounding
GAP = 2e-4  # a distance a thousand times smaller than the covariances
ILL = 5e-4  # eigenvalues over six decades, of which those below d roundings are dropped
KINDS = ("well", "ill", "singular")


@pytest.fixture(autouse=True)
def as_on_a_tpu(monkeypatch):
    monkeypatch.setattr(precision, "FLOAT32_PLATFORMS", ("tpu", "cpu"))


def covariance(dim, kind, seed):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(dim, dim)))[0]
    values = {"well": np.linspace(0.1, 1, dim), "ill": np.logspace(-6, 0, dim)}
    values["singular"] = np.where(np.arange(dim) < dim // 2, np.linspace(1, 0.1, dim), 0)
    cov = (basis * values[kind]) @ basis.T
    return ((cov + cov.T) / 2).astype(np.float32)


def moments(mean, cov):
    return Moments(np.float32(1001), mean, 1000 * cov)


def pair(dim, kind):
    shift = 0.1 * np.random.default_rng(2).normal(size=dim).astype(np.float32)
    return np.zeros(dim, np.float32), covariance(dim, kind, 0), shift, covariance(dim, kind, 1)


def assert_near(fn, *arguments, within):
    found, wanted = jax.jit(fn)(*arguments), np.asarray(fn(*arguments))
    assert found.dtype == jnp.float32
    assert wanted.dtype == np.float64
    np.testing.assert_allclose(found, wanted, rtol=0, atol=within * np.abs(wanted).max())


@pytest.mark.parametrize("wrap", [jax.jit, jax.vmap, lambda f: jax.jit(jax.vmap(f))])
def test_the_float32_branch_is_what_runs(wrap):
    step = wrap(in_float64(lambda xp, x: (x + 1) - x))
    np.testing.assert_array_equal(step(jnp.full(2, 1e8)), 0)  # 1 in float64


@pytest.mark.parametrize("dim", [4, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_roots_and_overlaps(dim, kind):
    _, a, _, b = pair(dim, kind)
    assert_near(numerics.psd_sqrt, a, within=WELL if kind == "well" else ROOT)
    assert_near(numerics.bures_term, a, b, within=ILL if kind == "ill" else 3 * WELL)


@pytest.mark.parametrize("dim", [4, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_distances(dim, kind):
    mean_a, a, mean_b, b = pair(dim, kind)
    within = ILL if kind == "ill" else 5 * WELL
    assert_near(transport.gaussian_w2, mean_a, a, mean_b, b, within=within)
    assert_near(metrics.frechet_distance, moments(mean_a, a), moments(mean_b, b), within=within)


@pytest.mark.parametrize("kind", ["well", "ill"])
def test_distances_of_covariances_that_nearly_coincide_keep_their_digits(kind):
    a = covariance(64, kind, 0)
    near, mean = (1.01 * a).astype(np.float32), np.zeros(64, np.float32)
    assert_near(transport.gaussian_w2, mean, a, mean, near, within=GAP)
    assert_near(metrics.frechet_distance, moments(mean, a), moments(mean, near), within=3 * GAP)


@pytest.mark.parametrize("dim", [4, 64])
@pytest.mark.parametrize("kind", KINDS)
def test_maps_push_the_source_onto_the_target(dim, kind):
    _, a, _, b = pair(dim, kind)
    found = jax.tree.map(functools.partial(np.asarray, dtype=np.float64), jax.jit(transport.gaussian_map)(a, b))
    pushed = found.matrix @ a.astype(np.float64) @ found.matrix.T + found.noise_covariance
    np.testing.assert_allclose(pushed, b, rtol=0, atol=ILL if kind == "ill" else 5 * WELL)


@pytest.mark.thorough
@pytest.mark.parametrize("dim", [4, 64])
@pytest.mark.parametrize("order", [0.5, 1, 2])
def test_divergences(dim, order):
    given = pair(dim, "well")
    renyi = functools.partial(uncertainty.renyi_gaussian, order=order)
    if order < 2:  # beyond, the mixture of these two is not definite
        assert_near(renyi, *given, within=WELL)
    near = (given[0], given[1], given[0], (1.01 * given[1]).astype(np.float32))
    assert_near(renyi, *near, within=GAP)
    slopes = jax.jit(jax.grad(renyi, argnums=(1, 3)))(*(jnp.asarray(part) for part in near))
    assert all(np.isfinite(slope).all() for slope in slopes)


def test_divergence_and_entropy_of_singular_covariances():
    mean_a, a, mean_b, b = pair(64, "singular")
    assert jax.jit(uncertainty.gaussian_entropy)(a) == -np.inf
    assert jax.jit(functools.partial(uncertainty.renyi_gaussian, order=0.5))(mean_a, a, mean_b, b) == np.inf


@pytest.mark.parametrize("order", [0.5, 1])
def test_a_large_divergence_of_ill_conditioned_covariances(order):
    given = pair(64, "ill")
    assert_near(functools.partial(uncertainty.renyi_gaussian, order=order), *given, within=5e-3)


@pytest.mark.parametrize("kind", ["well", "ill"])
def test_entropy_whatever_the_units(kind):
    cov = covariance(64, kind, 0)
    units = np.logspace(-4, 4, 64).astype(np.float32)
    for scaled in (cov, cov * units[:, None] * units[None]):
        found, wanted = jax.jit(uncertainty.gaussian_entropy)(scaled), uncertainty.gaussian_entropy(scaled)
        np.testing.assert_allclose(found, wanted, atol=64 * (1e-6 if kind == "well" else 3e-4))


@pytest.mark.thorough
@pytest.mark.parametrize("argument", [1, 3])
def test_gradients_are_those_of_float64(argument, monkeypatch):
    given = [jnp.asarray(part) for part in pair(8, "well")]
    slope = jax.jit(jax.grad(transport.gaussian_w2, argnums=argument))
    found = slope(*given)
    monkeypatch.setattr(precision, "FLOAT32_PLATFORMS", ("tpu",))
    jax.clear_caches()
    np.testing.assert_allclose(found, slope(*given), atol=1e-5)  # of entries of about one


def test_singular_laws_are_recognised_in_float32():
    law = jax.jit(toys.normal)(np.zeros(8, np.float32), covariance(8, "singular", 0))
    assert np.isnan(law.log_peak)
    draws = law.sample(jax.random.key(0), 4)
    assert np.isfinite(draws).all()


def test_conditional_distance_with_a_measurement_that_is_constant_in_a_direction():
    points = np.random.default_rng(0).normal(size=(200, 6)).astype(np.float32)
    points[:, 5] = points[:, 4]
    other = points + np.pad(0.3 * np.random.default_rng(1).normal(size=(200, 3)), ((0, 0), (0, 3))).astype(np.float32)
    sides = [Moments(*(np.float32(part) for part in Moments.zero(6).update(part))) for part in (points, other)]
    assert_near(functools.partial(metrics.conditional_frechet_distance, width=3), *sides, within=1e-4)
