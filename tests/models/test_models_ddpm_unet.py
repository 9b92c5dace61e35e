"""The DDPM U-Net against the published implementation (tests/golden/ddpm_unet), and its behaviour."""

import jax
import numpy as np
import pytest
from golden_networks import (
    FLOAT32,
    arrays,
    assert_behaves,
    assert_complete,
    assert_recomputes,
    assert_summary,
    error,
    fills,
    manifest,
    nchw,
    nhwc,
    parameters,
    shapes,
)

from jaxpr.core import InputError
from jaxpr.models.ddpm_unet import DDPM_UNET, DDPMUNetConfig, attention_levels, ddpm_unet
from jaxpr.models.diffusion_parts import timestep_embedding
from jaxpr.models.functional import Model
from jaxpr.models.layers import Compute
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.weights.networks import recognise

MANIFEST, ARRAYS = manifest("ddpm_unet"), arrays("ddpm_unet")
CASES, NAMINGS = MANIFEST["cases"], DDPM_UNET.namings
PUBLISHED = DDPMUNetConfig()


def configured(official: dict) -> DDPMUNetConfig:
    sizes = {name: official[name] for name in ("in_channels", "out_ch", "ch", "num_res_blocks", "resamp_with_conv")}
    levels = attention_levels(
        image_size=official["image_size"],
        attn_resolutions=tuple(official["attn_resolutions"]),
        levels=len(official["ch_mult"]),
    )
    return DDPMUNetConfig(**sizes, ch_mult=tuple(official["ch_mult"]), attention_levels=levels)


def case_parameters(name: str) -> dict:
    case = CASES[name]
    return parameters(ddpm_unet(configured(case["config"])), case["keys"], case["gain"], NAMINGS)


REDUCED = configured(CASES["reduced"]["config"])
RUN = jax.jit(ddpm_unet(REDUCED).apply)


@pytest.mark.parametrize("name", ["reduced", "eps_probe"])
def test_golden_outputs(name):
    x, t = (ARRAYS[part] for part in CASES[name]["inputs"])
    assert configured(CASES[name]["config"]) == REDUCED
    found = RUN(case_parameters(name), nhwc(x), t)
    assert error(nchw(found), ARRAYS[CASES[name]["output"]]) <= FLOAT32


@pytest.mark.parametrize("width", [32, 33])
def test_golden_embeddings_of_times(width):
    found = timestep_embedding(ARRAYS["temb_t"], width, cosine_first=False, closed=True)
    assert error(found, ARRAYS[f"temb_{width}"]) <= FLOAT32


@pytest.mark.parametrize("name", CASES)
def test_the_file_tells_the_configuration(name):
    config, named = configured(CASES[name]["config"]), shapes(CASES[name]["keys"])
    assert recognise(named) == (DDPM_UNET, config)
    assert_complete(abstract_parameters(ddpm_unet(config)), named, NAMINGS)


def test_published_file_is_recognised_and_complete():
    config, named = configured(MANIFEST["config"]), shapes(MANIFEST["official_keys"])
    assert config == PUBLISHED
    assert recognise(named) == (DDPM_UNET, config)
    assert_complete(abstract_parameters(ddpm_unet(config)), named, NAMINGS)


@pytest.mark.slow
def test_published_size():
    full, model = MANIFEST["full_case"], ddpm_unet(PUBLISHED)
    params = parameters(model, MANIFEST["official_keys"], MANIFEST["gain"], NAMINGS)
    x = (np.random.default_rng(0).random((1, 3, 64, 64)) * 2 - 1).astype(np.float32)
    assert_summary(nchw(jax.jit(model.apply)(params, nhwc(x), full["timestep"])), full["output"])


SMALL = DDPMUNetConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, attention_levels=(1,))
IMAGES = np.random.default_rng(0).random((2, 4, 6, 3), np.float32)


def at_one_time(config: DDPMUNetConfig):
    def build(compute: Compute) -> Model:
        model = ddpm_unet(config, compute=compute)
        return Model(model.init, lambda params, x: model.apply(params, x, 37.5))

    return build


def drawn_parameters(config: DDPMUNetConfig) -> dict:
    model = ddpm_unet(config)
    return parameters(model, fills(torch_shapes(abstract_parameters(model))), 1.0, NAMINGS)


@pytest.mark.slow
def test_behaviour():
    assert_behaves(at_one_time(SMALL), drawn_parameters(SMALL), IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize("convolve", [True, False])
def test_recomputed_activations(convolve):
    config = SMALL._replace(resamp_with_conv=convolve)
    assert_recomputes(at_one_time(config), drawn_parameters(config), IMAGES)


@pytest.mark.slow
def test_one_time_for_all_and_attention_in_blocks():
    params, x = case_parameters("reduced"), nhwc(ARRAYS["reduced_in"])
    blocks = jax.jit(ddpm_unet(REDUCED, compute=Compute(attention_limit=100)).apply)  # of 2 × 64² logits
    assert error(blocks(params, x, 757)[1:], nhwc(ARRAYS["reduced_out"])[1:]) <= 2 * FLOAT32  # of half the batch


def test_other_sizes_of_images():
    model = ddpm_unet(PUBLISHED)
    x = jax.ShapeDtypeStruct((1, 64, 32, 3), np.float32)
    assert jax.eval_shape(model.apply, abstract_parameters(model), x, 0).shape == (1, 64, 32, 3)


def test_levels_of_resolutions():
    assert attention_levels(image_size=32, attn_resolutions=(16, 4), levels=4) == (1, 3)
    assert attention_levels(image_size=32, attn_resolutions=(), levels=4) == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ch": 48}, "ch and ch_mult: found (48, 48, 96) channels, expected multiples of 32"),
        ({"ch_mult": ()}, "ch_mult and num_res_blocks: found () and 1"),
        ({"num_res_blocks": 0}, "ch_mult and num_res_blocks: found (1, 2) and 0"),
    ],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(InputError) as caught:
        ddpm_unet(SMALL._replace(**changes))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("shape", "times", "message"),
    [
        ((1, 8, 8, 1), (), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
        ((1, 8, 7, 3), (), "x: found 8×7 pixels, expected multiples of 2"),
        ((1, 8, 8, 3), (2,), "t: found shape (2,), expected () or (1,)"),
    ],
)
def test_wrong_inputs(shape, times, message):
    model = ddpm_unet(SMALL)
    with pytest.raises(InputError) as caught:
        jax.eval_shape(model.apply, abstract_parameters(model), np.zeros(shape, np.float32), np.zeros(times))
    assert str(caught.value).startswith(message)
