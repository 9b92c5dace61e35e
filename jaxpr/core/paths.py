"""Paths that users give, on the command line or from Python."""

import os
import stat
from pathlib import Path

from jaxpr.core.checks import InputError
from jaxpr.core.words import printable

__all__ = ["file_at", "given_path"]


def given_path(path: str | os.PathLike[str]) -> Path:
    """A path as a user gives it; a leading ~ is the home folder.

    Raises:
        InputError: it holds a null character, which no system takes.
    """
    path = Path(path)
    if "\0" in str(path):
        raise InputError(f"path: found '{printable(path)}', expected one without a null character")
    try:
        return path.expanduser()
    except RuntimeError:  # nobody of that name has a home here
        return path


def file_at(name: str, path: str | os.PathLike[str], *, expected: str = "a file") -> Path:
    """The path of a regular file; a named pipe or a device, which may never end, is refused before it is opened.

    Args:
        name: of the argument, for the message.
        path: as the user gave it; see `given_path`.
        expected: what the file should be, for the message.

    Raises:
        InputError: nothing is there, or something that is not a regular file.
    """
    found = given_path(path)
    try:
        mode = found.stat().st_mode
    except OSError as error:
        raise InputError(f"{name}: cannot open {printable(found)} ({error.strerror}), expected {expected}") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or device"
        raise InputError(f"{name}: found {kind} at {printable(found)}, expected {expected}")
    return found
