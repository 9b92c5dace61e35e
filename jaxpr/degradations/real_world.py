"""A synthetic stand-in for unknown real degradations: random blur, downsampling, noise and compression in one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, Array, InputError, Key, check_count, check_images, example_keys, is_traced
from jaxpr.degradations.jpeg import check_quality, jpeg
from jaxpr.degradations.separable import BicubicDownsample

__all__ = ["RealWorldRanges", "real_world"]

_RADIUS = 10


class RealWorldRanges(NamedTuple):
    """From where each image draws its own degradation, uniformly between (low, high).

    Attributes:
        blur_std: standard deviations of the Gaussian blur along its two axes, pixels of x; the axes' angle is random.
        read_noise: standard deviation of the noise in black, units of the [0, 1] range.
        shot_noise: standard deviation that brightness adds at white; the variance grows with brightness.
        jpeg_quality: libjpeg's quality, integers; None for no compression.
    """

    blur_std: tuple[float, float] = (0.2, 2.0)
    read_noise: tuple[float, float] = (0.0, 0.03)
    shot_noise: tuple[float, float] = (0.0, 0.03)
    jpeg_quality: tuple[int, int] | None = (40, 95)


def real_world(key: Key, x: Array, *, factor: int, ranges: RealWorldRanges = RealWorldRanges()) -> Array:  # noqa: B008
    """Random anisotropic Gaussian blur, bicubic downsampling, signal-dependent noise, JPEG: each image its own.

    Blind super-resolution is trained and tested on such mixtures (Zhang et al. 2021, Section 3, in simpler form: fixed
    order, one pass).

    Args:
        key: one key, or one for each example; an image's degradation depends on its own key only.
        x: (N, H, W, C), range [0, 1]; concrete, unless `ranges.jpeg_quality` is None: libjpeg runs on the host.
        factor: of the downsampling, 1 for none, or as `BicubicDownsample` has it. Static.
        ranges: strengths. Static.

    Returns:
        y (N, ⌈H/factor⌉, ⌈W/factor⌉, C), range [0, 1], dtype of x.

    Raises:
        InputError: not images in [0, 1], a range with low > high or negative, an unknown factor, traced x with JPEG.
    """
    check_images("x", x)
    check_count("factor", factor)
    _check_ranges(ranges)
    if ranges.jpeg_quality is not None and is_traced(x, key):
        raise InputError("x: found a traced batch, expected a concrete one: libjpeg runs on the host")
    keys = example_keys(key, x.shape[0])
    y = jax.vmap(lambda k, image: _blurred(k, image, ranges))(keys, jnp.asarray(x))
    if factor > 1:
        height, width, channels = x.shape[1:]
        y = BicubicDownsample((height, width, channels), factor)(y)
    y = jnp.clip(jax.vmap(lambda k, image: _noisy(k, image, ranges))(keys, y), 0, 1)
    if ranges.jpeg_quality is None:
        return y
    low, high = ranges.jpeg_quality
    qualities = jax.vmap(lambda k: jax.random.randint(jax.random.fold_in(k, 2), (), low, high + 1, jnp.int32))(keys)
    coded = [jpeg(y[i : i + 1], quality=int(quality)) for i, quality in enumerate(np.asarray(qualities))]
    return jnp.asarray(np.concatenate(coded), y.dtype)


def _check_ranges(ranges: RealWorldRanges) -> None:
    for name, bounds in ranges._asdict().items():
        if bounds is not None and not 0 <= bounds[0] <= bounds[1]:
            raise InputError(f"ranges.{name}: found {bounds}, expected (low, high) with 0 <= low <= high")
    if ranges.jpeg_quality is not None:
        for quality in ranges.jpeg_quality:
            check_quality(quality)


def _blurred(key: Key, image: Array, ranges: RealWorldRanges) -> Array:
    """One image (H, W, C) under its own Gaussian kernel; mirrored at the borders."""
    k_std, k_angle = jax.random.split(jax.random.fold_in(key, 0))
    stds = jax.random.uniform(k_std, (2,), jnp.float32, minval=ranges.blur_std[0], maxval=ranges.blur_std[1])
    angle = jax.random.uniform(k_angle, (), jnp.float32, maxval=np.pi)
    offsets = jnp.arange(-_RADIUS, _RADIUS + 1.0, dtype=jnp.float32)
    rows, columns = offsets[:, None], offsets[None, :]
    along, across = (
        rows * jnp.cos(angle) + columns * jnp.sin(angle),
        columns * jnp.cos(angle) - rows * jnp.sin(angle),
    )
    # A floor on the deviation keeps the sampled kernel a kernel: below it, all weight is in the centre.
    along_std, across_std = jnp.maximum(stds, 0.05)
    kernel = jnp.exp(-0.5 * ((along / along_std) ** 2 + (across / across_std) ** 2))
    kernel = (kernel / jnp.sum(kernel)).astype(image.dtype)
    padded = jnp.pad(image, ((_RADIUS, _RADIUS), (_RADIUS, _RADIUS), (0, 0)), mode="symmetric")
    planes = jnp.moveaxis(padded, -1, 0)[..., None]
    found = jax.lax.conv_general_dilated(
        planes,
        kernel[..., None, None],
        (1, 1),
        "VALID",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        precision=HIGHEST,
    )
    return jnp.moveaxis(found[..., 0], 0, -1)


def _noisy(key: Key, image: Array, ranges: RealWorldRanges) -> Array:
    k_read, k_shot, k_noise = jax.random.split(jax.random.fold_in(key, 1), 3)
    read = jax.random.uniform(k_read, (), jnp.float32, minval=ranges.read_noise[0], maxval=ranges.read_noise[1])
    shot = jax.random.uniform(k_shot, (), jnp.float32, minval=ranges.shot_noise[0], maxval=ranges.shot_noise[1])
    std = jnp.sqrt(read**2 + shot**2 * jnp.clip(image, 0, 1))
    return image + std.astype(image.dtype) * jax.random.normal(k_noise, image.shape, image.dtype)
