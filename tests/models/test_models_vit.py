"""The vision transformer: heads, positions, pixels that are not seen. See `test_models_golden.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import CASES, abstract_of, model_of, network_of
from golden_networks import FLOAT32, assert_complete, error, manifest, shapes
from golden_sizes import VIT

from jaxpr.models.vit import ViTConfig
from jaxpr.weights.networks import recognise

KEYS, REDUCED = manifest("vit")["official_keys"], CASES["vit-reduced"]
IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 24, 40, 3)).astype(np.float32)


def test_the_pooler_is_left_out():
    pooler = {"vit.pooler.dense.weight": (768, 768), "vit.pooler.dense.bias": (768,)}
    assert_complete(abstract_of(ViTConfig()), shapes(KEYS) | pooler, network_of(ViTConfig()).namings)


def test_widths_tell_the_heads():
    assert recognise(shapes(REDUCED.keys))[1].num_attention_heads == 1  # which is not in the file
    named = shapes(KEYS)
    for width, heads in ((192, 3), (384, 6), (1024, 16), (1280, 16)):
        named["vit.embeddings.patch_embeddings.projection.weight"] = (width, 3, 14, 14)
        assert recognise(named)[1].num_attention_heads == heads


@pytest.mark.torch
def test_positions_are_interpolated_over_the_grid_of_patches():
    torch = pytest.importorskip("torch")
    params, model = REDUCED.parameters(), model_of(REDUCED.config)
    grid = np.asarray(params["vit"]["embeddings"]["position_embeddings"])[:, 1:].reshape(1, 4, 4, 24)
    tensor = torch.from_numpy(grid.transpose(0, 3, 1, 2).copy())
    finer = torch.nn.functional.interpolate(tensor, size=(6, 4), mode="bicubic", align_corners=False).numpy()
    finer = finer.transpose(0, 2, 3, 1).reshape(1, 24, 24)
    x = np.random.default_rng(1).uniform(-1, 1, (2, 48, 32, 3)).astype(np.float32)
    given = jax.tree.map(lambda leaf: leaf, params)
    first = given["vit"]["embeddings"]["position_embeddings"][:, :1]
    # Without embeddings of patches, but with pixels that the projection maps to them.
    given["vit"]["embeddings"]["position_embeddings"] = jnp.zeros((1, 17, 24)).at[:, :1].set(first)
    projection = np.asarray(given["vit"]["embeddings"]["patch_embeddings"]["projection"]["kernel"]).reshape(-1, 24)
    added = np.linalg.lstsq(projection.T, finer[0].T, rcond=None)[0].T.reshape(6, 4, 8, 8, 3)
    shifted = x + added.transpose(0, 2, 1, 3, 4).reshape(1, 48, 32, 3)
    apply = jax.jit(model.apply)
    assert error(apply(params, x), np.asarray(apply(given, shifted.astype(np.float32)))) <= FLOAT32


@pytest.mark.slow
def test_pixels_beyond_whole_patches_are_not_seen():
    apply, params = jax.jit(model_of(VIT).apply), CASES["vit-no_qkv_bias"].parameters()
    np.testing.assert_array_equal(apply(params, IMAGES[:, :23, :39]), apply(params, IMAGES[:, :16, :32]))
