"""Files of fitted transports: safetensors, with what was fitted on what as JSON in the header."""

import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np

from jaxpr.core import InputError, file_at, first_line, given_path, printable, write_atomically
from jaxpr.numerics.moments import Moments
from jaxpr.restorers.latent_transport_encoders import OFFICIAL_ENCODERS, PIXELS, LatentEncoder, read_encoder
from jaxpr.restorers.latent_transport_fit import LatentTransport, PatchStatistics
from jaxpr.restorers.latent_transport_patches import PatchMap
from jaxpr.weights.native import pack_weights, unpack_weights

__all__ = ["load_transport", "pack_transport", "save_transport"]

_KIND = "latent_transport"
_SIDES = ("restored", "natural")


def pack_transport(fitted: LatentTransport) -> bytes:
    """A fitted transport as the bytes of a safetensors file; equal input, equal bytes.

    The header holds `LatentTransport.record`; the tensors, float64, are `moves` and the moments of both sides, so that
    more images can be merged in later. The encoder is named, not held.
    """
    moves = {name: part for name, part in fitted.moves._asdict().items() if part is not None}
    moments = {side: getattr(fitted, side).moments._asdict() for side in _SIDES}
    return pack_weights({"moves": moves, **moments}, {_KIND: fitted.record})


def save_transport(fitted: LatentTransport, path: str | os.PathLike[str]) -> str:
    """Write a fitted transport to a file, and return the SHA-256 of its content.

    Raises:
        OSError: the file cannot be written.
    """
    content = pack_transport(fitted)
    write_atomically(given_path(path), content)
    return hashlib.sha256(content).hexdigest()


def load_transport(path: str | os.PathLike[str], *, encoder: LatentEncoder | None = None) -> LatentTransport:
    """Read a fitted transport.

    Args:
        path: of a file of `save_transport`.
        encoder: the one that it was fitted with, which is checked by name and hash; None finds pixels and official
            autoencoders by their names.

    Raises:
        InputError: no such file, not such a file, or another encoder.
    """
    file = file_at("path", path, expected="a fitted transport")
    try:
        return _unpacked(file.read_bytes(), encoder)
    except OSError as error:
        raise InputError(f"{printable(file)}: cannot be read ({error.strerror}), expected a transport") from error
    except InputError as error:
        text = str(error)
        raise InputError(text if text.startswith("encoder:") else f"{printable(Path(file))}: {text}") from error


def _unpacked(content: bytes, encoder: LatentEncoder | None) -> LatentTransport:
    tensors, metadata = unpack_weights(content)
    try:
        record = metadata[_KIND]
        patch, encode = int(record["patch"]), str(record["encode"])
        statistics = {
            side: _statistics(tensors[side], record[side], record["encoder"], patch, encode) for side in _SIDES
        }
        moves = PatchMap(**tensors["moves"])
        name = str(record["encoder"]["name"])
        _check_shapes(moves, [found.moments for found in statistics.values()], patch)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = printable(first_line(error))
        raise InputError(f"content: found weights without a transport ({reason}), expected a fitted one") from error
    encoder = _known(name) if encoder is None else encoder
    if encoder.record != record["encoder"]:
        raise InputError(f"encoder: found {encoder.record}, expected {record['encoder']}, as it was fitted with")
    return LatentTransport(encoder, patch, statistics["restored"], statistics["natural"], moves)


def _known(name: str) -> LatentEncoder:
    if name != PIXELS and name not in OFFICIAL_ENCODERS:
        raise InputError(f"encoder: found None, expected {printable(name)}, with which the transport was fitted")
    return read_encoder(name)


def _statistics(
    tensors: dict[str, Any], record: dict[str, Any], encoder: dict[str, Any], patch: int, encode: str
) -> PatchStatistics:
    sides = (int(record["sides"][0]), int(record["sides"][1]))
    sources = tuple(str(source) for source in record["sources"])
    return PatchStatistics(Moments(**tensors), int(record["images"]), sides, patch, dict(encoder), encode, sources)


def _check_shapes(moves: PatchMap, moments: list[Moments], patch: int) -> None:
    """Raise unless all arrays are finite and of patches of one size."""
    dim = len(moves.offset)
    matrices, vectors = [moves.matrix, *(m.scatter for m in moments)], [moves.offset, *(m.mean for m in moments)]
    root = [] if moves.noise_root is None else [moves.noise_root]
    fits = patch % 2 == 1 and dim % patch**2 == 0
    fits = fits and all(np.shape(m) == (dim, dim) for m in matrices) and all(np.shape(v) == (dim,) for v in vectors)
    fits = fits and all(np.ndim(r) == 2 and len(r) == dim for r in root) and all(m.count > dim for m in moments)
    if not fits or not all(np.isfinite(a).all() for a in (*matrices, *vectors, *root)):
        raise InputError("content: found arrays that do not fit or are not finite, expected those of a transport")
