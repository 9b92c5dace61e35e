"""GFPGAN: noise, styles, widths. See `test_models_golden.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import abstract_of
from golden_networks import FLOAT32, error, manifest
from golden_sizes import FACES, drawn_parameters

from jaxpr.models.gfpgan import GFPGAN, GFPGANConfig, gfpgan, gfpgan_noises
from jaxpr.models.naming import torch_shapes
from jaxpr.weights.networks import recognise

IMAGES = np.random.default_rng(0).random((2, 8, 8, 3), np.float32) * 2 - 1


@pytest.mark.slow
def test_stored_noise_is_the_default_and_drawn_noise_varies():
    params, apply = drawn_parameters(FACES), jax.jit(gfpgan(FACES).apply)
    stored = [params["stylegan_decoder"]["noises"][f"noise{i}"] for i in range(3)]
    repeated = tuple(jnp.broadcast_to(noise.transpose(0, 2, 3, 1), (2, *noise.shape[2:], 1)) for noise in stored)
    expected = apply(params, IMAGES)
    assert error(apply(params, IMAGES, repeated), expected) <= FLOAT32
    one, two = (apply(params, IMAGES, gfpgan_noises(jax.random.key(i), FACES, 2)) for i in (0, 1))
    assert error(one, expected) > 1e-3
    assert error(two, one) > 1e-3


def test_noise_of_a_face_does_not_depend_on_the_batch():
    keys = jax.random.split(jax.random.key(0), 3)
    whole, part = gfpgan_noises(keys, FACES, 3), gfpgan_noises(keys[1:], FACES, 2)
    assert [noise.shape for noise in whole] == [(3, 4, 4, 1), (3, 8, 8, 1), (3, 8, 8, 1)]
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[1:], b), whole, part)


@pytest.mark.slow
def test_styles_of_every_layer_can_be_mapped():
    config = FACES._replace(different_w=True)
    assert gfpgan(config).apply(drawn_parameters(config), IMAGES).shape == IMAGES.shape


@pytest.mark.thorough
@pytest.mark.parametrize(("multiplier", "narrow"), [(1, 1), (2, 0.5), (0.5, 0.25)])
def test_widths_are_recognised(multiplier, narrow):
    config = GFPGANConfig(out_size=128, channel_multiplier=multiplier, narrow=narrow)
    assert recognise(torch_shapes(abstract_of(config))) == (GFPGAN, config)


def test_all_published_files_are_of_one_size():
    for file in manifest("gfpgan_clean")["checkpoints"]:
        sizes = {name: value for name, value in file["config"].items() if name in GFPGANConfig._fields}
        assert GFPGANConfig(**sizes) == GFPGANConfig()
