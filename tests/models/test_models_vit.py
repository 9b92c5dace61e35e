"""The vision transformer against the published implementation (tests/golden/vit), and its behaviour."""

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
    error,
    manifest,
    nhwc,
    parameters,
    shapes,
    with_arrays,
)

from jaxpr.core import InputError
from jaxpr.models.layers import Compute
from jaxpr.models.naming import abstract_parameters
from jaxpr.models.vit import VIT, ViTConfig, vit
from jaxpr.weights.networks import recognise

MANIFEST, ARRAYS = manifest("vit"), arrays("vit")
CASES, KEYS = MANIFEST["cases"], MANIFEST["official_keys"]


def configured(given):
    assert given["hidden_act"] == "gelu"
    return ViTConfig(**{name: value for name, value in given.items() if name != "hidden_act"})


def golden_parameters(name):
    case = CASES[name]
    return parameters(vit(configured(case["config"])), case["keys"], case["gain"], VIT.namings)


@pytest.mark.parametrize("name", with_arrays("vit"))
def test_golden_outputs(name):
    apply = jax.jit(vit(configured(CASES[name]["config"])).apply)
    found = apply(golden_parameters(name), nhwc(ARRAYS[f"{name}_in"]))
    assert error(found, ARRAYS[f"{name}_logits"]) <= FLOAT32


@pytest.mark.parametrize("name", ["reduced", "no_qkv_bias"])
def test_the_file_tells_the_configuration(name):
    network, config = recognise(shapes(CASES[name]["keys"]))
    assert network is VIT
    assert config.num_attention_heads == 1  # which is not in the file
    assert config._replace(num_attention_heads=3) == configured(CASES[name]["config"])


def test_published_file_is_recognised_and_complete():
    named = shapes(KEYS)
    assert recognise(named) == (VIT, ViTConfig()) == (VIT, configured(MANIFEST["config"]))
    assert_complete(abstract_parameters(vit(ViTConfig())), named, VIT.namings)
    pooler = {"vit.pooler.dense.weight": (768, 768), "vit.pooler.dense.bias": (768,)}
    assert_complete(abstract_parameters(vit(ViTConfig())), named | pooler, VIT.namings)


def test_widths_tell_the_heads():
    named = shapes(KEYS)
    for width, heads in ((192, 3), (384, 6), (1024, 16), (1280, 16)):
        named["vit.embeddings.patch_embeddings.projection.weight"] = (width, 3, 14, 14)
        assert recognise(named)[1].num_attention_heads == heads


@pytest.mark.slow
def test_published_size():
    full = MANIFEST["full_case"]
    x = np.random.default_rng(0).random((1, 3, 224, 224)) * 2 - 1
    params = parameters(vit(ViTConfig()), KEYS, full["gain"], VIT.namings)
    found = np.asarray(jax.jit(vit(ViTConfig()).apply)(params, nhwc(x.astype(np.float32))))
    expected = full["logits"]
    assert found.shape == tuple(expected["shape"])
    scale = max(abs(expected["min"]), abs(expected["max"]))
    worst = np.abs(found.ravel()[expected["slice_flat_index"]] - expected["slice_values"]).max() / scale
    assert worst <= FLOAT32
    for name in ("mean", "std", "min", "max"):
        assert abs(getattr(found, name)() - expected[name]) <= FLOAT32 * scale


CONFIG = configured(CASES["no_qkv_bias"]["config"])  # the bias of keys has no influence
IMAGES = np.random.default_rng(0).uniform(-1, 1, (2, 24, 40, 3)).astype(np.float32)


@pytest.mark.slow
def test_behaviour():
    assert_behaves(lambda compute: vit(CONFIG, compute=compute), golden_parameters("no_qkv_bias"), IMAGES)


@pytest.mark.slow
def test_recomputed_activations():
    assert_recomputes(lambda compute: vit(CONFIG, compute=compute), golden_parameters("no_qkv_bias"), IMAGES)


@pytest.mark.slow
def test_attention_in_blocks():
    x = nhwc(ARRAYS["reduced_in"])
    model = vit(configured(CASES["reduced"]["config"]), compute=Compute(attention_limit=500))  # 2 × 3 × 17² logits
    found = jax.jit(model.apply)(golden_parameters("reduced"), x)
    assert error(found, ARRAYS["reduced_logits"]) <= FLOAT32


@pytest.mark.torch
def test_positions_are_interpolated_over_the_grid_of_patches():
    torch = pytest.importorskip("torch")
    params, model = golden_parameters("reduced"), vit(configured(CASES["reduced"]["config"]))
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
    apply, params = jax.jit(vit(CONFIG).apply), golden_parameters("no_qkv_bias")
    np.testing.assert_array_equal(apply(params, IMAGES[:, :23, :39]), apply(params, IMAGES[:, :16, :32]))


def test_equal_blocks_share_a_loop():
    model = vit(ViTConfig())
    program = jax.make_jaxpr(model.apply)(abstract_parameters(model), np.zeros((1, 224, 224, 3), np.float32))
    assert [equation.params["length"] for equation in program.eqns if equation.primitive.name == "scan"] == [12]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 5}, "hidden_size: found 768, expected a multiple of num_attention_heads 5"),
        ({"image_size": 8}, "image_size: found 8, expected at least patch_size 16"),
    ],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(InputError, match=message):
        vit(ViTConfig()._replace(**changes))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 32, 32, 1), "x: found shape (1, 32, 32, 1), expected (N, H, W, 3)"),
        ((1, 7, 32, 3), "x: found 7×32 pixels, expected at least one patch of 8"),
    ],
)
def test_wrong_inputs(shape, message):
    with pytest.raises(InputError) as caught:
        vit(CONFIG).apply(golden_parameters("no_qkv_bias"), np.zeros(shape, np.float32))
    assert str(caught.value).startswith(message)
