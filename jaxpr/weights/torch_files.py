"""Reading the files that networks are published in: `.safetensors`; `.pth`, `.pt`, `.ckpt`, `.bin`; ncnn's `.param`.

Which of them a file is, is seen from its content. Pickles are read by torch alone, which must be installed
(extra `torch`), with `weights_only=True`: nothing in a file is ever executed.
"""

import contextlib
import hashlib
import json
import os
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

from jaxpr.core import InputError, file_at, first_line, given_path, printable, write_atomically
from jaxpr.weights.layouts import Fits, Place, choose_place, left_out, taken_names
from jaxpr.weights.ncnn_files import HALF, MAGIC, read_ncnn
from jaxpr.weights.ncnn_graphs import official_tensors

__all__ = ["Checkpoint", "file_kind", "file_sha256", "read_checkpoint", "write_checkpoint"]

Kind = Literal["safetensors", "torch", "ncnn"]

_DTYPES: dict[str, Any] = {
    **{"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": jnp.bfloat16, "BOOL": np.bool_},
    **{"I64": np.int64, "I32": np.int32, "I16": np.int16, "I8": np.int8},
    **{"U64": np.uint64, "U32": np.uint32, "U16": np.uint16, "U8": np.uint8},
}
# Files nest two or three dictionaries; what lies deeper, or a dictionary that holds itself, is not searched.
_DEEPEST, _MOST_DICTIONARIES = 6, 100_000
# Tensors may share their numbers, but numbers that come from nowhere are an attack on the memory.
_MOST_SHARED = 16
_NOT_WEIGHTS = {
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself",
    b"<": "a web page",
    b"{": "JSON",
}


class Checkpoint(NamedTuple):
    """The tensors of a file.

    Attributes:
        path: of the file; of ncnn's two, the one with the numbers.
        sha256: of the file.
        kind: "safetensors", "torch" or "ncnn".
        dictionary: dotted path of the sub-dictionary that was read; empty for the file itself.
        prefix: what stood in front of the names there and was taken off, such as "module."; often empty.
        others: dotted paths of the sub-dictionaries with tensors that were not read.
        left_out: names of the tensors in that dictionary that were not read: without the prefix, or counters.
        tensors: by their names in the file, less the prefix; views of the file where possible, in the file's own
            dtypes.
        metadata: texts in the header of a safetensors file; of ncnn's, the network that its layers are.
    """

    path: Path
    sha256: str
    kind: Kind
    dictionary: str
    prefix: str
    others: tuple[str, ...]
    left_out: tuple[str, ...]
    tensors: Mapping[str, np.ndarray]
    metadata: Mapping[str, str]


def read_checkpoint(
    path: str | os.PathLike[str], *, dictionary: str | None = None, fits: tuple[Fits, ...] = ()
) -> Checkpoint:
    """Read the tensors of a file, of the sub-dictionary that holds the network.

    Args:
        path: of a safetensors or PyTorch file, whatever its suffix, or of one of ncnn's two, beside the other.
            FILE#DICTIONARY stands for both arguments, unless a file of that whole name is there.
        dictionary: dotted path of the sub-dictionary to read, with the prefix of the names to take, if any, behind it:
            "params", "ema.generator", "state_dict.net_g". By default the one that fits.
        fits: what is looked for, as functions of tensor shapes by name, each tried where nothing fits those before it.
            If several dictionaries fit, or without such a function, averaged weights (`params_ema`, `g_ema`, ...) go
            before plain ones (`params`, `state_dict`, ...).

    Raises:
        InputError: the file is missing, damaged, of another kind or without tensors; it has no such `dictionary`, or
            several that fit; it needs torch, which is not installed, or holds objects besides tensors.
    """
    path, dictionary = _split(path, dictionary)
    kind = file_kind(path)
    metadata: Mapping[str, str] = {}
    if kind == "safetensors":
        tree, metadata = _read_safetensors(path)
    elif kind == "ncnn":
        path, tree, metadata = _read_ncnn(path)
    else:
        tree = _read_torch(path)
    groups = {name: tensors for name, tensors in _groups(path, tree).items() if tensors}
    if not groups:
        raise InputError(f"{printable(path)}: found no tensors, expected the weights of a network")
    shapes = {name: {key: tuple(t.shape) for key, t in tensors.items()} for name, tensors in groups.items()}
    place = choose_place(shapes, fits, wanted=dictionary, source=printable(path))
    return Checkpoint(
        path=path,
        sha256=file_sha256(path),
        kind=kind,
        dictionary=place.dictionary,
        prefix=place.prefix,
        others=tuple(name for name in groups if name != place.dictionary),
        left_out=left_out(shapes[place.dictionary], place.prefix),
        tensors=_arrays(path, groups[place.dictionary], shapes[place.dictionary], place),
        metadata=metadata,
    )


