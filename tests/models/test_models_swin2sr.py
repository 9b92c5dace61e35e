"""Swin2SR against the published implementation (tests/golden/swin2sr), and its behaviour."""

import functools

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
    full_input,
    manifest,
    nchw,
    nhwc,
    parameters,
    quick,
    shapes,
    with_arrays,
)

from jaxpr.core import InputError
from jaxpr.models.layers import Compute
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.models.swin2sr import SWIN2SR, Swin2SRConfig, swin2sr
from jaxpr.weights.networks import recognise

MANIFEST, ARRAYS = manifest("swin2sr"), arrays("swin2sr")
CASES, NAMINGS = MANIFEST["cases"], SWIN2SR.namings


def configured(official: dict) -> Swin2SRConfig:
    return Swin2SRConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in official.items()})


def outputs(model, params, x) -> list[np.ndarray]:
    return [nchw(y) for y in jax.tree.leaves(jax.jit(model.apply)(params, x))]


@pytest.mark.parametrize("name", quick(with_arrays("swin2sr"), "compressed_x4_pad"))
def test_golden_outputs(name):
    case = CASES[name]
    model = swin2sr(configured(case["config"]), auxiliary=len(case["outputs"]) > 1)
    params = parameters(model, case["keys"], case["gain"], NAMINGS)
    found = outputs(model, params, nhwc(ARRAYS[case["input"]]))
    for y, expected in zip(found, case["outputs"], strict=True):
        assert error(y, ARRAYS[expected]) <= FLOAT32


@pytest.mark.parametrize("name", CASES)
def test_the_file_tells_the_configuration(name):
    config = configured(CASES[name]["config"])
    named = shapes(CASES[name]["keys"])
    network, found = recognise(named)
    # The range is not in the file; no other than the JPEG network, with windows of 7, has one besides 1.
    assert (network, found._replace(img_range=config.img_range)) == (SWIN2SR, config)
    assert found.img_range == (255 if config.window_size == 7 else 1)
    assert_complete(abstract_parameters(swin2sr(config)), named, NAMINGS)


@pytest.mark.parametrize("name", MANIFEST["official_keys"])
def test_published_files_are_recognised_and_complete(name):
    config, named = configured(MANIFEST["full_cases"][name]["config"]), shapes(MANIFEST["official_keys"][name])
    assert recognise(named) == (SWIN2SR, config)
    assert_complete(abstract_parameters(swin2sr(config)), named, NAMINGS)


def test_every_published_configuration_can_be_built():
    built = {configured(checkpoint["config"]) for checkpoint in MANIFEST["checkpoints"]}
    assert len(built) == 6
    for config in built:
        small = config._replace(depths=(1,), num_heads=config.num_heads[:1])
        model, scale = swin2sr(small), config.scale
        x = jax.ShapeDtypeStruct((1, 17, 9, config.in_chans), np.float32)
        out = jax.eval_shape(model.apply, abstract_parameters(model), x)
        assert out.shape == (1, 17 * scale, 9 * scale, config.in_chans)


@pytest.mark.slow
@pytest.mark.parametrize("name", MANIFEST["full_cases"])
def test_published_size(name):
    full = MANIFEST["full_cases"][name]
    model = swin2sr(configured(full["config"]), auxiliary=len(full["outputs"]) > 1)
    params = parameters(model, MANIFEST["official_keys"][name], full["gain"], NAMINGS)
    for y, expected in zip(outputs(model, params, full_input(full)), full["outputs"], strict=True):
        assert_summary(y, expected)


SMALL = configured(CASES["compressed_x4_pad"]["config"])._replace(depths=(1,), num_heads=(2,), upscale=2)
IMAGES = np.random.default_rng(0).random((2, 7, 5, 3), np.float32)


@functools.cache
def drawn_parameters(config):
    model = swin2sr(config)
    return parameters(model, fills(torch_shapes(abstract_parameters(model))), 1.0, NAMINGS)


@pytest.mark.slow
@pytest.mark.parametrize("upsampler", ["pixelshuffledirect", "pixelshuffle_aux"])
def test_behaviour(upsampler):
    config = SMALL._replace(upsampler=upsampler)
    assert_behaves(lambda compute: swin2sr(config, compute=compute), drawn_parameters(config), IMAGES)


@pytest.mark.slow
def test_recomputed_activations():
    config = SMALL._replace(depths=(2,), upsampler="pixelshuffledirect")
    assert_recomputes(lambda compute: swin2sr(config, compute=compute), drawn_parameters(config), IMAGES)


@pytest.mark.slow
def test_attention_in_blocks_of_windows():
    case = CASES["lightweight_x2"]
    model = swin2sr(configured(case["config"]), compute=Compute(attention_limit=3000))
    params = parameters(model, case["keys"], case["gain"], NAMINGS)
    (found,) = outputs(model, params, nhwc(ARRAYS[case["input"]]))
    assert error(found, ARRAYS["lightweight_x2_out"]) <= FLOAT32


@pytest.mark.slow
def test_the_restored_small_image_is_a_second_output_on_request():
    params = drawn_parameters(SMALL)
    both = jax.jit(swin2sr(SMALL, auxiliary=True).apply)(params, IMAGES)
    assert both.image.shape == (2, 14, 10, 3)
    assert both.small.shape == (2, 8, 8, 3)  # of the input, extended to windows of 4
    assert error(jax.jit(swin2sr(SMALL).apply)(params, IMAGES), both.image) <= FLOAT32


def test_windows_of_images_no_larger_than_them_are_not_shifted():
    config = SMALL._replace(depths=(2,), upscale=1, upsampler="")
    assert _shifts(config._replace(img_size=8)) == 2
    assert _shifts(config._replace(img_size=4)) == 0


def _shifts(config) -> int:
    """How often the network rolls images, forth or back."""
    model = swin2sr(config)
    program = jax.make_jaxpr(model.apply)(abstract_parameters(model), np.zeros((1, 8, 8, 3), np.float32))
    return str(program).count("_roll")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upsampler": "bilinear"}, "upsampler: found 'bilinear'"),
        ({"upscale": 6}, "upscale: found 6, expected a power of two or 3"),
        ({"upsampler": "nearest+conv"}, "upscale: found 2, expected 4 with nearest+conv"),
        ({"upsampler": ""}, "upscale: found 2, expected 1"),
        ({"num_heads": (2, 2)}, "depths and num_heads: found (1,) and (2, 2)"),
        ({"num_heads": (5,)}, "embed_dim: found 12, expected a multiple"),
        ({"img_size": 3}, "img_size: found 3, expected a divisor of the window 4"),
        ({"window_size": 1}, "window_size and img_size: found 1 and 8, expected > 1"),
        ({"resi_connection": "2conv"}, "resi_connection: found '2conv'"),
    ],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(InputError) as caught:
        swin2sr(SMALL._replace(**changes))
    assert str(caught.value).startswith(message)


def test_a_second_output_that_does_not_exist():
    with pytest.raises(InputError, match="auxiliary: found True with 'pixelshuffle'"):
        swin2sr(SMALL._replace(upsampler="pixelshuffle"), auxiliary=True)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 8, 8, 1), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
        ((1, 2, 8, 3), "x: found 2×8 pixels, expected enough to reflect 2 rows"),
    ],
)
def test_wrong_inputs(shape, message):
    model = swin2sr(SMALL)
    with pytest.raises(InputError) as caught:
        jax.eval_shape(model.apply, abstract_parameters(model), np.zeros(shape, np.float32))
    assert str(caught.value).startswith(message)
