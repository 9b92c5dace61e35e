"""Trained restorers as estimators: those that come with jaxpr, and the files of `jaxpr train`.

An estimator that was made of a file has an attribute `weights`, a dict that names the file and its hash; evaluations
put it into their records.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from jaxpr.core import Array, Estimator, InputError, Key, Sampler, given_path
from jaxpr.degradations import parse_degradation
from jaxpr.models.restorer_network import restorer_network
from jaxpr.models.unet import UNetConfig
from jaxpr.weights.packaged import PACKAGED_RESTORERS, RestorerFile, packaged_restorer, read_restorer, similar_names

__all__ = ["trained_channels", "trained_degradation", "trained_restorer", "weights_of", "with_weights"]


def trained_restorer(source: str | Path) -> Estimator | Sampler:
    """A trained restorer: y -> x̂ if it is deterministic, (key, y) -> x̂ if it is stochastic.

    Args:
        source: a name in `weights.PACKAGED_RESTORERS`, or the path of weights that `jaxpr train` wrote.

    Returns:
        Callable on measurements (N, h, w, C) in [0, 1] of the degradation that it was trained on (see
        `trained_degradation`), for any h and w that its network takes. Consistent by construction if trained so.

    Raises:
        InputError: neither such a name nor such a file. When called: measurements that the network does not take.
    """
    found = _read(source)
    config, params, _ = found.packed
    made = restorer_network(config, operators=parse_degradation(config.degradation).operator)
    record = {"file": found.path.name, "sha256": found.sha256, "degradation": config.degradation}

    def sampled(key: Key, y: Array) -> Array:
        return made.apply(params, y, made.seeds(key, y))

    def restored(y: Array) -> Array:
        return sampled(jax.random.key(0), y)  # whose seeds are zeros for every key

    return with_weights(sampled, record) if config.stochastic else with_weights(restored, record)


def trained_degradation(source: str | Path) -> str:
    """The name of the degradation that a trained restorer undoes, such as "bicubic-x4"; arguments as there."""
    return _read(source).packed.config.degradation


def trained_channels(source: str | Path) -> int:
    """Channels of x and of y; arguments as in `trained_restorer`."""
    network = _read(source).packed.config.network
    return network.channels if isinstance(network, UNetConfig) else network.num_out_ch


def with_weights(estimator: Callable[..., Array], record: Mapping[str, Any]) -> Callable[..., Array]:
    """The estimator with an attribute `weights` that says where its numbers come from.

    Args:
        estimator: a function that was made for this call: it is changed.
        record: JSON-able; at least "file" and "sha256".
    """
    vars(estimator)["weights"] = dict(record)
    return estimator


def weights_of(estimator: object) -> dict[str, Any] | None:
    """What `with_weights` said of an estimator; None for one without."""
    found = getattr(estimator, "weights", None)
    return dict(found) if isinstance(found, Mapping) else None


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
