"""Restorers whose images are in another range than [0, 1]."""

import functools
from typing import Any

from jaxpr.core import Array, Estimator, InputError, Sampler, floating_dtype

__all__ = ["in_range"]


def in_range(
    estimator: Estimator | Sampler, low: float, high: float, *, measurements: bool = True
) -> Estimator | Sampler:
    """A restorer of images in [low, high], such as -1 to 1 or 0 to 255, as one of images in [0, 1].

    Args:
        estimator: maps y, or a key and y (N, h, w, c), to x̂ (N, H, W, C) in [low, high]; integers are taken, too. The
            result takes the same arguments, and has the same attributes.
        low: the value of black.
        high: the value of white.
        measurements: whether y is in that range as well; otherwise it stays in [0, 1].

    Raises:
        InputError: low is not below high.
    """
    if not low < high:
        raise InputError(f"low, high: found {low} and {high}, expected low < high")

    @functools.wraps(estimator)
    def restored(*inputs: Any) -> Array:
        y = low + (high - low) * inputs[-1] if measurements else inputs[-1]
        x_hat = estimator(*inputs[:-1], y)  # type: ignore[call-arg]
        return (x_hat.astype(floating_dtype(x_hat)) - low) / (high - low)

    return restored
