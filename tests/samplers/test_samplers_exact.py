"""Samplers on Gaussian priors, whose posteriors are known.

With an exact Gaussian denoiser and without clipping, DDRM, DDNM and RePaint are affine in their draws. So answers to
all unit draws, one at a time, give the mean and the covariance of what a sampler returns, without Monte Carlo errors.
"""

import functools

import jax
import numpy as np
import pytest

from jaxpr.degradations import AverageDownsample, BicubicDownsample, Blur, Inpainting
from jaxpr.diffusion import PIXELS, cosine_transform, gaussian_denoiser, linear_schedule
from jaxpr.samplers import ddnm, ddrm, dps, repaint

SCHEDULE, SHAPE, SIZE = linear_schedule(), (2, 4, 1), 8
MASK = np.array([[1, 0, 0, 1], [0, 1, 0, 1]], bool)
MEAN = (0.2 * np.random.default_rng(0).standard_normal(SHAPE)).astype(np.float32)
VARIANCE = (0.1 * np.exp(0.5 * np.random.default_rng(1).standard_normal(SHAPE))).astype(np.float32)
TRUTH = np.random.default_rng(2).random((1, *SHAPE), np.float32)
COSINE = cosine_transform(*SHAPE[:2])


def matrix(linear) -> np.ndarray:
    return np.asarray(linear(np.eye(SIZE, dtype=np.float32).reshape(SIZE, *SHAPE)), np.float64).reshape(SIZE, -1).T


def measured(operator, noise_std: float) -> np.ndarray:
    y = np.asarray(operator(TRUTH))
    noisy = y + noise_std * np.random.default_rng(3).standard_normal(y.shape)
    return np.asarray(operator.pinv(noisy) if isinstance(operator, Inpainting) else noisy, np.float32)


