"""AutoencoderKL against the published implementation (tests/golden/sd_vae), and its behaviour."""

import functools
import re

import jax
import numpy as np
import pytest
from golden_networks import (
    BFLOAT16,
    FLOAT32,
    arrays,
    assert_behaves,
    assert_complete,
    assert_recomputes,
    assert_summary,
    drawn,
    error,
    fills,
    manifest,
    nchw,
    nhwc,
    parameters,
    shapes,
)

from jaxpr.core import InputError
from jaxpr.models.autoencoder_kl import AUTOENCODER_KL, AutoencoderKLConfig, Posterior, autoencoder_kl
from jaxpr.models.layers import Compute
from jaxpr.models.naming import abstract_parameters, convert, torch_shapes
from jaxpr.weights.networks import recognise

MANIFEST, ARRAYS = manifest("sd_vae"), arrays("sd_vae")
CASES, NAMINGS, OFFICIAL = MANIFEST["cases"], AUTOENCODER_KL.namings, MANIFEST["official_keys"]
PUBLISHED = AutoencoderKLConfig()


def configured(official: dict) -> AutoencoderKLConfig:
    sizes = {name: value for name, value in official.items() if name in AutoencoderKLConfig._fields}
    return AutoencoderKLConfig(**sizes)._replace(block_out_channels=tuple(official["block_out_channels"]))


REDUCED = configured(CASES["reduced"]["config"])
SMALL = REDUCED._replace(block_out_channels=(8, 16), layers_per_block=1)


@functools.cache
def case_parameters(name: str) -> dict:
    case = CASES[name]
    return parameters(autoencoder_kl(REDUCED).model, case["keys"], case.get("gain", MANIFEST["gain"]), NAMINGS)


@functools.cache
def compiled():
    network = autoencoder_kl(REDUCED)
    return jax.jit(network.encode), jax.jit(network.decode)


def drawn_parameters(config: AutoencoderKLConfig) -> dict:
    model = autoencoder_kl(config).model
    return parameters(model, fills(torch_shapes(abstract_parameters(model))), 1.0, NAMINGS)


@pytest.mark.parametrize(("name", "prefix"), [("reduced", ""), ("eps_probe", "eps_probe_")])
def test_golden_outputs(name, prefix):
    params, (encode, decode) = case_parameters(name), compiled()
    posterior = encode(params, nhwc(ARRAYS["in"]))
    found = {
        "mean": posterior.mean,
        "logvar": posterior.logvar,
        "std": posterior.std,
        "sample": posterior.at(nhwc(ARRAYS["eps"])),
        "recon": decode(params, posterior.mean),
        "decode_z": decode(params, nhwc(ARRAYS["z_in"])),
    }
    compared = [part for part in found if prefix + part in ARRAYS]
    assert len(compared) == (2 if prefix else 6)
    for part in compared:
        assert error(nchw(found[part]), ARRAYS[prefix + part]) <= FLOAT32, part


