"""Random crops of images of any sizes, drawn by key from arrays that lie on the device."""

from collections.abc import Iterable
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, check_count, check_images

__all__ = ["ImagePool", "Symmetries", "draw_crops", "image_pool"]

Symmetries: TypeAlias = Literal[1, 2, 8]
"""Number of equally likely symmetries: none, left-right reflection, or all of the square."""

_LEVELS = 255
_MOST_PIXELS = 2**31 - 1  # positions are int32


class ImagePool(NamedTuple):
    """Images one behind the other.

    Attributes:
        pixels: (P, C), bytes of 255ths or float32 in [0, 1].
        offsets: position of each image's first pixel, (images,).
        heights: in pixels, (images,).
        widths: likewise.
    """

    pixels: Array
    offsets: Array
    heights: Array
    widths: Array


def image_pool(images: Iterable[np.ndarray], *, smallest: int) -> ImagePool:
    """Put images onto the device, in bytes if that loses nothing.

    Args:
        images: (H, W, C) in [0, 1], of any sizes and one number of channels, such as a `data.ImageSource`.
        smallest: side of the crops that will be drawn.

    Raises:
        InputError: none, too many pixels, no such image, or one smaller than the crops.
    """
    check_count("smallest", smallest)
    flat: list[np.ndarray] = []
    sizes = []
    for i, image in enumerate(images):
        check_images(f"images[{i}]", image[None])
        if min(image.shape[:2]) < smallest:
            raise InputError(f"images[{i}]: found {image.shape[0]}×{image.shape[1]} pixels, expected {smallest} a side")
        levels = np.round(image * _LEVELS).astype(np.uint8)
        exact = np.array_equal(levels.astype(np.float32) / _LEVELS, image)
        flat.append((levels if exact else np.asarray(image, np.float32)).reshape(-1, image.shape[2]))
        sizes.append(image.shape[:2])
    if len({part.shape[1] for part in flat}) != 1:
        raise InputError(f"images: found channels {sorted({p.shape[1] for p in flat})}, expected one number of them")
    counts = np.array([len(part) for part in flat])
    if counts.sum() > _MOST_PIXELS:
        raise InputError(f"images: found {counts.sum()} pixels, expected at most {_MOST_PIXELS}; take fewer images")
    if len({part.dtype for part in flat}) > 1:
        flat = [part / np.float32(_LEVELS) if part.dtype == np.uint8 else part for part in flat]
    heights, widths = np.array(sizes, np.int32).T
    offsets = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int32)
    return ImagePool(*map(jnp.asarray, (np.concatenate(flat), offsets, heights, widths)))


def draw_crops(keys: Array, pool: ImagePool, *, size: int, symmetries: Symmetries, candidates: int = 1) -> Array:
    """One crop per key: an image, all equally likely, then a place in it, then a symmetry.

    Args:
        keys: (N,); crop i depends on its own key only.
        pool: of images not smaller than the crops.
        size: side in pixels. Static.
        symmetries: see `Symmetries`. Static.
        candidates: so many places are drawn for each crop; the one whose intensities vary most is taken. Static.

    Returns:
        (N, size, size, C), float32 in [0, 1].

    Raises:
        InputError: a count is wrong, or symmetries is none of 1, 2, 8.
    """
    check_count("size", size)
    check_count("candidates", candidates)
    if symmetries not in (1, 2, 8):
        raise InputError(f"symmetries: found {symmetries!r}, expected 1, 2 or 8")
    rows, columns = jnp.meshgrid(*[jnp.arange(size, dtype=jnp.int32)] * 2, indexing="ij")

    def at_random(key: Array) -> Array:
        k_image, k_top, k_left = jax.random.split(key, 3)
        image = jax.random.randint(k_image, (), 0, len(pool.offsets), jnp.int32)
        top = jax.random.randint(k_top, (), 0, pool.heights[image] - size + 1, jnp.int32)
        left = jax.random.randint(k_left, (), 0, pool.widths[image] - size + 1, jnp.int32)
        found = pool.pixels[pool.offsets[image] + (top + rows) * pool.widths[image] + left + columns]
        return found.astype(jnp.float32) / _LEVELS if found.dtype == jnp.uint8 else found

    def draw(key: Array) -> Array:
        k_places, k_symmetry = jax.random.split(key)
        crops = jax.vmap(at_random)(jax.random.split(k_places, candidates))
        crop = crops[jnp.argmax(jnp.var(crops, axis=(1, 2, 3)))]
        symmetry = jax.random.randint(k_symmetry, (), 0, symmetries, jnp.int32)
        crop = jnp.where(symmetry % 2 == 1, crop[:, ::-1], crop)
        crop = jnp.where(symmetry // 2 % 2 == 1, crop[::-1], crop)
        return jnp.where(symmetry // 4 == 1, crop.swapaxes(0, 1), crop)

    return jax.vmap(draw)(keys)
