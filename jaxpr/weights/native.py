"""Files of weights that jaxpr writes: safetensors with what made them in the header, restorers among them."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import safetensors
import safetensors.numpy

from jaxpr.core import InputError, first_line, printable
from jaxpr.models.layers import Compute
from jaxpr.models.restorer_network import RestorerConfig, network_of
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.unet import UNetConfig

__all__ = ["PackedRestorer", "pack_restorer", "pack_weights", "unpack_restorer", "unpack_weights"]

_METADATA = "jaxpr"
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
        params: nested dict with string keys and arrays as leaves.
        metadata: JSON-able; kept in the file's header as one sorted JSON text.
    """
    flat = _flat(params)
    arrays = {name: np.ascontiguousarray(flat[name]) for name in sorted(flat)}
    # One entry only: safetensors writes several in an order that changes from process to process.
    return safetensors.numpy.save(arrays, {_METADATA: json.dumps(dict(metadata), sort_keys=True)})


def unpack_weights(content: bytes) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Parameters and metadata of what `pack_weights` made.

    Raises:
        InputError: not such bytes.
    """
    try:
        flat = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = json.loads(header["__metadata__"][_METADATA])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"content: found no packed weights ({type(error).__name__}), expected safetensors") from error
    return _nested(flat), metadata


def pack_restorer(config: RestorerConfig, params: Mapping[Any, Any], metadata: Mapping[str, Any]) -> bytes:
    """A restorer's parameters as the bytes of a safetensors file; equal input, equal bytes.

    Args:
        config: of the restorer.
        params: nested dict of arrays.
        metadata: JSON-able, kept beside the config; not under the name "restorer".
    """
    kind = next(name for name, sizes in _NETWORKS.items() if isinstance(config.network, sizes))
    record = config._asdict() | {"network": {"kind": kind, **config.network._asdict()}}
    return pack_weights(_with_text_keys(jax.device_get(params)), {**metadata, "restorer": record})


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
    return PackedRestorer(config, _like(_wanted(config, text_params), text_params), metadata)


def _wanted(config: RestorerConfig, params: Mapping[str, Any]) -> Any:
    """The abstract parameters of a config, whoever wrote it."""
    try:
        depth = max(getattr(config.network, field, 0) for field in ("num_block", "upsamplings", "scales"))
        if depth > len(jax.tree.leaves(params)):  # before a network of a billion blocks is built
            raise InputError(f"content: found a config of {depth} blocks, expected no more than there are parameters")
        return jax.eval_shape(network_of(config, Compute()).init, jax.random.key(0))
    except InputError:
        raise
    except Exception as error:  # whatever sizes of other types do
        reason = printable(first_line(error))
        raise InputError(f"content: found a config that is no restorer's ({reason}), expected a packed one") from error


def _with_text_keys(tree: Any) -> Any:
    return {str(name): _with_text_keys(leaf) for name, leaf in tree.items()} if isinstance(tree, Mapping) else tree


def _like(wanted: Any, found: Any, path: str = "") -> Any:
    """`found`, whose keys are texts, with the keys of `wanted`, lists among them."""
    if not isinstance(wanted, Mapping):
        if not isinstance(found, np.ndarray) or found.shape != wanted.shape:
            raise InputError(f"content: found {np.shape(found)} for {path[1:]}, expected shape {wanted.shape}")
        if not np.isfinite(found).all():
            raise InputError(f"content: found NaN or infinite values in {path[1:]}, expected finite weights")
        return found.astype(np.float32)
    names = {str(name): name for name in wanted}
    if not isinstance(found, Mapping) or set(found) != set(names):
        raise InputError(f"content: found other parameters under {path[1:] or 'the root'!r} than the restorer has")
    return {name: _like(wanted[name], found[text], f"{path}.{text}") for text, name in names.items()}


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
