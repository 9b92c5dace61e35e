"""FID's Inception-V3: resizing, ranges, as feature extractor. See `test_models_golden.py`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import abstract_of
from golden_networks import FLOAT32, arrays, assert_complete, drawn, error, manifest, nchw, nhwc, shapes

from jaxpr.core import InputError
from jaxpr.models.inception import INCEPTION, InceptionConfig, half_pixel_input, resize_tf1, tf1_input
from jaxpr.numerics.resampling import LINEAR, resize
from jaxpr.weights import feature_extractor
from jaxpr.weights.networks import recognise
from jaxpr.weights.torch_files import file_sha256, write_checkpoint

NETWORK = "fid_inception"
ARRAYS, KEYS, GAIN = arrays(NETWORK), manifest(NETWORK)["official_keys"], manifest(NETWORK)["gain"]
PIXELS = nhwc(ARRAYS["tf_in_uint8"]).astype(np.float32) / 255


@pytest.mark.parametrize("shape", [(11, 13), (3, 4)])
def test_golden_resizing(shape):
    x, name = nhwc(ARRAYS["resize_in"]), "{}x{}".format(*shape)
    assert error(nchw(resize_tf1(x, shape)), ARRAYS[f"resize_tf1_{name}"]) <= FLOAT32
    half_pixel = resize(x, shape, kernel=LINEAR, antialias=False)
    assert error(nchw(half_pixel), ARRAYS[f"resize_torch_{name}"]) <= FLOAT32


def test_resizing_as_tensorflow_1():
    row = np.array([0.0, 3.0, 1.0], np.float32).reshape(1, 1, 3, 1)
    found = resize_tf1(row, (1, 6))
    np.testing.assert_allclose(found.ravel(), [0, 1.5, 3, 2, 1, 1], atol=1e-6)
    np.testing.assert_array_equal(resize_tf1(row, (1, 3)), row)
    np.testing.assert_array_equal(resize_tf1(np.repeat(row, 2, 1), (1, 1)), [[[[0.0]]]])  # single pixels
    with pytest.raises(InputError, match="shape: found 0"):
        resize_tf1(row, (0, 3))


def test_inputs_have_their_ranges():
    grey = np.array([0.0, 128 / 255, 1.0], np.float32).reshape(3, 1, 1, 1) * np.ones((1, 5, 4, 3), np.float32)
    for convert, expected in ((tf1_input, [-1, 0, 127 / 128]), (half_pixel_input, [-1, 1 / 255, 1])):
        found = convert(grey)
        assert found.shape == (3, 299, 299, 3)
        np.testing.assert_allclose(found[:, 0, 0, 0], expected, atol=1e-6)
        with pytest.raises(InputError, match="images: "):
            convert(grey[..., :1])


def test_the_network_of_torchvision_is_another():
    named = shapes(KEYS) | {"fc.weight": (1000, 2048), "fc.bias": (1000,)}
    assert recognise(named) is None


def test_the_counters_of_normalisations_may_be_left_out():
    named = {name: shape for name, shape in shapes(KEYS).items() if "num_batches" not in name}
    assert len(named) < len(KEYS)
    assert_complete(abstract_of(InceptionConfig()), named, INCEPTION.namings)


@pytest.fixture(scope="module")
def extractor(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "pt_inception.safetensors"
    write_checkpoint(path, drawn(KEYS, GAIN), {})
    found = feature_extractor(f"inception:{path}")
    assert found.weights_sha256 == file_sha256(path)
    return found


@pytest.mark.slow
def test_feature_extractor(extractor):
    assert (extractor.name, extractor.dim) == ("inception", 2048)
    features, classes = jax.jit(lambda x: (extractor.apply(x), extractor.classes(x)))(PIXELS)
    assert error(features, ARRAYS["tf_2048"]) <= FLOAT32
    assert error(jnp.log(classes), jax.nn.log_softmax(ARRAYS["tf_logits_unbiased"])) <= FLOAT32


@pytest.mark.slow
def test_features_are_those_of_stored_images(extractor):
    apply = jax.jit(extractor.apply)
    noisy = PIXELS + np.random.default_rng(0).uniform(-0.4, 0.4, PIXELS.shape).astype(np.float32) / 255
    assert error(apply(noisy), ARRAYS["tf_2048"]) <= FLOAT32
    wild = 3 * PIXELS - 1
    assert error(apply(wild), np.asarray(apply(np.clip(wild, 0, 1)))) <= FLOAT32
    gradient = jax.jit(jax.grad(lambda x: extractor.apply(x).sum()))(PIXELS[:1])
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0


def test_extractors_of_files_are_named_with_them(tmp_path):
    for name in ("inception", "inception:"):
        with pytest.raises(InputError, match="expected one of alexnet, vgg16, pixels, inception:PATH"):
            feature_extractor(name)
    missing = tmp_path / "missing.pth"
    with pytest.raises(InputError, match="cannot open"):
        feature_extractor(f"inception:{missing}")
    other = tmp_path / "other.safetensors"
    write_checkpoint(other, {"weight": np.zeros((1, 1), np.float32)}, {})
    with pytest.raises(InputError, match="expected FID-Inception"):
        feature_extractor(f"inception:{other}")
