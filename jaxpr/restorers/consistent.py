"""Make any restorer perfectly consistent with its measurements."""

from dataclasses import dataclass, replace

from jaxpr.core import Array, Estimator, Sampler
from jaxpr.degradations import Degradation
from jaxpr.restorers.around import around
from jaxpr.restorers.restorer import Restorer, as_restorer, joined_variant

__all__ = ["consistent"]


def consistent(estimator: Estimator | Sampler, degradation: Degradation) -> Restorer:
    """The restorer followed by the projection onto {x : A x = y}, A being the degradation's linear part.

    The result differs from the estimator's output by the smallest change that makes it consistent. Where y carries
    noise or rounding, it reproduces those too.

    Args:
        estimator: maps y, or a key and y (N, h, w, c), to x̂ (N, H, W, C). The result takes the same arguments; what a
            `Restorer` says of itself it says, too, as the variant "project".
        degradation: gives A for the shape of x̂.

    Raises:
        InputError: not such a callable.
    """
    found = as_restorer("estimator", estimator)
    return replace(around(found, _Projection(degradation)), variant=joined_variant(found.variant, "project"))


@dataclass(frozen=True)
class _Projection:
    degradation: Degradation

    def before(self, y: Array) -> Array:
        return y

    def after(self, x_hat: Array, y: Array) -> Array:
        _, height, width, channels = x_hat.shape
        return self.degradation.operator((height, width, channels)).project(x_hat, y)
