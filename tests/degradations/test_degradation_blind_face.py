"""GFPGAN's degradation: its steps and draws against SciPy, NumPy and Pillow, and its form that JAX traces."""

import functools
import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import skimage.data
from PIL import Image

from jaxpr.core import InputError, example_keys
from jaxpr.degradations import BlindFaceRanges, blind_face, blind_face_surrogate, jpeg_surrogate, parse_degradation
from jaxpr.degradations.blind_face import _draw, _reduced
from jaxpr.degradations.jpeg import code_corner

KEY = jax.random.key(0)
RANGES = BlindFaceRanges()
# Small enough for crops of 40 pixels to keep something.
MILD = RANGES._replace(blur_std=(0.2, 2.0), shrinkage=(0.8, 3.0))


@pytest.fixture(scope="module")
def photographs():
    """Three crops of odd sizes."""
    whole = skimage.data.astronaut().astype(np.float32) / 255
    return jnp.asarray(np.stack([whole[top : top + 37, 200:243] for top in (30, 80, 250)]))


@pytest.fixture(scope="module")
def degraded(photographs):
    return blind_face(KEY, photographs, ranges=MILD)


reduced_inside = jax.jit(_reduced)
surrogate = jax.jit(functools.partial(blind_face_surrogate, ranges=MILD))


def gaussian(drawn):
    """41 × 41 taps by the inverse of the covariance."""
    turn = np.array([[np.cos(drawn.angle), -np.sin(drawn.angle)], [np.sin(drawn.angle), np.cos(drawn.angle)]])
    inverse = np.linalg.inv(turn @ np.diag(np.float64(drawn.blur_stds) ** 2) @ turn.T)
    places = np.stack(np.mgrid[-20:21, -20:21], axis=-1)
    kernel = np.exp(-0.5 * np.einsum("rci,ij,rcj->rc", places, inverse, places))
    return kernel / kernel.sum()


def stretched(image, height, width):
    """Linear interpolation between the centres of pixels, one line at a time."""
    for axis, size in enumerate((height, width)):
        places = (np.arange(size) + 0.5) * image.shape[axis] / size - 0.5
        line = functools.partial(np.interp, places, np.arange(image.shape[axis]))
        image = np.apply_along_axis(line, axis, image)
    return image


def reduced(image, drawn):
    blurred = [scipy.ndimage.convolve(plane, gaussian(drawn), mode="mirror") for plane in np.moveaxis(image, -1, 0)]
    height, width = int(drawn.height), int(drawn.width)
    small = stretched(np.stack(blurred, axis=-1), height, width)
    return np.clip(small + float(drawn.noise_std) * drawn.noise[:height, :width], 0, 1)


def compressed(image, drawn):
    file = io.BytesIO()
    Image.fromarray(np.rint(255 * image).astype(np.uint8).squeeze()).save(file, "JPEG", quality=int(drawn.quality))
    return np.asarray(Image.open(file)).reshape(image.shape) / 255


def drawn_for(x, ranges):
    draw = jax.jit(lambda key: _draw(key, x.shape[1:], ranges))
    return [jax.tree.map(np.asarray, draw(key)) for key in example_keys(KEY, len(x))]


def assert_close(found, wanted, *, mean):
    """In grey levels; a tie that is rounded the other way changes a block of the codec by a few."""
    gap = 255 * np.abs(np.asarray(found, np.float64) - np.asarray(wanted, np.float64))
    assert gap.mean() <= mean
    assert gap.max() <= 6


@pytest.mark.parametrize("channels", [3, pytest.param(1, marks=pytest.mark.thorough)])
def test_it_is_blur_reduction_noise_libjpeg_and_enlargement(photographs, degraded, channels):
    x = photographs[..., :channels]
    y = degraded if channels == 3 else blind_face(KEY, x, ranges=MILD)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)
    np.testing.assert_allclose(255 * y, np.rint(255 * y), atol=1e-4)
    for image, found, drawn in zip(np.float64(x), y, drawn_for(x, MILD), strict=True):
        small = reduced(image, drawn)
        inside = reduced_inside(jnp.asarray(image, jnp.float32), jax.tree.map(jnp.asarray, drawn))
        np.testing.assert_allclose(inside[: drawn.height, : drawn.width], small, atol=3e-6)  # float32
        wanted = np.rint(255 * np.clip(stretched(compressed(small, drawn), *image.shape[:2]), 0, 1)) / 255
        assert_close(found, wanted, mean=0.02)


@pytest.mark.thorough
def test_the_surrogate_is_near_it_and_has_gradients(photographs, degraded):
    assert_close(surrogate(KEY, photographs), degraded, mean=0.5)
    slope = jax.jit(jax.grad(lambda x: jnp.mean((surrogate(KEY, x) - 0.5) ** 2)))(photographs)
    assert np.isfinite(slope).all()
    assert (np.abs(slope).max(axis=(1, 2, 3)) > 1e-6).all()


@pytest.mark.parametrize("function", [blind_face, blind_face_surrogate])
def test_an_image_depends_on_its_own_key_only(photographs, function):
    run = surrogate if function is blind_face_surrogate else functools.partial(function, ranges=MILD)
    keys = example_keys(KEY, 3)
    together, other = run(KEY, photographs), run(jax.random.key(1), photographs)
    assert_close(run(keys[2:], photographs[2:])[0], together[2], mean=0.05)
    assert (np.abs(together - other).mean(axis=(1, 2, 3)) > 0.01).all()


