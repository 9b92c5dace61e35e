"""Densities of mixtures against SciPy, and of differences against the law of a sum of Gaussians."""

import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_normal

from jaxpr.reproduce.mixtures import Parts, difference

WEIGHTS, MEANS = np.array([0.3, 0.7]), np.array([[0.0, 1.0], [2.0, -1.0]])
COVS = np.array([[[1.0, 0.5], [0.5, 2.0]], [[0.5, 0.0], [0.0, 0.3]]])
POINTS = np.random.default_rng(0).normal(size=(20, 2))


def density(weights, means, covs):
    return np.log(sum(w * multivariate_normal(m, c).pdf(POINTS) for w, m, c in zip(weights, means, covs, strict=True)))


def parts(weights, means, covs):
    return Parts(*(jnp.asarray(a, jnp.float32) for a in (np.log(weights), means, covs)))


def test_log_density_of_a_mixture():
    found = parts(WEIGHTS, MEANS, COVS).log_density(jnp.asarray(POINTS, jnp.float32))
    np.testing.assert_allclose(found, density(WEIGHTS, MEANS, COVS), atol=1e-4)  # float32


def test_the_difference_of_a_mixture_and_a_gaussian_is_a_mixture_of_wider_ones():
    mean, cov = np.array([0.5, 0.5]), np.eye(2)
    law = difference(parts(WEIGHTS, MEANS, COVS), parts(np.ones(1), mean[None], cov[None]))
    found = law.log_density(jnp.asarray(POINTS, jnp.float32))
    np.testing.assert_allclose(found, density(WEIGHTS, MEANS - mean, COVS + cov), atol=1e-4)  # float32
