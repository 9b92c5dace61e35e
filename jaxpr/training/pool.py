"""Random crops of images of any sizes, drawn by key from arrays that lie on the device."""

import contextlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, check_count, check_images, given_path, printable

__all__ = ["ImagePool", "Symmetries", "draw_crops", "image_pool"]

Symmetries: TypeAlias = Literal[1, 2, 8]
"""Number of equally likely symmetries: none, left-right reflection, or all of the square."""

_LEVELS = 255
_MOST_PIXELS = 2**31 - 1  # positions are int32
_BLOCK = 2**30  # pixels; no image lies in two blocks
_IN_MEMORY = 2**28  # bytes, beyond which pixels go to a file
_PIECE = 2**24


class ImagePool(NamedTuple):
    """Images one behind the other.

    Attributes:
        pixels: (P, C), bytes of 255ths or float32 in [0, 1]; with more than 2³¹ - 1 pixels (blocks, 2³⁰, C).
        offsets: position of each image's first pixel, in its block, (images,).
        heights: in pixels, (images,).
        widths: likewise.
        blocks: the block of each image, (images,); None where pixels are not in blocks.
    """

    pixels: Array
    offsets: Array
    heights: Array
    widths: Array
    blocks: Array | None = None


def image_pool(
    images: Iterable[np.ndarray], *, smallest: int, folder: str | os.PathLike[str] | None = None
) -> ImagePool:
    """Put images onto the device, in bytes if that loses nothing.

    There is no limit to their number but the device's memory. Beyond 256 MiB, pixels go to a temporary file as they
    come, which has no name and is gone with the pool. On a CPU the pool is that file, mapped; to other devices it is
    copied. 162,770 images of 64×64 bytes in three channels are 2.0 GB.

    Args:
        images: (H, W, C) in [0, 1], of any sizes and one number of channels, such as a `data.ImageSource`.
        smallest: side of the crops that will be drawn.
        folder: where the temporary file is; None for the system's folder of such files (TMPDIR), which should not lie
            in memory.

    Raises:
        InputError: none, no such image, one smaller than the crops or of more than 2³⁰ pixels, or no room in `folder`.
    """
    check_count("smallest", smallest)
    with contextlib.closing(_Pixels(None if folder is None else given_path(folder))) as pixels:
        sizes, starts = [], []
        for i, image in enumerate(images):
            _check(f"images[{i}]", image, smallest)
            starts.append(pixels.add(_levels(image).reshape(-1, image.shape[2])))
            sizes.append(image.shape[:2])
        if not sizes:
            raise InputError("images: found channels [], expected one number of them")
        # A file is not copied on a CPU, which would be twice its size.
        on_device = jax.device_put(pixels.stored(), may_alias=True) if pixels.in_file else jnp.asarray(pixels.stored())
    offsets, blocks = np.array(starts), None
    if on_device.ndim == 3:
        blocks, offsets = jnp.asarray(offsets // _BLOCK, jnp.int32), offsets % _BLOCK
    heights, widths = np.array(sizes, np.int32).T
    where = jnp.asarray(offsets, jnp.int32)
    return ImagePool(on_device, where, jnp.asarray(heights), jnp.asarray(widths), blocks)


def _check(name: str, image: np.ndarray, smallest: int) -> None:
    check_images(name, image[None])
    height, width = image.shape[:2]
    if min(height, width) < smallest:
        raise InputError(f"{name}: found {height}×{width} pixels, expected {smallest} a side")
    if height * width > _BLOCK:
        raise InputError(f"{name}: found {height}×{width} pixels, expected at most {_BLOCK}")


def _levels(image: np.ndarray) -> np.ndarray:
    """255ths as bytes; any other image as it is."""
    levels = np.round(image * _LEVELS).astype(np.uint8)
    exact = np.array_equal(levels.astype(np.float32) / _LEVELS, image)
    return levels if exact else np.asarray(image, np.float32)


class _Pixels:
    """Pixels one behind the other, in memory while they are few and then in a file; all bytes, or all float32."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._parts: list[np.ndarray] = []
        self._file: IO[bytes] | None = None
        self._end = 0
        self._channels: set[int] = set()
        self._kind: Any = np.uint8

    @property
    def in_file(self) -> bool:
        """Whether they are in a file."""
        return self._file is not None

    def add(self, part: np.ndarray) -> int:
        """Put (n, C) behind the others, at the beginning of a block if the current one has no room; where that is."""
        self._channels.add(part.shape[1])
        if len(self._channels) > 1:
            raise InputError(f"images: found channels {sorted(self._channels)}, expected one number of them")
        if part.dtype != self._kind and self._kind == np.uint8:
            self._parts = [_as_floats(earlier) for earlier in self._parts]
            self._file = None if self._file is None else self._copied(self._file)
            self._kind = np.float32
        elif part.dtype != self._kind:
            part = _as_floats(part)
        start = self._end if self._end % _BLOCK + len(part) <= _BLOCK else (self._end // _BLOCK + 1) * _BLOCK
        self._end = start + len(part)
        if self._file is None and self._bytes(self._end) > _IN_MEMORY:
            self._file = self._new_file()
            for earlier in self._parts:
                self._write(self._file, earlier)
            self._parts = []
        if self._file is None:
            self._parts.append(part)
        else:
            self._file.seek(self._bytes(start))  # what is passed over takes no room
            self._write(self._file, part)
        return start

    def close(self) -> None:
        """Forget them; what `stored` gave stays."""
        self._parts = []
        if self._file is not None:
            self._file.close()

    def stored(self) -> np.ndarray:
        """(P, C), or (blocks, 2³⁰, C) if they are too many for one index; not to be written into."""
        if self._file is None:
            return np.concatenate(self._parts)
        (channels,) = self._channels
        shape: tuple[int, ...] = (self._end, channels)
        if self._end > _MOST_PIXELS:
            shape = (-(-self._end // _BLOCK), _BLOCK, channels)
            self._file.truncate(self._bytes(shape[0] * _BLOCK))
        self._file.flush()
        return np.asarray(np.memmap(self._file, self._kind, "r", 0, shape))

    def _bytes(self, pixels: int) -> int:
        (channels,) = self._channels
        return pixels * channels * np.dtype(self._kind).itemsize

    def _copied(self, file: IO[bytes]) -> IO[bytes]:
        """The bytes of a file as floats."""
        new = self._new_file()
        file.seek(0)
        while piece := file.read(_PIECE):
            self._write(new, _as_floats(np.frombuffer(piece, np.uint8)))
        file.close()
        return new

    def _new_file(self) -> IO[bytes]:
        try:
            return tempfile.TemporaryFile(dir=self._folder)
        except OSError as error:
            raise self._no_room(error) from error

    def _write(self, file: IO[bytes], part: np.ndarray) -> None:
        try:
            file.write(np.ascontiguousarray(part).data)
        except OSError as error:
            raise self._no_room(error) from error

    def _no_room(self, error: OSError) -> InputError:
        where = printable(self._folder or tempfile.gettempdir())
        found = f"cannot write {self._bytes(self._end)} bytes into {where} ({error.strerror})"
        return InputError(f"folder: {found}, expected room for all pixels; TMPDIR names another one")


def _as_floats(levels: np.ndarray) -> np.ndarray:
    return levels / np.float32(_LEVELS)


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
        places = pool.offsets[image] + (top + rows) * pool.widths[image] + left + columns
        found = pool.pixels[places] if pool.blocks is None else pool.pixels[pool.blocks[image], places]
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
