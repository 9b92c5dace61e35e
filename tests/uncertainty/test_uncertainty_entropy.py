"""Entropies and divergences against closed forms, sampling and quadrature."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from jaxpr.core import InputError
from jaxpr.uncertainty import entropy_power, gaussian_entropy, knn_entropy, renyi_gaussian


def covariance(dim: int, seed: int = 0) -> np.ndarray:
    root = np.random.default_rng(seed).standard_normal((dim, dim + 2))
    return root @ root.T / (dim + 2) + 0.1 * np.eye(dim)


@pytest.mark.parametrize("dim", [1, 3, 16])
def test_gaussian_entropy_equals_scipy_and_its_power_the_geometric_mean_of_variances(dim):
    cov = covariance(dim)
    assert float(gaussian_entropy(cov)) == pytest.approx(stats.multivariate_normal(np.zeros(dim), cov).entropy())
    power = np.linalg.det(cov) ** (1 / dim)
    assert float(entropy_power(float(gaussian_entropy(cov)), dim)) == pytest.approx(power, rel=1e-5)  # float32


def test_singular_covariance_has_no_entropy_power():
    assert float(gaussian_entropy(np.diag([1.0, 0.0]))) == -math.inf
    assert float(entropy_power(-math.inf, 2)) == 0


def test_entropy_power_of_large_entropies_does_not_overflow():
    assert float(entropy_power(44.0, 1)) == pytest.approx(math.exp(88) / (2 * math.pi * math.e), rel=1e-5)


# Standard deviation of the estimate over seeds is 0.02 to 0.05 at these sizes; its bias is smaller.
KNN = 0.1


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_knn_entropy_of_gaussian_and_uniform_samples(dim):
    random = np.random.default_rng(dim)
    cov = covariance(dim)
    gaussian = random.multivariate_normal(np.zeros(dim), cov, 4000).astype(np.float32)
    assert float(knn_entropy(jnp.asarray(gaussian), k=3)) == pytest.approx(float(gaussian_entropy(cov)), abs=KNN)
    uniform = (3 * random.random((4000, dim))).astype(np.float32)
    # Balls reach over the edge, where there are no points: the estimate is high by about a boundary's share.
    edge = 0.05 * dim
    assert float(knn_entropy(jnp.asarray(uniform), k=3)) == pytest.approx(dim * math.log(3), abs=KNN + edge)


def test_knn_entropy_shifts_with_the_logarithm_of_the_scale_and_notices_duplicates():
    points = np.random.default_rng(0).standard_normal((200, 3)).astype(np.float32)
    small, large = (float(knn_entropy(jnp.asarray(scale * points), k=4)) for scale in (1.0, 10.0))
    assert large - small == pytest.approx(3 * math.log(10), abs=1e-4)
    assert float(knn_entropy(jnp.zeros((20, 2)), k=3)) == -math.inf
    with pytest.raises(InputError, match=r"samples: found 3 points, expected more than k = 3"):
        knn_entropy(jnp.asarray(points[:3]), k=3)


def quadrature(order: float, mean: float, std: float) -> float:
    """D(N(0, 1) ‖ N(mean, std²)) by numerical integration."""

    def integrand(t: float) -> float:
        a, b = stats.norm.logpdf(t), stats.norm.logpdf(t, mean, std)
        return math.exp(a) * (a - b) if order == 1 else math.exp(order * a + (1 - order) * b)

    value = integrate.quad(integrand, -20, 20, limit=200)[0]
    return value if order == 1 else math.log(value) / (order - 1)


@pytest.mark.parametrize("order", [0.3, 0.5, 1.0, 1.7])
def test_renyi_divergence_equals_quadrature(order):
    found = renyi_gaussian(np.zeros(1), np.eye(1), np.array([0.7]), np.array([[1.44]]), order=order)
    assert float(found) == pytest.approx(quadrature(order, 0.7, 1.2), rel=1e-7)


def test_renyi_divergence_is_zero_for_equal_laws_additive_and_invariant():
    cov_a, cov_b, mean = covariance(4), covariance(4, 1), np.arange(4.0)
    found = float(renyi_gaussian(mean, cov_a, 0 * mean, cov_b, order=0.5))
    assert float(renyi_gaussian(mean, cov_a, mean, cov_a, order=0.5)) == pytest.approx(0, abs=1e-12)
    assert float(renyi_gaussian(0 * mean, cov_b, mean, cov_a, order=0.5)) == pytest.approx(found)
    mix = np.random.default_rng(2).standard_normal((4, 4))
    turned = renyi_gaussian(mix @ mean, mix @ cov_a @ mix.T, 0 * mean, mix @ cov_b @ mix.T, order=0.5)
    assert float(turned) == pytest.approx(found, rel=1e-9)
    doubled = [np.kron(np.eye(2), cov) for cov in (cov_a, cov_b)]
    two = renyi_gaussian(np.tile(mean, 2), doubled[0], np.zeros(8), doubled[1], order=0.5)
    assert float(two) == pytest.approx(2 * found)


def test_renyi_divergence_is_infinite_where_the_integral_diverges():
    wide, narrow, zero = 4 * np.eye(2), np.eye(2), np.zeros(2)
    assert float(renyi_gaussian(zero, wide, zero, narrow, order=2.0)) == math.inf
    assert math.isfinite(float(renyi_gaussian(zero, narrow, zero, wide, order=2.0)))
    assert float(renyi_gaussian(zero, np.diag([1.0, 0.0]), zero, narrow, order=0.5)) == math.inf


def test_renyi_divergence_jits_and_differentiates():
    cov_a, cov_b = (jnp.asarray(covariance(3, seed), jnp.float32) for seed in (0, 1))
    mean = jnp.asarray([0.1, 0.2, 0.3])

    def divergence(shift):
        return renyi_gaussian(shift, cov_a, jnp.zeros(3), cov_b, order=0.5)

    eager = renyi_gaussian(np.asarray(mean), cov_a, np.zeros(3), cov_b, order=0.5)
    np.testing.assert_allclose(jax.jit(divergence)(mean), eager, rtol=1e-5)
    expected = 0.5 * np.linalg.solve((cov_a + cov_b) / 2, mean)
    np.testing.assert_allclose(jax.grad(divergence)(mean), expected, rtol=1e-4)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_order_must_be_positive(bad):
    with pytest.raises(InputError, match="order: found"):
        renyi_gaussian(np.zeros(1), np.eye(1), np.zeros(1), np.eye(1), order=bad)
