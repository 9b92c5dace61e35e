"""The DDPM U-Net: times and levels. See `test_models_golden.py`."""

import jax
import numpy as np
import pytest
from golden_cases import CASES, abstract_of, model_of
from golden_networks import FLOAT32, arrays, error, nhwc

from jaxpr.models.ddpm_unet import DDPMUNetConfig, attention_levels
from jaxpr.models.diffusion_parts import timestep_embedding

ARRAYS = arrays("ddpm_unet")
PUBLISHED = DDPMUNetConfig()


@pytest.mark.parametrize("width", [32, 33])
def test_golden_embeddings_of_times(width):
    found = timestep_embedding(ARRAYS["temb_t"], width, cosine_first=False, closed=True)
    assert error(found, ARRAYS[f"temb_{width}"]) <= FLOAT32


@pytest.mark.slow
def test_one_time_for_all():
    case = CASES["ddpm_unet-reduced"]
    x, times = case.inputs()
    assert times[1] == 757
    found = jax.jit(model_of(case.config).apply)(case.parameters(), x, 757)
    assert error(found[1:], nhwc(ARRAYS["reduced_out"])[1:]) <= 2 * FLOAT32  # of half the batch


@pytest.mark.thorough
def test_other_sizes_of_images():
    x = jax.ShapeDtypeStruct((1, 64, 32, 3), np.float32)
    assert jax.eval_shape(model_of(PUBLISHED).apply, abstract_of(PUBLISHED), x, 0).shape == (1, 64, 32, 3)


def test_levels_of_resolutions():
    assert attention_levels(image_size=32, attn_resolutions=(16, 4), levels=4) == (1, 3)
    assert attention_levels(image_size=32, attn_resolutions=(), levels=4) == ()
