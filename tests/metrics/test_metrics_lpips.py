"""LPIPS: golden values with drawn weights (tests/golden/lpips), identities, and errors."""

import math
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError, PerceptualNetwork
from jaxpr.metrics import lpips
from jaxpr.models import ALEXNET, VGG16, functional
from jaxpr.models.trunks import ConvTrunk
from jaxpr.weights import PackagedWeights, packaged_weights
from jaxpr.weights.features import _taps

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "lpips" / "golden.npz")
SPECS = {"alex": ALEXNET, "vgg": VGG16}
PACKAGED = {"alex": "alexnet", "vgg": "vgg16"}

# Relative to the largest value: float32 convolutions of 13 layers, summed in another order than in the reference.
FEATURES = 1e-5
# Relative to the distance whose signed terms are summed: squared differences of unit vectors, 5 taps.
DISTANCE = 2e-5


def draw(name, shape):
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) == 1:
        return (0.1 * rng.standard_normal(shape)).astype(np.float32)
    return (rng.standard_normal(shape) * math.sqrt(2) / math.sqrt(math.prod(shape[1:]))).astype(np.float32)


@pytest.fixture(scope="module", params=["alex", pytest.param("vgg", marks=pytest.mark.thorough)])
def drawn(request):
    """The golden values' network: name, channel weights, and (a, b, channel weights) -> LPIPS and the taps of a."""
    spec = SPECS[request.param]
    model = functional(lambda rngs: ConvTrunk(spec, rngs=rngs))
    shapes = jax.eval_shape(model.init, jax.random.key(0))["features"]
    convolutions = []
    for index in spec.convolutions:
        height, width, inputs, outputs = shapes[str(index)]["kernel"].shape
        kernel = draw(f"features.{index}.weight", (outputs, inputs, height, width)).transpose(2, 3, 1, 0)
        convolutions.append({"kernel": kernel, "bias": draw(f"features.{index}.bias", (outputs,))})
    widths = [shapes[str(index)]["bias"].shape[0] for index in spec.taps]
    heads = [draw(f"lin{k}.model.1.weight", (1, width, 1, 1)).reshape(-1) for k, width in enumerate(widths)]
    taps = _taps(spec, PackagedWeights(convolutions, heads, ""))
    # One program for all tests: compiling the trunk is most of their time.
    measure = jax.jit(lambda a, b, heads: (lpips(a, b, network=PerceptualNetwork(taps, heads)), taps(a)))
    return request.param, heads, measure


def images(name):
    """Golden inputs are in [-1, 1], NCHW."""
    return np.clip((GOLDEN[name].transpose(0, 2, 3, 1) + 1) / 2, 0, 1)


def relative(found, expected):
    return np.abs(np.asarray(found) - expected).max() / np.abs(expected).max()


@pytest.mark.thorough
def test_trunk_golden(drawn):
    name, heads, measure = drawn
    _, features = measure(images(f"{name}_a"), images(f"{name}_b"), heads)
    assert len(features) == 5
    for k, tap in enumerate(features):
        assert relative(jnp.mean(tap, axis=(1, 2)), GOLDEN[f"{name}_feat{k}_mean"]) < FEATURES
    assert relative(features[4][:1].transpose(0, 3, 1, 2), GOLDEN[f"{name}_feat4_head"]) < FEATURES


def test_value_and_layers_golden(drawn):
    name, heads, measure = drawn
    a, b = images(f"{name}_a"), images(f"{name}_b")
    layers = []
    for k in range(5):
        only = [head if j == k else np.zeros_like(head) for j, head in enumerate(heads)]
        layers.append(measure(a, b, only)[0])
    assert relative(np.stack(layers, axis=1), GOLDEN[f"{name}_per_layer"]) < DISTANCE
    whole = measure(a, b, heads)[0]
    assert whole.shape == (2,)
    assert whole.dtype == jnp.float32
    assert relative(whole, GOLDEN[f"{name}_value"][:, 0]) < DISTANCE


def test_packaged_heads_are_the_official_ones(drawn):
    name, _, measure = drawn
    heads = packaged_weights(PACKAGED[name]).heads
    found = measure(images(f"{name}_a"), images(f"{name}_b"), heads)[0]
    assert relative(found, GOLDEN[f"{name}_value_official_heads"][:, 0]) < DISTANCE


# One tap that is linear in the image: values can be computed by hand.
TOY = PerceptualNetwork(lambda x: (2 * x,), (jnp.array([1.0, 2.0, 4.0]),))


def test_toy_network_by_hand():
    # Unit vectors (1, 0, 0) and (0, 0.6, 0.8): squared differences 1, 0.36, 0.64; weighted 1 + 0.72 + 2.56.
    a, b = np.zeros((2, 4, 5, 3), np.float32), np.zeros((2, 4, 5, 3), np.float32)
    a[..., 0], b[..., 1], b[..., 2] = 0.5, 0.3, 0.4
    a[1, :, 0], b[1, :, 0] = 0.7, 0.7  # one column of five is the same
    np.testing.assert_allclose(lpips(a, b, network=TOY), [4.28, 4.28 * 4 / 5], rtol=1e-6)