@pytest.mark.thorough
def test_jit_equals_eager_and_any_size_will_do(photographs):
    assert_close(surrogate(KEY, photographs), blind_face_surrogate(KEY, photographs, ranges=MILD), mean=0.05)
    for shape in ((1, 1), (2, 31), (50, 3)):
        x = jnp.asarray(np.random.default_rng(0).random((1, *shape, 1), np.float32))
        assert_close(jax.jit(blind_face_surrogate)(KEY, x), blind_face(KEY, x), mean=1.0)


@pytest.mark.thorough
def test_draws_are_those_of_the_ranges():
    keys = jax.random.split(KEY, 4000)
    draws = jax.jit(jax.vmap(lambda key: _draw(key, (64, 48, 1), RANGES._replace(shrinkage=(2.0, 8.0)))))(keys)
    stds, angles = np.asarray(draws.blur_stds), np.asarray(draws.angle)
    isotropic = stds[:, 0] == stds[:, 1]
    assert isotropic.mean() == pytest.approx(0.5, abs=0.03)
    for values, low, high in (
        *((part, 0.1, 10) for part in (stds[isotropic, 0], *stds[~isotropic].T)),
        (angles, 0, np.pi),
        (draws.noise_std, 0, 20 / 255),
    ):
        assert scipy.stats.kstest(np.asarray(values), "uniform", (low, high - low)).pvalue > 1e-3
    assert (np.unique(draws.quality) == np.arange(60, 101)).all()
    assert scipy.stats.chisquare(np.bincount(draws.quality)[60:]).pvalue > 1e-3
    # One r for both sides: 64 / r and 48 / r in whole pixels, and every r as often.
    height, width = np.asarray(draws.height), np.asarray(draws.width)
    assert ((height.min(), height.max()), (width.min(), width.max())) == ((8, 31), (6, 23))
    assert (np.abs(width - 0.75 * height) < 1).all()
    assert np.mean(height < 64 / 5) == pytest.approx((8 - 64 / 13) / 6, abs=0.03)
    noise = np.asarray(draws.noise)
    assert noise.shape[1:] == (32, 24, 1)
    assert scipy.stats.kstest(noise[:, 3, 4, 0], "norm").pvalue > 1e-3
    assert _draw(KEY, (64, 48, 3), RANGES).noise.shape == (80, 60, 3)


@pytest.mark.parametrize("channels", [3, pytest.param(1, marks=pytest.mark.thorough)])
def test_a_corner_is_coded_as_if_it_were_alone(channels):
    canvas = np.random.default_rng(0).random((37, 53, channels), np.float32)
    canvas[:20] = canvas[:20] * 0.2 + 0.5
    coded, alone_coded = jax.jit(code_corner), jax.jit(jpeg_surrogate, static_argnames="quality")
    for height, width, quality in ((19, 30, 95), (16, 17, 40), *([(37, 53, 60), (1, 2, 75)] if channels == 1 else [])):
        found = coded(canvas, height=jnp.int32(height), width=jnp.int32(width), quality=jnp.int32(quality))
        alone = alone_coded(canvas[None, :height, :width], quality=quality)[0]
        gap = np.abs(found[:height, :width] - alone)
        assert np.mean(gap > 1e-5) < 0.002, (height, width)  # ties


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blur_std": (2.0, 1.0)}, r"ranges\.blur_std: found \(2\.0, 1\.0\), expected \(low, high\)"),
        ({"noise_std": (0.0, np.nan)}, r"ranges\.noise_std"),
        ({"shrinkage": (0.0, 1.0)}, r"ranges\.shrinkage: found \(0\.0, 1\.0\), expected above zero"),
        ({"isotropic": 1.5}, r"ranges\.isotropic: found 1\.5"),
        ({"jpeg_quality": (50, 101)}, "quality: found 101"),
    ],
)
def test_ranges_are_checked(changes, message):
    for function in (blind_face, blind_face_surrogate):
        with pytest.raises(InputError, match=message):
            function(KEY, jnp.zeros((1, 8, 8, 3)), ranges=RANGES._replace(**changes))


def test_other_images_and_traces_are_refused():
    with pytest.raises(InputError, match="x: found 2 channels"):
        blind_face(KEY, jnp.zeros((1, 8, 8, 2)))
    with pytest.raises(InputError, match=r"x: found a traced batch.*blind_face_surrogate runs inside"):
        jax.jit(blind_face)(KEY, jnp.zeros((1, 8, 8, 3)))


def test_it_has_a_name_but_no_operator(photographs):
    found = parse_degradation("blindface")
    assert (found.factor, found.traceable, found.has_operator) == (1, False, False)
    assert (found.transform, found.surrogate) == (blind_face, blind_face_surrogate)
    with pytest.raises(InputError, match="blindface', which has no linear operator"):
        found.operator((16, 24, 3))
    for word in ("blindface-x2", "blindface+noise-0.1", "average-x2+blindface"):
        with pytest.raises(InputError, match="spec: found"):
            parse_degradation(word)
