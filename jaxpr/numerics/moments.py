"""Mean and covariance of a stream of points, as a monoid: `zero`, `update`, `merge`.

On concrete arrays the sums run in float64 on the host, so a Fréchet distance of thousands of dimensions keeps its
digits (float32 covariances change it by per cent). Under `jit` they run in the dtype of the state.
"""

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxpr.core import AnyArray, InputError, check_count, check_points, in_float64, is_traced

__all__ = ["Moments"]


class Moments(NamedTuple):
    """Count, mean and scatter of the points seen so far.

    Attributes:
        count: number of points, scalar.
        mean: (d,).
        scatter: (d, d), sum of outer products of the centred points (unnormalised covariance).
    """

    count: AnyArray  # type: ignore[assignment]  # the field shadows tuple.count
    mean: AnyArray
    scatter: AnyArray

    @classmethod
    def zero(cls, dim: int) -> "Moments":
        """The statistics of no points in `dim` dimensions; merging it changes nothing."""
        check_count("dim", dim)
        return cls(np.zeros(()), np.zeros(dim), np.zeros((dim, dim)))

    def update(self, features: AnyArray) -> "Moments":
        """The statistics after `features` (N, d) as well.

        Raises:
            InputError: not (N, d) with this d, or NaN or infinite values.
        """
        check_points("features", features, width=self.mean.shape[-1])
        return self.merge(Moments(*in_float64(_moments)(features)))

    def merge(self, other: "Moments") -> "Moments":
        """The statistics of both streams together (Chan, Golub and LeVeque 1983); associative up to rounding.

        Raises:
            InputError: the two differ in dimension.
        """
        if self.mean.shape != other.mean.shape:
            raise InputError(
                f"other: found moments of dimension {other.mean.shape[-1]}, expected {self.mean.shape[-1]}"
            )
        if not is_traced(self, other) and self.count == 0:
            return Moments(*in_float64(_same)(tuple(other)))
        return Moments(*in_float64(_merge)(tuple(self), tuple(other)))

    @property
    def covariance(self) -> AnyArray:
        """Unbiased covariance (d, d), normalised by count - 1; NaN while fewer than two points were seen."""
        return in_float64(_covariance)(self.count, self.scatter)


def _moments(xp: ModuleType, features: Any) -> tuple[Any, Any, Any]:
    mean = xp.mean(features, axis=0)
    centred = features - mean[None]
    return xp.asarray(float(features.shape[0])), mean, centred.T @ centred


def _merge(xp: ModuleType, a: Any, b: Any) -> tuple[Any, Any, Any]:
    (count_a, mean_a, scatter_a), (count_b, mean_b, scatter_b) = a, b
    count = count_a + count_b
    share = count_b / xp.maximum(count, 1)
    shift = mean_b - mean_a
    return (
        count,
        mean_a + share * shift,
        scatter_a + scatter_b + (count_a * share) * xp.outer(shift, shift),
    )


def _same(xp: ModuleType, moments: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    return moments


def _covariance(xp: ModuleType, count: Any, scatter: Any) -> Any:
    return scatter / xp.where(count > 1, count - 1, xp.nan)
