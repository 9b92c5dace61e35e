"""The state of a run on disk: one file per finished batch, so that a killed run goes on where it stopped.

`out/protocol.json` says which run the folder belongs to. `out/state/<name>/` holds a restorer's probe and its batches:
per-example metrics, patch features and a few sample images as NumPy arrays. Files appear whole or not at all, and no
pickle is ever read.
"""

import hashlib
import io
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxpr._core import TEMPORARY_PREFIX, InputError, write_atomically

__all__ = ["BatchStore", "open_run"]


def open_run(out: Path, protocol: Mapping[str, Any]) -> Path:
    """Claim `out` for a run with this protocol and return its state folder.

    Raises:
        InputError: `out` is a file, cannot be written, holds other files, or belongs to a run of another protocol (the
            message names the field).
    """
    path = out / "protocol.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        earlier = json.loads(path.read_text()) if path.exists() else None
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"out: found a file at {error.filename}, expected a folder") from error
    except (OSError, ValueError) as error:
        raise InputError(f"out: cannot use {out} ({error}), expected a folder that can be written") from error
    if earlier is None and any(out.iterdir()):
        raise InputError(f"out: found other files in {out}, expected an empty folder or one of an earlier run")
    if earlier is not None:
        _check_same(out, earlier, protocol)
    else:
        write_atomically(path, (json.dumps(protocol, indent=2) + "\n").encode())
    state = out / "state"
    state.mkdir(exist_ok=True)
    for leftover in [*out.glob(f"{TEMPORARY_PREFIX}*"), *state.glob(f"*/{TEMPORARY_PREFIX}*")]:
        leftover.unlink(missing_ok=True)
    return state


def _check_same(out: Path, earlier: Mapping[str, Any], protocol: Mapping[str, Any]) -> None:
    for field in [*protocol, *earlier]:
        if earlier.get(field) != protocol.get(field):
            raise InputError(
                f"out: found a run with {field} = {earlier.get(field)!r} in {out}, expected {protocol.get(field)!r}; "
                "use another folder or the same protocol"
            )


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
        for path in sorted(self.folder.glob("batch-*.npz")):
            for index in _indices(path):
                self._files[index] = path

    def done(self, indices: Iterable[int]) -> bool:
        """True if all of these examples are stored."""
        return all(index in self._files for index in indices)

    def save(self, indices: list[int], arrays: Mapping[str, np.ndarray]) -> None:
        """Store the results of consecutive examples; the leading axis of every array is theirs."""
        path = self.folder / f"batch-{indices[0]:08d}-{indices[-1]:08d}.npz"
        write_atomically(path, _packed(arrays))
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
            write_atomically(path, _packed({"probe": probe}))
            return
        stored = _unpacked(path)["probe"]
        if stored.shape != probe.shape or not np.allclose(stored, probe, rtol=0, atol=1e-4):
            raise InputError(
                f"restorer {name}: found other outputs than in the earlier run in this folder, expected the same "
                "restorer; use another folder or another name"
            )


def _indices(path: Path) -> range:
    first, last = path.stem.split("-")[1:]
    return range(int(first), int(last) + 1)


def _packed(arrays: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # without allow_pickle: NumPy before 2.2 stores that as one more array
    return buffer.getvalue()


def _unpacked(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path}: cannot be read ({error}), expected arrays of an earlier run; delete it") from error
