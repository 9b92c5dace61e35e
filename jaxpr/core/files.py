"""Files that appear whole or not at all, folders that can be written, and JSON that is an object."""

import json
import math
import os
import tempfile
from pathlib import Path
from typing import Any, NoReturn

from jaxpr.core.checks import InputError
from jaxpr.core.paths import file_at
from jaxpr.core.words import printable

__all__ = ["TEMPORARY_PREFIX", "check_folder", "claim_folder", "read_json", "utf8", "write_atomically"]

TEMPORARY_PREFIX = ".partial-"
"""Files that begin so were left behind by a killed process and may be deleted."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a process killed at any moment, sees the old content or the new, never a part.

    Raises:
        OSError: the disk is full or the folder cannot be written, with the file's name; an earlier file is still there.
    """
    try:
        _write(path, content)
    except OSError as error:
        raise OSError(error.errno or 0, error.strerror or str(error), str(path)) from error


def _write(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(prefix=TEMPORARY_PREFIX, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; give them the mode that an ordinary open() would.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_folder(name: str, path: Path) -> None:
    """Raise unless a folder can be made, or is there and can be written; nothing is changed.

    Args:
        name: of the argument, for the message.
        path: the folder.

    Raises:
        InputError: a file is in the way, or nothing can be written.
    """
    try:
        there = next(folder for folder in (path, *path.absolute().parents) if os.path.lexists(folder))
    except (OSError, ValueError) as error:  # a name that is too long, or with a null character
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{name}: cannot use {printable(path)} ({reason}), expected a folder") from error
    if not there.is_dir():
        raise InputError(f"{name}: found a file at {printable(there)}, expected a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{name}: cannot write to {printable(there)}, expected a writable folder")


def claim_folder(name: str, path: Path) -> None:
    """Make a folder and see that files can be written there, before anything is computed for it.

    Args:
        name: of the argument, for the message.
        path: the folder; parents are made, too.

    Raises:
        InputError: a file is in the way, or nothing can be written.
    """
    check_folder(name, path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=TEMPORARY_PREFIX, dir=path):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{name}: cannot write to {printable(path)} ({reason}), expected a writable folder") from error


def read_json(name: str, path: Path, *, expected: str) -> dict[str, Any]:
    """The object in a JSON file. NaN and infinity, which JSON does not have, are refused.

    Args:
        name: of the argument, for the message.
        path: of the file.
        expected: what it should hold, for the message.

    Raises:
        InputError: no such file, no JSON, JSON that is nested beyond reading, or not an object.
    """
    file_at(name, path, expected=expected)
    try:
        found = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_number, parse_float=_finite)
    except (OSError, ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else printable(error)
        raise InputError(f"{name}: cannot read {printable(path)} ({reason}), expected {expected}") from error
    if not isinstance(found, dict):
        raise InputError(f"{name}: found {type(found).__name__} in {printable(path)}, expected {expected}")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"found {text[:40]}, which is no finite number")


def _finite(text: str) -> float:
    """The number, unless it is beyond what floats hold, such as 1e999."""
    return number if math.isfinite(number := float(text)) else _no_number(text)


def utf8(text: str) -> bytes:
    r"""Text as bytes for a file; what UTF-8 cannot hold, such as bytes of a foreign name, becomes \udc.. escapes."""
    return text.encode("utf-8", "backslashreplace")
