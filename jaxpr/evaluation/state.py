"""The state of a run on disk: one file per finished batch, so that a killed run goes on where it stopped.

`out/protocol.json` says which run the folder belongs to, and which code computed it. `out/state/<name>/` holds a
restorer's probe and its batches: per-example metrics, patch features and a few sample images as NumPy arrays, with a
digest by which a file that was changed later is noticed. Files appear whole or not at all, and no pickle is ever read.
"""

import contextlib
import errno
import hashlib
import io
import json
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxpr.core import (
    TEMPORARY_PREFIX,
    InputError,
    check_folder,
    claim_folder,
    file_at,
    first_line,
    printable,
    read_json,
    utf8,
    write_atomically,
)

__all__ = ["BatchStore", "check_unclaimed", "codes_of", "keeping_what_cannot_be_written", "open_run"]

_CLAIM, _CODES, _DIGEST, _DIGITS = "protocol.json", "code_sha256", "content_sha256", 12
_BATCH = re.compile(r"batch-(\d{8})-(\d{8})\.npz")


def check_unclaimed(out: Path) -> None:
    """Raise unless `out` belongs to an earlier run or could become the folder of one; nothing is written."""
    if not (out / _CLAIM).exists():
        check_folder("out", out)


def open_run(out: Path, protocol: Mapping[str, Any], *, code: str, accept_other_code: bool = False) -> Path:
    """Claim `out` for a run with this protocol and return its state folder.

    Args:
        out: folder of the run.
        protocol: as recorded; what decides the numbers.
        code: hash of the code that computes now; `protocol.json` lists all that did.
        accept_other_code: go on with a run that other code began.

    Raises:
        InputError: `out` is a file, cannot be written, holds other files, or belongs to a run of another protocol (the
            message names the field) or of other code.
    """
    path = out / _CLAIM
    if not path.exists():
        claim_folder("out", out)
        if any(out.iterdir()):
            raise InputError(
                f"out: found other files in {printable(out)}, expected an empty folder or one of an earlier run"
            )
        _write_claim(path, protocol, [code])
    else:
        earlier = read_json("out", path, expected="the protocol of an earlier run")
        codes = earlier.pop(_CODES, [])
        _check_same(out, earlier, protocol)
        if code not in codes:
            if not accept_other_code:
                known = (
                    ", ".join(str(found)[:_DIGITS] for found in codes)
                    if isinstance(codes, list) and codes
                    else "unknown"
                )
                raise InputError(
                    f"out: found a run of other code ({known}) in {printable(out)}, expected {code[:_DIGITS]}; use "
                    "another folder, or --accept-other-code (accept_other_code=True) to go on with it"
                )
            _write_claim(path, protocol, [*codes, code])
    state = out / "state"
    state.mkdir(exist_ok=True)
    for leftover in [*out.glob(f"{TEMPORARY_PREFIX}*"), *state.glob(f"*/{TEMPORARY_PREFIX}*")]:
        with contextlib.suppress(OSError):  # a finished run may lie where nothing can be written
            leftover.unlink(missing_ok=True)
    return state


def codes_of(out: Path) -> list[str]:
    """Hashes of all code that computed for the run in this folder, the first first."""
    return list(read_json("out", out / _CLAIM, expected="the protocol of a run").get(_CODES, []))


