"""Autoencoders that `jaxpr train` made: their files, and those that come with jaxpr."""

import functools
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxpr.core import InputError, first_line, given_path, printable
from jaxpr.models.autoencoder_kl import AutoencoderKLConfig, autoencoder_kl
from jaxpr.models.naming import abstract_parameters
from jaxpr.weights.native import (
    holds_kind,
    pack_weights,
    parameters_like,
    read_unpacked,
    unpack_weights,
    with_text_keys,
)
from jaxpr.weights.packaged import PACKAGED_AUTOENCODERS, packaged_content, packaged_entry

__all__ = [
    "PackedAutoencoder",
    "is_autoencoder",
    "own_autoencoder",
    "pack_autoencoder",
    "packaged_autoencoder",
    "read_autoencoder",
    "unpack_autoencoder",
]


class PackedAutoencoder(NamedTuple):
    """A trained autoencoder as a file holds it; `models.autoencoder_kl(config)` is its network.

    Attributes:
        config: sizes of its network.
        params: nested dict of arrays, float32.
        metadata: recipe, command and data that made it.
        path: of its file; None if it was not read from one.
        sha256: of its content.
    """

    config: AutoencoderKLConfig
    params: dict[Any, Any]
    metadata: dict[str, Any]
    path: Path | None
    sha256: str


def pack_autoencoder(config: AutoencoderKLConfig, params: Mapping[Any, Any], metadata: Mapping[str, Any]) -> bytes:
    """An autoencoder as the bytes of a safetensors file; equal input, equal bytes.

    Args:
        config: sizes of its network.
        params: nested dict of arrays.
        metadata: JSON-able, kept beside the config; not under the name "autoencoder".
    """
    record = {**metadata, "autoencoder": {"network": config._asdict()}}
    return pack_weights(with_text_keys(jax.device_get(params)), record)


def unpack_autoencoder(content: bytes, *, path: Path | None = None) -> PackedAutoencoder:
    """What `pack_autoencoder` packed; parameters in float32, in whatever precision they were stored.

    Raises:
        InputError: not such bytes, or parameters that are not those of the config, or not finite.
    """
    params, metadata = unpack_weights(content)
    try:
        network = dict(metadata.pop("autoencoder")["network"])
        widths = tuple(network.pop("block_out_channels"))
        config = AutoencoderKLConfig(block_out_channels=widths, **network)
        if max(len(widths), config.layers_per_block) > len(jax.tree.leaves(params)):
            raise ValueError("more blocks than parameters")  # before a network of a billion blocks is built
        wanted = abstract_parameters(autoencoder_kl(config).model)
    except Exception as error:  # whatever sizes of other types do
        reason = printable(first_line(error))
        raise InputError(f"content: found weights without an autoencoder ({reason}), expected a packed one") from error
    params = parameters_like(wanted, params)
    return PackedAutoencoder(config, params, metadata, path, hashlib.sha256(content).hexdigest())


def is_autoencoder(path: Path) -> bool:
    """Whether a file is one of `jaxpr train` with an autoencoder; only its header is read."""
    return holds_kind(path, "autoencoder")


def read_autoencoder(path: str | os.PathLike[str]) -> PackedAutoencoder:
    """Read the weights of an autoencoder that `jaxpr train` wrote.

    Raises:
        InputError: no such file, or none with an autoencoder.
    """
    return read_unpacked(path, lambda content, path: unpack_autoencoder(content, path=path))


@functools.cache
def packaged_autoencoder(name: str) -> PackedAutoencoder:
    """Read an autoencoder that comes with jaxpr, once per process.

    Raises:
        InputError: as `packaged_content`; weights of another kind.
    """
    return unpack_autoencoder(packaged_content(name))._replace(path=Path(packaged_entry(name).file))


def own_autoencoder(source: str | os.PathLike[str]) -> PackedAutoencoder | None:
    """The autoencoder that comes with jaxpr under a name, or that `jaxpr train` wrote into a file; None for others."""
    if source in PACKAGED_AUTOENCODERS:
        return packaged_autoencoder(str(source))
    path = given_path(source)
    return read_autoencoder(path) if is_autoencoder(path) else None
