"""Trained restorers: those that come with jaxpr, and the files of `jaxpr train`."""

import functools
import os
from pathlib import Path
from typing import Any

from jaxpr.core import Array, InputError, given_path
from jaxpr.degradations import parse_degradation
from jaxpr.models.restorer_network import RestorerConfig, restorer_network
from jaxpr.restorers.restorer import Apply, Restorer
from jaxpr.weights.packaged import (
    PACKAGED_RESTORERS,
    RestorerFile,
    packaged_entry,
    packaged_restorer,
    read_restorer,
    similar_names,
)

__all__ = ["trained_channels", "trained_degradation", "trained_restorer"]


def trained_restorer(source: str | Path) -> Restorer:
    """A trained restorer: y -> x̂ if it is deterministic, (key, y) -> x̂ if it is stochastic.

    Those of one network, degradation and kind share their `apply`.

    Args:
        source: a name in `weights.PACKAGED_RESTORERS`, or the path of weights that `jaxpr train` wrote.

    Returns:
        Restorer of measurements (N, h, w, C) in [0, 1] of the degradation that it was trained on (see
        `trained_degradation`), for any h and w that its network takes. Consistent by construction if trained so. Its
        `weights` name the file, its hash and the degradation; family, setting and variant are those of the index.

    Raises:
        InputError: neither such a name nor such a file. When called: measurements that the network does not take.
    """
    found = _read(source)
    config, params, _ = found.packed
    entry = packaged_entry(str(source)) if source in PACKAGED_RESTORERS else None
    return Restorer(
        _apply_of(config),
        params,
        stochastic=config.stochastic,
        label=str(source),
        scale=config.factor,
        differentiable=True,
        family=entry and entry.family,
        setting=entry and entry.setting,
        variant=entry and entry.variant,
        weights={"file": found.path.name, "sha256": found.sha256, "degradation": config.degradation},
    )


@functools.lru_cache(maxsize=64)
def _apply_of(config: RestorerConfig) -> Apply:
    """One function for all restorers of a config; a few hundred bytes each."""
    made = restorer_network(config, operators=parse_degradation(config.degradation).operator)

    def apply(params: Any, key: Any, y: Array) -> Array:
        # The seeds of a deterministic one are zeros, whatever the key.
        return made.apply(params, y, made.seeds(key, y))

    return apply


def trained_degradation(source: str | Path) -> str:
    """The name of the degradation that a trained restorer undoes, such as "bicubic-x4"; arguments as there."""
    return _read(source).packed.config.degradation


def trained_channels(source: str | Path) -> int:
    """Channels of x and of y; arguments as in `trained_restorer`."""
    return _read(source).packed.config.channels


def _read(source: str | Path) -> RestorerFile:
    if source in PACKAGED_RESTORERS:
        return packaged_restorer(str(source))
    path = given_path(source)
    if not os.path.exists(path):
        raise InputError(
            f"source: found {str(source)!r}, expected weights of jaxpr train or the name of a restorer that comes with "
            f"jaxpr, such as {similar_names(str(source))}"
        )
    return read_restorer(path)
