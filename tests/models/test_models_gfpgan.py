"""GFPGAN against the published implementation (tests/golden/gfpgan_clean), and its behaviour."""

import functools

import jax
import jax.numpy as jnp
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
    full_input,
    manifest,
    nchw,
    nhwc,
    parameters,
    shapes,
)

from jaxpr.core import InputError
from jaxpr.models.functional import Model
from jaxpr.models.gfpgan import GFPGAN, GFPGANConfig, gfpgan, gfpgan_noises
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.weights.networks import recognise

MANIFEST, ARRAYS = manifest("gfpgan_clean"), arrays("gfpgan_clean")
CASES, NAMINGS = MANIFEST["cases"], GFPGAN.namings
TRAINING = ("decoder_load_path", "fix_decoder")


def configured(official: dict) -> GFPGANConfig:
    return GFPGANConfig(**{name: value for name, value in official.items() if name not in TRAINING})


def outputs(model, params, x) -> list[np.ndarray]:
    return [nchw(y) for y in jax.tree.leaves(jax.jit(model.apply)(params, x))]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["input"] in ARRAYS])
def test_golden_outputs(name):
    case = CASES[name]
    model = gfpgan(configured(case["config"]), everything=True)
    params = parameters(model, case["keys"], MANIFEST["gain"], NAMINGS)
    found = outputs(model, params, nhwc(ARRAYS[case["input"]]))
    for y, expected in zip(found, case["outputs"], strict=True):
        assert error(y, ARRAYS[expected]) <= FLOAT32


@pytest.mark.parametrize("name", CASES)
def test_the_file_tells_the_configuration(name):
    config, named = configured(CASES[name]["config"]), shapes(CASES[name]["keys"])
    assert recognise(named) == (GFPGAN, config)
    assert_complete(abstract_parameters(gfpgan(config)), named, NAMINGS)


def test_published_files_are_recognised_and_complete():
    assert {configured(file["config"]) for file in MANIFEST["checkpoints"]} == {GFPGANConfig()}
    named, abstract = shapes(MANIFEST["official_keys"]), abstract_parameters(gfpgan(GFPGANConfig()))
    assert recognise(named) == (GFPGAN, GFPGANConfig())
    assert_complete(abstract, named, NAMINGS)
    noises = abstract["stylegan_decoder"].pop("noises")
    assert len(noises) == 15
    assert sum(leaf.size for leaf in jax.tree.leaves(abstract)) == MANIFEST["n_parameters"]


@pytest.mark.slow
def test_published_size():
    full = MANIFEST["full_case"]
    model = gfpgan(GFPGANConfig(), everything=True)
    params = parameters(model, MANIFEST["official_keys"], MANIFEST["gain"], NAMINGS)
    found = outputs(model, params, 2 * full_input(full) - 1)
    for y, expected in zip(found, [full["image"], *full["rgbs"]], strict=True):
        assert_summary(y, expected)


SMALL = GFPGANConfig(
    out_size=8,
    num_style_feat=8,
    num_mlp=2,
    input_is_latent=False,
    different_w=False,
    narrow=1 / 64,
    sft_half=False,
)
FACES = np.random.default_rng(0).random((2, 8, 8, 3), np.float32) * 2 - 1


@functools.cache
def drawn_parameters(config):
    model = gfpgan(config)
    return parameters(model, fills(torch_shapes(abstract_parameters(model))), 1.0, NAMINGS)


def both(compute) -> Model:
    """All outputs as one array, because some parameters change only one of them."""
    model = gfpgan(SMALL, everything=True, compute=compute)

    def apply(params, x):
        out = model.apply(params, x)
        return jnp.concatenate([out.image, *out.rgbs], axis=-1)

    return Model(model.init, apply)


@pytest.mark.slow
def test_behaviour():
    assert_behaves(both, drawn_parameters(SMALL), FACES)


@pytest.mark.slow
def test_recomputed_activations():
    assert_recomputes(both, drawn_parameters(SMALL), FACES)


@pytest.mark.slow
def test_stored_noise_is_the_default_and_drawn_noise_varies():
    params, apply = drawn_parameters(SMALL), jax.jit(gfpgan(SMALL).apply)
    stored = [params["stylegan_decoder"]["noises"][f"noise{i}"] for i in range(3)]
    repeated = tuple(jnp.broadcast_to(noise.transpose(0, 2, 3, 1), (2, *noise.shape[2:], 1)) for noise in stored)
    expected = apply(params, FACES)
    assert error(apply(params, FACES, repeated), expected) <= FLOAT32
    one, two = (apply(params, FACES, gfpgan_noises(jax.random.key(i), SMALL, 2)) for i in (0, 1))
    assert error(one, expected) > 1e-3
    assert error(two, one) > 1e-3


def test_noise_of_a_face_does_not_depend_on_the_batch():
    keys = jax.random.split(jax.random.key(0), 3)
    whole, part = gfpgan_noises(keys, SMALL, 3), gfpgan_noises(keys[1:], SMALL, 2)
    assert [noise.shape for noise in whole] == [(3, 4, 4, 1), (3, 8, 8, 1), (3, 8, 8, 1)]
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1:], b), whole, part)


@pytest.mark.slow
def test_styles_of_every_layer_can_be_mapped():
    config = SMALL._replace(different_w=True)
    assert gfpgan(config).apply(drawn_parameters(config), FACES).shape == FACES.shape


@pytest.mark.parametrize(("multiplier", "narrow"), [(1, 1), (2, 0.5), (0.5, 0.25)])
def test_widths_are_recognised(multiplier, narrow):
    config = GFPGANConfig(out_size=128, channel_multiplier=multiplier, narrow=narrow)
    params = abstract_parameters(gfpgan(config))
    assert recognise(torch_shapes(params)) == (GFPGAN, config)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out_size": 48}, "out_size: found 48, expected a power of two, 8 to 1024"),
        ({"out_size": 4}, "out_size: found 4, expected a power of two"),
        ({"narrow": 1 / 512}, "narrow: found 0.001953125, expected enough for one channel"),
    ],
)
def test_sizes_that_do_not_exist(changes, message):
    with pytest.raises(InputError) as caught:
        gfpgan(SMALL._replace(**changes))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("shape", "noises", "message"),
    [
        ((1, 8, 8, 1), (), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
        ((1, 8, 16, 3), (), "x: found 8×16 pixels, expected 8×8"),
        ((1, 8, 8, 3), ((),), "noises: found shapes [], expected [(1, 4, 4, 1), (1, 8, 8, 1), (1, 8, 8, 1)]"),
    ],
)
def test_wrong_inputs(shape, noises, message):
    model = gfpgan(SMALL)
    with pytest.raises(InputError) as caught:
        jax.eval_shape(model.apply, abstract_parameters(model), np.zeros(shape, np.float32), *noises)
    assert str(caught.value) == message
