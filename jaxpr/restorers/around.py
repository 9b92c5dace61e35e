"""A restorer with something done to y before it, or to x̂ after it: whatever it can do, the result can."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import jax

from jaxpr.core import Array
from jaxpr.restorers.restorer import Apply, ApplySet, Remake, Restorer

__all__ = ["Change", "around", "each_draw"]


class Change(Protocol):
    """What is done around a restorer; hashable, and equal for equal settings, so that members of a family stay one."""

    def before(self, y: Array) -> Array:
        """The measurements that the restorer gets, (N, h, w, c)."""

    def after(self, x_hat: Array, y: Array) -> Array:
        """The restorations of the whole, (N, H, W, C), from those of the restorer and the original measurements."""


def around(found: Restorer, change: Change) -> Restorer:
    """The restorer with a change around it, in single draws as in sets, and with any number of steps.

    Args:
        found: what it says of itself, the result says, too.
        change: see there.
    """
    return replace(
        found,
        apply=_Around(found.apply, change),
        apply_set=None if found.apply_set is None else _SetAround(found.apply_set, change),
        with_steps=None if found.with_steps is None else _RemadeAround(found.with_steps, change),
    )


def each_draw(change: Callable[[Array], Array], drawn: Array) -> Array:
    """What a change of images (N, H, W, C) makes of draws (count, N, H, W, C), all at once."""
    return change(drawn.reshape(-1, *drawn.shape[2:])).reshape(drawn.shape)


@dataclass(frozen=True)
class _Around:
    apply: Apply
    change: Change

    def __call__(self, params: Any, key: Any, y: Array) -> Array:
        return self.change.after(self.apply(params, key, self.change.before(y)), y)


@dataclass(frozen=True)
class _SetAround:
    apply_set: ApplySet
    change: Change

    def __call__(self, params: Any, keys: Any, y: Array, count: int) -> Array:
        drawn = self.apply_set(params, keys, self.change.before(y), count)
        return jax.vmap(lambda x_hat: self.change.after(x_hat, y))(drawn)


@dataclass(frozen=True)
class _RemadeAround:
    remake: Remake
    change: Change

    def __call__(self, steps: int) -> Restorer:
        return around(self.remake(steps), self.change)
