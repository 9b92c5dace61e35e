"""Reading the files that PyTorch networks are published in: `.safetensors`, and `.pth`, `.pt`, `.ckpt`, `.bin`.

Whether a file is one or the other is seen from its content. Pickles are read by torch alone, which must be installed
(extra `torch`), with `weights_only=True`: nothing in a file is ever executed.
"""

import hashlib
import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from jaxpr._core import InputError, first_line, write_atomically

__all__ = ["Checkpoint", "file_kind", "file_sha256", "read_checkpoint", "write_checkpoint"]

Kind = Literal["safetensors", "torch"]

# The first of these that is there and holds tensors is read: averaged weights before the last ones.
_WRAPPERS = (
    *("params_ema", "g_ema", "ema", "model_ema", "ema_state_dict"),
    *("params", "state_dict", "model_state_dict", "model", "generator", "netG", "net_g", "net", "network", "weights"),
)
# What wrappers of modules put in front of every name.
_WRAPPED = ("module.", "_orig_mod.")
_DTYPES: dict[str, Any] = {
    **{"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16, "BOOL": np.bool_},
    **{"I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8},
    **{"U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8},
}
_LISTED = 8
_NOT_WEIGHTS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself",
    b"<": "a web page",
    b"{": "JSON",
}


class Checkpoint(NamedTuple):
    """The tensors of a file.

    Attributes:
        path: of the file.
        sha256: of the file.
        kind: "safetensors" or "torch".
        dictionary: dotted path of the sub-dictionary that was read; empty for the file itself.
        others: dotted paths of the sub-dictionaries with tensors that were not read.
        tensors: by their names in the file, less a `module.` or `_orig_mod.` in front of all; views of the file where
            possible, in the file's own dtypes.
        metadata: texts in the header of a safetensors file.
    """

    path: Path
    sha256: str
    kind: Kind
    dictionary: str
    others: tuple[str, ...]
    tensors: Mapping[str, np.ndarray]
    metadata: Mapping[str, str]


def read_checkpoint(path: Path, *, dictionary: str | None = None) -> Checkpoint:
    """Read the tensors of a file, of the sub-dictionary that holds the network.

    Args:
        path: of a safetensors or PyTorch file, whatever its suffix.
        dictionary: dotted path of the sub-dictionary to read, such as "params" or "ema.generator"; by default averaged
            weights (`params_ema`, `g_ema`, ...) go before plain ones (`params`, `state_dict`, ...).

    Raises:
        InputError: the file is missing, damaged, of another kind or without tensors; it has no such `dictionary`, or
            several of unknown names; it needs torch, which is not installed, or holds objects besides tensors.
    """
    kind = file_kind(path)
    metadata: Mapping[str, str] = {}
    if kind == "safetensors":
        tree, metadata = _read_safetensors(path)
    else:
        tree = _read_torch(path)
    groups = {name: tensors for name, tensors in _groups(path, tree, "") if tensors}
    if not groups:
        raise InputError(f"{path}: found no tensors, expected the weights of a network")
    chosen = _choose(groups, path, dictionary)
    others = tuple(name for name in groups if name != chosen)
    return Checkpoint(path, file_sha256(path), kind, chosen, others, _unwrapped(groups[chosen]), metadata)


def write_checkpoint(path: Path, tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> None:
    """Write tensors as safetensors, whole or not at all.

    Args:
        path: of the new file; an earlier one is replaced.
        tensors: by name; their names, shapes and dtypes are kept.
        metadata: for the header.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    arrays = {name: np.ascontiguousarray(tensors[name]).reshape(tensors[name].shape) for name in sorted(tensors)}
    # One entry only: safetensors writes several in an order that changes from process to process.
    text = {"jaxpr": json.dumps(dict(metadata), sort_keys=True)} if metadata else None
    write_atomically(path, safetensors.numpy.save(arrays, text))


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_kind(path: Path) -> Kind:
    """What a file is, from its first bytes.

    Raises:
        InputError: it cannot be read or holds something else, such as a web page.
    """
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), expected a file of weights") from error
    if head[8:9] == b"{":
        return "safetensors"
    if head[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
        return "torch"
    found = next((what for mark, what in _NOT_WEIGHTS.items() if head.lstrip().startswith(mark)), None)
    found = found or ("an empty file" if not head else f"a file that begins with {head[:8]!r}")
    raise InputError(f"{path}: found {found}, expected safetensors or a PyTorch file")


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="np"):  # checks that header, shapes and size fit
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({first_line(error)}), expected a whole safetensors file") from error
    metadata = header.pop("__metadata__", {})
    unknown = sorted({entry["dtype"] for entry in header.values()} - set(_DTYPES))
    if unknown:
        raise InputError(f"{path}: found tensors of type {', '.join(unknown)}, expected one of {', '.join(_DTYPES)}")
    content = np.memmap(path, np.uint8, mode="r")[8 + size :]

    def tensor(entry: Mapping[str, Any]) -> np.ndarray:
        begin, end = entry["data_offsets"]
        return np.asarray(content[begin:end]).view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])

    return {name: tensor(entry) for name, entry in header.items()}, metadata


def _read_torch(path: Path) -> Any:
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{path}: found a PyTorch file, which only torch can read; install it (pip install torch), or on "
            f"a machine that has it run: jaxpr weights convert {path.name} {path.stem}.safetensors"
        ) from error
    try:
        with warnings.catch_warnings(action="ignore"):
            # Old files are not archives and cannot be mapped into memory.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises whatever its parsers do
        refused = re.search(r"(?:GLOBAL|global|class) ([\w.]+)", str(error))
        if "weights_only" in str(error) and refused:
            raise InputError(
                f"{path}: found the Python object {refused[1]} besides tensors, which is not read; expected weights "
                "alone (if you trust the file, save its state dict anew with torch)"
            ) from error
        reason = first_line(error).split(". ")[0][:120]
        raise InputError(f"{path}: cannot be read ({reason}), expected a whole PyTorch file of weights") from error


def _groups(path: Path, tree: Any, prefix: str) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(dotted path, its tensors) of every mapping in the tree, outer ones first."""
    if not isinstance(tree, Mapping):
        return
    try:
        yield prefix, {str(name): array for name, value in tree.items() if (array := _array(value)) is not None}
    except (TypeError, RuntimeError) as error:  # sparse, quantised, float8
        raise InputError(f"{path}: found a tensor that NumPy cannot hold ({first_line(error)})") from error
    for name, value in tree.items():
        yield from _groups(path, value, f"{prefix}.{name}" if prefix else str(name))


def _array(value: Any) -> np.ndarray | None:
    """A NumPy view of a tensor; None for anything else."""
    if isinstance(value, np.ndarray):
        return value
    if type(value).__name__ not in ("Tensor", "Parameter") or not hasattr(value, "detach"):
        return None
    value = value.detach()
    if str(value.dtype) == "torch.bfloat16":  # NumPy has none of its own
        import torch

        return value.contiguous().view(torch.int16).numpy().view(jnp.bfloat16)
    return value.numpy()


def _choose(groups: Mapping[str, Mapping[str, Any]], path: Path, wanted: str | None) -> str:
    listed = [f"{name or '(the file itself)'} with {len(tensors)}" for name, tensors in groups.items()]
    names = ", ".join(listed[:_LISTED]) + (", ..." if len(listed) > _LISTED else "")
    if wanted is not None:
        if wanted not in groups:
            raise InputError(f"dictionary: found {wanted!r}, expected one of those with tensors in {path}: {names}")
        return wanted
    if "" in groups or len(groups) == 1:
        return next(iter(groups))
    for wrapper in _WRAPPERS:
        found = [name for name in groups if wrapper in name.split(".")]
        if found:
            return min(found, key=lambda name: name.count("."))
    raise InputError(
        f"{path}: found several dictionaries of tensors ({names}), expected the option `dictionary` to name one"
    )


def _unwrapped(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    for prefix in (prefix for _ in _WRAPPED for prefix in _WRAPPED):
        if all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): array for name, array in tensors.items()}
    return dict(tensors)
