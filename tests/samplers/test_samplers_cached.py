"""Samplers over a denoiser whose deep features are reused: a loop by hand, and the network of ADM in two parts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import Inpainting
from jaxpr.diffusion import cached_denoiser, from_eps, linear_schedule, strided
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet, split_adm_unet
from jaxpr.samplers import Guidance, ddnm, ddrm, dps, repaint

SHAPE, SCHEDULE, KEY = (8, 8, 1), linear_schedule(), jax.random.key(0)
MASK = Inpainting(np.arange(64).reshape(8, 8) % 3 > 0, channels=1)
Y = jnp.where(MASK.mask[..., None], jax.random.uniform(KEY, (2, *SHAPE)), 0)
CONFIG = ADMUNetConfig(
    in_channels=1,
    out_channels=1,
    model_channels=32,
    num_res_blocks=1,
    attention_resolutions=(2,),
    channel_mult=(1, 2),
    num_head_channels=32,
)


def deep(x):
    return jnp.tanh(3 * jnp.flip(x, axis=1))


def whole(x, t):
    features = deep(x)
    return 0.5 * x + 0.1 * features, {"features": features}


def shallow(x, t, features):
    return 0.5 * x + 0.1 * features["features"]


def cached(every):
    return cached_denoiser(whole, shallow, adapter=functools.partial(from_eps, schedule=SCHEDULE), every=every)


def by_hand(every, *, steps, noise):
    """DDIM without fresh noise and the known pixels pasted, as DDNM does, in float64."""
    schedule = strided(SCHEDULE, steps)
    levels = np.append(schedule.alpha_bar, 1.0)
    x, known = np.asarray(noise, np.float64), np.asarray(MASK.mask)[..., None]
    y, features = 2 * np.asarray(Y, np.float64) - 1, np.zeros(x.shape)
    for call, now in enumerate(range(steps)[::-1]):
        if call % every == 0:
            features = np.tanh(3 * np.flip(x, axis=2))
        eps = 0.5 * x + 0.1 * features
        x0 = (x - np.sqrt(1 - levels[now]) * eps) / np.sqrt(levels[now])
        x0 = np.where(known, y, x0)
        before = levels[now - 1]
        x = np.sqrt(before) * x0 + np.sqrt(1 - before) * eps
    return (x + 1) / 2


@pytest.mark.parametrize("every", [1, 2, 3])
def test_features_are_those_of_the_last_whole_call(every):
    noise = jax.random.normal(KEY, (2, 2, *SHAPE))
    run = jax.jit(
        lambda y: (
            ddnm(
                KEY,
                cached(every),
                y,
                MASK,
                schedule=SCHEDULE,
                samples=2,
                noise_std=0.0,
                steps=7,
                eta=0.0,
                noise={"start": noise, "step": jnp.zeros((7, *noise.shape))},
            ).x
        )
    )
    # The first steps divide by √ᾱ of 0.006, which multiplies roundings of float32.
    np.testing.assert_allclose(run(Y), by_hand(every, steps=7, noise=noise), rtol=0, atol=2e-4)
    assert np.abs(by_hand(1, steps=7, noise=noise) - by_hand(2, steps=7, noise=noise)).max() > 0.01


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("sampler", "options"), [(ddnm, {"travel_length": 2, "travel_repeat": 2}), (ddrm, {}), (repaint, {})]
)
def test_every_call_whole_is_the_plain_denoiser(sampler, options):
    settings = {"schedule": SCHEDULE, "samples": 2, "noise_std": 0.0, "steps": 5, "guidance": Guidance(0.3), **options}
    plain = from_eps(lambda x, t: whole(x, t)[0], schedule=SCHEDULE)

    def run(denoiser):
        return sampler(KEY, denoiser, Y, MASK, **settings)

    np.testing.assert_array_equal(run(cached(1)).x, run(plain).x)
    rarely = run(cached(4))
    assert rarely.finite.all()
    assert np.abs(rarely.x - run(plain).x).max() > 1e-3


@pytest.mark.thorough
def test_parts_of_the_network_make_the_network():
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda part: part + 0.05 * random.standard_normal(part.shape), adm_unet(CONFIG).init(KEY))
    params = jax.tree.map(jnp.float32, params)
    x, t = jax.random.normal(KEY, (2, *SHAPE)), jnp.asarray([3, 500])
    output = adm_unet(CONFIG).apply(params, x, t)
    for stages, width in ((1, 32), (2, 64), (3, 64)):
        parts = split_adm_unet(CONFIG, stages=stages)
        found, features = parts.whole(params, x, t)
        assert features.shape[-1] == width
        np.testing.assert_array_equal(found, output)
        np.testing.assert_array_equal(parts.shallow(params, x, t, features), output)
        assert np.abs(parts.shallow(params, x, t, features[::-1]) - output).max() > 1e-2 * np.abs(output).max()


@pytest.mark.thorough
def test_shallow_parts_are_cheap():
    params = jax.eval_shape(adm_unet(CONFIG).init, KEY)
    x, t = jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32), jax.ShapeDtypeStruct((1,), jnp.int32)
    parts = split_adm_unet(CONFIG)
    _, features = jax.eval_shape(parts.whole, params, x, t)

    def operations(fn, *inputs):
        return jax.jit(fn).lower(params, *inputs).cost_analysis()["flops"]

    assert operations(parts.shallow, x, t, features) < 0.35 * operations(parts.whole, x, t)


def test_what_cannot_use_it_is_refused():
    with pytest.raises(InputError, match=r"denoiser: found a CachedDenoiser, expected a whole one"):
        dps(KEY, cached(2), Y, MASK, schedule=SCHEDULE, samples=1, noise_std=0.0)
    with pytest.raises(InputError, match=r"every: found 0"):
        cached(0)
    with pytest.raises(InputError, match=r"stages: found 4, expected at most 3"):
        split_adm_unet(CONFIG, stages=4)
