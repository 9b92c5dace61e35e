"""Samplers on mixtures of Gaussians, whose posteriors are known: weights of the modes, mean and spread within modes.

Two parts that differ in the unknown pixel alone, pixels independent within each: then y tells nothing of the part, and
the posterior of the unknown pixel is the prior's mixture.
"""

import functools

import jax
import numpy as np
import pytest

from jaxpr.degradations import Inpainting
from jaxpr.diffusion import linear_schedule, mixture_denoiser
from jaxpr.samplers import ddnm, ddrm, dps, repaint

SCHEDULE, SHAPE, SAMPLES = linear_schedule(), (1, 2, 1), 4000
MASK = np.array([[True, False]])
WEIGHTS, CENTRES, STD = np.array([0.7, 0.3]), np.array([0.2, 0.8]), 0.05  # of the unknown pixel, in units of [0, 1]
KNOWN = 0.6


def answers(sampler, *, steps: int, purposes=("step",), **options) -> np.ndarray:
    """(SAMPLES, 2), the known and the unknown pixel, for one y."""
    means = np.stack([np.full(2, 0.1), 2 * CENTRES - 1], axis=1).reshape(2, *SHAPE)
    denoiser = mixture_denoiser(
        means=means.astype(np.float32),
        variances=np.full((2, *SHAPE), 4 * STD**2, np.float32),
        weights=WEIGHTS.astype(np.float32),
        schedule=SCHEDULE,
    )
    generator = np.random.default_rng(0)
    noise = {"start": generator.standard_normal((SAMPLES, 1, *SHAPE), np.float32)}
    for purpose in purposes:
        noise[purpose] = generator.standard_normal((steps, SAMPLES, 1, *SHAPE), np.float32)
    run = functools.partial(
        sampler, schedule=SCHEDULE, samples=SAMPLES, noise_std=0.0, steps=steps, clip=False, noise=noise, **options
    )
    y = np.array([KNOWN, 0.0], np.float32).reshape(1, *SHAPE)
    x = jax.jit(lambda key: run(key, denoiser, y, Inpainting(MASK, channels=1)).x)(jax.random.key(0))
    return np.asarray(x, np.float64).reshape(SAMPLES, 2)


def unknown_pixel(sampler, **options) -> np.ndarray:
    """(SAMPLES,), of answers that have y at the other."""
    x = answers(sampler, **options)
    np.testing.assert_allclose(x[:, 0], KNOWN, atol=1e-5)
    return x[:, 1]


def modes(x: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Share of the second mode, means and deviations within both."""
    second = x > CENTRES.mean()
    parts = [x[~second], x[second]]
    return float(second.mean()), np.array([p.mean() for p in parts]), np.array([p.std() for p in parts])


CHANCE = 4 * np.sqrt(WEIGHTS.prod() / SAMPLES)  # four standard errors of a share


@pytest.mark.parametrize(
    ("sampler", "options"),
    [
        (ddrm, {"eta": 0.0}),
        pytest.param(ddnm, {"eta": 0.0}, marks=pytest.mark.thorough),
        pytest.param(repaint, {"jump_repeat": 1, "purposes": ("step", "known")}, marks=pytest.mark.thorough),
    ],
    ids=["ddrm", "ddnm", "repaint"],
)
def test_what_y_says_nothing_of_is_drawn_from_the_mixture(sampler, options):
    x = unknown_pixel(sampler, steps=100, **options)
    share, means, stds = modes(x)
    assert abs(share - WEIGHTS[1]) < CHANCE + 0.01  # and what 100 steps leave
    np.testing.assert_allclose(means, CENTRES, atol=0.01)
    assert (stds > 0.75 * STD).all()
    assert (stds < 1.1 * STD).all()
    mean = WEIGHTS @ CENTRES
    variance = STD**2 + WEIGHTS @ (CENTRES - mean) ** 2
    assert abs(x.mean() - mean) < 0.6 * CHANCE + 0.01
    assert abs(x.var() / variance - 1) < 0.1


@pytest.mark.thorough
@pytest.mark.parametrize("sampler", [ddrm, ddnm])
def test_the_published_share_of_fresh_noise_narrows_modes_and_favours_the_larger(sampler):
    """At 100 steps, where without fresh noise all is right."""
    share, means, stds = modes(unknown_pixel(sampler, steps=100))
    np.testing.assert_allclose(means, CENTRES, atol=0.01)
    assert (stds < 0.85 * STD).all()
    assert 0.24 < share < WEIGHTS[1] - 0.02


@pytest.mark.thorough
def test_dps_keeps_what_y_says_nothing_of_but_not_y():
    """Its gradient, of a norm and not of a square, has one length, so it never comes to rest at the known pixel."""
    x = answers(dps, steps=100)
    share, means, _ = modes(x[:, 1])
    assert abs(share - WEIGHTS[1]) < CHANCE
    np.testing.assert_allclose(means, CENTRES, atol=0.01)
    assert np.abs(x[:, 0] - KNOWN).mean() > 0.1