def write_checkpoint(
    path: str | os.PathLike[str], tensors: Mapping[str, np.ndarray], metadata: Mapping[str, str]
) -> None:
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
    write_atomically(given_path(path), safetensors.numpy.save(arrays, text))


def file_sha256(path: str | os.PathLike[str]) -> str:
    """The SHA-256 of a file's content, in hexadecimal.

    Raises:
        InputError: it cannot be read.
    """
    path = file_at("path", path, expected="a file of weights")
    with _reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_kind(path: str | os.PathLike[str]) -> Kind:
    """What a file is, from its first bytes.

    Raises:
        InputError: it cannot be read or holds something else, such as a web page.
    """
    path = file_at("path", path, expected="a file of weights")
    with _reading(path), path.open("rb") as file:
        head = file.read(64)
    if head[8:9] == b"{":
        return "safetensors"
    if head[:2] in (b"PK", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"):
        return "torch"
    if head.startswith(MAGIC) or _are_numbers_of_ncnn(path, head):
        return "ncnn"
    found = next((what for mark, what in _NOT_WEIGHTS.items() if head.lstrip().startswith(mark)), None)
    found = found or ("an empty file" if not head else f"a file that begins with {head[:8]!r}")
    raise InputError(f"{printable(path)}: found {found}, expected safetensors, a PyTorch file or ncnn's .param")


def _are_numbers_of_ncnn(path: Path, head: bytes) -> bool:
    """Numbers alone say nothing of themselves, but that they may be in float16 or float32."""
    return head[:4] in (HALF, bytes(4)) and path.suffix == ".bin" and path.with_suffix(".param").exists()


def _read_ncnn(path: Path) -> tuple[Path, dict[str, np.ndarray], dict[str, str]]:
    """The `.bin`, its tensors by official names where the network is known, and which one that is."""
    found = read_ncnn(path)
    known = official_tensors(found)
    if known is None:
        return found.path, dict(found.tensors), {"layers": "not those of a network that jaxpr knows"}
    network, tensors = known
    return found.path, tensors, {"layers": network}


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be read ({error.strerror}), expected a file of weights") from error


def _split(path: str | os.PathLike[str], dictionary: str | None) -> tuple[Path, str | None]:
    """FILE#DICTIONARY as the two."""
    found = given_path(path)
    if dictionary is None and "#" in str(found) and not os.path.exists(found):
        file, _, dictionary = str(found).rpartition("#")
        return Path(file), dictionary
    return found, dictionary


def _read_safetensors(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    try:
        with safetensors.safe_open(path, framework="np"):  # checks that header, shapes and size fit
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except (safetensors.SafetensorError, OSError, ValueError, RecursionError) as error:
        reason = printable(first_line(error))[:120]
        raise InputError(f"{printable(path)}: cannot be read ({reason}), expected a whole safetensors file") from error
    metadata = header.pop("__metadata__", {})
    unknown = sorted({entry["dtype"] for entry in header.values()} - set(_DTYPES))
    if unknown:
        found = printable(", ".join(unknown))
        raise InputError(f"{printable(path)}: found tensors of type {found}, expected one of {', '.join(_DTYPES)}")
    content = np.memmap(path, np.uint8, mode="r")[8 + size :]

    def tensor(entry: Mapping[str, Any]) -> np.ndarray:
        begin, end = entry["data_offsets"]
        return np.asarray(content[begin:end]).view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])

    return {name: tensor(entry) for name, entry in header.items()}, metadata


