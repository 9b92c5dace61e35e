"""The one bridge between Flax NNX modules and jaxpr's pure functions on plain dicts of arrays."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flax import nnx

from jaxpr._core import Key

__all__ = ["Model", "functional"]


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
