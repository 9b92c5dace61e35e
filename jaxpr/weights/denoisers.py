"""Denoisers that `jaxpr train` made: their files, and those that come with jaxpr."""

import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxpr.core import InputError, first_line, printable
from jaxpr.diffusion import Denoiser, Schedule, cosine_schedule, from_eps, from_v, linear_schedule
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet
from jaxpr.models.naming import abstract_parameters
from jaxpr.weights.native import (
    holds_kind,
    pack_weights,
    parameters_like,
    read_unpacked,
    unpack_weights,
    with_text_keys,
)
from jaxpr.weights.packaged import packaged_content, packaged_entry

__all__ = [
    "PREDICTIONS",
    "SCHEDULES",
    "PackedDenoiser",
    "is_denoiser",
    "pack_denoiser",
    "packaged_denoiser",
    "read_denoiser",
    "unpack_denoiser",
]

SCHEDULES = {"linear": linear_schedule, "cosine": cosine_schedule}
"""Noise schedules of 1,000 timesteps by the names that files and recipes have for them."""

PREDICTIONS: dict[str, Callable[..., Denoiser]] = {"noise": from_eps, "v": from_v}
"""What makes a denoiser of a network, by what the network predicts; names as in files and recipes."""


class PackedDenoiser(NamedTuple):
    """A trained denoiser as a file holds it.

    Attributes:
        config: sizes of its network.
        side: height and width of the images that it was trained on.
        schedule: name of the noise schedule.
        prediction: of its network, one of `PREDICTIONS`.
        params: nested dict of arrays, float32.
        metadata: recipe, command and data that made it.
        path: of its file; None if it was not read from one, or one with others.
        sha256: of its content.
    """

    config: ADMUNetConfig
    side: int
    schedule: str
    prediction: str
    params: dict[Any, Any]
    metadata: dict[str, Any]
    path: Path | None
    sha256: str

    def noise_schedule(self) -> Schedule:
        """The schedule that it was trained with."""
        return SCHEDULES[self.schedule]()


def pack_denoiser(
    config: ADMUNetConfig,
    params: Mapping[Any, Any],
    metadata: Mapping[str, Any],
    *,
    side: int,
    schedule: str,
    prediction: str = "noise",
) -> bytes:
    """A denoiser as the bytes of a safetensors file; equal input, equal bytes."""
    record = {"network": config._asdict(), "side": side, "schedule": schedule, "prediction": prediction}
    return pack_weights(with_text_keys(jax.device_get(params)), {**metadata, "denoiser": record})


def unpack_denoiser(content: bytes, *, path: Path | None = None) -> PackedDenoiser:
    """What `pack_denoiser` packed; parameters in float32, in whatever precision they were stored.

    Raises:
        InputError: not such bytes, or parameters that are not those of the config.
    """
    try:
        params, metadata = unpack_weights(content)
        record = metadata.pop("denoiser")
        sizes: dict[str, Any] = {n: tuple(of) if isinstance(of, list) else of for n, of in record["network"].items()}
        config, side, schedule = ADMUNetConfig(**sizes), int(record["side"]), record["schedule"]
        prediction = record.get("prediction", "noise")  # older files have none
        SCHEDULES[schedule], PREDICTIONS[prediction]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        reason = printable(first_line(error))
        raise InputError(f"content: found weights without a denoiser ({reason}), expected a packed one") from error
    params = parameters_like(abstract_parameters(adm_unet(config)), params)
    digest = hashlib.sha256(content).hexdigest()
    return PackedDenoiser(config, side, schedule, prediction, params, metadata, path, digest)


def is_denoiser(path: Path) -> bool:
    """Whether a file is one of `jaxpr train` with a denoiser; only its header is read."""
    return holds_kind(path, "denoiser")


def read_denoiser(path: str | os.PathLike[str]) -> PackedDenoiser:
    """Read the weights of a denoiser that `jaxpr train` wrote.

    Raises:
        InputError: no such file, or none with a denoiser.
    """
    return read_unpacked(path, lambda content, path: unpack_denoiser(content, path=path))


@functools.cache
def packaged_denoiser(name: str) -> PackedDenoiser:
    """Read a denoiser that comes with jaxpr, once per process.

    Raises:
        InputError: as `packaged_content`; a restorer or classifier.
    """
    return unpack_denoiser(packaged_content(name))._replace(path=Path(packaged_entry(name).file))
