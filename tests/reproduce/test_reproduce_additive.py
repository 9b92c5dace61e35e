"""Signals with noise of any law: quadrature against the closed forms of Gaussian laws and mixtures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.report.style import new_figure
from jaxpr.reproduce.additive import (
    DMAX,
    GAUSSIAN,
    LAWS,
    MMSE,
    POSTERIOR,
    AdditiveNoise,
    distance_to_law,
    draw_separation,
    separation,
)
from jaxpr.toys import denoising_dmax, denoising_mmse, linear_mixture, monotone_dmax

KEY = jax.random.key(0)
Y = np.linspace(-4, 4, 33)


@pytest.mark.parametrize("name", LAWS)
def test_laws_have_mean_zero_variance_one_and_their_draws(name):
    law = LAWS[name]
    powers = [np.trapezoid(law.density * law.points**k, law.points) for k in range(3)]
    np.testing.assert_allclose(powers, [1, 0, 1], atol=2e-4)  # the grid has a point at the cusp of Laplace's law
    draws = law.sample(KEY, 4000)
    assert distance_to_law(draws, law.quantile) < 0.06
    assert distance_to_law(law.quantile((np.arange(4000) + 0.5) / 4000), law.quantile) < 1e-12
    assert distance_to_law(draws + 1, law.quantile) == pytest.approx(1, abs=0.06)


def test_normal_laws_are_the_example_of_the_paper():
    found = AdditiveNoise(LAWS["normal"], LAWS["normal"]).restored(KEY, Y)
    np.testing.assert_allclose(
        found[MMSE], denoising_mmse(jnp.asarray(Y), noise_std=1.0), atol=3e-5
    )  # linear between points
    np.testing.assert_allclose(found[DMAX], denoising_dmax(jnp.asarray(Y), noise_std=1.0), atol=1e-4)


@pytest.mark.thorough
def test_two_modes_are_a_mixture_in_closed_form():
    law = linear_mixture(
        np.ones(2), np.array([[-0.9], [0.9]]), np.full((2, 1, 1), 0.19), np.ones((1, 1)), np.ones((1, 1))
    )
    found, y = AdditiveNoise(LAWS["two modes"], LAWS["normal"]).restored(KEY, Y), jnp.asarray(Y[:, None], jnp.float32)
    np.testing.assert_allclose(found[MMSE], law.posterior_mean(y)[:, 0], atol=3e-5)
    np.testing.assert_allclose(found[DMAX], monotone_dmax(law, y)[:, 0], atol=1e-3)  # the grid of quantiles


def test_uniform_noise_keeps_the_posterior_within_its_reach():
    law = AdditiveNoise(LAWS["Laplace"], LAWS["uniform"])
    drawn = law.restored(KEY, np.repeat(Y, 50))[POSTERIOR]
    assert np.abs(np.repeat(Y, 50) - drawn).max() < np.sqrt(3) + 0.02  # a cell of the grid


def test_only_the_posterior_sampler_leaves_the_noise():
    found, floor = separation(KEY, AdditiveNoise(LAWS["two modes"], LAWS["uniform"]), 400)
    assert found[POSTERIOR].joint < 1.4 * floor < 1.5 * found[GAUSSIAN].joint
    assert min(found[DMAX].joint, found[MMSE].joint) > 2 * floor
    assert found[DMAX].outputs < 0.1 < found[DMAX].noise
    assert abs(found[GAUSSIAN].correlation) < 0.15


def test_its_figure_has_densities_along_both_axes():
    law, y = AdditiveNoise(LAWS["normal"], LAWS["normal"]), np.linspace(-3, 3, 101)
    figure = new_figure(3, 3)
    plane = draw_separation(figure, figure.add_gridspec(1, 1)[0], law, {DMAX: y / np.sqrt(2)}, y)
    _, above, beside = figure.axes
    (line,) = (line for line in plane.lines if line.get_label() == DMAX)
    np.testing.assert_allclose(line.get_xdata() + line.get_ydata(), y)
    for ax, places, heights in ((above, 0, 1), (beside, 1, 0)):
        for drawn in ax.lines:
            at, density = drawn.get_data()[places], drawn.get_data()[heights]
            assert np.trapezoid(density, at) == pytest.approx(1, abs=0.01)
