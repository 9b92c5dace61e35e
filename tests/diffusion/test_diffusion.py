"""Schedules against published tables, adapters against each other, exact denoisers against matrices in float64."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.diffusion import (
    PIXELS,
    Schedule,
    cosine_schedule,
    cosine_transform,
    from_eps,
    from_v,
    from_x0,
    gaussian_denoiser,
    linear_schedule,
    mixture_denoiser,
    respaced,
    strided,
)

FLOAT32 = 2e-5
SCHEDULE = linear_schedule()
SHAPE = (5, 7, 2)  # neither square nor even
T = jnp.asarray([0, 40, 999])


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


X = jnp.asarray(drawn(3, *SHAPE))
MEAN, VARIANCE = 0.3 * drawn(*SHAPE, seed=1), np.exp(drawn(*SHAPE, seed=2))


def test_linear_schedule_is_the_published_one():
    golden = np.load(Path(__file__).parents[1] / "golden" / "sampler_repaint" / "golden.npz")
    np.testing.assert_allclose(SCHEDULE.alpha_bar, golden["toy_abar"], rtol=1e-6)
    ten = respaced(SCHEDULE, 10)
    found = ten.reverse_coefficients()
    np.testing.assert_allclose(ten.betas, golden["respaced_betas"], rtol=1e-6)
    np.testing.assert_allclose(found.log_variance, golden["posterior_log_variance_clipped"], rtol=1e-6)
    np.testing.assert_allclose(found.of_x0, golden["posterior_mean_coef1"], rtol=1e-6)
    np.testing.assert_allclose(found.of_x, golden["posterior_mean_coef2"], rtol=1e-6)


def test_thinned_schedules_keep_original_timesteps():
    twenty = respaced(SCHEDULE, 20)
    published = (0, 53, 105, 158, 210, 263, 315, 368, 421, 473, 526, 578, 631, 684, 736, 789, 841, 894, 946, 999)
    assert twenty.timesteps == published
    assert strided(SCHEDULE, 20).timesteps == tuple(range(0, 1000, 50))
    assert len(strided(SCHEDULE, 300).timesteps) == 300
    np.testing.assert_array_equal(twenty.alpha_bar, SCHEDULE.alpha_bar[list(published)])
    np.testing.assert_allclose(np.cumprod(1 - twenty.betas), twenty.alpha_bar, rtol=1e-12)
    assert respaced(SCHEDULE, 1000) == SCHEDULE != twenty
    assert respaced(twenty, 2).timesteps == (0, 999)
    assert hash(twenty) == hash(respaced(SCHEDULE, 20))  # static under jit


def test_cosine_schedule_falls_from_one_to_zero():
    schedule = cosine_schedule()
    assert (np.diff(np.append(1, schedule.alpha_bar)) < 0).all()
    half, whole = np.cos(0.508 / 1.008 * np.pi / 2), np.cos(0.008 / 1.008 * np.pi / 2)
    np.testing.assert_allclose(schedule.alpha_bar[499], (half / whole) ** 2)
    assert schedule.betas.max() == pytest.approx(0.999)


def test_all_adapters_are_one_denoiser():
    exact = gaussian_denoiser(mean=MEAN, variance=VARIANCE, schedule=SCHEDULE)
    expected = exact(X, T)
    signal = np.sqrt(SCHEDULE.alpha_bar[np.asarray(T)])[:, None, None, None].astype(np.float32)
    noise = np.sqrt(1 - SCHEDULE.alpha_bar[np.asarray(T)])[:, None, None, None].astype(np.float32)
    np.testing.assert_allclose(signal * expected.x0 + noise * expected.eps, X, atol=FLOAT32)
    for found, tolerance in (
        (from_eps(lambda x, t: exact(x, t).eps, schedule=SCHEDULE), 5e-4),  # divides by √ᾱ = 0.006
        (from_x0(lambda x, t: exact(x, t).x0, schedule=SCHEDULE), 5e-5),  # divides by √(1 - ᾱ) = 0.01
        (from_v(lambda x, t: signal * exact(x, t).eps - noise * exact(x, t).x0, schedule=SCHEDULE), FLOAT32),
    ):
        prediction = found(X, T)
        np.testing.assert_allclose(prediction.x0, expected.x0, atol=tolerance)
        np.testing.assert_allclose(prediction.eps, expected.eps, atol=tolerance)
        assert prediction.log_variance is None


def test_learned_variances():
    def network(x, t):
        return jnp.concatenate([x, jnp.full_like(x, 0.5)], axis=-1)

    ten = respaced(SCHEDULE, 10)
    found = from_eps(network, schedule=ten, learned_variance="range")(X, jnp.asarray(ten.timesteps[3]))
    bounds = ten.reverse_coefficients()
    wanted = 0.75 * bounds.log_beta[3] + 0.25 * bounds.log_variance[3]
    np.testing.assert_allclose(found.log_variance, np.full((3, *SHAPE), wanted), rtol=1e-5)
    np.testing.assert_allclose(found.variance_mix, 0.75)
    assert from_eps(network, schedule=ten, learned_variance=True)(X, T).log_variance.shape == X.shape
    direct = from_eps(network, schedule=ten, learned_variance="log")(X, T)
    np.testing.assert_array_equal(direct.log_variance, 0.5)
    assert direct.variance_mix is None
    np.testing.assert_array_equal(found.eps, X)


def dense(mean, variance, basis, x, t):
    """E[x_0 | x_t] and log p(x_t) by whole matrices in float64."""
    size = mean.size
    unit = jnp.eye(size, dtype=jnp.float32).reshape(size, *SHAPE)
    to = np.asarray(basis.forward(unit), np.float64).reshape(size, size).T
    cov = to.T @ np.diag(variance.ravel().astype(np.float64)) @ to
    a = SCHEDULE.alpha_bar[t]
    total = a * cov + (1 - a) * np.eye(size)
    gap = np.asarray(x, np.float64).ravel() - np.sqrt(a) * mean.ravel()
    solved = np.linalg.solve(total, gap)
    x0 = mean.ravel() + np.sqrt(a) * cov @ solved
    return x0.reshape(SHAPE), -(gap @ solved + np.linalg.slogdet(total)[1]) / 2


@pytest.mark.parametrize("basis", [PIXELS, cosine_transform(*SHAPE[:2])], ids=["pixels", "cosine"])
def test_gaussian_denoiser_is_the_posterior_mean(basis):
    found = gaussian_denoiser(mean=MEAN, variance=VARIANCE, schedule=SCHEDULE, basis=basis)(X, T)
    for i, t in enumerate(np.asarray(T)):
        np.testing.assert_allclose(found.x0[i], dense(MEAN, VARIANCE, basis, X[i], t)[0], atol=FLOAT32)


def test_mixture_denoiser_is_the_posterior_mean():
    basis = cosine_transform(*SHAPE[:2])
    means, weights = np.stack([MEAN, -MEAN]), np.float32([1, 3])
    variances = np.stack([VARIANCE, 0.5 * VARIANCE])
    denoise = mixture_denoiser(means=means, variances=variances, weights=weights, schedule=SCHEDULE, basis=basis)
    found = jax.jit(denoise)(X, T)
    for i, t in enumerate(np.asarray(T)):
        parts = [dense(m, v, basis, X[i], t) for m, v in zip(means, variances, strict=True)]
        logs = np.array([log for _, log in parts]) + np.log(weights)
        share = np.exp(logs - logs.max()) / np.exp(logs - logs.max()).sum()
        np.testing.assert_allclose(found.x0[i], sum(s * x0 for s, (x0, _) in zip(share, parts, strict=True)), atol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: linear_schedule(0), "steps: found 0"),
        (lambda: linear_schedule(end=1.5), "end: found 1.5"),
        (lambda: Schedule([0.1, 1.0]), "betas: found"),
        (lambda: Schedule([0.1, 0.2], timesteps=[1, 0]), "timesteps: found"),
        (lambda: respaced(SCHEDULE, 1), "steps: found 1, expected at least 2"),
        (lambda: respaced(SCHEDULE, 1001), "steps: found 1001"),
        (lambda: strided(0.1, 5), "schedule: found 0.1"),
        (
            lambda: from_eps(jnp.add, schedule=SCHEDULE, learned_variance="half"),
            "learned_variance: found 'half'",
        ),
        (lambda: from_eps(lambda x, t: x, schedule=SCHEDULE, learned_variance=True)(X, T), "model: found an output"),
        (lambda: from_x0(lambda x, t: x, schedule=SCHEDULE)(X, T[:2]), "t: found"),
        (lambda: gaussian_denoiser(mean=MEAN, variance=-VARIANCE, schedule=SCHEDULE), "variance: found negative"),
        (lambda: gaussian_denoiser(mean=MEAN, variance=VARIANCE[0], schedule=SCHEDULE), "variance: found shape"),
        (
            lambda: mixture_denoiser(means=X, variances=X**2, weights=np.zeros(3, np.float32), schedule=SCHEDULE),
            "weights: found no positive",
        ),
    ],
)
def test_bad_input_gets_one_line(call, message):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)
