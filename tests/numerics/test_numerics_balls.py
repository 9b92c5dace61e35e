"""Norm balls: projections are nearest points, samples are uniform and belong to their example."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxpr.core import InputError
from jaxpr.numerics.balls import example_norms, project_l2, project_linf, sample_l2, sample_linf

FLOAT32 = 1e-6  # relative rounding of norms of at most 60 entries
SIGNIFICANCE = 1e-3  # of the Kolmogorov-Smirnov tests; seeds are fixed, so they pass always or never
BALLS = [
    pytest.param(project_l2, sample_l2, lambda x: np.linalg.norm(x.reshape(len(x), -1), axis=1), id="l2"),
    pytest.param(project_linf, sample_linf, lambda x: np.abs(x.reshape(len(x), -1)).max(axis=1), id="linf"),
]


def perturbations(seed=0, n=6, shape=(4, 5, 3)):
    """Examples of very different size."""
    x = np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)
    return x * np.geomspace(1e-3, 10, n, dtype=np.float32).reshape(-1, *(1,) * len(shape))


@pytest.mark.parametrize(("project", "sample", "norm"), BALLS)
def test_projection(project, sample, norm):
    x, radius = perturbations(), 0.7
    found = np.asarray(project(x, radius=radius))
    assert found.dtype == np.float32
    inside = norm(x) <= radius
    assert 0 < inside.sum() < len(x)
    np.testing.assert_array_equal(found[inside], x[inside])
    np.testing.assert_allclose(norm(found)[~inside], radius, rtol=FLOAT32)
    np.testing.assert_allclose(project(found, radius=radius), found, rtol=FLOAT32)
    np.testing.assert_array_equal(project(x, radius=0), np.zeros_like(x))


@pytest.mark.parametrize(("project", "sample", "norm"), BALLS)
def test_projection_is_the_nearest_point(project, sample, norm):
    x = perturbations(n=5, shape=(3,))
    nearest = np.linalg.norm(x - project(x, radius=0.5), axis=1)
    for seed in range(4):
        other = np.asarray(sample(jax.random.key(seed), x, radius=0.5))
        assert (np.linalg.norm(x - other, axis=1) >= nearest * (1 - FLOAT32)).all()


@pytest.mark.parametrize(("project", "sample", "norm"), BALLS)
def test_projection_treats_examples_alone_and_traces_the_radius(project, sample, norm):
    x = perturbations()
    whole = project(x, radius=0.3)
    np.testing.assert_array_equal(np.concatenate([project(x[i : i + 1], radius=0.3) for i in range(len(x))]), whole)
    np.testing.assert_allclose(jax.jit(lambda r: project(x, radius=r))(0.3), whole, rtol=FLOAT32)
    # A traced radius is not checked; a concrete one is.
    with pytest.raises(InputError, match="radius: found -1"):
        project(x, radius=-1)
    with pytest.raises(InputError, match="radius: found nan"):
        project(x, radius=np.nan)


def test_norms():
    x = perturbations()
    np.testing.assert_allclose(example_norms(x), np.linalg.norm(x.reshape(len(x), -1), axis=1), rtol=FLOAT32)
    np.testing.assert_array_equal(example_norms(np.array([3.0, -4.0], np.float32)), [3, 4])


def test_gradients_at_zero():
    zero = jnp.zeros((2, 3))
    np.testing.assert_array_equal(jax.grad(lambda x: example_norms(x).sum())(zero), np.zeros((2, 3)))
    for project in (project_l2, project_linf):
        gradient = jax.grad(lambda x, project=project: project(x, radius=0.5).sum())(zero)
        np.testing.assert_array_equal(gradient, np.ones((2, 3)))


def test_gradient_of_the_norm_is_the_direction():
    x = perturbations(n=3)
    expected = x / np.linalg.norm(x.reshape(3, -1), axis=1).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(jax.grad(lambda x: example_norms(x).sum())(x), expected, rtol=FLOAT32, atol=FLOAT32)


@pytest.mark.thorough
@pytest.mark.parametrize(("project", "sample", "norm"), BALLS)
def test_samples_are_inside_and_do_not_depend_on_the_batch(project, sample, norm):
    like = np.zeros((9, 4, 5), np.float32)
    key = jax.random.key(4)
    found = np.asarray(sample(key, like, radius=0.25))
    assert found.shape == like.shape
    assert found.dtype == np.float32
    assert (norm(found) <= 0.25 * (1 + FLOAT32)).all()
    assert len(np.unique(norm(found))) == 9
    np.testing.assert_array_equal(sample(key, like[:5], radius=0.25), found[:5])
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(9))
    np.testing.assert_array_equal(sample(keys[4:], like[4:], radius=0.25), found[4:])
    np.testing.assert_array_equal(sample(key, like, radius=0), np.zeros_like(like))
    with pytest.raises(InputError, match="radius: found -1"):
        sample(key, like, radius=-1)


@pytest.mark.parametrize("d", [2, 12])
def test_l2_samples_are_uniform(d):
    samples = np.asarray(sample_l2(jax.random.key(d), np.zeros((3000, d), np.float32), radius=2.0), np.float64)
    # The volume inside a radius is uniform: (|x| / R)^d ~ U(0, 1).
    volumes = (np.linalg.norm(samples, axis=1) / 2) ** d
    assert scipy.stats.kstest(volumes, "uniform").pvalue > SIGNIFICANCE
    # Directions are even: each coordinate has mean 0 and variance R² / (d + 2). Five standard errors.
    variance = 4 / (d + 2)
    np.testing.assert_allclose(samples.mean(axis=0), 0, atol=5 * np.sqrt(variance / 3000))
    np.testing.assert_allclose((samples**2).mean(axis=0), variance, rtol=5 * np.sqrt(2 / 3000))


def test_linf_samples_are_uniform():
    samples = np.asarray(sample_linf(jax.random.key(0), np.zeros((1500, 2), np.float32), radius=0.5))
    for column in samples.T:
        assert scipy.stats.kstest(column + 0.5, "uniform").pvalue > SIGNIFICANCE
    # Five standard errors of a correlation.
    assert abs(np.corrcoef(samples.T)[0, 1]) < 5 / np.sqrt(1500)