def posterior(operator, basis, noise_std: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of x in [0, 1] given y, in float64."""
    to, a = matrix(basis.forward), matrix(operator)
    cov = to.T @ np.diag(VARIANCE.ravel().astype(np.float64)) @ to / 4
    mean, y = (MEAN.ravel().astype(np.float64) + 1) / 2, measured(operator, noise_std).ravel()
    gain = cov @ a.T @ np.linalg.pinv(a @ cov @ a.T + noise_std**2 * np.eye(y.size), rcond=1e-9)
    return mean + gain @ (y - a @ mean), cov - gain @ a @ cov


def law(sampler, operator, basis, *, transitions: int, purposes=("step",), noise_std=0.0, **options):
    """Mean and covariance of a sampler's answers."""
    denoiser = gaussian_denoiser(mean=MEAN, variance=VARIANCE, schedule=SCHEDULE, basis=basis)
    draws = 1 + SIZE * (1 + transitions * len(purposes))
    impulses = np.eye(draws, dtype=np.float32)[:, 1:]
    blocks = impulses.reshape(draws, -1, 1, *SHAPE)
    noise = {"start": blocks[:, 0]}
    for k, purpose in enumerate(purposes):
        noise[purpose] = np.moveaxis(blocks[:, 1 + k * transitions : 1 + (k + 1) * transitions], 1, 0)
    run = functools.partial(
        sampler, schedule=SCHEDULE, samples=draws, noise_std=noise_std, steps=transitions, clip=False, **options
    )
    y = measured(operator, noise_std)
    x = jax.jit(lambda key: run(key, denoiser, y, operator, noise=noise).x)(jax.random.key(0))
    x = np.asarray(x, np.float64).reshape(draws, SIZE)
    moves = x[1:] - x[0]
    return x[0], moves.T @ moves


def errors(found, exact) -> tuple[float, float]:
    """Of the mean, beside the prior's spread, and the total variance over the true one."""
    scale = np.sqrt(VARIANCE.mean()) / 2
    return float(np.abs(found[0] - exact[0]).max() / scale), float(np.trace(found[1]) / np.trace(exact[1]))


@pytest.mark.parametrize("sampler", [ddrm, pytest.param(ddnm, marks=pytest.mark.thorough)])
def test_without_fresh_noise_the_posterior_of_independent_pixels_is_the_limit(sampler):
    """Of many steps: the error falls as one over their number, and what it falls to is the truth."""
    operator = Inpainting(MASK, channels=1)
    exact = posterior(operator, PIXELS, 0.0)
    (_, coarse), (mean, fine) = (
        errors(law(sampler, operator, PIXELS, transitions=n, eta=0.0), exact) for n in (50, 100)
    )
    assert mean < 1e-2
    assert coarse < fine < 1
    assert abs(2 * fine - coarse - 1) < 0.01


@pytest.mark.thorough
def test_the_published_share_of_fresh_noise_gives_too_little_variance():
    """A bias of the methods: what a step forgets of x_t comes back shrunk, however many steps there are."""
    operator = Inpainting(MASK, channels=1)
    exact = posterior(operator, PIXELS, 0.0)
    mean, variance = errors(law(ddrm, operator, PIXELS, transitions=20), exact)
    assert mean < 0.02
    assert 0.4 < variance < 0.7


@pytest.mark.thorough
@pytest.mark.parametrize("noise_std", [0.0, 0.05])
@pytest.mark.parametrize(
    "operator", [Inpainting(MASK, channels=1), AverageDownsample(SHAPE, 2)], ids=["mask", "average"]
)
@pytest.mark.parametrize("sampler", [ddrm, ddnm])
def test_means_are_nearly_right_and_variances_too_small(sampler, operator, noise_std):
    exact = posterior(operator, COSINE, noise_std)
    mean, variance = errors(law(sampler, operator, COSINE, transitions=100, noise_std=noise_std), exact)
    assert mean < 0.2
    assert 0.5 < variance < 0.9


@pytest.mark.thorough
@pytest.mark.parametrize(
    "operator", [BicubicDownsample(SHAPE, 2), Blur(SHAPE, np.array([[0.2, 0.6, 0.2]]))], ids=["bicubic", "blur"]
)
def test_ddnm_with_noise_has_the_law_of_ddrm(operator):
    """Two derivations of one step; what they differ in, the first state, is forgotten."""
    options = {"transitions": 20, "noise_std": 0.05}
    mean, cov = law(ddnm, operator, COSINE, **options)
    other_mean, other_cov = law(ddrm, operator, COSINE, **options)
    np.testing.assert_allclose(mean, other_mean, atol=1e-4)
    np.testing.assert_allclose(cov, other_cov, atol=1e-4 * np.trace(cov))


@pytest.mark.thorough
def test_repaint_without_jumps_finds_the_posterior_of_independent_pixels():
    operator = Inpainting(MASK, channels=1)
    exact = posterior(operator, PIXELS, 0.0)
    options = {"purposes": ("step", "known"), "jump_repeat": 1}
    few, many = (errors(law(repaint, operator, PIXELS, transitions=n, **options), exact) for n in (10, 150))
    assert many[0] < 1e-2
    assert few[1] < many[1]
    assert 0.85 < many[1] < 1.01


@pytest.mark.thorough
def test_dps_is_biased():
    """Its mean is off by more than the error of 500 answers."""
    operator = AverageDownsample(SHAPE, 2)
    denoiser = gaussian_denoiser(mean=MEAN, variance=VARIANCE, schedule=SCHEDULE)
    run = functools.partial(dps, schedule=SCHEDULE, samples=500, noise_std=0.05, steps=250, clip=False)
    y = measured(operator, 0.05)
    x = np.asarray(jax.jit(lambda key: run(key, denoiser, y, operator).x)(jax.random.key(0))).reshape(500, SIZE)
    mean, cov = posterior(operator, PIXELS, 0.05)
    bias = np.abs(x.mean(axis=0) - mean) / np.sqrt(np.diag(cov) / 500)
    assert bias.max() > 4
    assert np.abs(x.mean(axis=0) - mean).max() < 2 * np.sqrt(np.diag(cov)).max()
