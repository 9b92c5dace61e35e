"""Kernel priors of real images: the denoiser, the posterior, and sets of answers from the same noise."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import AverageDownsample, Inpainting
from jaxpr.diffusion import mixture_denoiser
from jaxpr.reproduce.sampled_sets import SetSampler, SetTask, exact_answers, guidance_of, image_prior
from jaxpr.samplers import Guidance

AVERAGE = SetTask("average ×4", AverageDownsample((8, 8, 1), 4), 0.05, "objects-x4-noisy")
TOP = SetTask("inpainting", Inpainting(np.arange(64).reshape(8, 8) >= 32, channels=1), 0.0, "objects-inpainting")


@pytest.fixture(scope="module")
def prior():
    return image_prior("digits", images=3, kernels=7)


@pytest.mark.thorough
def test_the_denoiser_is_that_of_the_mixture(prior):
    centres, variance, basis = prior.kernels
    assert (centres.shape, prior.x.shape, prior.labels.shape) == ((7, 8, 8, 1), (3, 8, 8, 1), (3,))
    same = mixture_denoiser(
        means=centres,
        variances=jnp.broadcast_to(variance, centres.shape),
        weights=jnp.ones(7),
        schedule=prior.schedule,
        basis=basis,
    )
    x = np.random.default_rng(0).standard_normal((6, 8, 8, 1), np.float32)
    for t in (3, 300, 900):
        at = jnp.full(6, t, jnp.int32)
        found, expected = prior.denoiser(x, at), same(x, at)
        np.testing.assert_allclose(found.x0, expected.x0, atol=2e-3)
        np.testing.assert_allclose(found.eps, expected.eps, atol=2e-3)


@pytest.mark.parametrize(
    "task", [pytest.param(AVERAGE, marks=pytest.mark.thorough), TOP], ids=["average", "inpainting"]
)
def test_exact_answers_have_the_moments_of_the_posterior(prior, task):
    y = task.measure(prior.x, seed=0)
    answers = exact_answers(prior, task, y, 3000, seed=1)
    assert answers.shape == (3000, 3, 8, 8, 1)
    # Weights by a second way: the density of y under each part, from its dense covariance.
    eye = np.eye(64, dtype=np.float32).reshape(64, 8, 8, 1)
    centres, variance, basis = prior.kernels
    to, a = np.asarray(basis.forward(eye)).reshape(64, 64).T, np.asarray(task.operator(eye)).reshape(64, -1).T
    a = a[np.abs(a).sum(axis=1) > 0]
    cov = to.T @ np.diag(np.asarray(variance, np.float64).ravel()) @ to / 4
    of_y = a @ cov @ a.T + (task.noise_std**2 + 1e-7) * np.eye(len(a))
    gain, means = cov @ a.T @ np.linalg.inv(of_y), (np.asarray(centres, np.float64).reshape(7, 64) + 1) / 2
    seen = np.asarray(task.operator(np.ones((1, 8, 8, 1), np.float32))).ravel() > 0
    for i in range(3):
        gaps = y[i].ravel()[seen] - means @ a.T
        log = -np.einsum("ki,ij,kj->k", gaps, np.linalg.inv(of_y), gaps) / 2
        shares = np.exp(log - log.max()) / np.exp(log - log.max()).sum()
        mean = shares @ (means + gaps @ gain.T)
        found = answers[:, i].reshape(3000, 64)
        np.testing.assert_allclose(found.mean(axis=0), mean, atol=5 * found.std(axis=0).max() / np.sqrt(3000))
        one = shares @ np.sum((means + gaps @ gain.T - mean) ** 2, axis=1) + np.trace(cov - gain @ a @ cov)
        assert abs(found.var(axis=0).sum() / one - 1) < 0.15


def test_no_guidance_is_the_plain_sampler_and_guidance_moves(prior):
    y = AVERAGE.measure(prior.x, seed=0)
    sampler = SetSampler("ddrm", prior, AVERAGE, samples=3, steps=3, options={})
    plain, still = sampler(y, None, seed=5)
    again, _ = sampler(y, Guidance(0.0), seed=5)
    moved, pushed = sampler(y, guidance_of("ddrm", AVERAGE, (8, 8, 1)), seed=5)
    np.testing.assert_array_equal(plain, again)
    assert (still == 0).all()
    assert pushed.max() > 0
    assert np.abs(moved - plain).max() > 0.01


def test_thresholds_keep_their_root_mean_square():
    found = guidance_of("ddrm", AVERAGE, (8, 8, 1))
    assert found.distance * np.sqrt(64) == pytest.approx(4e-4 * np.sqrt(256 * 256 * 3))


def test_unknown_priors_are_refused():
    with pytest.raises(InputError, match="expected digits, photos"):
        image_prior("faces", images=1, kernels=1)
