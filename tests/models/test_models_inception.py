"""FID's Inception-V3 against the published implementations (tests/golden/fid_inception), and as feature extractor."""

import functools

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
    drawn,
    error,
    manifest,
    nchw,
    nhwc,
    parameters,
    shapes,
)

from jaxpr.core import InputError
from jaxpr.models.functional import Model
from jaxpr.models.inception import (
    INCEPTION,
    InceptionConfig,
    half_pixel_input,
    inception,
    resize_tf1,
    tf1_input,
)
from jaxpr.models.naming import abstract_parameters
from jaxpr.numerics.resampling import LINEAR, resize
from jaxpr.weights import feature_extractor
from jaxpr.weights.networks import recognise
from jaxpr.weights.torch_files import file_sha256, write_checkpoint

NETWORK = "fid_inception"
ARRAYS, KEYS, GAIN = arrays(NETWORK), manifest(NETWORK)["official_keys"], manifest(NETWORK)["gain"]
PIXELS = nhwc(ARRAYS["tf_in_uint8"]).astype(np.float32) / 255
INPUTS = {"tf": tf1_input, "pf": half_pixel_input}
FIELDS = ("64", "192", "768", "2048", "logits_unbiased", "logits")


@functools.cache
def compiled():
    return jax.jit(inception().apply)


@functools.cache
def golden_parameters():
    return parameters(inception(), KEYS, GAIN, INCEPTION.namings)


@functools.cache
def golden_outputs(program):
    return compiled()(golden_parameters(), INPUTS[program](PIXELS))


@pytest.mark.parametrize("program", ["tf", "pf"])
def test_golden_outputs(program):
    compared = 0
    for field, found in zip(FIELDS, golden_outputs(program), strict=True):
        for name in (f"{program}_{field}", f"{program}_{field}_mean"):
            if name in ARRAYS:
                assert error(found, ARRAYS[name]) <= FLOAT32, name
                compared += 1
    assert compared == {"tf": 6, "pf": 4}[program]


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


def test_published_file_is_recognised_and_complete():
    named = shapes(KEYS)
    abstract = abstract_parameters(inception())
    assert len(named) == 566
    assert recognise(named) == (INCEPTION, InceptionConfig())
    assert_complete(abstract, named, INCEPTION.namings)
    # The counters of normalisations may be left out.
    assert_complete(abstract, {n: s for n, s in named.items() if "num_batches" not in n}, INCEPTION.namings)


def test_the_network_of_torchvision_is_another():
    named = shapes(KEYS) | {"fc.weight": (1000, 2048), "fc.bias": (1000,)}
    assert recognise(named) is None


def test_equal_blocks_share_a_loop():
    model = inception()
    program = jax.make_jaxpr(model.apply)(abstract_parameters(model), np.zeros((1, 75, 75, 3), np.float32))
    assert [equation.params["length"] for equation in program.eqns if equation.primitive.name == "scan"] == [2]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 299, 299, 1), "x: found shape (1, 299, 299, 1), expected (N, H, W, 3)"),
        ((1, 75, 74, 3), "x: found 75×74 pixels, expected at least 75×75"),
    ],
)
def test_wrong_inputs(shape, message):
    model = inception()
    with pytest.raises(InputError) as caught:
        jax.eval_shape(model.apply, abstract_parameters(model), np.zeros(shape, np.float32))
    assert str(caught.value).startswith(message)


def joined(compute):
    """All outputs in one array."""
    model = inception(compute=compute)
    return Model(model.init, lambda params, x: jnp.concatenate(model.apply(params, x), axis=-1))


SMALL = np.random.default_rng(0).uniform(-1, 1, (2, 75, 76, 3)).astype(np.float32)


@pytest.mark.slow
def test_behaviour():
    assert_behaves(joined, golden_parameters(), SMALL)


@pytest.mark.slow
def test_recomputed_activations():
    assert_recomputes(joined, golden_parameters(), SMALL)


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
