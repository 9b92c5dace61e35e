"""Make any restorer perfectly consistent with its measurements."""

from dataclasses import dataclass, replace
from typing import Any

from jaxpr.core import Array, Estimator, Sampler
from jaxpr.degradations import Degradation
from jaxpr.restorers.restorer import Apply, Restorer, as_restorer, joined_variant

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
    return replace(found, apply=_Projected(found.apply, degradation), variant=joined_variant(found.variant, "project"))


@dataclass(frozen=True)
class _Projected:
    """Equal for equal parts, so that projected members of a family are a family, too."""

    apply: Apply
    degradation: Degradation

    def __call__(self, params: Any, key: Any, y: Array) -> Array:
        restored = self.apply(params, key, y)
        _, height, width, channels = restored.shape
        return self.degradation.operator((height, width, channels)).project(restored, y)
