"""Images of IDX files, the format of MNIST and of the sets that took its place (Fashion-MNIST, KMNIST, EMNIST).

An IDX file is two zero bytes, a byte for the type of its numbers (8: unsigned bytes), a byte for the number of its
axes, each axis as a big-endian 32-bit integer, and the numbers, the last axis fastest; often compressed by gzip.
Source: LeCun, Cortes, Burges, "The MNIST database of handwritten digits" (1998).
"""

import functools
import gzip
import math
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jaxpr.core import InputError, file_at, given_path, printable
from jaxpr.data.source import ImageSource

__all__ = ["idx_images"]

_BYTES, _GZIP = 8, b"\x1f\x8b"
_LEVELS = np.float32(255)
# deflate's longest match is 258 bytes, in two bits: no stream becomes more than 1032 times as large.
_MOST_RATIO, _MOST_UNPACKED = 1032, 1 << 32


def idx_images(images: str | os.PathLike[str], *, labels: str | os.PathLike[str] | None = None) -> ImageSource:
    """Images of an IDX file, plain or compressed by gzip, in the order of the file.

    A plain file is mapped, not read; a compressed one is unpacked into memory, once. Sizes are checked against the
    header before anything is allocated, and nothing is unpacked beyond what the header says.

    Args:
        images: unsigned bytes (N, H, W), or (N, H, W, C) with 1 or 3 channels; a leading ~ is the home folder.
        labels: unsigned bytes (N,), the class of each image, or None.

    Returns:
        Source of float32 (H, W, C) images in [0, 1], the bytes over 255, named such as 'train-images-idx3-ubyte-000042'
        after the file without .gz; labelled if `labels` are given. The fingerprint covers sizes and bytes.

    Raises:
        InputError: a file is missing, no IDX file of unsigned bytes, truncated, too long, damaged, of other axes, or
            compressed with more than 4 GiB inside; labels are not as many as images.
    """
    path = _checked("images", images)
    shape = _stored(path).shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise _other(path, f"axes {shape}", "images (N, H, W), or (N, H, W, C) of 1 or 3 channels")
    if 0 in shape:
        raise _other(path, f"axes {shape}", "at least one image of at least one pixel")
    stem = printable(path.name.removesuffix(".gz"))
    return ImageSource(
        name=stem,
        names=tuple(f"{stem}-{i:06d}" for i in range(shape[0])),
        reader=_Stored(path, shape),
        labels=None if labels is None else _labels(_checked("labels", labels), path, shape[0]),
    )


@dataclass(frozen=True)
class _Stored:
    """Reader of images in an IDX file; a process that gets it opens the file anew."""

    path: Path
    axes: tuple[int, ...]

    def load(self, i: int) -> np.ndarray:
        return (self._levels(i).astype(np.float32) / _LEVELS).reshape(self.shape(i))

    def shape(self, i: int) -> tuple[int, int, int]:
        return self.axes[1], self.axes[2], self.axes[3] if len(self.axes) == 4 else 1

    def content(self, i: int) -> Iterator[bytes]:
        yield repr(self.shape(i)).encode()
        yield self._levels(i).tobytes()

    def _levels(self, i: int) -> np.ndarray:
        stored = _stored(self.path)
        if stored.shape != self.axes:
            raise _other(self.path, f"axes {stored.shape}", f"{self.axes} as before")
        return stored[i]


def _checked(argument: str, path: str | os.PathLike[str]) -> Path:
    try:
        return given_path(path)
    except TypeError:
        raise InputError(f"{argument}: found {type(path).__name__}, expected the path of an IDX file") from None


def _labels(path: Path, images: Path, count: int) -> tuple[int, ...]:
    found = _stored(path)
    if found.ndim != 1:
        raise _other(path, f"axes {found.shape}", "one label for each image, (N,)")
    if len(found) != count:
        raise _other(path, f"{len(found)} labels", f"one for each of {count} images of {printable(images)}")
    return tuple(found.tolist())


def _stored(path: Path) -> np.ndarray:
    """The numbers of an IDX file, uint8, not to be written into; read again if the file has changed."""
    state = file_at("IDX file", path, expected="unsigned bytes in the format of MNIST").stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=4)  # images and labels of a training and a test part
def _read(path: Path, changed: int, size: int) -> np.ndarray:
    del changed, size  # what is kept is of this state of the file
    try:
        with path.open("rb") as file:
            packed = file.read(len(_GZIP)) == _GZIP
        return _unpacked(path) if packed else _mapped(path)
    except (OSError, EOFError, zlib.error) as error:  # of gzip: BadGzipFile is an OSError, a truncated file EOFError
        reason = printable(getattr(error, "strerror", None) or error)
        raise InputError(f"IDX file {printable(path)}: cannot be read ({reason}), expected a whole file") from error


def _mapped(path: Path) -> np.ndarray:
    with path.open("rb") as file:
        axes, start = _header(path, file)
        found, expected = os.fstat(file.fileno()).st_size - start, math.prod(axes)
        if found != expected:
            raise _other(path, f"{found} bytes behind the header", f"{expected}, of axes {axes}")
        if not expected:
            return np.zeros(axes, np.uint8)
        return np.asarray(np.memmap(file, np.uint8, "r", start, axes))


def _unpacked(path: Path) -> np.ndarray:
    size = path.stat().st_size
    with gzip.open(path, "rb") as file:
        axes, start = _header(path, file)
        expected = math.prod(axes)
        if expected > _MOST_UNPACKED:
            raise _other(path, f"axes {axes} in gzip", f"at most {_MOST_UNPACKED} bytes; unpack it first")
        if start + expected > _MOST_RATIO * size:
            raise _other(path, f"axes {axes} in {size} bytes of gzip", "no more than they can hold")
        stored = np.empty(expected, np.uint8)
        filled = 0
        while filled < expected and (count := file.readinto(stored.data[filled:])):
            filled += count
        if filled < expected or file.read(1):  # the last read also verifies gzip's checksum
            found = f"{filled} bytes" if filled < expected else f"more than {expected} bytes"
            raise _other(path, f"{found} behind the header", f"{expected}, of axes {axes}")
    return stored.reshape(axes)


def _header(path: Path, file: BinaryIO | gzip.GzipFile) -> tuple[tuple[int, ...], int]:
    """Axes, and where the numbers begin."""
    magic = file.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        raise _other(path, f"first bytes {magic.hex(' ') or 'none'}", "00 00 08, of an IDX file")
    if magic[2] != _BYTES:
        raise _other(path, f"numbers of type {magic[2]}", f"unsigned bytes, type {_BYTES}")
    if not 1 <= magic[3] <= 4:
        raise _other(path, f"{magic[3]} axes", "1 to 4")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise _other(path, f"a header of {4 + len(sizes)} bytes", f"{4 + 4 * magic[3]}, of {magic[3]} axes")
    return struct.unpack(f">{magic[3]}I", sizes), 4 + len(sizes)


def _other(path: Path, found: str, expected: str) -> InputError:
    return InputError(f"IDX file {printable(path)}: found {found}, expected {expected}")
