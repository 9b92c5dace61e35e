"""Images resized, and their central squares: how sets of larger images become sets of small ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from jaxpr.core import InputError, check_count
from jaxpr.data.source import ImageSource

__all__ = ["RESIZE_FILTER", "check_resize", "resized"]

RESIZE_FILTER = "bilinear, antialiased, as Pillow's"
"""How `resized` resizes, for records."""

_LEVELS, _LARGEST = np.float32(255), 1 << 14


def resized(source: ImageSource, *, size: Sequence[int] = (), centre: int | None = None) -> ImageSource:
    """The images of a source, resized and then cut to their central squares.

    The filter is Pillow's bilinear one: a triangle that is stretched when shrinking (antialiased), cut off and
    normalised at the border. Images of 255ths are resized in bytes, with Pillow's rounding, and become what programs
    get that resize files by it; others in float32. [ohayon2023], Appendix E.2.4, resizes CelebA to 102×102 and takes
    the central 64×64: `resized(source, size=(102, 102), centre=64)`.

    Args:
        source: images of any sizes.
        size: () for none, (side,) for the shorter side with the ratio kept (the longer one rounded down), or (height,
            width).
        centre: side of the central square; None for the whole image. With an odd remainder, one pixel more is left at
            the bottom or the right.

    Returns:
        Source named such as 'faces-resize102x102-centre64', with the names and labels of the images; pixels are made
        when they are asked for. The source itself if nothing is to be done.

    Raises:
        InputError: no `ImageSource`, sizes that are none, or an image that is smaller than the central square.
    """
    if not isinstance(source, ImageSource):
        raise InputError(f"source: found {type(source).__name__}, expected an ImageSource")
    size = check_resize("size", size)
    if centre is not None:
        check_count("centre", centre)
    if not size and centre is None:
        return source
    words = [f"resize{'x'.join(map(str, size))}"] if size else []
    words += [] if centre is None else [f"centre{centre}"]
    reader = _Resized(source, size, centre)
    return ImageSource(
        name="-".join([source.name, *words]),
        names=source.names,
        reader=reader,
        labels=source.labels,
        classes=source.classes,
        skipped=source.skipped,
        skip_bad=source.skip_bad,
    )


def check_resize(name: str, size: Sequence[int]) -> tuple[int, ...]:
    """The sizes as a tuple; raise unless they are none, a shorter side, or height and width."""
    if not isinstance(size, tuple | list) or len(size) > 2:
        raise InputError(f"{name}: found {size!r}, expected the shorter side, or height and width")
    for side in size:
        check_count(name, side)
        if side > _LARGEST:
            raise InputError(f"{name}: found {side}, expected at most {_LARGEST}")
    return tuple(map(int, size))


@dataclass(frozen=True)
class _Resized:
    """Reader of resized images."""

    source: ImageSource
    size: tuple[int, ...]
    centre: int | None

    def load(self, i: int) -> np.ndarray:
        image = self.source[i]
        height, width = _new_sides(image.shape, self.size)
        top, left, rows, columns = self._window(i, height, width)
        image = image if (height, width) == image.shape[:2] else _resize(image, height, width)
        return image[top : top + rows, left : left + columns].copy()

    def shape(self, i: int) -> tuple[int, int, int]:
        found = self.source.shape(i)
        *_, rows, columns = self._window(i, *_new_sides(found, self.size))
        return rows, columns, found[2]

    def content(self, i: int) -> Iterator[bytes]:
        yield f"resize={self.size} centre={self.centre} {RESIZE_FILTER}\n".encode()
        yield from self.source.reader.content(i)

    def _window(self, i: int, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width of what is kept."""
        side = self.centre
        if side is None:
            return 0, 0, height, width
        if min(height, width) < side:
            found = f"found {height}×{width} pixels{' after resizing' if self.size else ''}"
            raise InputError(f"{self.source.names[i]}: {found}, expected at least centre {side} on both sides")
        return (height - side) // 2, (width - side) // 2, side, side


def _new_sides(shape: Sequence[int], size: tuple[int, ...]) -> tuple[int, int]:
    height, width = shape[:2]
    if not size:
        return height, width
    if len(size) == 2:
        return size[0], size[1]
    short, long = min(height, width), size[0] * max(height, width) // min(height, width)
    if long > _LARGEST:
        raise InputError(f"size: found {long} pixels of {height}×{width} resized, expected at most {_LARGEST} a side")
    return (size[0], long) if height == short else (long, size[0])


def _resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    levels = np.round(image * _LEVELS).astype(np.uint8)
    if np.array_equal(levels.astype(np.float32) / _LEVELS, image):
        return _by_pillow(levels, height, width).astype(np.float32) / _LEVELS
    return np.clip(_by_pillow(image, height, width), 0, 1)


def _by_pillow(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Channel by channel, which Pillow treats alike."""
    planes = [Image.fromarray(image[..., channel]) for channel in range(image.shape[2])]
    return np.stack([np.asarray(p.resize((width, height), Image.Resampling.BILINEAR)) for p in planes], axis=-1)
