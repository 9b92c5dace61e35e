r"""The degradation that blind restorers of faces are trained on: blur, reduction, noise, JPEG, and enlargement.

y = [(x ⊛ k_σ) ↓r + n_δ] JPEG_q ↑r, where each image draws its own kernel k_σ, r, δ and q (Wang et al. 2021).

Sizes that are drawn do not fit into a compiled program, so a reduced image lies in the upper left corner of a canvas
for the largest; the two bilinear steps are products with matrices that are made from the drawn sizes.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024, Section 4.3 and Appendix F. GFPGAN, Wang et al., CVPR 2021.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.fft import next_fast_len

from jaxpr.core import HIGHEST, Array, ArrayLike, InputError, Key, check_images, example_keys, is_traced
from jaxpr.degradations.jpeg import check_colours, check_quality, code_corner, jpeg, to_bytes

__all__ = ["BlindFaceRanges", "blind_face", "blind_face_surrogate"]

_RADIUS = 20  # of kernels of 41 taps
_SHARP = 0.05  # a kernel of this deviation is one tap


class BlindFaceRanges(NamedTuple):
    """From where each image draws its own degradation, uniformly between (low, high); the defaults are GFPGAN's.

    Attributes:
        blur_std: standard deviation of the Gaussian blur, pixels of x.
        isotropic: share of images whose kernel is round. The others draw a deviation for each axis, and their angle.
        shrinkage: r, pixels of x per pixel of the reduced image along an axis; may be below one.
        noise_std: δ, standard deviation of the noise, units of the [0, 1] range.
        jpeg_quality: libjpeg's quality, integers, both ends included.
    """

    blur_std: tuple[float, float] = (0.1, 10.0)
    isotropic: float = 0.5
    shrinkage: tuple[float, float] = (0.8, 8.0)
    noise_std: tuple[float, float] = (0.0, 20 / 255)
    jpeg_quality: tuple[int, int] = (60, 100)


class _Draws(NamedTuple):
    """What one image drew.

    Attributes:
        blur_stds: along the kernel's two axes, (2,).
        angle: of the first axis against the rows.
        height: of the reduced image, in pixels, int32.
        width: likewise.
        noise_std: see `BlindFaceRanges`.
        noise: standard normal, (h, w, C) for the largest reduced image; that at the upper left is used.
        quality: int32.
    """

    blur_stds: Array
    angle: Array
    height: Array
    width: Array
    noise_std: Array
    noise: Array
    quality: Array


def blind_face(key: Key, x: ArrayLike, *, ranges: BlindFaceRanges = BlindFaceRanges()) -> Array:  # noqa: B008
    """Blur, bilinear reduction without antialiasing, white noise, libjpeg, bilinear enlargement: each image its own.

    Images are mirrored at the borders for the blur, without repeating the edge. Noise is clipped to [0, 1], and y is
    rounded to 8 bits. GFPGAN's changes of colour in training, which its equation leaves out, are left out here.

    Args:
        key: one key, or one for each example; an image's degradation depends on its own key only.
        x: (N, H, W, 3) or (N, H, W, 1), range [0, 1], any H and W; concrete: libjpeg runs on the host.
        ranges: strengths. Static.

    Returns:
        y, shape and dtype of x, multiples of 1/255.

    Raises:
        InputError: not images in [0, 1], a range that is none, traced x.
    """
    keys, images = _checked(key, x, ranges)
    if is_traced(x, key):
        raise InputError(
            "x: found a traced batch, expected a concrete one; blind_face runs libjpeg on the host, "
            "blind_face_surrogate runs inside"
        )
    before, heights, widths, qualities = _before_jpeg(keys, images, ranges)
    small = np.array(before)
    for image, *numbers in zip(small, heights, widths, qualities, strict=True):
        height, width, quality = map(int, numbers)
        image[:height, :width] = jpeg(image[None, :height, :width], quality=quality)[0]
    return _after_jpeg(jnp.asarray(small), heights, widths, images.shape[1:]).astype(images.dtype)


def blind_face_surrogate(key: Key, x: ArrayLike, *, ranges: BlindFaceRanges = BlindFaceRanges()) -> Array:  # noqa: B008
    """What `blind_face` does, with the same draws, in JAX and with a gradient: JPEG as `jpeg_surrogate` does it.

    The gradient passes straight through rounding and the codec's clipping.

    Args:
        key: one key, or one for each example.
        x: (N, H, W, 3) or (N, H, W, 1), range [0, 1], any H and W.
        ranges: strengths. Static.

    Returns:
        y, shape and dtype of x, multiples of 1/255 up to rounding.

    Raises:
        InputError: not images in [0, 1], a range that is none.
    """
    keys, images = _checked(key, x, ranges)

    def degraded(key: Key, image: Array) -> Array:
        draws = _draw(key, image.shape, ranges)
        small = _reduced(image, draws)
        coded = code_corner(small, height=draws.height, width=draws.width, quality=draws.quality)
        return _enlarged(coded, draws.height, draws.width, image.shape).astype(image.dtype)

    return jax.vmap(degraded)(keys, images)


def _checked(key: Key, x: ArrayLike, ranges: BlindFaceRanges) -> tuple[Array, Array]:
    check_images("x", x)
    check_colours(x)
    for name in ("blur_std", "shrinkage", "noise_std", "jpeg_quality"):
        low, high = getattr(ranges, name)
        if not 0 <= low <= high < np.inf:
            raise InputError(f"ranges.{name}: found {(low, high)}, expected (low, high) with 0 <= low <= high")
    if ranges.shrinkage[0] <= 0:
        raise InputError(f"ranges.shrinkage: found {ranges.shrinkage}, expected above zero")
    if not 0 <= ranges.isotropic <= 1:
        raise InputError(f"ranges.isotropic: found {ranges.isotropic}, expected a share in [0, 1]")
    for quality in ranges.jpeg_quality:
        check_quality(quality)
    return example_keys(key, jnp.shape(x)[0]), jnp.asarray(x)


@functools.partial(jax.jit, static_argnums=2)
def _before_jpeg(keys: Array, images: Array, ranges: BlindFaceRanges) -> tuple[Array, Array, Array, Array]:
    """Noisy images (N, h, w, C), the heights and widths of their corners, and the qualities to come."""
    draws = jax.vmap(lambda key: _draw(key, images.shape[1:], ranges))(keys)
    return jax.vmap(_reduced)(images, draws), draws.height, draws.width, draws.quality


@functools.partial(jax.jit, static_argnums=3)
def _after_jpeg(small: Array, heights: Array, widths: Array, shape: tuple[int, ...]) -> Array:
    return jax.vmap(lambda image, height, width: _enlarged(image, height, width, shape))(small, heights, widths)


def _draw(key: Key, shape: tuple[int, ...], ranges: BlindFaceRanges) -> _Draws:
    """For an image (H, W, C)."""
    k_std, k_kind, k_angle, k_size, k_level, k_noise, k_quality = jax.random.split(key, 7)

    def uniform(key: Key, bounds: tuple[float, float], *size: int) -> Array:
        return jax.random.uniform(key, size, jnp.float32, minval=bounds[0], maxval=bounds[1])

    stds, shrinkage = uniform(k_std, ranges.blur_std, 2), uniform(k_size, ranges.shrinkage)
    largest = [max(1, int(side / ranges.shrinkage[0])) for side in shape[:2]]
    height, width = (
        jnp.clip(jnp.floor(side / shrinkage).astype(jnp.int32), 1, most)
        for side, most in zip(shape[:2], largest, strict=True)
    )
    low, high = ranges.jpeg_quality
    return _Draws(
        blur_stds=jnp.where(uniform(k_kind, (0.0, 1.0)) < ranges.isotropic, stds[0], stds),
        angle=uniform(k_angle, (0.0, np.pi)),
        height=height,
        width=width,
        noise_std=uniform(k_level, ranges.noise_std),
        noise=jax.random.normal(k_noise, (*largest, shape[2]), jnp.float32),
        quality=jax.random.randint(k_quality, (), low, high + 1, jnp.int32),
    )


def _reduced(image: Array, draws: _Draws) -> Array:
    """(H, W, C), blurred, reduced and noisy, in the upper left corner of (h, w, C); the rest means nothing."""
    (height, width), canvas = image.shape[:2], draws.noise.shape
    small = _resampled(
        _blurred(image.astype(jnp.float32), draws),
        _bilinear(height, draws.height, (canvas[0], height)),
        _bilinear(width, draws.width, (canvas[1], width)),
    )
    return jnp.clip(small + draws.noise_std * draws.noise, 0, 1)


def _enlarged(small: Array, height: Array, width: Array, shape: tuple[int, ...]) -> Array:
    """The upper left corner of (h, w, C) resized to (H, W, C), in multiples of 1/255."""
    found = _resampled(
        small,
        _bilinear(height, shape[0], (shape[0], small.shape[0])),
        _bilinear(width, shape[1], (shape[1], small.shape[1])),
    )
    return to_bytes(found * 255) / 255


def _blurred(image: Array, draws: _Draws) -> Array:
    """(H, W, C) under its kernel, by Fourier transforms, which cost little for so many taps."""
    kernel = _kernel(draws)
    padded = jnp.pad(image, ((_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0)), mode="reflect")
    height, width = (next_fast_len(side, real=True) for side in padded.shape[:2])
    spectrum = jnp.fft.rfft2(padded, s=(height, width), axes=(0, 1))
    spectrum = spectrum * jnp.fft.rfft2(kernel, s=(height, width))[:, :, None]
    # What wraps around lies in the first rows and columns, as many as the kernel has taps less one.
    found = jnp.fft.irfft2(spectrum, s=(height, width), axes=(0, 1))
    return found[2 * _RADIUS : padded.shape[0], 2 * _RADIUS : padded.shape[1]]


def _kernel(draws: _Draws) -> Array:
    """The Gaussian sampled at 41 × 41 places, with sum one."""
    offsets = jnp.arange(-_RADIUS, _RADIUS + 1, dtype=jnp.float32)
    rows, columns = offsets[:, None], offsets[None, :]
    cosine, sine = jnp.cos(draws.angle), jnp.sin(draws.angle)
    first, second = jnp.maximum(draws.blur_stds[0], _SHARP), jnp.maximum(draws.blur_stds[1], _SHARP)
    along, across = (rows * cosine + columns * sine) / first, (columns * cosine - rows * sine) / second
    kernel = jnp.exp(-0.5 * (along**2 + across**2))
    return kernel / jnp.sum(kernel)


def _bilinear(size_in: ArrayLike, size_out: ArrayLike, shape: tuple[int, int]) -> Array:
    """The matrix that resizes an axis' first `size_in` samples to as many as `size_out`; further rows mean nothing.

    Sample i lies at (i + 1/2) size_in / size_out - 1/2, held within the samples there are.
    """
    # In units of 1 / (2 size_out) and integers, for at a distance of hundreds of pixels floats would lose digits.
    unit = 2 * jnp.asarray(size_out, jnp.int32)
    size_in = jnp.asarray(size_in, jnp.int32)
    places = (2 * jnp.arange(shape[0], dtype=jnp.int32) + 1) * size_in - unit // 2
    places = jnp.clip(places, 0, (size_in - 1) * unit)
    before = places // unit
    share = ((places - before * unit).astype(jnp.float32) / unit.astype(jnp.float32))[:, None]
    columns = jnp.arange(shape[1], dtype=jnp.int32)[None, :]
    first, second = ((columns == before[:, None] + i).astype(jnp.float32) for i in (0, 1))
    return first * (1 - share) + second * share


def _resampled(image: Array, rows: Array, columns: Array) -> Array:
    image = jnp.einsum("hi,iwc->hwc", rows, image, precision=HIGHEST)
    return jnp.einsum("wj,hjc->hwc", columns, image, precision=HIGHEST)
