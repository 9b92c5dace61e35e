"""What a restorer is: one value with a function, its parameters, and what others need to know of it.

Library functions take plain callables, and a `Restorer` is one: y -> x̂ if it is deterministic, (key, y) -> x̂ if it is
stochastic. Parameters are arguments of its function, so restorers with equal functions share a compiled program.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from jaxpr.core import Array, Estimator, InputError, Sampler, described, is_number
from jaxpr.records.results import Described

__all__ = ["Apply", "Restorer", "as_restorer", "joined_variant"]

Apply: TypeAlias = Callable[[Any, Any, Array], Array]
"""Maps (parameters, key, y) to x̂; a deterministic one ignores the key, which may then be None."""


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

    Raises:
        InputError: `apply` is not callable, or not hashable; `setting` is not finite.
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

    def __post_init__(self) -> None:
        found = type(self.apply).__name__
        if not callable(self.apply):
            raise InputError(f"apply: found {found}, expected a callable (params, key, y) -> x̂")
        try:
            hash(self.apply)
        except TypeError as error:
            raise InputError(f"apply: found {found}, which has no hash, expected a hashable callable") from error
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
        return self.apply(self.params, inputs[0] if self.stochastic else None, inputs[-1])


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
