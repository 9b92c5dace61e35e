"""The uncertainty-perception function against minimisation, and places on the plane against closed forms."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from jaxpr.core import InputError
from jaxpr.numerics.moments import Moments
from jaxpr.uncertainty import (
    Region,
    conditional_gaussian,
    conditional_knn_entropy,
    conditional_renyi,
    entropy_power,
    eta,
    gaussian_entropy,
    local_blocks,
    plane_point,
    region,
    renyi_gaussian,
    uncertainty_bounds,
)


def covariance(dim: int, seed: int = 0) -> np.ndarray:
    root = np.random.default_rng(seed).standard_normal((dim, dim + 2))
    return root @ root.T / (dim + 2) + 0.1 * np.eye(dim)


@pytest.mark.parametrize("dim", [1, 2, 7])
@pytest.mark.parametrize("scale", [0.9, 0.3, 0.01])
def test_eta_is_the_entropy_power_of_the_scaled_posterior(dim, scale):
    cov, zero = covariance(dim), np.zeros(dim)
    divergence = float(renyi_gaussian(zero, scale * cov, zero, cov, order=0.5))
    powers = [float(entropy_power(float(gaussian_entropy(c)), dim)) for c in ((1 + scale) * cov, cov)]
    assert float(eta(divergence, dim)) == pytest.approx(powers[0] / powers[1], rel=1e-5)


@pytest.mark.parametrize("divergence", [0.05, 0.6, 3.0])
def test_no_gaussian_restorer_is_more_certain_than_eta_allows(divergence):
    """Minimise over all covariances S of x̂ given y: min det(Σ + S)^{1/d} subject to D(S, Σ) <= P."""
    cov, zero = covariance(2), np.zeros(2)

    def posterior(parameters):
        root = np.array([[math.exp(parameters[0]), 0.0], [parameters[1], math.exp(parameters[2])]])
        return root @ root.T

    def room(parameters):
        return divergence - float(renyi_gaussian(zero, posterior(parameters), zero, cov, order=0.5))

    found = optimize.minimize(
        lambda p: math.log(np.linalg.det(cov + posterior(p))),
        [-0.5, 0.0, -0.5],
        constraints=[{"type": "ineq", "fun": room}],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    least = math.exp(found.fun / 2) / math.sqrt(np.linalg.det(cov))
    assert float(eta(divergence, 2)) == pytest.approx(least, rel=1e-4)


def test_eta_formula_limits_and_shape():
    grid = np.linspace(0.01, 5, 200)
    a = np.exp(2 * grid / 3)
    np.testing.assert_allclose(eta(grid, 3), 2 * a - np.sqrt((2 * a - 1) ** 2 - 1), rtol=2e-6)
    values = np.asarray(eta(grid, 3), np.float64)
    assert (np.diff(values) < 0).all()
    assert (np.diff(values, 2) > -1e-6).all()  # convex up to float32
    assert float(eta(0.0, 3)) == 2
    assert float(eta(1e4, 3)) == 1
    assert float(eta(math.inf, 3)) == 1
    assert math.isfinite(float(jax.grad(lambda p: eta(p, 3))(0.5)))
    with pytest.raises(InputError, match="divergence: found"):
        eta(-0.1, 3)


def test_bounds_and_regions():
    bounds = uncertainty_bounds(0.4, 2, inherent=1.0, gaussian=1.5)
    assert float(bounds.upper) == pytest.approx(1.5 * float(bounds.lower))
    lower, upper = (float(b) for b in bounds)
    assert region(0.9 * lower, bounds) is Region.IMPOSSIBLE
    assert region((lower + upper) / 2, bounds) is Region.OPTIMAL
    assert region(1.1 * upper, bounds) == "suboptimal"


def gaussian_problem(seed: int = 0, dim: int = 3, observed: int = 2):
    """Mean and covariance of a Gaussian (x, y)."""
    return np.random.default_rng(seed).standard_normal(dim + observed), covariance(dim + observed, seed)


def test_conditional_gaussian_is_the_regression():
    mean, cov = gaussian_problem()
    found = conditional_gaussian(mean, cov, width=3)
    precision = np.linalg.inv(cov)
    np.testing.assert_allclose(np.linalg.inv(found.covariance), precision[:3, :3], rtol=1e-9)
    np.testing.assert_allclose(found.gain, -np.linalg.solve(precision[:3, :3], precision[:3, 3:]), rtol=1e-9)
    np.testing.assert_allclose(found.gain @ mean[3:] + found.offset, mean[:3], rtol=1e-12)


def exact_moments(mean: np.ndarray, cov: np.ndarray) -> Moments:
    return Moments(np.asarray(1001.0), mean, 1000.0 * cov)


def test_conditional_divergence_is_the_mean_over_y():
    mean, cov = gaussian_problem()
    gain = np.array([[1.0, 0.2], [0.0, -0.5], [0.3, 0.3]])
    cross = gain @ cov[3:, 3:]
    other = np.block([[cross @ gain.T + covariance(3, 1), cross], [cross.T, cov[3:, 3:]]])
    shifted = mean + np.array([0.3, 0, 0, 0, 0])
    found = conditional_renyi(
        exact_moments(mean, cov), exact_moments(shifted, other), width=3, order=0.5, noise_floor=0.01
    )
    a, b = conditional_gaussian(shifted, other, width=3), conditional_gaussian(mean, cov, width=3)
    draws = np.random.default_rng(0).multivariate_normal(mean[3:], cov[3:, 3:], 4000)
    floor = 0.01 * np.eye(3)
    each = [
        float(
            renyi_gaussian(
                a.gain @ y + a.offset, a.covariance + floor, b.gain @ y + b.offset, b.covariance + floor, order=0.5
            )
        )
        for y in draws
    ]
    assert float(found) == pytest.approx(np.mean(each), abs=4 * np.std(each) / math.sqrt(len(each)))


def restorer_moments(gain: float) -> Moments:
    """With x = y + unit noise in three dimensions, x̂ = y + gain · other unit noise, all conditional laws are known."""
    dim = 3
    both = np.block([[2 * np.eye(dim), np.eye(dim), np.eye(dim)]])
    fake = np.block([[np.eye(dim), (1 + gain**2) * np.eye(dim), np.eye(dim)]])
    given = np.block([[np.eye(dim), np.eye(dim), np.eye(dim)]])
    return exact_moments(np.zeros(3 * dim), np.concatenate([both, fake, given]))


@pytest.mark.parametrize("gain", [0.2, 1.0])
def test_place_on_the_plane_of_a_known_restorer(gain):
    found = plane_point(restorer_moments(gain), width=3, noise_floor=0.0)
    assert found.uncertainty == pytest.approx(1 + gain**2, rel=1e-5)
    assert found.gaussian == pytest.approx(1, rel=1e-5)
    assert found.mse == pytest.approx((1 + gain**2) * 1000 / 1001, rel=1e-5)
    assert found.divergence == pytest.approx(3 * math.log((1 + gain**2) / (2 * gain)), abs=1e-9)
    # On the bound: no Gaussian restorer is better.
    assert float(eta(found.divergence, 3)) == pytest.approx(1 + min(gain, 1 / gain) ** 2, rel=1e-3)


def test_uncertainty_is_never_above_the_error():
    random = np.random.default_rng(5)
    points = random.standard_normal((300, 8)) @ random.standard_normal((8, 8))
    found = plane_point(Moments.zero(8).update(points), width=3, noise_floor=1e-3)
    assert found.uncertainty <= found.mse


def test_noise_floor_keeps_a_perfect_restorer_finite():
    found = plane_point(restorer_moments(0.0), width=3, noise_floor=1e-4)
    assert math.isfinite(found.divergence)
    assert found.uncertainty == pytest.approx(1.0001, rel=1e-5)


def test_conditional_neighbour_entropy_of_gaussians_and_of_a_nonlinear_law():
    random = np.random.default_rng(1)
    y = random.standard_normal((4000, 2))
    x = y @ np.array([[1.0, 2.0], [0.5, -1.0]]) + random.standard_normal((4000, 2)) @ np.array([[0.3, 0.1], [0, 0.05]])
    expected = gaussian_entropy(np.array([[0.3, 0.1], [0, 0.05]]).T @ np.array([[0.3, 0.1], [0, 0.05]]))
    found = conditional_knn_entropy(*(jnp.asarray(a, jnp.float32) for a in (x, y)), k=3)
    assert float(found) == pytest.approx(float(expected), abs=0.1)
    # Two-peaked x given y: less entropy than a Gaussian of the same covariance.
    peaks = np.sign(random.standard_normal((4000, 2))) + 0.1 * random.standard_normal((4000, 2))
    bimodal = conditional_knn_entropy(*(jnp.asarray(a, jnp.float32) for a in (y + peaks, y)), k=3)
    assert float(bimodal) < float(gaussian_entropy(1.01 * np.eye(2))) - 0.5


def test_local_blocks_are_cut_where_they_belong():
    x = np.random.default_rng(0).random((2, 24, 20, 3)).astype(np.float32)
    y = np.random.default_rng(1).random((2, 6, 5, 3)).astype(np.float32)
    blocks, windows = local_blocks(jnp.asarray(x), jnp.asarray(y), block=4, context=1, stride=2)
    assert blocks.shape == (2, 4, 16)
    assert windows.shape == (2, 4, 9)
    # The fourth place: window at (2, 2) of y, block at its centre.
    np.testing.assert_allclose(windows[1, 3].reshape(3, 3), y[1, 2:5, 2:5].mean(-1), rtol=1e-6)
    np.testing.assert_allclose(blocks[1, 3].reshape(4, 4), x[1, 12:16, 12:16].mean(-1), rtol=1e-6)
    empty, _ = local_blocks(jnp.asarray(x[:, :8, :8]), jnp.asarray(y[:, :2, :2]), block=4, context=1, stride=1)
    assert empty.shape == (2, 0, 16)


@pytest.mark.parametrize(
    ("block", "height", "message"), [(3, 8, "block: found 3, expected a multiple"), (4, 9, "expected x to be a whole")]
)
def test_local_blocks_refuse_what_does_not_fit(block, height, message):
    with pytest.raises(InputError, match=message):
        local_blocks(jnp.zeros((1, height, 8, 1)), jnp.zeros((1, 4, 4, 1)), block=block, context=0, stride=1)
