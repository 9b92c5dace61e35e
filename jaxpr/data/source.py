"""`ImageSource`: a named, picklable, random-access sequence of clean images.

Images are float32 numpy arrays (H, W, C) in [0, 1], each of its own size. They are made when asked for and never kept,
so a source costs little memory and travels cheaply to the worker processes of grain.
"""

import hashlib
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol, overload

import numpy as np

from jaxpr.core import InputError, printable

__all__ = ["ImageSource", "Reader", "Skipped", "writable_names"]


class Reader(Protocol):
    """Where the images of a source come from. Indices are in [0, len(source)); instances must pickle."""

    def load(self, i: int) -> np.ndarray:
        """Image i, a fresh float32 array (H, W, C) in [0, 1]."""

    def shape(self, i: int) -> tuple[int, int, int]:
        """(H, W, C) of image i, without decoding its pixels where the storage allows it."""

    def content(self, i: int) -> Iterator[bytes]:
        """Pieces of bytes that determine image i; they are hashed, never held together in memory."""


class Skipped(NamedTuple):
    """An image that was left out of a source."""

    name: str
    """Path relative to the folder, with forward slashes."""
    reason: str
    """Why it could not be used, one line."""


@dataclass(frozen=True, eq=False, repr=False)
class ImageSource:
    """A random-access sequence of images, as `grain.MapDataset.source` and `grain.DataLoader` take it.

    `source[i]` is a float32 array (H, W, C) in [0, 1]; negative indices count from the end, an index out of range is an
    IndexError. `source[a:b:c]` is a source of those images, read as lazily as the whole; an empty one is an
    InputError.

    Attributes:
        name: short name of the set, such as 'photos-test'.
        names: one unique name per image, printable, so that every file and terminal can hold it.
        reader: fetches the images.
        labels: class of each image, or None where there are no classes.
        classes: names of all classes, or None where they are numbers.
        skipped: images that were left out on request.
        skip_bad: leave images out that prove unusable later, such as smaller than a crop, instead of refusing them.

    Raises:
        InputError: no images, names that are not printable or not unique, or as many labels as there are not images.
    """

    name: str
    names: tuple[str, ...]
    reader: Reader
    labels: tuple[int, ...] | None = None
    classes: tuple[str, ...] | None = None
    skipped: tuple[Skipped, ...] = ()
    skip_bad: bool = False

    def __post_init__(self) -> None:
        _check_printable("name", self.name)
        if not self.names:
            raise InputError(f"{self.name}: found no images, expected at least one")
        for name in self.names:
            _check_printable("names", name)
        if len(set(self.names)) != len(self.names):
            raise InputError(
                f"names: found {len(set(self.names))} different of {len(self.names)}, expected unique names"
            )
        if self.labels is not None and len(self.labels) != len(self.names):
            raise InputError(f"labels: found {len(self.labels)}, expected one for each of {len(self.names)} images")
        if self.classes is not None and not all(0 <= label < len(self.classes) for label in self.labels or ()):
            raise InputError(f"labels: found some beyond the classes, expected 0 to {len(self.classes) - 1}")

    def __repr__(self) -> str:
        # Short and without addresses: grain compares it when it resumes from a checkpoint.
        return f"ImageSource({self.name!r}, {len(self)} images)"

    def __len__(self) -> int:
        return len(self.names)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, index: slice) -> "ImageSource": ...
    def __getitem__(self, index: int | slice) -> "np.ndarray | ImageSource":
        if isinstance(index, slice):
            return self._part(index)
        return self.reader.load(self._position(index))

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self.reader.load(i) for i in range(len(self)))

    def shape(self, index: int) -> tuple[int, int, int]:
        """(H, W, C) of one image; files are opened for their header only."""
        return self.reader.shape(self._position(index))

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 of the images' names and content, in order. Computed at first use, then kept."""
        whole = hashlib.sha256()
        for i, name in enumerate(self.names):
            image = hashlib.sha256()
            for piece in self.reader.content(i):
                image.update(piece)
            whole.update(name.encode() + b"\0" + image.digest())
        return whole.hexdigest()

    def _position(self, index: int) -> int:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"{self.name}: found index {position}, expected one below {len(self)}")
        return position % len(self)

    def select(self, indices: Sequence[int]) -> "ImageSource":
        """The images at these positions, in this order, under the same name."""
        return self._chosen(tuple(self._position(i) for i in indices), self.name)

    def _part(self, chosen: slice) -> "ImageSource":
        indices = tuple(range(len(self))[chosen])
        bounds = [chosen.start, chosen.stop] + ([] if chosen.step is None else [chosen.step])
        name = f"{self.name}[{':'.join('' if bound is None else str(bound) for bound in bounds)}]"
        return self._chosen(indices, name)

    def _chosen(self, indices: tuple[int, ...], name: str) -> "ImageSource":
        return replace(
            self,
            name=name,
            names=tuple(self.names[i] for i in indices),
            reader=_Selection(self.reader, indices),
            labels=None if self.labels is None else tuple(self.labels[i] for i in indices),
        )


def writable_names(names: Sequence[str]) -> list[str]:
    """Each name as `printable` writes it, with primes behind it where another name is written so already."""
    for name in names:
        _check_text("names", name)
    taken = {name for name in names if printable(name) == name}
    written = []
    for name in names:
        shown = printable(name)
        while shown != name and shown in taken:
            shown += "'"
        taken.add(shown)
        written.append(shown)
    return written


def _check_text(argument: str, name: object) -> None:
    if not isinstance(name, str):
        raise InputError(f"{argument}: found {type(name).__name__}, expected text")


def _check_printable(argument: str, name: str) -> None:
    _check_text(argument, name)
    if not name.isprintable():
        raise InputError(f"{argument}: found {printable(name)}, expected printable characters")


@dataclass(frozen=True)
class _Selection:
    """Some images of another reader."""

    reader: Reader
    indices: tuple[int, ...]

    def load(self, i: int) -> np.ndarray:
        return self.reader.load(self.indices[i])

    def shape(self, i: int) -> tuple[int, int, int]:
        return self.reader.shape(self.indices[i])

    def content(self, i: int) -> Iterator[bytes]:
        return self.reader.content(self.indices[i])
