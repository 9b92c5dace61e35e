"""What a restorer is: one value with a function, its parameters, and what others need to know of it.

Library functions take plain callables, and a `Restorer` is one: y -> x̂ if it is deterministic, (key, y) -> x̂ if it is
stochastic. Parameters are arguments of its function, so restorers with equal functions share a compiled program.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, Estimator, InputError, Key, Sampler, check_count, described, example_keys, is_number
from jaxpr.records.results import Described

__all__ = ["UNCHANGED", "Apply", "ApplySet", "Remake", "Restorer", "as_restorer", "joined_variant"]

Apply: TypeAlias = Callable[[Any, Any, Array], Array]
"""Maps (parameters, key, y) to x̂; a deterministic one ignores the key, which may then be None."""

ApplySet: TypeAlias = Callable[[Any, Any, Array, int], Array]
"""Maps (parameters, keys, y, count), with one key for each of N measurements, to their draws (count, N, H, W, C)."""

Remake: TypeAlias = Callable[[int], "Restorer"]
"""Makes the same restorer with another number of steps."""


@dataclass(frozen=True, eq=False)
class Restorer:
    """A restorer of measurements y (N, h, w, c) in [0, 1]: `restorer(y)`, or `restorer(key, y)` if it is stochastic.

    Attributes:
        apply: `(params, key, y) -> x̂` on batches, x̂ (N, H, W, C); a deterministic one ignores the key. Restorers whose
            `apply` are equal share compiled programs, so it is hashable, and holds no arrays that differ between them.
        params: pytree of arrays and numbers.
        stochastic: does x̂ depend on the key?
        label, family, setting, variant: see `records.Described`.
        scale: pixels of x̂ per pixel of y along an axis; None if unknown.
        differentiable: can JAX differentiate x̂ by y? None if unknown; an evaluation then tries.
        host: does `apply` run outside of JAX, on NumPy arrays? None: it does if JAX cannot trace it.
        cost: calls of a network per restoration; 0 without a network.
        weights: JSON-able record of where its numbers come from, such as a file and its hash; None if there is nothing.
        apply_set: `(params, keys, y, count) -> (count, N, H, W, C)`, hashable, where a stochastic one can draw a set of
            answers to each y together; None for one draw at a time. See `draws`.
        together: do the draws of a set depend on each other? Then there are sets alone, no single draws.
        steps: visited steps of a sampler that walks; None for others.
        with_steps: makes the same with another number of steps; None for others.
        steps_chosen: whether somebody asked for this number of steps, so that nothing else may choose it.
        kept: files by name that a run keeps beside its record, such as what was fitted for it; None for none.
        autoencoder: of what passes through one, the map from images to images D(E(x)) that it is without anything else;
            it says its name under `weights`. None for none, or one that loses nothing.

    Raises:
        InputError: `apply` or `apply_set` is not callable, or not hashable; `setting` is not finite.
    """

    apply: Apply
    params: Any = ()
    stochastic: bool = False
    label: str = ""
    scale: int | None = None
    differentiable: bool | None = None
    host: bool | None = False
    cost: int = 1
    family: str | None = None
    setting: float | None = None
    variant: str | None = None
    weights: Mapping[str, Any] | None = None
    apply_set: ApplySet | None = None
    together: bool = False
    steps: int | None = None
    with_steps: Remake | None = None
    steps_chosen: bool = False
    kept: Mapping[str, bytes] | None = None
    autoencoder: "Restorer | None" = None

    def __post_init__(self) -> None:
        _check_function("apply", self.apply, "(params, key, y) -> x̂")
        if self.apply_set is not None:
            _check_function("apply_set", self.apply_set, "(params, keys, y, count) -> draws")
            if not self.stochastic:
                raise InputError("apply_set: found a deterministic restorer, expected a stochastic one")
        elif self.together:
            raise InputError("together: found no apply_set, expected one")
        if self.setting is not None and not (is_number(self.setting) and math.isfinite(self.setting)):
            raise InputError(f"setting: found {described(self.setting)}, expected a finite number or None")

    @property
    def described_as(self) -> Described:
        """What records hold of it beside its numbers."""
        return Described(self.label, self.family, self.setting, self.variant)

    def __call__(self, *inputs: Any) -> Array:
        """Restore y, or draw for a key and y; one key, or one for each example where `apply` takes that."""
        if len(inputs) != 1 + self.stochastic:
            expected = "(key, y)" if self.stochastic else "(y)"
            raise TypeError(f"restorer {self.label}: found {len(inputs)} arguments, expected {expected}")
        if self.together:
            raise InputError(f"restorer {self.label}: found a single draw of a set, expected draws(key, y, count=)")
        return self.apply(self.params, inputs[0] if self.stochastic else None, inputs[-1])

    def draws(self, key: Key, y: Array, *, count: int) -> Array:
        """Several answers to each measurement.

        Those of one measurement are drawn together where the restorer can, else one after another with keys that fold
        in their numbers; a deterministic one repeats its answer. An example's answers depend on its own key only.

        Args:
            key: one key, or one for each of N measurements.
            y: (N, h, w, c).
            count: answers to each. Static.

        Returns:
            (count, N, H, W, C).

        Raises:
            InputError: count is no positive integer, or 1 where answers depend on each other.
        """
        check_count("count", count)
        if not self.stochastic:
            answer: Any = self.apply(self.params, None, y)
            return (np if isinstance(answer, np.ndarray) else jnp).broadcast_to(answer, (count, *answer.shape))
        keys = example_keys(key, y.shape[0])
        if self.apply_set is not None:
            return self.apply_set(self.params, keys, y, count)
        if self.host is not False:
            stacked: Any = np.stack([self._on_host(keys, y, number) for number in range(count)])
            return stacked

        def one(number: Any) -> Array:
            folded = jax.vmap(jax.random.fold_in, in_axes=(0, None))(keys, number)
            return jax.vmap(lambda key, single: self.apply(self.params, key, single[None])[0])(folded, y)

        # A single one outside a loop, where XLA treats convolutions better.
        return one(0)[None] if count == 1 else jax.lax.map(one, jnp.arange(count))

    def _on_host(self, keys: Array, y: Array, number: int) -> Any:
        """Draw `number` of each measurement, for those that JAX may be unable to trace."""
        drawn = (jax.random.fold_in(key, number) for key in keys)
        return np.concatenate([self.apply(self.params, key, y[i : i + 1]) for i, key in enumerate(drawn)])


def _check_function(name: str, function: Any, signature: str) -> None:
    found = type(function).__name__
    if not callable(function):
        raise InputError(f"{name}: found {found}, expected a callable {signature}")
    try:
        hash(function)
    except TypeError as error:
        raise InputError(f"{name}: found {found}, which has no hash, expected a hashable callable") from error


def _itself(_: Any, __: Any, y: Array) -> Array:
    return y


UNCHANGED = Restorer(_itself, cost=0)
"""Gives back what it gets: for images that are restored already."""


def as_restorer(name: str, function: Restorer | Estimator | Sampler) -> Restorer:
    """A restorer as it is, or a plain callable as one, told deterministic from stochastic by its required arguments.

    Args:
        name: for the message.
        function: `y -> x̂`, or `(key, y) -> x̂`, on batches.

    Raises:
        InputError: not callable, or with another number of required arguments.
    """
    if isinstance(function, Restorer):
        return function
    required = _required_arguments(name, function)
    if required not in (1, 2):
        raise InputError(f"restorer {name}: found {required} required arguments, expected y -> x̂ or (key, y) -> x̂")
    plain: Callable[..., Array] = function

    def restore(_: Any, __: Any, y: Array) -> Array:
        return plain(y)

    def sample(_: Any, key: Any, y: Array) -> Array:
        return plain(key, y)

    return Restorer(sample, stochastic=True) if required == 2 else Restorer(restore)


def joined_variant(before: str | None, added: str) -> str:
    """A restorer's variant with one more change behind it."""
    return f"{before}+{added}" if before else added


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
