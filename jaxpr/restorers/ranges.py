"""Restorers whose images are in another range than [0, 1]."""

from dataclasses import dataclass, replace
from typing import Any

from jaxpr.core import Array, Estimator, InputError, Sampler, floating_dtype
from jaxpr.restorers.restorer import Apply, Restorer, as_restorer

__all__ = ["in_range"]


def in_range(estimator: Estimator | Sampler, low: float, high: float, *, measurements: bool = True) -> Restorer:
    """A restorer of images in [low, high], such as -1 to 1 or 0 to 255, as one of images in [0, 1].

    Args:
        estimator: maps y, or a key and y (N, h, w, c), to x̂ (N, H, W, C) in [low, high]; integers are taken, too. The
            result takes the same arguments; what a `Restorer` says of itself it says, too.
        low: the value of black.
        high: the value of white.
        measurements: whether y is in that range as well; otherwise it stays in [0, 1].

    Raises:
        InputError: low is not below high, or not such a callable.
    """
    if not low < high:
        raise InputError(f"low, high: found {low} and {high}, expected low < high")
    found = as_restorer("estimator", estimator)
    return replace(found, apply=_Ranged(found.apply, low, high, measurements))


@dataclass(frozen=True)
class _Ranged:
    """Equal for equal parts, so that members of a family stay one."""

    apply: Apply
    low: float
    high: float
    measurements: bool

    def __call__(self, params: Any, key: Any, y: Array) -> Array:
        low, high = self.low, self.high
        x_hat = self.apply(params, key, low + (high - low) * y if self.measurements else y)
        return (x_hat.astype(floating_dtype(x_hat)) - low) / (high - low)
