"""Restorers whose images are in another range than [0, 1]."""

from dataclasses import dataclass

from jaxpr.core import Array, Estimator, InputError, Sampler, floating_dtype
from jaxpr.restorers.around import around
from jaxpr.restorers.restorer import Restorer, as_restorer

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
    return around(as_restorer("estimator", estimator), _Range(low, high, measurements))


@dataclass(frozen=True)
class _Range:
    low: float
    high: float
    measurements: bool

    def before(self, y: Array) -> Array:
        return self.low + (self.high - self.low) * y if self.measurements else y

    def after(self, x_hat: Array, y: Array) -> Array:
        return (x_hat.astype(floating_dtype(x_hat)) - self.low) / (self.high - self.low)
