"""Fréchet distance between the Gaussians fitted to two sets of features."""

from types import ModuleType
from typing import Any

from jaxpr._core import AnyArray, InputError, in_float64, is_traced
from jaxpr.numerics.moments import Moments
from jaxpr.numerics.psd import bures_term

__all__ = ["frechet_distance"]


def frechet_distance(real: Moments, fake: Moments) -> AnyArray:
    r"""Squared Fréchet (Wasserstein-2) distance of two Gaussians, as FID reports it (Heusel et al. 2017, eq. (6)).

    $\|\mu_r - \mu_f\|^2 + \operatorname{tr}\Sigma_r + \operatorname{tr}\Sigma_f - 2\operatorname{tr}(\Sigma_r^{1/2}
    \Sigma_f \Sigma_r^{1/2})^{1/2}$ with unbiased covariances. It is called FID only with Inception features. For joint
    features of (x̂, y) and (x, y) it is the joint index of [ohayon2024], eq. (6). Fewer points than dimensions are
    allowed (singular covariances), but the value is then biased upwards; compare only at equal counts.

    Args:
        real: moments of the features of natural images.
        fake: moments of the features of restorations. The distance is symmetric.

    Returns:
        Scalar >= 0; NumPy float64 for concrete moments, the moments' dtype under a transformation.

    Raises:
        InputError: dimensions differ, or fewer than two points on a side.
    """
    if real.mean.shape != fake.mean.shape:
        raise InputError(
            f"fake: found features of dimension {fake.mean.shape[-1]}, expected {real.mean.shape[-1]} as in real"
        )
    for name, moments in (("real", real), ("fake", fake)):
        if not is_traced(moments) and moments.count < 2:
            raise InputError(f"{name}: found {int(moments.count)} points, expected at least two")
    cov_real, cov_fake = real.covariance, fake.covariance
    overlap = bures_term(cov_real, cov_fake)
    return in_float64(_assemble)(real.mean, fake.mean, cov_real, cov_fake, overlap)


def _assemble(xp: ModuleType, mean_a: Any, mean_b: Any, cov_a: Any, cov_b: Any, overlap: Any) -> Any:
    distance = xp.sum((mean_a - mean_b) ** 2) + xp.trace(cov_a) + xp.trace(cov_b) - 2 * overlap
    # The distance cannot be negative; rounding can make it so when the two Gaussians coincide.
    return xp.maximum(distance, 0)
