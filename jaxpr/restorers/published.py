"""Published networks as restorers, from their official files: range, padding, scale and channels are taken care of."""

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxpr.core import Array, InputError, check_images, printable
from jaxpr.models.functional import Model
from jaxpr.models.layers import Compute, pad_to_multiple
from jaxpr.restorers.restorer import Restorer
from jaxpr.restorers.tiled import tiled
from jaxpr.weights.fetch import fetched_weights, weights_folder
from jaxpr.weights.networks import NETWORKS, LoadedNetwork, load_network
from jaxpr.weights.official import OFFICIAL_FILES, OfficialFile
from jaxpr.weights.official_sizes import OFFICIAL_SIZES
from jaxpr.weights.wheels import copy_of, installed_copy

__all__ = ["PUBLISHED_RESTORERS", "published_restorer"]


class _Family(NamedTuple):
    """What an architecture's restorers have in common.

    Attributes:
        network: name of the architecture.
        signed: its images lie in [-1, 1], not in [0, 1].
        stride: product of the strides of its layers.
        whole: it takes images of one size only.
    """

    network: str
    signed: bool = False
    stride: int = 1
    whole: bool = False


_FAMILIES = {
    "swinir": _Family("SwinIR"),
    "swin2sr": _Family("Swin2SR"),
    "restormer": _Family("Restormer", stride=8),
    "gfpgan": _Family("GFPGAN", signed=True, whole=True),
    **dict.fromkeys(("esrgan", "realesrgan", "realesrnet", "bsrgan", "bsrnet", "rrdb", "realsr"), _Family("RRDBNet")),
    "realesr": _Family("SRVGGNetCompact"),
}
_BY_NETWORK = {family.network: family for family in _FAMILIES.values()}
_NO_MATTER = ("img_size",)  # not for the outputs, as long as it is larger than the window
_OVERLAP = 32

PUBLISHED_RESTORERS = tuple(name for name in OFFICIAL_FILES if name.split("-")[0] in _FAMILIES)
"""Names in `weights.OFFICIAL_FILES` whose networks restore images."""


