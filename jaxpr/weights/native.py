"""Files of weights that jaxpr writes: safetensors with what made them in the header, restorers among them."""

import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
import safetensors
import safetensors.numpy

from jaxpr.core import InputError, file_at, first_line, printable
from jaxpr.models.layers import Compute
from jaxpr.models.restorer_network import RestorerConfig, network_of
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.unet import UNetConfig

__all__ = [
    "METADATA",
    "PackedRestorer",
    "holds_kind",
    "pack_family",
    "pack_restorer",
    "pack_weights",
    "read_member",
    "read_unpacked",
    "unpack_restorer",
    "unpack_weights",
    "parameters_like",
    "with_text_keys",
]

Unpacked = TypeVar("Unpacked")
METADATA = "jaxpr"
_ALIGNMENT = 8  # bytes of the header's length, and what the header is filled up to
_DTYPES = {"float16": "F16", "float32": "F32", "float64": "F64"}
_NETWORKS: dict[str, Any] = {"unet": UNetConfig, "rrdbnet": RRDBNetConfig}


class PackedRestorer(NamedTuple):
    """What a file of weights holds.

    Attributes:
        config: of the restorer.
        params: its parameters, NumPy arrays.
        metadata: what else was stored: how they were made.
    """

    config: RestorerConfig
    params: dict[Any, Any]
    metadata: dict[str, Any]


def pack_weights(params: Mapping[Any, Any], metadata: Mapping[str, Any]) -> bytes:
    """Parameters and what is to be known about them as the bytes of a safetensors file; equal input, equal bytes.

    Args:
        params: nested dict with string keys and arrays as leaves, floating point.
        metadata: JSON-able; kept in the file's header as one sorted JSON text.

    Note:
        Written here, not by safetensors, whose bytes may differ from version to version: hashes of packaged weights are
        those of these bytes.
    """
    arrays = {name: np.asarray(leaf) for name, leaf in _flat(params).items()}
    arrays = {name: arrays[name] for name in sorted(arrays, key=lambda name: (-arrays[name].itemsize, name))}
    header: dict[str, Any] = {"__metadata__": {METADATA: json.dumps(dict(metadata), sort_keys=True)}}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": _DTYPES[array.dtype.name], "shape": list(array.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    values = (array.astype(array.dtype.newbyteorder("<")).tobytes() for array in arrays.values())
    return b"".join([len(text).to_bytes(_ALIGNMENT, "little"), text, *values])


