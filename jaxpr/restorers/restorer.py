"""Restorers as the evaluation sees them: deterministic `y -> x̂` and stochastic `(key, y) -> x̂` behind one interface."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import Array, Estimator, InputError, Key, Sampler
from jaxpr.restorers import weights_of

__all__ = ["Restorer", "as_restorer"]


class Restorer(NamedTuple):
    """A restorer whose randomness, if any, is per example.

    Attributes:
        draw: `(keys, y) -> x̂` with one key per example; a deterministic restorer ignores the keys.
        sampler: `(key, y) -> x̂` as the caller gave it, or one that ignores its key.
        stochastic: does the output depend on the key?
        weights: which file they are from, its hash and the like, if the function has such an attribute.
    """

    draw: Callable[[Key, Array], Array]
    sampler: Sampler
    stochastic: bool
    weights: dict[str, Any] | None = None

    def first(self, keys: Key, y: Array) -> Array:
        """Draw number 0 of each measurement, (N, H, W, C)."""
        return self.draw(jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, 0), y)

    def draws(self, keys: Key, y: Array, *, count: int) -> Array:
        """`count` restorations of each measurement, (count, N, H, W, C); draw number i depends on i only."""
        if not self.stochastic or count == 1:
            # Outside a loop, where XLA treats convolutions better; a deterministic restorer has one answer anyway.
            first = self.first(keys, y)
            return jnp.broadcast_to(first, (count, *first.shape))

        def one(number: Array) -> Array:
            return self.draw(jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number), y)

        return jax.lax.map(one, jnp.arange(count))


def as_restorer(name: str, function: Estimator | Sampler) -> Restorer:
    """Tell deterministic from stochastic restorers by the number of arguments without a default.

    Args:
        name: for the message.
        function: `y -> x̂`, or `(key, y) -> x̂`. A stochastic one is called for each example on its own, with its own
            key and a batch of one, so its numbers do not depend on which examples share a batch.

    Raises:
        InputError: not callable, or with another number of required arguments.
    """
    required = _required_arguments(name, function)
    if required == 1:

        def restore(_: Key, y: Array) -> Array:
            return _widened(function(y))  # type: ignore[call-arg]

        return Restorer(restore, restore, False, weights_of(function))
    if required != 2:
        raise InputError(f"restorer {name}: found {required} required arguments, expected y -> x̂ or (key, y) -> x̂")

    def sample(key: Key, y: Array) -> Array:
        return _widened(function(key, y))  # type: ignore[call-arg]

    def draw(keys: Key, y: Array) -> Array:
        return jax.vmap(lambda key, single: sample(key, single[None])[0])(keys, y)

    return Restorer(draw, sample, True, weights_of(function))


def _widened(output: Array) -> Array:
    """Outputs of half (or double) precision as float32, in which everything is measured; what is no array as it is."""
    dtype = getattr(output, "dtype", None)
    return output.astype(jnp.float32) if dtype is not None and jnp.issubdtype(dtype, jnp.floating) else output


def _required_arguments(name: str, function: object) -> int:
    if not callable(function):
        raise InputError(f"restorer {name}: found {type(function).__name__}, expected a callable y -> x̂")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    required = [p for p in parameters if p.default is p.empty and p.kind in positional]
    # `def f(*inputs)` takes a measurement as well as anything else.
    return len(required) or int(any(p.kind is p.VAR_POSITIONAL for p in parameters))
