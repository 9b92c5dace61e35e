"""Make any estimator perfectly consistent with its measurements."""

import functools
from typing import Any

from jaxpr.core import Array, Estimator, Sampler
from jaxpr.degradations import Degradation

__all__ = ["consistent"]


def consistent(estimator: Estimator | Sampler, degradation: Degradation) -> Estimator | Sampler:
    """The estimator followed by the projection onto {x : A x = y}, A being the degradation's linear part.

    The result differs from the estimator's output by the smallest change that makes it consistent. Where y carries
    noise or rounding, it reproduces those too.

    Args:
        estimator: maps y, or a key and y (N, h, w, c), to x̂ (N, H, W, C). The result takes the same arguments, and
            has the same attributes.
        degradation: gives A for the shape of x̂.
    """

    @functools.wraps(estimator)
    def projected(*inputs: Any) -> Array:
        restored, y = estimator(*inputs), inputs[-1]
        _, height, width, channels = restored.shape
        return degradation.operator((height, width, channels)).project(restored, y)

    return projected
