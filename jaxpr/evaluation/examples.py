"""The examples of an evaluation: crops or whole images, grouped by photograph and batched by shape."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxpr.core import InputError, printable
from jaxpr.data import ImageSource, PairedSource, crops, from_arrays, paired_crops, resized
from jaxpr.data.crops import without_small
from jaxpr.degradations import Degradation
from jaxpr.evaluation.protocol import Protocol

__all__ = ["Examples", "batch_indices", "examples_of"]


class Examples(NamedTuple):
    """What is evaluated, in order.

    Attributes:
        source: the crops or images.
        low: their measurements, where the data bring their own; else None.
        indices: positions in `source` of the examples that are evaluated.
        groups: for each example the number of the photograph that it comes from.
        shapes: for each example its (H, W, C), after cutting to a multiple of the scale factor.
        factor: pixels of x per pixel of y along an axis.
        pairs: the data that bring their own measurements, before they are cut, or None.
    """

    source: ImageSource
    low: ImageSource | None
    indices: tuple[int, ...]
    groups: np.ndarray
    shapes: tuple[tuple[int, int, int], ...]
    factor: int
    pairs: PairedSource | None = None

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, example: int) -> np.ndarray:
        """Example number `example`, float32 (H, W, C)."""
        height, width, _ = self.shapes[example]
        return self.source[self.indices[example]][:height, :width]

    def measurement(self, example: int) -> np.ndarray:
        """The given measurement of an example, float32 (h, w, C); only where the data bring their own."""
        if self.low is None:
            raise InputError("images: found no measurements, expected pairs")
        return self.low[self.indices[example]]

    @property
    def labels(self) -> np.ndarray | None:
        """The class of each example, (N,), or None where there are no classes."""
        labels = self.source.labels
        return None if labels is None else np.array([labels[i] for i in self.indices])

    def name(self, example: int) -> str:
        """Its name, such as 'astronaut[0,1]'."""
        return printable(self.source.names[self.indices[example]])


def examples_of(
    images: ImageSource | PairedSource | Sequence[np.ndarray], degradation: Degradation, protocol: Protocol
) -> Examples:
    """Cut the images as the protocol says and check that they are large enough for everything that follows.

    Raises:
        InputError: an image is too small for a crop or a patch, pairs are to be resized, crops do not fit the scale
            factor, or the factor of pairs is not the degradation's.
    """
    pairs = images if isinstance(images, PairedSource) else None
    if pairs is not None:
        for name in ("resize", "centre"):
            if found := getattr(protocol, name):
                raise InputError(f"{name}: found {found} with pairs, whose measurements are given, expected it without")
        whole = pairs.high
        if degradation.has_operator and degradation.factor != pairs.factor:
            raise InputError(
                f"degradation: found {degradation.name!r} with factor {degradation.factor} for pairs with factor "
                f"{pairs.factor}, expected one factor; 'given' takes the pairs as they are"
            )
    else:
        whole = images if isinstance(images, ImageSource) else from_arrays(list(images), name="images")  # type: ignore[arg-type]
        whole = resized(whole, size=protocol.resize, centre=protocol.centre)
    factor = degradation.factor if pairs is None else pairs.factor
    if pairs is None and whole.skip_bad:
        whole = without_small(whole, protocol.crop or protocol.patches.size * factor)
    source, low, groups = _cut(whole, pairs, protocol.crop or None, factor)
    count = len(source) if protocol.limit is None else min(protocol.limit, len(source))
    # Spread evenly, so that a small limit still sees several photographs.
    indices = tuple(int(i) for i in np.linspace(0, len(source) - 1, count).round())
    shapes = tuple(_multiple(source.shape(i), factor) for i in indices)
    if degradation.has_operator:
        _check_operator(degradation, set(shapes))
    smallest = min(min(shape[:2]) for shape in shapes) // factor
    if smallest < protocol.patches.size:
        raise InputError(
            f"images: found a measurement of only {smallest} pixels on a side, expected at least the patch size "
            f"{protocol.patches.size}; use larger crops or images, or smaller patches"
        )
    return Examples(source, low, indices, groups[list(indices)], shapes, factor, pairs)


def _cut(
    whole: ImageSource, pairs: PairedSource | None, crop: int | None, factor: int
) -> tuple[ImageSource, ImageSource | None, np.ndarray]:
    """Crops or whole images, their measurements if given, and the number of the photograph of each."""
    if crop is None:
        return whole, None if pairs is None else pairs.low, np.arange(len(whole))
    if crop % factor:
        raise InputError(f"crop: found {crop}, expected a multiple of the scale factor {factor}")
    try:
        cut = crops(whole, crop) if pairs is None else paired_crops(pairs, crop)
    except InputError as error:
        raise InputError(f"{error}; crop None (--crop 0) evaluates whole images") from error
    # Pairs are cut on the grid of the measurements, which decides how many crops there are.
    gridded, side = (whole, crop) if pairs is None else (pairs.low, crop // factor)
    counts = [math.prod(size // side for size in gridded.shape(i)[:2]) for i in range(len(gridded))]
    groups = np.repeat(np.arange(len(whole)), counts)
    return (cut.high, cut.low, groups) if isinstance(cut, PairedSource) else (cut, None, groups)


def _check_operator(degradation: Degradation, shapes: set[tuple[int, int, int]]) -> None:
    for height, width, channels in shapes:
        found = degradation.operator((height, width, channels)).output_shape[:2]
        if (degradation.factor * found[0], degradation.factor * found[1]) != (height, width):
            raise InputError(
                f"degradation: found measurements of {found[0]}×{found[1]} pixels for images of {height}×{width}, "
                f"expected {degradation.name!r} to reduce them by its factor {degradation.factor}"
            )


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
