"""Files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path

__all__ = ["TEMPORARY_PREFIX", "write_atomically"]

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