def test_black_has_no_direction():
    # A zero vector stays zero: the squared difference with (0.6, 0.8, 0) is 0.36 + 2 · 0.64.
    a, b = np.zeros((1, 4, 4, 3), np.float32), np.zeros((1, 4, 4, 3), np.float32)
    b[..., 0], b[..., 1] = 0.3, 0.4
    np.testing.assert_allclose(lpips(a, b, network=TOY), [1.64], rtol=1e-6)
    np.testing.assert_array_equal(lpips(a, a, network=TOY), [0])


def test_identical_and_symmetric(drawn):
    name, heads, measure = drawn
    heads = [np.abs(head) for head in heads]
    a, b = images(f"{name}_a"), images(f"{name}_b")
    found = np.asarray(measure(a, b, heads)[0])
    np.testing.assert_allclose(
        measure(a, a, heads)[0], [0, 0], atol=1e-9
    )  # two copies of the trunk may round differently
    np.testing.assert_allclose(measure(b, a, heads)[0], found, rtol=DISTANCE)
    assert (found > 0).all()


@pytest.fixture(scope="module")
def alexnet():
    weights = packaged_weights("alexnet")
    return PerceptualNetwork(_taps(ALEXNET, weights), weights.heads)


@pytest.mark.thorough
def test_jit_equals_eager(alexnet):
    a, b = images("alex_a")[:, :32, :32], images("alex_b")[:, :32, :32]
    jitted = jax.jit(lambda a, b: lpips(a, b, network=alexnet))(a, b)
    np.testing.assert_allclose(jitted, lpips(a, b, network=alexnet), rtol=DISTANCE)


def test_vmap_equals_the_loop_and_the_batch():
    a, b = images("alex_a"), images("alex_b")
    whole = lpips(a, b, network=TOY)
    alone = [lpips(a[i : i + 1], b[i : i + 1], network=TOY)[0] for i in (0, 1)]
    np.testing.assert_allclose(alone, whole, rtol=DISTANCE)
    mapped = jax.vmap(lambda a, b: lpips(a[None], b[None], network=TOY)[0])(a, b)
    np.testing.assert_allclose(mapped, whole, rtol=DISTANCE)


@pytest.mark.thorough
def test_gradient_at_identical_images_is_zero(alexnet):
    a = images("alex_a")[:1, :32, :32]
    gradient = jax.jit(jax.grad(lambda x, reference: lpips(x, reference, network=alexnet).sum()))
    for image in (a, np.zeros_like(a)):
        # The differentiated trunk and the plain one may round differently, so their difference is 1e-7, not zero.
        np.testing.assert_allclose(gradient(image, image), np.zeros_like(a), atol=1e-7)
    assert np.abs(gradient(a, images("alex_b")[:1, :32, :32])).max() > 1e-4


def test_gradient_at_black_is_finite():
    black, other = np.zeros((1, 4, 4, 3), np.float32), np.full((1, 4, 4, 3), 0.5, np.float32)
    for pair in ((black, other), (other, black), (black, black)):
        gradients = jax.grad(lambda a, b: lpips(a, b, network=TOY).sum(), argnums=(0, 1))(*map(jnp.asarray, pair))
        assert np.isfinite(gradients).all()


@pytest.mark.parametrize(
    ("restored", "reference", "message"),
    [
        (np.full((1, 8, 8, 3), -1.5), np.zeros((1, 8, 8, 3)), r"restored: found values in \[-1.5, -1.5\]"),
        (np.full((1, 8, 8, 3), 128.0), np.zeros((1, 8, 8, 3)), r"restored: found values in \[128, 128\]"),
        (np.zeros((1, 8, 8, 3)), np.full((1, 8, 8, 3), -1.0), r"reference: found values in \[-1, -1\]"),
        (np.zeros((1, 8, 8, 1)), np.zeros((1, 8, 8, 1)), "restored: found 1 channels"),
        (np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 9, 3)), "restored and reference: found shapes"),
        (np.zeros((1, 3, 8, 8)), np.zeros((1, 3, 8, 8)), "NCHW"),
        (np.full((1, 8, 8, 3), np.nan), np.zeros((1, 8, 8, 3)), "restored: found 192 NaN"),
        (np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 3)), "restored: found dtype uint8"),
    ],
)
def test_errors(restored, reference, message):
    with pytest.raises(InputError, match=message):
        lpips(restored, reference, network=TOY)


def test_overshoot_of_restorations_is_allowed():
    reference = np.full((1, 8, 8, 3), 0.5, np.float32)
    np.testing.assert_allclose(lpips(reference + 0.6, reference, network=TOY), [0], atol=1e-12)
