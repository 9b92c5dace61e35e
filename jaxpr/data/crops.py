"""Square crops on a regular grid: equal sizes from images of any size."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from jaxpr.core import InputError, check_count
from jaxpr.data.source import ImageSource, Skipped

__all__ = ["crop_grid", "crops", "crops_at", "cut_alike", "uncut", "without_small"]


class _Grid(NamedTuple):
    rows: int
    columns: int
    top: int
    left: int


def crop_grid(image: np.ndarray, size: int) -> np.ndarray:
    """Cut an image into floor(H/size) × floor(W/size) crops that do not overlap; the grid is centred.

    An odd remainder leaves one pixel more at the bottom or the right.

    Args:
        image: (H, W, C), any dtype.
        size: side of a crop in pixels.

    Returns:
        (n, size, size, C), row by row, a copy of the image's dtype.

    Raises:
        InputError: `image` is not (H, W, C), `size` is not a positive integer, or the image is smaller than it.
    """
    if not hasattr(image, "shape"):
        raise InputError(f"image: found {type(image).__name__}, expected an array (H, W, C)")
    if np.ndim(image) != 3:
        raise InputError(f"image: found shape {np.shape(image)}, expected (H, W, C)")
    grid = _grid("image", image.shape, size)
    used = image[grid.top : grid.top + grid.rows * size, grid.left : grid.left + grid.columns * size]
    blocks = used.reshape(grid.rows, size, grid.columns, size, -1).swapaxes(1, 2)
    return blocks.reshape(grid.rows * grid.columns, size, size, -1).copy()


def crops(source: ImageSource, size: int) -> ImageSource:
    """All crops of all images of a source, in the order and places of `crop_grid`.

    How many there are is known from the images' shapes; pixels are decoded when a crop is read. The last image is
    kept, so reading in order decodes each once. Reading shuffled decodes nearly one image per crop: where that is too
    slow, hold the images in memory first, `from_arrays(list(source), name=source.name, names=source.names)`.

    Args:
        source: images of any sizes, none smaller than `size`; where the source skips bad images, smaller ones are left
            out, listed in `skipped` of the crops and reported in one warning.
        size: side of a crop in pixels.

    Returns:
        Source of float32 (size, size, C) images named such as 'astronaut[0,1]' (row, column), labelled as their image.

    Raises:
        InputError: no `ImageSource`, `size` is not a positive integer, or an image (with a source that skips bad ones:
            every image) is smaller than it.
    """
    if not isinstance(source, ImageSource):
        raise InputError(f"source: found {type(source).__name__}, expected an ImageSource, such as of from_arrays")
    check_count("size", size)
    if source.skip_bad:
        source = without_small(source, size)
    places = []
    for i, name in enumerate(source.names):
        grid = _grid(name, source.shape(i), size)
        for row, column in np.ndindex(grid.rows, grid.columns):
            places.append((i, grid.top + row * size, grid.left + column * size))
    return crops_at(source, size, places)


def crops_at(source: ImageSource, size: int, places: Sequence[tuple[int, int, int]]) -> ImageSource:
    """Crops at given places, named by their row and column among the crops of their image.

    Args:
        source: images.
        size: side of a crop in pixels.
        places: (image, top, left) of each crop, all inside their images.
    """
    shapes = tuple(source.shape(i) for i in range(len(source)))
    return ImageSource(
        name=f"{source.name}-crops{size}",
        names=tuple(f"{source.names[i]}[{top // size},{left // size}]" for i, top, left in places),
        reader=_Crops(source, size, shapes, tuple(places)),
        labels=None if source.labels is None else tuple(source.labels[i] for i, _, _ in places),
        classes=source.classes,
        skipped=source.skipped,
    )


def uncut(source: ImageSource) -> ImageSource:
    """The images that crops are of; other images as they are."""
    return source.reader.source if isinstance(source.reader, _Crops) else source


def cut_alike(others: ImageSource, source: ImageSource) -> ImageSource:
    """Other pictures of the images of `uncut(source)`, in the same order, cut where `source` is.

    Raises:
        InputError: one of them is so small that a crop does not fit in.
    """
    reader = source.reader
    if not isinstance(reader, _Crops):
        return others
    sizes = [others.shape(i)[:2] for i in range(len(others))]  # each reads the header of a file
    for i, top, left in reader.places:
        height, width = sizes[i]
        if top + reader.size > height or left + reader.size > width:
            expected = f"{reader.shapes[i][0]}×{reader.shapes[i][1]}"
            raise InputError(f"{others.names[i]}: found {height}×{width} pixels, expected {expected}")
    return crops_at(others, reader.size, reader.places)


def without_small(source: ImageSource, size: int) -> ImageSource:
    """The images of at least `size` pixels on both sides; the others are listed in `skipped` and reported.

    Raises:
        InputError: all are smaller.
    """
    small = []
    for i, name in enumerate(source.names):
        try:
            _grid(name, source.shape(i), size)
        except InputError as error:
            small.append((i, Skipped(name, str(error))))
    if not small:
        return source
    left_out = {i for i, _ in small}
    report = f"{source.name}: left out {len(small)} of {len(source)} images; first {small[0][1].reason}"
    if len(small) == len(source):
        raise InputError(f"size: found no image of at least {size} pixels on both sides; {report}")
    warnings.warn(report, stacklevel=3)
    kept = source.select([i for i in range(len(source)) if i not in left_out])
    return replace(kept, skipped=source.skipped + tuple(skipped for _, skipped in small))


def _grid(name: str, shape: tuple[int, ...], size: int) -> _Grid:
    check_count("size", size)
    height, width = shape[:2]
    if min(height, width) < size:
        raise InputError(f"{name}: found {height}×{width} pixels, expected at least size {size} on both sides")
    return _Grid(height // size, width // size, height % size // 2, width % size // 2)


@dataclass
class _Crops:
    """Reader of crops; `shapes` holds (H, W, C) of each image, `places` (image, top, left) of each crop."""

    source: ImageSource
    size: int
    shapes: tuple[tuple[int, int, int], ...]
    places: tuple[tuple[int, int, int], ...]
    _last: tuple[int, np.ndarray] | None = field(default=None, repr=False)

    def load(self, i: int) -> np.ndarray:
        number, top, left = self.places[i]
        return self._image(number)[top : top + self.size, left : left + self.size].copy()

    def shape(self, i: int) -> tuple[int, int, int]:
        return self.size, self.size, self.shapes[self.places[i][0]][2]

    def content(self, i: int) -> Iterator[bytes]:
        yield f"{self.source.fingerprint} size={self.size} place={self.places[i]}".encode()

    def _image(self, number: int) -> np.ndarray:
        last = self._last  # read once: grain loads from several threads, and another may replace it meanwhile
        if last is None or last[0] != number:
            image = self.source[number]
            if image.shape != self.shapes[number]:  # the file changed, or tells its orientation only behind its pixels
                name, expected = self.source.names[number], self.shapes[number]
                raise InputError(f"{name}: found shape {image.shape}, expected {expected} as its header said")
            last = self._last = (number, image)
        return last[1]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_last": None}  # the image would travel to every worker