SCHEMES = {
    "diffusers": [(key[0], key[1]) for key in OFFICIAL],
    "diffusers, earlier": [(key[4], key[1]) for key in OFFICIAL],
    "CompVis": [*((key[5], key[6]) for key in OFFICIAL), ("loss.logvar", []), ("model_ema.decay", [])],
    "Stable Diffusion": [
        *(("first_stage_model." + key[5], key[6]) for key in OFFICIAL),
        ("model.diffusion_model.out.2.bias", [4]),
    ],
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_published_files_are_recognised_and_complete(scheme):
    named = {name: tuple(shape) for name, shape in SCHEMES[scheme]}
    assert recognise(named) == (AUTOENCODER_KL, PUBLISHED)
    assert_complete(published_abstract(), named, NAMINGS)


@functools.cache
def published_abstract() -> dict:
    return abstract_parameters(autoencoder_kl(PUBLISHED).model)


@pytest.mark.parametrize("name", CASES)
def test_the_file_tells_the_configuration(name):
    named = shapes(CASES[name]["keys"])
    assert configured(CASES[name]["config"]) == REDUCED
    assert recognise(named) == (AUTOENCODER_KL, REDUCED)
    assert_complete(abstract_parameters(autoencoder_kl(REDUCED).model), named, NAMINGS)


def test_all_names_of_a_tensor_are_one():
    diffusers = NAMINGS[2]
    for name, _, _, _, earlier, compvis, _ in OFFICIAL:
        assert diffusers.canonical(name) == diffusers.canonical(earlier) == compvis


def test_attention_of_convolutions_is_that_of_dense_layers():
    tensors = {}
    for name, array in drawn(CASES["reduced"]["keys"], MANIFEST["gain"]).items():
        square = ".attentions." in name and array.ndim == 2
        tensors[NAMINGS[2].canonical(name)] = array[..., None, None] if square else array
    found = convert(abstract_parameters(autoencoder_kl(REDUCED).model), tensors, NAMINGS, source="CompVis")
    jax.tree.map(np.testing.assert_array_equal, found, case_parameters("reduced"))


def in_diffusers(name: str, levels: int) -> str:
    name = re.sub(r"\.up\.(\d)\.", lambda match: f".up_blocks.{levels - 1 - int(match[1])}.", name)
    for ours, theirs in (
        (r"\.down\.(\d)\.", r".down_blocks.\1."),
        (r"\.block\.(\d)\.", r".resnets.\1."),
        (r"\.nin_shortcut\.", ".conv_shortcut."),
        (r"\.(down|up)sample\.", r".\1samplers.0."),
        (r"\.mid\.block_1\.", ".mid_block.resnets.0."),
        (r"\.mid\.block_2\.", ".mid_block.resnets.1."),
        (r"\.norm_out\.", ".conv_norm_out."),
        (r"\.mid\.attn_1\.norm\.", ".mid_block.attentions.0.group_norm."),
        (r"\.mid\.attn_1\.proj_out\.", ".mid_block.attentions.0.to_out.0."),
        (r"\.mid\.attn_1\.(\w)\.", r".mid_block.attentions.0.to_\1."),
    ):
        name = re.sub(ours, theirs, name)
    return name


@pytest.mark.parametrize("levels", [1, 3, 5])
def test_other_numbers_of_levels(levels):
    config = SMALL._replace(
        block_out_channels=(8, 8, 16, 24, 24)[:levels], use_quant_conv=levels > 1, use_post_quant_conv=levels < 5
    )
    abstract = abstract_parameters(autoencoder_kl(config).model)
    named = {in_diffusers(name, levels): shape for name, shape in torch_shapes(abstract).items()}
    assert recognise(named) == (AUTOENCODER_KL, config)
    assert_complete(abstract, named, NAMINGS)


@pytest.mark.slow
def test_published_size():
    full = MANIFEST["full_case"]
    network = autoencoder_kl(PUBLISHED)
    params = parameters(network.model, [key[:4] for key in OFFICIAL], full["gain"], NAMINGS)
    x = (np.random.default_rng(0).random((1, 3, 32, 32)) * 2 - 1).astype(np.float32)
    posterior = jax.jit(network.encode)(params, nhwc(x))
    assert_summary(nchw(posterior.mean), full["moments_mean"])
    assert_summary(nchw(posterior.logvar), full["moments_logvar"])
    assert_summary(nchw(jax.jit(network.decode)(params, posterior.mean)), full["decode_of_mean"])


IMAGES = np.random.default_rng(0).random((2, 5, 6, 3), np.float32)


@pytest.mark.slow
def test_behaviour():
    def build(compute):
        return autoencoder_kl(SMALL, compute=compute).model

    # The decoder amplifies the encoder's rounding: 0.015 of the latents, 0.030 of the decoder alone, 0.058 of both.
    assert_behaves(build, drawn_parameters(SMALL), IMAGES, bfloat16=2 * BFLOAT16)


@pytest.mark.slow
def test_recomputed_activations():
    config = SMALL._replace(layers_per_block=2)
    assert_recomputes(lambda compute: autoencoder_kl(config, compute=compute).model, drawn_parameters(config), IMAGES)


@pytest.mark.slow
def test_attention_in_blocks():
    params, x = case_parameters("reduced"), nhwc(ARRAYS["in"])
    encode = autoencoder_kl(REDUCED, compute=Compute(attention_limit=100)).encode  # of 2 × 12² logits
    assert error(nchw(jax.jit(encode)(params, x).mean), ARRAYS["mean"]) <= FLOAT32


def test_sizes_of_latents_and_images():
    network = autoencoder_kl(PUBLISHED)
    params = published_abstract()
    posterior = jax.eval_shape(network.encode, params, jax.ShapeDtypeStruct((1, 23, 8, 3), np.float32))
    assert posterior.mean.shape == posterior.logvar.shape == (1, 2, 1, 4)
    assert jax.eval_shape(network.decode, params, posterior.mean).shape == (1, 16, 8, 3)


def test_samples_of_the_posterior():
    posterior = Posterior(np.full((2000, 1, 1, 2), 3.0, np.float32), np.full((2000, 1, 1, 2), -2.0, np.float32))
    found = posterior.sample(jax.random.key(0))
    assert abs(found.mean() - 3) < 0.03  # 4000 samples of deviation exp(-1)
    assert abs(found.std() - np.exp(-1)) < 0.03


@pytest.mark.slow
def test_variances_are_bounded():
    params = drawn_parameters(SMALL)
    params["quant_conv"]["bias"] = np.array([0.0] * 4 + [1e4, 1e4, -1e4, -1e4], np.float32)
    logvar = jax.jit(autoencoder_kl(SMALL).encode)(params, IMAGES).logvar
    assert (np.asarray(logvar) == [20.0, 20.0, -30.0, -30.0]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_out_channels": (8, 6)}, "block_out_channels: found (8, 6) channels, expected multiples of 4"),
        ({"block_out_channels": ()}, "block_out_channels and layers_per_block: found () and 2"),
        ({"layers_per_block": 0}, "block_out_channels and layers_per_block: found (8, 16, 16, 24) and 0"),
    ],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(InputError) as caught:
        autoencoder_kl(REDUCED._replace(**changes))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("part", "shape", "message"),
    [
        ("encode", (1, 8, 8, 1), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
        ("encode", (1, 8, 7, 3), "x: found 8×7 pixels, expected 8 or more"),
        ("decode", (1, 8, 8, 3), "x: found shape (1, 8, 8, 3), expected (N, H, W, 4)"),
    ],
)
def test_wrong_inputs(part, shape, message):
    with pytest.raises(InputError) as caught:
        getattr(autoencoder_kl(REDUCED), part)(case_parameters("reduced"), np.zeros(shape, np.float32))
    assert str(caught.value).startswith(message)
