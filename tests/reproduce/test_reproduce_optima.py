"""The optimum of the mixture's plane against closed forms of Gaussian laws, and where its figure begins."""

import jax
import numpy as np
import pytest

from jaxpr.reproduce import load_experiment
from jaxpr.reproduce.optima import balanced_draws, beside_least, least_error, moment_gaps, optimal_curve
from jaxpr.toys import gaussian_tradeoff, linear_gaussian, linear_mixture, planar_mixture

mixture = load_experiment("adrai2023/mixture")
COV, NOISE = np.array([[2.0, 0.6], [0.6, 0.5]]), np.diag([0.4, 1.5])


@pytest.mark.thorough
def test_least_error_is_that_of_a_gaussian_law_and_of_draws_of_a_mixture():
    law = linear_mixture(np.ones(1), np.array([[1.0, -2.0]]), COV[None], np.eye(2), NOISE)
    assert least_error(law) == pytest.approx(np.trace(COV - COV @ np.linalg.inv(COV + NOISE) @ COV), rel=1e-5)
    law = planar_mixture(noise_std=1.5)
    x, y = jax.jit(lambda key: law.sample(key, 20_000))(jax.random.key(0))
    error = np.sum(np.square(np.asarray(x - jax.jit(law.posterior_mean)(y))), axis=1)
    assert abs(error.mean() - least_error(law)) < 4 * error.std() / np.sqrt(len(error))


def test_the_curve_is_that_of_a_gaussian_law():
    law = linear_gaussian(np.zeros(2), COV, np.eye(2), NOISE)
    start = gaussian_tradeoff(law, alpha=1.0)
    curve = optimal_curve(float(start.mse), float(start.w2), count=5)
    for (error, distance), alpha in zip(curve, (1.0, 0.75, 0.5, 0.25, 0.0), strict=True):
        np.testing.assert_allclose((error, distance), gaussian_tradeoff(law, alpha=alpha), atol=1e-5)


def test_balanced_draws_have_the_shares_of_the_weights():
    x, y = balanced_draws(jax.random.key(1), planar_mixture(noise_std=0.01), 1000)
    assert x.shape == y.shape == (1000, 2)
    left = np.asarray(x[:, 0]) < 0
    assert (left.sum(), (left & (np.asarray(x[:, 1]) < 0)).sum()) == pytest.approx((500, 300), abs=5)  # tails
    assert np.abs(x - y).max() < 0.1


def test_errors_beside_the_least_keep_differences_within_seeds():
    errors = {"best": np.array([1.0, 3.0]), "way": np.array([[2.0, 1.5], [4.5, 3.5]])}
    found = beside_least(errors, best="best", least=10.0)
    np.testing.assert_allclose(found["best"], [10, 10])
    np.testing.assert_allclose(found["way"], [[11, 10.5], [11.5, 10.5]])


def test_moment_gaps_tell_shape_from_two_moments():
    generator = np.random.default_rng(0)
    real = generator.choice([-1.0, 1.0], size=(50_000, 2)) @ np.linalg.cholesky(COV).T
    alike = generator.normal(size=(50_000, 2)) @ np.linalg.cholesky(COV).T
    mean, cov, third, fourth = moment_gaps(alike, real)
    assert max(mean, cov, third) < 0.06
    assert fourth == pytest.approx(2 * np.sqrt(2), rel=0.05)  # 3 against 1 along both axes
    moved = moment_gaps(real + np.linalg.cholesky(np.cov(real.T)) @ [3.0, 4.0], real)
    np.testing.assert_allclose(moved, [5, 0, 0, 0], atol=1e-9)


def test_the_optimum_begins_at_the_mmse_estimate_whatever_the_seeds_luck():
    generator = np.random.default_rng(1)
    luck = 0.2 + 0.1 * generator.normal(size=4)  # of the draws, in all errors of a seed

    def placed(error, distance):
        return np.stack([2.4 + error + luck, np.full(4, distance), *np.zeros((5, 4))], axis=1)

    single = {mixture.MMSE: placed(0, 0.6), mixture.POSTERIOR: placed(2.4, 0.2), mixture.FLOOR: placed(9, 0.2)}
    ways = {
        name: np.stack([placed(end, 0.4), placed(0, 0.6)], axis=1)
        for name, end in ((mixture.CLOSED, 0.3), (mixture.EXACT, 0.4))
    }
    single |= {name: way[:, 0] for name, way in ways.items()}
    (ax,) = mixture.draw_plane(single, ways, (2.4, 0.58)).axes
    curve = next(line for line in ax.lines if "optimum" in line.get_label())
    places = {bars.get_label(): bars.lines[0].get_xdata() for bars in ax.containers}
    assert len(places) == 4
    np.testing.assert_allclose(places[mixture.MMSE], 2.4)
    assert curve.get_xdata()[0] == 2.4 == min(curve.get_xdata())
    assert min(x.min() for x in places.values()) > 2.4 - 1e-9
