"""The examples of an evaluation: crops or whole images, grouped by photograph and batched by shape."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxpr._core import InputError
from jaxpr.data import ImageSource, crops, from_arrays
from jaxpr.degradations import Degradation
from jaxpr.evaluation.protocol import Protocol

__all__ = ["Examples", "batch_indices", "examples_of"]


class Examples(NamedTuple):
    """What is evaluated, in order.

    Attributes:
        source: the crops or images.
        indices: positions in `source` of the examples that are evaluated.
        groups: for each example the number of the photograph that it comes from.
        shapes: for each example its (H, W, C), after cutting to a multiple of the scale factor.
        factor: pixels of x per pixel of y along an axis.
    """

    source: ImageSource
    indices: tuple[int, ...]
    groups: np.ndarray
    shapes: tuple[tuple[int, int, int], ...]
    factor: int

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, example: int) -> np.ndarray:
        """Example number `example`, float32 (H, W, C)."""
        height, width, _ = self.shapes[example]
        return self.source[self.indices[example]][:height, :width]

    def name(self, example: int) -> str:
        """Its name, such as 'astronaut[0,1]'."""
        return self.source.names[self.indices[example]]


def examples_of(images: ImageSource | Sequence[np.ndarray], degradation: Degradation, protocol: Protocol) -> Examples:
    """Cut the images as the protocol says and check that they are large enough for everything that follows.

    Raises:
        InputError: an image is too small for a crop or a patch, or crops do not fit the scale factor.
    """
    whole = images if isinstance(images, ImageSource) else from_arrays(list(images), name="images")
    factor = degradation.factor
    if protocol.crop is None:
        source, groups = whole, np.arange(len(whole))
    else:
        if protocol.crop % factor:
            raise InputError(f"crop: found {protocol.crop}, expected a multiple of the scale factor {factor}")
        try:
            source = crops(whole, protocol.crop)
        except InputError as error:
            raise InputError(f"{error}; crop None (--crop 0) evaluates whole images") from error
        counts = [
            (whole.shape(i)[0] // protocol.crop) * (whole.shape(i)[1] // protocol.crop) for i in range(len(whole))
        ]
        groups = np.repeat(np.arange(len(whole)), counts)
    count = len(source) if protocol.limit is None else min(protocol.limit, len(source))
    # Spread evenly, so that a small limit still sees several photographs.
    indices = tuple(int(i) for i in np.linspace(0, len(source) - 1, count).round())
    shapes = tuple(_multiple(source.shape(i), factor) for i in indices)
    for height, width, channels in set(shapes):
        found = degradation.operator((height, width, channels)).output_shape[:2]
        if (factor * found[0], factor * found[1]) != (height, width):
            raise InputError(
                f"degradation: found measurements of {found[0]}×{found[1]} pixels for images of {height}×{width}, "
                f"expected {degradation.name!r} to reduce them by its factor {factor}"
            )
    smallest = min(min(shape[:2]) for shape in shapes) // factor
    if smallest < protocol.patch_size:
        raise InputError(
            f"images: found a measurement of only {smallest} pixels on a side, expected at least the patch size "
            f"{protocol.patch_size}; use larger crops or images, or smaller patches"
        )
    return Examples(source, indices, groups[list(indices)], shapes, factor)


def batch_indices(shapes: Sequence[tuple[int, int, int]], size: int) -> list[list[int]]:
    """Positions of consecutive examples of one shape, at most `size` together."""
    batches: list[list[int]] = []
    for index, shape in enumerate(shapes):
        if batches and len(batches[-1]) < size and shapes[batches[-1][0]] == shape:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches


def _multiple(shape: tuple[int, int, int], factor: int) -> tuple[int, int, int]:
    height, width, channels = shape
    return height // factor * factor, width // factor * factor, channels
