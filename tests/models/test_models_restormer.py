"""Restormer: expansion factors, pairs, sizes of images. See `test_models_golden.py`."""

import jax
import numpy as np
import pytest
from golden_cases import abstract_of, model_of
from golden_networks import assert_complete, quick
from golden_sizes import RESTORMER, SHALLOW, drawn_parameters

from jaxpr.models.naming import torch_shapes
from jaxpr.weights.networks import recognise

IMAGES = np.random.default_rng(0).random((2, 13, 11, 3), np.float32)


@pytest.mark.parametrize("factor", quick([1.0, 2.0, 2.5, 8 / 3, 4.0], 8 / 3))
def test_other_expansion_factors_are_recognised_by_their_widths(factor):
    params = abstract_of(RESTORMER._replace(ffn_expansion_factor=factor))
    network, found = recognise(torch_shapes(params))
    assert len(str(found.ffn_expansion_factor)) <= len(str(factor))
    assert_complete(params, torch_shapes(abstract_of(found)), network.namings)


@pytest.mark.slow
def test_a_dual_pixel_pair_becomes_one_image_without_the_input():
    config = SHALLOW._replace(inp_channels=6, dual_pixel_task=True)
    model, params = model_of(config), drawn_parameters(config)
    params["output"]["kernel"] = 0 * params["output"]["kernel"]
    pair = np.concatenate([IMAGES, IMAGES], axis=-1)
    np.testing.assert_array_equal(model.apply(params, pair), np.zeros_like(IMAGES))


@pytest.mark.slow
def test_other_sizes_are_extended_by_reflection():
    model, params = model_of(SHALLOW), drawn_parameters(SHALLOW)
    extended = np.pad(IMAGES, ((0, 0), (0, 3), (0, 5), (0, 0)), mode="reflect")
    expected = jax.jit(model.apply)(params, extended)[:, :13, :11]
    np.testing.assert_array_equal(jax.jit(model.apply)(params, IMAGES), expected)