def _read_torch(path: Path) -> Any:
    zipped = zipfile.is_zipfile(path)
    if zipped and not _is_archive_of_torch(path):
        raise InputError(f"{printable(path)}: found a zip archive of something else, expected a PyTorch file")
    try:
        import torch
    except ImportError as error:
        raise InputError(
            f"{printable(path)}: found a PyTorch file, which only torch can read; install it (pip install torch), or "
            f"on a machine that has it run: jaxpr weights convert {printable(path.name)} "
            f"{printable(path.stem)}.safetensors"
        ) from error
    try:
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals(_of_numpy()):
            # Old files are not archives and cannot be mapped into memory.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # torch raises whatever its parsers do
        refused = re.search(r"(?:GLOBAL|global|class) ([\w.]+)", str(error))
        if "weights_only" in str(error) and refused:
            raise InputError(
                f"{printable(path)}: found the Python object {refused[1]} besides tensors, which is not read; expected "
                "weights alone (if you trust the file, save its state dict anew with torch)"
            ) from error
        reason = printable(first_line(error).split(". ")[0])[:120]
        raise InputError(
            f"{printable(path)}: cannot be read ({reason}), expected a whole PyTorch file of weights"
        ) from error


def _of_numpy() -> list[Any]:
    """What pickles of NumPy's scalars and arrays call, under its names in NumPy 1 and 2: trainers keep such beside."""
    rebuild: list[Any] = [np.float64(0).__reduce__()[0], np.zeros(0).__reduce__()[0]]
    older = [(function, f"numpy.core.multiarray.{function.__name__}") for function in rebuild]
    return [*rebuild, *older, np.ndarray, np.dtype, *{type(np.dtype(code)) for code in "?bBhHiIlLqQefd"}]


def _is_archive_of_torch(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/data.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        # Damaged, or of a compression or version that zipfile lacks (NotImplementedError): torch says what is wrong.
        return True


def _groups(path: Path, tree: Any) -> dict[str, dict[str, Any]]:
    """The tensors of every mapping in the tree, by its dotted path, outer ones first."""
    groups: dict[str, dict[str, Any]] = {}
    waiting = [("", tree, 0)] if isinstance(tree, Mapping) else []
    while waiting:
        prefix, node, depth = waiting.pop()
        if len(groups) == _MOST_DICTIONARIES:
            raise InputError(f"{printable(path)}: found more than {_MOST_DICTIONARIES} dictionaries, expected weights")
        groups[prefix] = {str(name): value for name, value in node.items() if _is_tensor(value)}
        if depth < _DEEPEST:
            inner = [(name, value) for name, value in node.items() if isinstance(value, Mapping)]
            waiting += [(f"{prefix}.{name}" if prefix else str(name), value, depth + 1) for name, value in inner[::-1]]
    return groups


def _is_tensor(value: Any) -> bool:
    return isinstance(value, np.ndarray) or (
        type(value).__name__ in ("Tensor", "Parameter") and hasattr(value, "detach")
    )


def _arrays(
    path: Path, tensors: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], place: Place
) -> dict[str, np.ndarray]:
    """NumPy views of the tensors at a place, under their names there."""
    try:
        arrays = {short: _array(tensors[name]) for name, short in taken_names(shapes, place.prefix).items()}
    except (TypeError, RuntimeError) as error:  # sparse, quantised, float8
        raise InputError(
            f"{printable(path)}: found a tensor that NumPy cannot hold ({printable(first_line(error))[:120]}), "
            "expected dense ones"
        ) from error
    numbers, size = sum(array.nbytes for array in arrays.values()), path.stat().st_size
    if numbers > _MOST_SHARED * size:
        raise InputError(f"{printable(path)}: found tensors of {numbers} bytes in a file of {size}, expected weights")
    return arrays


def _array(value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    value = value.detach()
    if str(value.dtype) == "torch.bfloat16":  # NumPy has none of its own
        import torch

        return value.contiguous().view(torch.int16).numpy().view(jnp.bfloat16)
    return value.numpy()
