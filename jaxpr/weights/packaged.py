"""Trained restorers that come with jaxpr: small weights, each with the recipe, the command and the data that made it.

`weights/restorers.json` lists their names and hashes; `tools/package_restorers.py` writes it.
"""

import difflib
import functools
import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

from jaxpr.core import InputError, file_at, printable
from jaxpr.weights.native import PackedRestorer, unpack_restorer

__all__ = ["PACKAGED_RESTORERS", "RestorerFile", "packaged_restorer", "read_restorer", "similar_names"]

_FOLDER = Path(__file__).parent / "files"
_INDEX: dict[str, str] = json.loads((_FOLDER / "restorers.json").read_text(encoding="utf-8"))

PACKAGED_RESTORERS = tuple(_INDEX)
"""Names of the restorers that come with jaxpr."""


class RestorerFile(NamedTuple):
    """A file of `jaxpr train`.

    Attributes:
        path: where it lies.
        sha256: of its content.
        packed: what it holds.
    """

    path: Path
    sha256: str
    packed: PackedRestorer


@functools.cache
def packaged_restorer(name: str) -> RestorerFile:
    """Read a restorer that comes with jaxpr, once per process.

    Raises:
        InputError: unknown name; the file is missing or not the known one.
    """
    if name not in _INDEX:
        raise InputError(f"name: found {name!r}, expected one of PACKAGED_RESTORERS, such as {similar_names(name)}")
    found = read_restorer(_FOLDER / f"{name}.safetensors")
    if found.sha256 != _INDEX[name]:
        raise InputError(f"{found.path}: found SHA-256 {found.sha256}, expected {_INDEX[name]}; the file is not used")
    return found


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
