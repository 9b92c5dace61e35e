"""Weights that come with jaxpr: restorers, classifiers, denoisers, autoencoders, each with recipe, command and data.

`files/index.json` says what there is; weights for one problem share a file. `tools/pack_weights.py` writes them.
"""

import difflib
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from jaxpr.core import InputError, file_at, printable
from jaxpr.weights.native import PackedRestorer, read_member, unpack_restorer

__all__ = [
    "PACKAGED_AUTOENCODERS",
    "PACKAGED_CLASSIFIERS",
    "PACKAGED_DENOISERS",
    "PACKAGED_RESTORERS",
    "PackagedEntry",
    "RestorerFile",
    "packaged_content",
    "packaged_entry",
    "packaged_restorer",
    "read_restorer",
    "similar_names",
]

_FOLDER = Path(__file__).parent / "files"


class PackagedEntry(NamedTuple):
    """What the index says of weights that come with jaxpr.

    Attributes:
        name: of the restorer, classifier, denoiser or autoencoder.
        kind: "restorer", "classifier", "denoiser" or "autoencoder".
        degradation: the name of what a restorer undoes; None for the others.
        channels: of the images that it returns, classifies or knows.
        family: what it is drawn with, in one colour, on one line.
        setting: what varies along a family's line; None where nothing does.
        variant: what else distinguishes it from another member; None for the usual one.
        stochastic: whether a restorer draws noise.
        seed: of its training.
        size: of its content, bytes.
        file: in which it lies, among those that come with jaxpr.
        sha256: of its content, that is, of the file that training wrote, in the precision that is kept.
    """

    name: str
    kind: str
    degradation: str | None
    channels: int
    family: str
    setting: float | None
    variant: str | None
    stochastic: bool
    seed: int
    size: int
    file: str
    sha256: str


_INDEX = {
    name: PackagedEntry(name, **fields)
    for name, fields in json.loads((_FOLDER / "index.json").read_text(encoding="utf-8")).items()
}

PACKAGED_RESTORERS = tuple(name for name, entry in _INDEX.items() if entry.kind == "restorer")
"""Names of the restorers that come with jaxpr."""

PACKAGED_DENOISERS = tuple(name for name, entry in _INDEX.items() if entry.kind == "denoiser")
"""Names of the denoisers that come with jaxpr, priors of the samplers."""


PACKAGED_AUTOENCODERS = tuple(name for name, entry in _INDEX.items() if entry.kind == "autoencoder")
"""Names of the autoencoders that come with jaxpr."""

PACKAGED_CLASSIFIERS = tuple(name for name, entry in _INDEX.items() if entry.kind == "classifier")
"""Names of the classifiers that come with jaxpr."""


class RestorerFile(NamedTuple):
    """A restorer that was read.

    Attributes:
        path: of the file where it lies, perhaps with others.
        sha256: of what `jaxpr train` wrote, which is that file if it lies there alone.
        packed: what it holds.
    """

    path: Path
    sha256: str
    packed: PackedRestorer


def packaged_entry(name: str) -> PackagedEntry:
    """What the index says of weights that come with jaxpr; none are read.

    Raises:
        InputError: unknown name.
    """
    if name not in _INDEX:
        raise InputError(f"name: found {name!r}, expected one of PACKAGED_RESTORERS, such as {similar_names(name)}")
    return _INDEX[name]


def packaged_content(name: str) -> bytes:
    """Weights that come with jaxpr, as `pack_weights` makes them.

    Raises:
        InputError: unknown name; its file is missing, damaged, or does not hold what the index says.
    """
    entry = packaged_entry(name)
    path = _FOLDER / entry.file
    content = read_member(path, name)
    if (found := hashlib.sha256(content).hexdigest()) != entry.sha256:
        raise InputError(
            f"{printable(path)}: found SHA-256 {found} for {name}, expected {entry.sha256}; it is not used"
        )
    return content


@functools.cache
def packaged_restorer(name: str) -> RestorerFile:
    """Read a restorer that comes with jaxpr, once per process.

    Raises:
        InputError: as `packaged_content`; weights of another kind.
    """
    entry = packaged_entry(name)
    return RestorerFile(_FOLDER / entry.file, entry.sha256, unpack_restorer(packaged_content(name)))


def similar_names(name: str) -> str:
    """Three packaged restorers whose names are like another one, for error messages."""
    return ", ".join(difflib.get_close_matches(name, PACKAGED_RESTORERS, n=3, cutoff=0))


def read_restorer(path: str | os.PathLike[str]) -> RestorerFile:
    """Read the weights that `jaxpr train` wrote.

    Raises:
        InputError: no such file, or none with a restorer.
    """
    path = file_at("path", path, expected="weights of jaxpr train")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{printable(path)}: cannot be read ({error.strerror}), expected weights of jaxpr train"
        ) from error
    try:
        packed = unpack_restorer(content)
    except InputError as error:
        raise InputError(f"{printable(path)}: {error}") from error
    return RestorerFile(path, hashlib.sha256(content).hexdigest(), packed)
