"""The one bridge between Flax NNX modules and jaxpr's pure functions on plain dicts of arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx

from jaxpr.core import Key

__all__ = ["Model", "StatefulModel", "functional", "stateful"]


class Model(NamedTuple):
    """A network as two pure functions.

    Attributes:
        init: maps a key to parameters: a nested dict with arrays as leaves.
        apply: maps (parameters, *inputs) to outputs. State that a module might update is discarded.
    """

    init: Callable[[Key], dict[Any, Any]]
    apply: Callable[..., Any]


def functional(build: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """Turn a module declaration into `init` and `apply` that jit, vmap and differentiate like any function.

    Args:
        build: makes the module from random streams, for example `lambda rngs: ConvTrunk(ALEXNET, rngs=rngs)`. It is
            only traced here: no parameter is allocated until `init` is called.
    """
    graph = nnx.graphdef(nnx.eval_shape(lambda: build(nnx.Rngs(0))))

    def init(key: Key) -> dict[Any, Any]:
        return nnx.to_pure_dict(nnx.state(build(nnx.Rngs(key))))

    def apply(params: dict[Any, Any], *args: Any) -> Any:
        return nnx.merge(graph, params)(*args)

    return Model(init, apply)


class StatefulModel(NamedTuple):
    """A network whose normalisations may keep running statistics, which are leaves among its parameters.

    Attributes:
        init: maps a key to parameters: a nested dict with arrays as leaves.
        apply: maps (parameters, *inputs) to outputs with the running statistics: every example on its own.
        train: maps (parameters, *inputs) to outputs with the statistics of this batch, and to the parameters with
            running statistics that were moved towards them; the other leaves are those given.
        statistics: tree of the parameters' structure; true where a leaf is a running statistic, which no optimiser may
            change.
    """

    init: Callable[[Key], dict[Any, Any]]
    apply: Callable[..., Any]
    train: Callable[..., tuple[Any, dict[Any, Any]]]
    statistics: dict[Any, Any]


def stateful(build: Callable[[nnx.Rngs], nnx.Module]) -> StatefulModel:
    """As `functional`, for modules with batch normalisation; without any, `train` is `apply`.

    Args:
        build: makes the module from random streams; it is only traced here.
    """
    module = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    module.set_attributes(use_running_average=False, raise_if_not_found=False)
    of_batch = nnx.graphdef(module)
    module.set_attributes(use_running_average=True, raise_if_not_found=False)
    running = nnx.graphdef(module)
    kinds = nnx.to_pure_dict(nnx.state(module, nnx.BatchStat))
    everything = nnx.to_pure_dict(nnx.state(module))

    def init(key: Key) -> dict[Any, Any]:
        return nnx.to_pure_dict(nnx.state(build(nnx.Rngs(key))))

    def apply(params: dict[Any, Any], *args: Any) -> Any:
        return nnx.merge(running, params)(*args)

    def train(params: dict[Any, Any], *args: Any) -> tuple[Any, dict[Any, Any]]:
        merged = nnx.merge(of_batch, params)
        return merged(*args), nnx.to_pure_dict(nnx.state(merged))

    paths = {path for path, _ in jax.tree_util.tree_leaves_with_path(kinds)}
    statistics = jax.tree_util.tree_map_with_path(lambda path, _: path in paths, everything)
    return StatefulModel(init, apply, train, statistics)
