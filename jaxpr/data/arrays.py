"""Images that already are arrays in memory."""

import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jaxpr.core import InputError, check_images
from jaxpr.data.source import ImageSource, writable_names

__all__ = ["Arrays", "from_arrays"]


@dataclass(frozen=True, eq=False)
class Arrays:
    """Reader of float32 images (H, W, C) held in memory."""

    images: Sequence[np.ndarray]

    def load(self, i: int) -> np.ndarray:
        """A copy, so that callers may write into it."""
        return self.images[i].copy()

    def shape(self, i: int) -> tuple[int, int, int]:
        """(H, W, C)."""
        height, width, channels = self.images[i].shape
        return height, width, channels

    def content(self, i: int) -> Iterator[bytes]:
        """Shape and values."""
        yield repr(self.images[i].shape).encode()
        yield self.images[i].astype("<f4").tobytes()


def from_arrays(
    images: Sequence[np.ndarray] | np.ndarray,
    *,
    name: str,
    names: Sequence[str] | None = None,
    labels: Sequence[int] | None = None,
) -> ImageSource:
    """A source of images in memory, for data that no other function reads or that should be decoded only once.

    Args:
        images: floating point (N, H, W, C), or a sequence of (H, W, C) of any sizes, in [0, 1]. Copied as float32.
        name: short name of the set.
        names: one unique name per image, made printable; None numbers them '{name}-000000', ...
        labels: one class per image, or None.

    Returns:
        The source.

    Raises:
        InputError: no images, wrong rank, dtype or range, or names and labels that do not fit.
    """
    arrays = [_image(f"images[{i}]", image) for i, image in enumerate(_items("images", images))]
    names = [f"{name}-{i:06d}" for i in range(len(arrays))] if names is None else writable_names(_items("names", names))
    if len(names) != len(arrays):
        raise InputError(f"names: found {len(names)}, expected one for each of {len(arrays)} images")
    return ImageSource(
        name=name,
        names=tuple(names),
        reader=Arrays(arrays),
        labels=None if labels is None else tuple(_label(label) for label in _items("labels", labels)),
    )


def _items(argument: str, values: Iterable[Any]) -> list[Any]:
    try:
        return list(values)
    except TypeError:
        raise InputError(f"{argument}: found {type(values).__name__}, expected a sequence") from None


def _image(argument: str, image: object) -> np.ndarray:
    """A float32 copy of one image."""
    try:
        array = np.asarray(image)
    except ValueError:  # lists of unequal lengths
        raise InputError(f"{argument}: found {type(image).__name__}, expected an array (H, W, C)") from None
    if array.ndim != 3:
        raise InputError(f"{argument}: found shape {array.shape}, expected (H, W, C)")
    if array.dtype.kind in "OSUMm":
        raise InputError(f"{argument}: found dtype {array.dtype}, expected floating point")
    if array.dtype == np.uint8:
        raise InputError(f"{argument}: found dtype uint8, expected floating point in [0, 1]; divide by 255")
    check_images(argument, array[None], overshoot=0.0)
    return np.array(array, np.float32)


def _label(label: object) -> int:
    try:
        return operator.index(label)  # type: ignore[arg-type]
    except TypeError:
        raise InputError(f"labels: found {type(label).__name__}, expected integers") from None
