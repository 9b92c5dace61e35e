"""LPIPS from published files, against the published implementation (tests/golden/lpips)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_networks import (
    BFLOAT16,
    FLOAT32,
    arrays,
    assert_complete,
    draw,
    error,
    manifest,
    nhwc,
    shapes,
)

from jaxpr.core import InputError, PerceptualNetwork
from jaxpr.metrics import lpips, lpips_map
from jaxpr.models.layers import Compute
from jaxpr.models.lpips import LPIPS_HEADS, LPIPS_TRUNK, HeadsConfig, TrunkConfig, lpips_heads, lpips_trunk
from jaxpr.models.naming import WeightsError, abstract_parameters
from jaxpr.weights.lpips_files import perceptual_network_from
from jaxpr.weights.networks import recognise
from jaxpr.weights.torch_files import file_sha256, write_checkpoint

MANIFEST, GOLDEN = manifest("lpips"), arrays("lpips")
TRUNKS = {"alex": "alexnet", "vgg": "vgg16"}
# Squared differences of unit vectors that are near each other.
HALF = 3 * BFLOAT16


def drawn_tensors(named):
    return {name: draw(name, shape, "w" if len(shape) > 1 else "b", MANIFEST["gain"]) for name, shape in named.items()}


def trunk_shapes(name):
    named = shapes(MANIFEST["cases"][name]["torchvision_file_keys"])
    return {key: shape if key.startswith("features") else (1,) for key, shape in named.items()}  # a small classifier


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights")
    for name in TRUNKS:
        trunk = drawn_tensors(trunk_shapes(name))
        heads = drawn_tensors(shapes(MANIFEST["head_files"][name]))
        write_checkpoint(path / f"{name}_trunk.safetensors", trunk, {})
        write_checkpoint(path / f"{name}_heads.safetensors", heads, {})
        whole = {f"net.slice1.{key.removeprefix('features.')}": a for key, a in trunk.items() if "features" in key}
        whole |= {"scaling_layer.shift": np.zeros((1, 3, 1, 1), np.float32)} | heads
        whole |= {key.replace("lin", "lins."): array for key, array in heads.items()}
        write_checkpoint(path / f"{name}_whole.safetensors", whole, {})
    return path


@pytest.fixture(scope="module", params=TRUNKS)
def loaded(request, folder):
    """Name, the network from files, and compiled (a, b, heads) -> LPIPS, its map."""
    name = request.param
    found = perceptual_network_from(folder / f"{name}_trunk.safetensors", folder / f"{name}_heads.safetensors")

    @jax.jit
    def measure(a, b, heads):
        network = PerceptualNetwork(found.network.taps, heads)
        return lpips(a, b, network=network), lpips_map(a, b, network=network)

    return name, found, functools.partial(measure, images(name, "a"), images(name, "b"))


def images(name, which):
    """Golden inputs are in [-1, 1]."""
    return np.clip((nhwc(GOLDEN[f"{name}_{which}"]) + 1) / 2, 0, 1)


@pytest.mark.thorough
def test_golden_values(loaded, folder):
    name, found, measure = loaded
    assert found.name == TRUNKS[name]
    assert found.trunk_sha256 == file_sha256(folder / f"{name}_trunk.safetensors")
    assert found.heads_sha256 == file_sha256(folder / f"{name}_heads.safetensors")
    value, spatial = measure(found.network.weights)
    assert error(value[:, None], GOLDEN[f"{name}_value"]) <= FLOAT32
    assert error(value[:, None], GOLDEN[f"{name}_value_normalize01"]) <= FLOAT32
    assert error(spatial, GOLDEN[f"{name}_spatial"]) <= FLOAT32


@pytest.mark.thorough
def test_golden_values_without_channel_weights(loaded):
    name, found, measure = loaded
    ones = [jnp.ones_like(weights) for weights in found.network.weights]
    assert error(measure(ones)[0][:, None], GOLDEN[f"{name}_nolin_value"]) <= FLOAT32


@pytest.mark.slow
def test_golden_values_of_other_libraries(folder):
    found = perceptual_network_from(folder / "vgg_trunk.safetensors", folder / "vgg_heads.safetensors")
    a, b = (nhwc(GOLDEN[f"var_uint8_{which}"]).astype(np.float32) / 255 for which in "ab")
    value = jax.jit(functools.partial(lpips, network=found.network))(a, b)
    # The mean and deviation of ImageNet, by which piq normalises, are those of LPIPS for images in [0, 1].
    for library in ("lpips_normalize", "torch_fidelity", "piq"):
        assert error(value, GOLDEN[f"var_{library}"]) <= FLOAT32, library


def test_the_whole_module_in_one_file(folder):
    path = folder / "alex_whole.safetensors"
    found = perceptual_network_from(path, path)
    expected = perceptual_network_from(folder / "alex_trunk.safetensors", folder / "alex_heads.safetensors")
    x = images("alex", "a")[:1, :31, :31]
    for one, other in zip(found.network.taps(x), expected.network.taps(x), strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(found.network.weights, expected.network.weights, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", TRUNKS)
def test_published_files_are_recognised_and_complete(name):
    named = shapes(MANIFEST["cases"][name]["torchvision_file_keys"])
    config = TrunkConfig(TRUNKS[name])
    assert recognise(named) == (LPIPS_TRUNK, config)
    assert_complete(abstract_parameters(lpips_trunk(config)), named, LPIPS_TRUNK.namings)
    heads = shapes(MANIFEST["head_files"][name])
    widths = HeadsConfig(tuple(shape[1] for shape in heads.values()))
    assert recognise(heads) == (LPIPS_HEADS, widths)
    assert_complete(abstract_parameters(lpips_heads(widths)), heads, LPIPS_HEADS.namings)
    module = shapes(MANIFEST["cases"][name]["module_keys"])
    assert_complete(abstract_parameters(lpips_trunk(config)), module, LPIPS_TRUNK.namings)
    assert_complete(abstract_parameters(lpips_heads(widths)), module, LPIPS_HEADS.namings)


def test_other_trunks_are_unknown():
    named = shapes(MANIFEST["cases"]["vgg"]["torchvision_file_keys"])
    assert recognise(named | {"features.30.weight": (512, 512, 3, 3)}) is None


def test_heads_are_a_weighted_sum_over_channels():
    model = lpips_heads(HeadsConfig((2, 3)))
    weights = [np.array([1.0, 2.0]), np.array([0.5, 0.0, 3.0])]
    params = {f"lin{k}": {"model": {"1": {"kernel": w.reshape(1, 1, -1, 1)}}} for k, w in enumerate(weights)}
    taps = [np.random.default_rng(k).random((2, 4, 3, len(w)), np.float32) for k, w in enumerate(weights)]
    for found, tap, w in zip(model.apply(params, taps), taps, weights, strict=True):
        np.testing.assert_allclose(found[..., 0], tap @ w, rtol=1e-6)  # float32


@pytest.mark.slow
def test_bfloat16(folder):
    files = folder / "alex_trunk.safetensors", folder / "alex_heads.safetensors"
    half = perceptual_network_from(*files, compute=Compute(dtype=jnp.bfloat16)).network
    full = perceptual_network_from(*files).network
    x = images("alex", "a")[:1]
    for found, expected in zip(half.taps(x), full.taps(x), strict=True):
        assert found.dtype == x.dtype
        assert 0 < error(found, np.asarray(expected)) <= BFLOAT16


@pytest.mark.slow
def test_gradients_through_taps_are_finite(folder):
    found = perceptual_network_from(folder / "alex_trunk.safetensors", folder / "alex_heads.safetensors")
    a, b = (images("alex", which)[:1, :31, :31] for which in "ab")
    gradient = jax.jit(jax.grad(lambda a: lpips(a, b, network=found.network).sum()))(a)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_files_of_other_networks(folder, tmp_path):
    vgg, alex = folder / "vgg_trunk.safetensors", folder / "alex_heads.safetensors"
    with pytest.raises(InputError, match=r"trunk: found tensors lin0.model.1.weight, .*, expected torchvision's VGG16"):
        perceptual_network_from(alex, alex)
    with pytest.raises(WeightsError, match=r"lin1.model.1.weight \(1, 192, 1, 1\), expected \(1, 128, 1, 1\)"):
        perceptual_network_from(vgg, alex)
    with pytest.raises(InputError, match="cannot open"):
        perceptual_network_from(vgg, tmp_path / "none.pth")
