"""Swin2SR: ranges, the second output, windows that are not shifted. See `test_models_golden.py`."""

import jax
import numpy as np
import pytest
from golden_cases import CASES, abstract_of, model_of
from golden_networks import FLOAT32, error, shapes
from golden_sizes import SWIN2SR, drawn_parameters

from jaxpr.core import InputError
from jaxpr.models.swin2sr import swin2sr
from jaxpr.weights.networks import recognise

IMAGES = np.random.default_rng(0).random((2, 7, 5, 3), np.float32)


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith("swin2sr-")])
def test_windows_tell_the_range(name):
    # It is not in the file; no other than the JPEG network, with windows of 7, has one besides 1.
    _, found = recognise(shapes(CASES[name].keys))
    assert found.img_range == (255 if found.window_size == 7 else 1)


@pytest.mark.slow
def test_the_restored_small_image_is_a_second_output_on_request():
    params = drawn_parameters(SWIN2SR)
    both = jax.jit(swin2sr(SWIN2SR, auxiliary=True).apply)(params, IMAGES)
    assert both.image.shape == (2, 14, 10, 3)
    assert both.small.shape == (2, 8, 8, 3)  # of the input, extended to windows of 4
    assert error(jax.jit(swin2sr(SWIN2SR).apply)(params, IMAGES), both.image) <= FLOAT32


def test_windows_of_images_no_larger_than_them_are_not_shifted():
    config = SWIN2SR._replace(depths=(2,), upscale=1, upsampler="")
    assert _shifts(config._replace(img_size=8)) == 2
    assert _shifts(config._replace(img_size=4)) == 0


def _shifts(config) -> int:
    """How often the network rolls images, forth or back."""
    program = jax.make_jaxpr(model_of(config).apply)(abstract_of(config), np.zeros((1, 8, 8, 3), np.float32))
    return str(program).count("_roll")


def test_a_second_output_that_does_not_exist():
    with pytest.raises(InputError, match="auxiliary: found True with 'pixelshuffle'"):
        swin2sr(SWIN2SR._replace(upsampler="pixelshuffle"), auxiliary=True)
