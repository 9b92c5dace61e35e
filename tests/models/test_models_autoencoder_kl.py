"""AutoencoderKL: names of its tensors, latents, samples. See `test_models_golden.py`."""

import re

import jax
import numpy as np
import pytest
from golden_cases import CASES, abstract_of
from golden_networks import assert_complete, drawn, manifest
from golden_sizes import AUTOENCODER, drawn_parameters

from jaxpr.core import InputError
from jaxpr.models.autoencoder_kl import AUTOENCODER_KL, AutoencoderKLConfig, Posterior, autoencoder_kl
from jaxpr.models.naming import convert, torch_shapes
from jaxpr.weights.networks import recognise

NAMINGS, OFFICIAL = AUTOENCODER_KL.namings, manifest("sd_vae")["official_keys"]
PUBLISHED, REDUCED = AutoencoderKLConfig(), CASES["sd_vae-reduced"]
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
    assert_complete(abstract_of(PUBLISHED), named, NAMINGS)


def test_all_names_of_a_tensor_are_one():
    diffusers = NAMINGS[2]
    for name, _, _, _, earlier, compvis, _ in OFFICIAL:
        assert diffusers.canonical(name) == diffusers.canonical(earlier) == compvis


@pytest.mark.thorough
def test_attention_of_convolutions_is_that_of_dense_layers():
    tensors = {}
    for name, array in drawn(REDUCED.keys, REDUCED.gain).items():
        square = ".attentions." in name and array.ndim == 2
        tensors[NAMINGS[2].canonical(name)] = array[..., None, None] if square else array
    found = convert(abstract_of(REDUCED.config), tensors, NAMINGS, source="CompVis")
    jax.tree.map(np.testing.assert_array_equal, found, REDUCED.parameters())


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


@pytest.mark.thorough
@pytest.mark.parametrize("levels", [1, 3, 5])
def test_other_numbers_of_levels(levels):
    config = AUTOENCODER._replace(
        block_out_channels=(8, 8, 16, 24, 24)[:levels], use_quant_conv=levels > 1, use_post_quant_conv=levels < 5
    )
    abstract = abstract_of(config)
    named = {in_diffusers(name, levels): shape for name, shape in torch_shapes(abstract).items()}
    assert recognise(named) == (AUTOENCODER_KL, config)
    assert_complete(abstract, named, NAMINGS)


@pytest.mark.slow
@pytest.mark.parametrize(("part", "shape"), [("encode", (1, 1360, 2040, 3)), ("decode", (1, 170, 255, 4))])
def test_whole_photographs_fit_into_16_gigabytes(part, shape):
    """As XLA plans buffers on this device; without attention in blocks its logits alone would have 7.5 GB."""
    run = jax.jit(getattr(autoencoder_kl(PUBLISHED), part))
    memory = run.lower(abstract_of(PUBLISHED), jax.ShapeDtypeStruct(shape, np.float32)).compile().memory_analysis()
    assert memory.temp_size_in_bytes + memory.argument_size_in_bytes + memory.output_size_in_bytes < 16e9


IMAGES = np.random.default_rng(0).random((2, 5, 6, 3), np.float32)


def test_sizes_of_latents_and_images():
    network = autoencoder_kl(PUBLISHED)
    params = abstract_of(PUBLISHED)
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
    params = drawn_parameters(AUTOENCODER)
    params["quant_conv"]["bias"] = np.array([0.0] * 4 + [1e4, 1e4, -1e4, -1e4], np.float32)
    logvar = jax.jit(autoencoder_kl(AUTOENCODER).encode)(params, IMAGES).logvar
    assert (np.asarray(logvar) == [20.0, 20.0, -30.0, -30.0]).all()


@pytest.mark.parametrize(
    ("part", "shape", "message"),
    [
        ("encode", (1, 8, 8, 1), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
        ("encode", (1, 8, 7, 3), "x: found 8×7 pixels, expected 8 or more"),
        ("decode", (1, 8, 8, 3), "x: found shape (1, 8, 8, 3), expected (N, H, W, 4)"),
    ],
)
def test_wrong_inputs_of_its_parts(part, shape, message):
    network = autoencoder_kl(REDUCED.config)
    with pytest.raises(InputError) as caught:
        jax.eval_shape(getattr(network, part), abstract_of(REDUCED.config), np.zeros(shape, np.float32))
    assert str(caught.value).startswith(message)
