"""The published kinds of networks under the samplers, with drawn weights: layouts, times and learned variances fit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.degradations import BicubicDownsample, Inpainting
from jaxpr.diffusion import from_eps, linear_schedule
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet
from jaxpr.models.ddpm_unet import DDPMUNetConfig, ddpm_unet
from jaxpr.samplers import Guidance, ddrm, dps, repaint

SHAPE, SCHEDULE, KEY = (8, 16, 3), linear_schedule(), jax.random.key(0)
MASK = Inpainting(np.arange(128).reshape(SHAPE[:2]) % 3 > 0)
ADM = adm_unet(
    ADMUNetConfig(
        model_channels=32,
        num_res_blocks=1,
        attention_resolutions=(2,),
        channel_mult=(1, 2),
        out_channels=6,
        num_heads=2,
    )
)
DDPM = ddpm_unet(
    DDPMUNetConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, attention_levels=(1,), in_channels=3, out_ch=3)
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fn", "operator", "network", "learned"),
    [
        (repaint, MASK, ADM, True),
        (dps, BicubicDownsample(SHAPE, 4), ADM, True),
        (ddrm, BicubicDownsample(SHAPE, 4), ADM, True),
        (dps, MASK, DDPM, False),
    ],
    ids=["repaint-adm", "dps-adm", "ddrm-adm", "dps-ddpm"],
)
def test_networks_fit_under_samplers(fn, operator, network, learned):
    params = network.init(KEY)
    y = operator(jnp.full((1, *SHAPE), 0.3))

    def run(params, key, y):
        denoiser = from_eps(functools.partial(network.apply, params), schedule=SCHEDULE, learned_variance=learned)
        options = {"jump_repeat": 1} if fn is repaint else {}
        settings = {"schedule": SCHEDULE, "samples": 2, "noise_std": 0.0, "steps": 3, "guidance": Guidance(0.3)}
        return fn(key, denoiser, y, operator, **settings, **options)

    found = jax.jit(run)(params, KEY, y)
    assert found.x.shape == (2, 1, *SHAPE)
    assert found.finite.all()
    assert jnp.std(found.x[0] - found.x[1]) > 1e-3
