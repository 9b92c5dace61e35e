"""Images that already are arrays in memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from jaxpr._core import InputError, check_images
from jaxpr.data.source import ImageSource

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
        names: one unique name per image; None numbers them '{name}-000000', ...
        labels: one class per image, or None.

    Returns:
        The source.

    Raises:
        InputError: no images, wrong rank, dtype or range, or names and labels that do not fit.
    """
    for i, image in enumerate(images):
        check_images(f"images[{i}]", np.asarray(image)[None], overshoot=0.0)
    if names is None:
        names = [f"{name}-{i:06d}" for i in range(len(images))]
    if len(names) != len(images):
        raise InputError(f"names: found {len(names)}, expected one for each of {len(images)} images")
    return ImageSource(
        name=name,
        names=tuple(names),
        reader=Arrays([np.array(image, np.float32) for image in images]),
        labels=None if labels is None else tuple(int(label) for label in labels),
    )
