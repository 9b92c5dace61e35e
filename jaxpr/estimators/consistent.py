"""Make any estimator perfectly consistent with its measurements."""

from jaxpr._core import Array, Estimator
from jaxpr.degradations import Degradation

__all__ = ["consistent"]


def consistent(estimator: Estimator, degradation: Degradation) -> Estimator:
    """The estimator followed by the projection onto {x : A x = y}, A being the degradation's linear part.

    The result differs from the estimator's output by the smallest change that makes it consistent. Where y carries
    noise or rounding, it reproduces those too.

    Args:
        estimator: maps y (N, h, w, c) to x̂ (N, H, W, C).
        degradation: gives A for the shape of x̂.
    """

    def projected(y: Array) -> Array:
        restored = estimator(y)
        _, height, width, channels = restored.shape
        return degradation.operator((height, width, channels)).project(restored, y)

    return projected