@contextlib.contextmanager
def keeping_what_cannot_be_written(out: Path, last: str) -> Iterator[None]:
    """Warn, instead of failing, where a finished run is shown from a disk that cannot be written.

    Args:
        out: folder of the run.
        last: the file that a finished run has.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM) or not (out / last).exists():
            raise
        warnings.warn(f"out: {printable(out)} cannot be written; what is there stays as it is", stacklevel=4)


def _write_claim(path: Path, protocol: Mapping[str, Any], codes: list[str]) -> None:
    write_atomically(path, utf8(json.dumps({**protocol, _CODES: codes}, indent=2) + "\n"))


def _check_same(out: Path, earlier: Mapping[str, Any], protocol: Mapping[str, Any]) -> None:
    for field in [*protocol, *earlier]:
        if earlier.get(field) != protocol.get(field):
            found, expected = _shown(field, earlier.get(field)), _shown(field, protocol.get(field))
            raise InputError(
                f"out: found a run with {field} = {found} in {printable(out)}, expected {expected}; use another "
                "folder or the same protocol"
            )


def _shown(field: str, value: Any) -> str:
    """A value as users give it: strengths of attacks in grey levels."""
    if field in ("alpha", "explore_alpha") and isinstance(value, float):
        return f"{value * 255:g}/255"
    if field == "decisions_alpha" and isinstance(value, list):
        return ", ".join(_shown("alpha", alpha) for alpha in value)
    return printable(repr(value))


class BatchStore:
    """The finished batches of one restorer (or of the reference images), by example.

    Args:
        state: the run's state folder.
        name: of the restorer; any text.
    """

    def __init__(self, state: Path, name: str) -> None:
        slug = re.sub(r"[^A-Za-z0-9.+-]+", "_", name)[:40].strip("._")
        # The hash keeps names apart that differ only in characters that file names do not allow.
        self.folder = state / f"{slug}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[int, Path] = {}
        self.refresh()

    def refresh(self) -> None:
        """Look for batches that other processes have stored."""
        for path in sorted(self.folder.iterdir()):
            for index in _indices(path):
                self._files[index] = path

    def done(self, indices: Iterable[int]) -> bool:
        """True if all of these examples are stored."""
        return all(index in self._files for index in indices)

    def save(self, indices: list[int], arrays: Mapping[str, np.ndarray]) -> None:
        """Store the results of consecutive examples; the leading axis of every array is theirs."""
        path = self.folder / f"batch-{indices[0]:08d}-{indices[-1]:08d}.npz"
        write_atomically(path, _packed(path, arrays))
        for index in indices:
            self._files[index] = path

    def load(self, count: int) -> Iterable[dict[str, np.ndarray]]:
        """The arrays of examples 0..count-1, one example at a time and in order, whatever the batches were."""
        opened, arrays = None, {}
        for index in range(count):
            path = self._files[index]
            if path != opened:
                opened, arrays = path, _unpacked(path)
            position = index - _indices(path)[0]
            yield {name: array[position] for name, array in arrays.items()}

    def check_probe(self, name: str, probe: np.ndarray) -> None:
        """Store a restorer's first output, or compare it with the stored one.

        Raises:
            InputError: an earlier run in this folder had another restorer under this name.
        """
        path = self.folder / "probe.npz"
        if not path.exists():
            write_atomically(path, _packed(path, {"probe": probe}))
            return
        stored = _unpacked(path)["probe"]
        if stored.shape != probe.shape or not np.allclose(stored, probe, rtol=0, atol=1e-4):
            raise InputError(
                f"restorer {name}: found other outputs than in the earlier run in this folder, expected the same "
                "restorer; use another folder or another name"
            )


def _indices(path: Path) -> range:
    """The examples in a batch's file; none in what another program left there, such as copies of a sync client."""
    found = _BATCH.fullmatch(path.name)
    return range(int(found[1]), int(found[2]) + 1) if found else range(0)


def _packed(path: Path, arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    # Without allow_pickle: NumPy before 2.2 stores that as one more array.
    stored: dict[str, Any] = {**arrays, _DIGEST: np.array(_digest(path, arrays))}
    np.savez(buffer, **stored)
    return buffer.getvalue()


def _unpacked(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file, which must be as they were stored."""
    expected = "arrays of an earlier run; delete the file, and what was in it is computed again"
    file_at(printable(path), path, expected=expected)
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, EOFError, ValueError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{printable(path)}: cannot be read ({first_line(error)}), expected {expected}") from error
    stored = arrays.pop(_DIGEST, np.array("none"))
    if str(stored) != (found := _digest(path, arrays)):
        raise InputError(
            f"{printable(path)}: found content with digest {found[:_DIGITS]}, not the stored {str(stored)[:_DIGITS]}, "
            f"expected {expected}"
        )
    return arrays


def _digest(path: Path, arrays: Mapping[str, Any]) -> str:
    """SHA-256 of arrays with their names, types and shapes, and of whose and which they are."""
    digest = hashlib.sha256(f"{path.parent.name}/{path.name}\0".encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {np.shape(arrays[name])}\0".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()