def unpack_weights(content: bytes) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Parameters and metadata of what `pack_weights` made.

    Raises:
        InputError: not such bytes.
    """
    try:
        flat = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = json.loads(header["__metadata__"][METADATA])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"content: found no packed weights ({type(error).__name__}), expected safetensors") from error
    return _nested(flat), metadata


def holds_kind(path: Path, kind: str) -> bool:
    """Whether a file is one of `jaxpr train` with a "denoiser", "autoencoder", ...; only its header is read."""
    if not path.is_file():  # to open a named pipe would wait for ever
        return False
    try:
        with safetensors.safe_open(path, "numpy") as file:
            return kind in json.loads((file.metadata() or {}).get(METADATA, "{}"))
    except (OSError, safetensors.SafetensorError, ValueError):
        return False


def read_unpacked(path: str | os.PathLike[str], unpack: Callable[[bytes, Path], Unpacked]) -> Unpacked:
    """What a file of `jaxpr train` holds.

    Args:
        path: of the file.
        unpack: maps its content and its path to that, or raises `InputError`.

    Raises:
        InputError: no such file, or what `unpack` raises, with the file's name.
    """
    path = file_at("path", path, expected="weights of jaxpr train")
    try:
        return unpack(path.read_bytes(), path)
    except OSError as error:
        raise InputError(f"{printable(path)}: cannot be read ({error.strerror}), expected weights") from error
    except InputError as error:
        raise InputError(f"{printable(path)}: {error}") from error


def pack_family(members: Mapping[str, bytes]) -> bytes:
    """Several packed weights as the bytes of one safetensors file, from which each can be read alone.

    Args:
        members: name, without a slash, to what `pack_weights` made of its parameters and metadata.
    """
    unpacked = {name: unpack_weights(content) for name, content in members.items()}
    params = {f"{name}/{path}": leaf for name, (tree, _) in unpacked.items() for path, leaf in _flat(tree).items()}
    return pack_weights(params, {name: metadata for name, (_, metadata) in unpacked.items()})


def read_member(path: Path, name: str) -> bytes:
    """What was packed under a name in a file that `pack_family` made, bit for bit; nothing else of it is read.

    Raises:
        InputError: no such file, not such a file, or none with that name.
    """
    start = f"{name}/"
    try:
        with safetensors.safe_open(path, "numpy") as file:
            metadata = json.loads(file.metadata()[METADATA])[name]
            names = [key for key in file.keys() if key.startswith(start)]  # noqa: SIM118 (no mapping)
            found = {key.removeprefix(start): file.get_tensor(key) for key in names}
        return pack_weights(found, metadata)
    except (OSError, safetensors.SafetensorError, ValueError, KeyError, TypeError) as error:
        reason = printable(first_line(error))
        raise InputError(f"{printable(path)}: cannot be read ({reason}), expected packed weights of {name}") from error


def pack_restorer(config: RestorerConfig, params: Mapping[Any, Any], metadata: Mapping[str, Any]) -> bytes:
    """A restorer's parameters as the bytes of a safetensors file; equal input, equal bytes.

    Args:
        config: of the restorer.
        params: nested dict of arrays.
        metadata: JSON-able, kept beside the config; not under the name "restorer".
    """
    kind = next(name for name, sizes in _NETWORKS.items() if isinstance(config.network, sizes))
    record = config._asdict() | {"network": {"kind": kind, **config.network._asdict()}}
    return pack_weights(with_text_keys(jax.device_get(params)), {**metadata, "restorer": record})


def unpack_restorer(content: bytes) -> PackedRestorer:
    """What `pack_restorer` packed; parameters in float32, in whatever precision they were stored.

    Raises:
        InputError: not such bytes, or parameters that are not those of the config, or not finite.
    """
    try:
        text_params, metadata = unpack_weights(content)
        record = metadata.pop("restorer")
        network = dict(record.pop("network"))
        config = RestorerConfig(network=_NETWORKS[network.pop("kind")](**network), **record)
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, InputError):
            raise
        reason = printable(first_line(error))
        raise InputError(f"content: found weights without a restorer ({reason}), expected a packed one") from error
    return PackedRestorer(config, parameters_like(_wanted(config, text_params), text_params), metadata)


def _wanted(config: RestorerConfig, params: Mapping[str, Any]) -> Any:
    """The abstract parameters of a config, whoever wrote it."""
    try:
        depth = max(getattr(config.network, field, 0) for field in ("num_block", "upsamplings", "scales"))
        if depth > len(jax.tree.leaves(params)):  # before a network of a billion blocks is built
            raise InputError(f"content: found a config of {depth} blocks, expected no more than there are parameters")
        return _abstract(config)
    except InputError:
        raise
    except Exception as error:  # whatever sizes of other types do
        reason = printable(first_line(error))
        raise InputError(f"content: found a config that is no restorer's ({reason}), expected a packed one") from error


@functools.cache
def _abstract(config: RestorerConfig) -> Any:
    """Once for all members of a family; not to be changed."""
    return jax.eval_shape(network_of(config, Compute()).init, jax.random.key(0))


def with_text_keys(tree: Any) -> Any:
    """A tree of parameters with all keys as texts, those of lists among them, as files have them."""
    return {str(name): with_text_keys(leaf) for name, leaf in tree.items()} if isinstance(tree, Mapping) else tree


def parameters_like(wanted: Any, found: Any, *, path: str = "") -> Any:
    """Parameters whose keys are texts, with the keys of others, lists among them, in float32.

    Args:
        wanted: parameters of a network, or their shapes.
        found: of a file.
        path: where they lie, for messages.

    Raises:
        InputError: other names or shapes, or values that are not finite.
    """
    if not isinstance(wanted, Mapping):
        if not isinstance(found, np.ndarray) or found.shape != wanted.shape:
            raise InputError(f"content: found {np.shape(found)} for {path[1:]}, expected shape {wanted.shape}")
        if not np.isfinite(found).all():
            raise InputError(f"content: found NaN or infinite values in {path[1:]}, expected finite weights")
        return found.astype(np.float32)
    names = {str(name): name for name in wanted}
    if not isinstance(found, Mapping) or set(found) != set(names):
        raise InputError(f"content: found other parameters under {path[1:] or 'the root'!r} than its network has")
    return {name: parameters_like(wanted[name], found[text], path=f"{path}.{text}") for text, name in names.items()}


def _flat(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a nested dict by the names on their way, with dots between."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return leaves


def _nested(leaves: Mapping[str, Any]) -> dict[Any, Any]:
    tree: dict[Any, Any] = {}
    for path, value in leaves.items():
        *way, last = path.split(".")
        node = tree
        for name in way:
            node = node.setdefault(name, {})
        node[last] = value
    return tree
