"""JPEG: golden round trips (tests/golden/jpeg), and the differentiable stand-in against libjpeg."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import skimage.data
from PIL import features

from jaxpr.core import InputError
from jaxpr.degradations import jpeg, jpeg_surrogate
from jaxpr.degradations.jpeg import _CHROMA, _LUMA, _table

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "jpeg" / "golden.npz")
GOLDEN_LIBJPEG = "3.2.0"


def batch(name):
    pixels = GOLDEN[name]
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return pixels[None].astype(np.float32) / 255


@pytest.fixture(scope="module")
def photograph():
    # Odd sizes, so that both planes are padded.
    return skimage.data.astronaut()[None, 60:155, 180:275].astype(np.float32) / 255


def levels(a, b):
    return np.abs(np.asarray(a) - np.asarray(b)) * 255


@pytest.mark.parametrize(
    ("name", "source", "quality"),
    [("rgb_q10", "rgb", 10), ("rgb_q20", "rgb", 20), ("rgb_q75", "rgb", 75), ("gray_q10", "gray", 10)],
)
def test_jpeg_equals_golden_round_trips(name, source, quality):
    found = jpeg(batch(source), quality=quality)
    assert found.dtype == np.float32
    # Other libjpeg builds may round transforms differently; all decode to within two levels.
    tolerance = 0 if features.version("libjpeg_turbo") == GOLDEN_LIBJPEG else 2
    assert np.abs(np.rint(found * 255) - np.rint(batch(name) * 255)).max() <= tolerance


def test_jpeg_subsamples_chroma():
    assert levels(jpeg(batch("rgb"), quality=10), batch("rgb_q10_444")).max() > 10


def test_jpeg_treats_every_image_alone(photograph):
    two = np.concatenate([photograph, photograph[:, ::-1]])
    found = jpeg(two, quality=30)
    np.testing.assert_array_equal(found[:1], jpeg(photograph, quality=30))
    np.testing.assert_array_equal(jpeg(jnp.asarray(two), quality=30), found)
    assert jpeg(np.zeros((0, 8, 8, 3), np.float32), quality=30).shape == (0, 8, 8, 3)


def test_jpeg_rounds_to_bytes_first():
    # 100.4 and 99.6 are both level 100, which quality 100 reproduces on a constant image.
    for value in (99.6, 100.4):
        found = jpeg(np.full((1, 8, 8, 1), value / 255, np.float32), quality=100)
        np.testing.assert_allclose(found * 255, 100, atol=1e-4)


def test_quantisation_tables():
    np.testing.assert_array_equal(_table(_LUMA, 10).ravel(), GOLDEN["qtable_luma_q10"])
    np.testing.assert_array_equal(_table(_CHROMA, 10).ravel(), GOLDEN["qtable_chroma_q10"])
    np.testing.assert_array_equal(_table(_LUMA, 50), _LUMA)
    assert (_table(_LUMA, 100) == 1).all()
    assert _table(_LUMA, 1).min() == 255


@pytest.mark.parametrize("quality", [10, 30, 50, 75])
def test_surrogate_is_close_to_libjpeg_on_a_photograph(photograph, quality):
    found = jpeg_surrogate(photograph, quality=quality)
    assert found.dtype == jnp.float32
    difference = levels(found, jpeg(photograph, quality=quality))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.99) < 6
    # Close to libjpeg, not to the original.
    assert difference.mean() < 0.2 * levels(found, photograph).mean()


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["rgb_q10", "rgb_q20", "rgb_q75", "gray_q10"])
def test_surrogate_is_close_to_golden_round_trips(name):
    source, quality = name.split("_q")
    assert levels(jpeg_surrogate(batch(source), quality=int(quality)), batch(name)).mean() < 0.3


@pytest.mark.thorough
@pytest.mark.parametrize("shape", [(1, 1), (3, 17), (16, 9)])
@pytest.mark.parametrize("channels", [1, 3])
def test_surrogate_takes_any_size(shape, channels):
    # Smooth images, since on noise one coefficient rounded the other way shows everywhere.
    ramp = np.add.outer(np.linspace(0.2, 0.6, shape[0]), np.linspace(0, 0.3, shape[1]))
    x = np.stack([ramp, 1 - ramp, ramp][:channels], axis=-1)[None].astype(np.float32)
    found = jpeg_surrogate(x, quality=60)
    assert found.shape == x.shape
    assert levels(found, jpeg(x, quality=60)).mean() < 1.5


@pytest.mark.parametrize("quality", [1, 50, 100])
def test_gradients_are_finite_on_constant_and_random_images(quality):
    noise = np.random.default_rng(0).random((1, 16, 16, 3), np.float32)
    grad = jax.jit(jax.grad(lambda a: jnp.sum(noise * jpeg_surrogate(a, quality=quality))))
    for image in (noise, *(np.full_like(noise, value) for value in (0.0, 0.5, 1.0))):
        found = np.asarray(grad(image))
        assert np.isfinite(found).all()
        assert np.abs(found).max() > 0


def test_gradient_is_that_of_the_codec_without_rounding():
    # Through a grey image every step but the roundings is orthonormal, so the gradient is the identity's.
    x = np.random.default_rng(0).random((1, 16, 24, 1), np.float32)
    w = np.random.default_rng(1).random(x.shape, np.float32)
    found = jax.grad(lambda a: jnp.sum(w * jpeg_surrogate(a, quality=20)))(x)
    np.testing.assert_allclose(found, w, atol=1e-5)


@pytest.mark.thorough
def test_surrogate_jit_vmap_and_range(photograph):
    x = jnp.asarray(photograph[:, :33, :30])
    eager = jpeg_surrogate(x, quality=25)
    jitted = jax.jit(lambda a: jpeg_surrogate(a, quality=25))(x)
    mapped = jax.jit(jax.vmap(lambda a: jpeg_surrogate(a[None], quality=25)[0]))(x)
    for other in (jitted, mapped):  # compiled sums may round one coefficient the other way
        assert levels(eager, other).mean() < 0.1
    assert eager.min() >= 0
    assert eager.max() <= 1


@pytest.mark.parametrize("codec", [jpeg, jpeg_surrogate])
@pytest.mark.parametrize(
    ("x", "quality", "message"),
    [
        (np.zeros((1, 8, 8, 3), np.float32), 0, "quality: found 0"),
        (np.zeros((1, 8, 8, 3), np.float32), 101, "quality: found 101, expected an integer from 1 to 100"),
        (np.zeros((1, 8, 8, 3), np.float32), 50.0, "quality: found 50.0"),
        (np.full((1, 8, 8, 3), 200, np.float32), 50, r"x: found values in \[200, 200\], expected \[0, 1\]"),
        (np.full((1, 8, 8, 3), np.nan, np.float32), 50, "x: found 192 NaN or infinite values"),
        (np.zeros((1, 8, 8, 2), np.float32), 50, "x: found 2 channels"),
        (np.zeros((1, 0, 8, 3), np.float32), 50, "x: found shape .* expected at least one pixel"),
        (np.zeros((1, 3, 8, 8), np.float32), 50, "looks like NCHW"),
        (np.zeros((1, 8, 8, 3), np.uint8), 50, "x: found dtype uint8"),
        (np.zeros((8, 8, 3), np.float32), 50, r"x: found shape \(8, 8, 3\)"),
    ],
)
def test_errors(codec, x, quality, message):
    with pytest.raises(InputError, match=message):
        codec(x, quality=quality)


def test_jpeg_inside_jit_is_a_clear_error():
    with pytest.raises(InputError, match=r"x: found a traced array.*runs on the host outside jit"):
        jax.jit(lambda a: jpeg(a, quality=50))(jnp.zeros((1, 8, 8, 3)))