def published_restorer(
    path: str | os.PathLike[str] | None,
    *,
    name: str | None = None,
    dictionary: str | None = None,
    channels: int = 3,
    tile: int | None = None,
    overlap: int | None = None,
    compute: Compute = Compute(),  # noqa: B008 (immutable)
) -> Restorer:
    """A restorer from a published file.

    Networks of one channel restore each channel of y on its own; networks of three see a single channel three times,
    and their output is averaged. Values are not clipped. GFPGAN uses the noise in its file, so it is deterministic.

    Args:
        path: the file, or FILE#DICTIONARY; None for the one that `jaxpr weights fetch NAME` stored, which must still
            be the known or accepted one, or else for the copy in a package of data (`jaxpr[published]`).
        name: one of `PUBLISHED_RESTORERS`, which the file must agree with as far as its tensors tell (architecture and
            all sizes); None for any restorer that is recognised.
        dictionary: where in the file the network is, see `weights.read_checkpoint`; None for the place that fits.
        channels: of y and x̂, 1 or 3.
        tile: side of overlapping tiles, in pixels of y, that are restored one by one; None for whole images.
            Restormer's attention sees whole images: in tiles it restores differently, also away from seams.
        overlap: of tiles, in pixels of y, half of which is a ramp (see `tiled`); None for 32, or half a small tile.
        compute: dtype, precision and memory.

    Returns:
        Deterministic restorer y (N, h, w, channels) in [0, 1] -> x̂ (N, scale · h, scale · w, channels); those of equal
        sizes share their `apply`. Its `weights` name the file, its hash, what was taken of it (`dictionary`, and the
        `prefix` of its names), the architecture and its sizes,
        and whether the hash (of a converted file, the one of its source in
        its header) is that of the published file, where that is known; of a copy, the package that it is from.

    Raises:
        InputError: unknown name, no such file, or one of another network, or of one that takes several images; tiles
            that do not fit, or of GFPGAN, which takes whole faces. When called: sizes that it does not take.
        WeightsError: the file's tensors are not exactly those of the network.
    """
    if channels not in (1, 3):
        raise InputError(f"channels: found {channels}, expected 1 or 3")
    if name is not None and name not in PUBLISHED_RESTORERS:
        raise InputError(f"name: found {name!r}, expected one of {', '.join(PUBLISHED_RESTORERS)}")
    wanted = [_FAMILIES[name.split("-")[0]]] if name else list(_BY_NETWORK.values())
    loaded = load_network(
        _located(path, name),
        dictionary=dictionary,
        among=[network for network in NETWORKS if network.name in {family.network for family in wanted}],
        compute=compute,
    )
    family = _BY_NETWORK.get(loaded.name)
    if family is None:
        raise InputError(f"{_file(loaded)}: found {loaded.name}, expected a network that restores images")
    _check_one_image(loaded)
    if name is not None:
        _check_agreement(name, loaded)
    own, scale, record = _channels(loaded), loaded.config.scale, _record(loaded, name, compute)
    multiple = getattr(loaded.config, "unshuffle", 1)
    found = Restorer(
        _OnUnitRange(loaded.name, loaded.config, compute, channels, own, multiple, family.signed, loaded.model),
        loaded.params,
        label=name or loaded.checkpoint.path.name,
        scale=scale,
        differentiable=True,
        cost=channels if own == 1 else 1,
        weights=record,
    )
    if tile is not None:
        if family.whole:
            raise InputError(f"tile: found {tile}, expected None for {loaded.name}, which takes images of one size")
        overlap = min(_OVERLAP, tile // 2) if overlap is None else overlap
        multiple = math.lcm(*(getattr(loaded.config, part, 1) for part in ("window_size", "unshuffle")), family.stride)
        found = tiled(found, tile=tile, overlap=overlap, scale=scale, feather=overlap // 2, multiple=multiple)
        found = dataclasses.replace(found, weights=record | {"tile": tile, "overlap": overlap})
    return found


def _located(path: str | os.PathLike[str] | None, name: str | None) -> str | os.PathLike[str]:
    if path is not None:
        return path
    if name is None:
        raise InputError("path: found None and no name, expected at least one of them")
    fetched = (weights_folder(None) / OFFICIAL_FILES[name].file).exists()
    return (None if fetched else installed_copy(name)) or fetched_weights(name)


def _file(loaded: LoadedNetwork) -> str:
    return printable(loaded.checkpoint.path)


def _check_agreement(name: str, loaded: LoadedNetwork) -> None:
    """Raise if the file's network is not what its name says."""
    wanted, found = OFFICIAL_SIZES[name], loaded.config
    if type(found) is not type(wanted):
        network = _FAMILIES[name.split("-")[0]].network
        raise InputError(f"{_file(loaded)}: found {loaded.name}, expected {network} for {name!r}")
    fields = [field for field in ("scale", *wanted._fields) if field not in _NO_MATTER]
    other = [field for field in fields if getattr(found, field) != getattr(wanted, field)]
    if other:
        words = [", ".join(f"{field}={getattr(config, field)!r}" for field in other) for config in (found, wanted)]
        raise InputError(
            f"{_file(loaded)}: found {loaded.name} with {words[0]}, expected {words[1]} for {name!r}; network:PATH "
            "takes any sizes"
        )


def _check_one_image(loaded: LoadedNetwork) -> None:
    """Raise if the network does not make one image of one image of as many channels."""
    inputs, outputs = _channels(loaded), _channels(loaded, ("num_out_ch", "in_chans", "out_channels"))
    if getattr(loaded.config, "dual_pixel_task", False) or inputs == 2 * outputs:
        found = "which takes two pictures at once (a dual-pixel pair) and is not supported"
    elif inputs != outputs or inputs not in (1, 3):
        found = f"of {inputs} channels in and {outputs} out"
    else:
        return
    raise InputError(
        f"{_file(loaded)}: found {loaded.name} {found}, expected a network that takes one picture of 1 or 3 channels"
    )


def _channels(loaded: LoadedNetwork, fields: tuple[str, ...] = ("num_in_ch", "in_chans", "inp_channels")) -> int:
    return next((int(getattr(loaded.config, field)) for field in fields if hasattr(loaded.config, field)), 3)


@dataclasses.dataclass(frozen=True)
class _OnUnitRange:
    """A network on y in [0, 1], of any size that it can be brought to take; equal for networks of equal sizes.

    Attributes:
        network: name of the architecture.
        config: its sizes.
        compute: dtype, precision and memory.
        channels: of y and x̂.
        own: channels that the network takes.
        multiple: of which its sides must be multiples.
        signed: its images lie in [-1, 1].
        model: the functions that architecture, config and compute make.
    """

    network: str
    config: Any
    compute: Compute
    channels: int
    own: int
    multiple: int
    signed: bool
    model: Model = dataclasses.field(compare=False)

    def __call__(self, params: Any, _: Any, y: Array) -> Array:
        check_images("y", y, channels=self.channels, data_range=None)
        if self.own == self.channels:
            return self._run(params, y)
        if self.own == 3:
            return jnp.mean(self._run(params, jnp.repeat(y, 3, axis=-1)), axis=-1, keepdims=True)
        return jnp.concatenate([self._run(params, y[..., i : i + 1]) for i in range(self.channels)], axis=-1)

    def _run(self, params: Any, y: Array) -> Array:
        (height, width), scale = y.shape[1:3], self.config.scale
        padded = pad_to_multiple(y, self.multiple, mode="reflect") if self.multiple > 1 else y
        x = self.model.apply(params, 2 * padded - 1 if self.signed else padded)
        x = x[:, : scale * height, : scale * width]
        return (x + 1) / 2 if self.signed else x


def _record(loaded: LoadedNetwork, name: str | None, compute: Compute) -> dict[str, Any]:
    found, official = loaded.checkpoint, OFFICIAL_FILES[name] if name else None
    source = _converted_from(found.metadata)
    copy = copy_of(source or found.sha256)
    return {
        "file": found.path.name,
        "sha256": found.sha256,
        "dictionary": found.dictionary,
        "prefix": found.prefix,
        **({"converted_from": source} if source else {}),
        **({"copy_in": copy.release, "numbers": "rounded to float16"} if copy else {}),
        "published": _is_published(source or found.sha256, official) if copy is None else False,
        "network": loaded.name,
        "config": dict(loaded.config._asdict()),
        "scale": loaded.config.scale,
        "dtype": jnp.dtype(compute.dtype).name,
    }


def _is_published(sha256: str, official: OfficialFile | None) -> bool | None:
    """None: the published hash is not known."""
    return sha256 == official.sha256 if official and official.known else None


def _converted_from(metadata: Mapping[str, str]) -> str:
    """The SHA-256 of the file that `jaxpr weights convert` read, as the header says; empty if it does not."""
    try:
        return str(json.loads(metadata["jaxpr"])["source_sha256"])
    except (KeyError, TypeError, ValueError, RecursionError):
        return ""
