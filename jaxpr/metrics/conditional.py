"""Conditional Fréchet distance: how far the laws of x and x̂ given the same measurement are apart, on average."""

from types import ModuleType
from typing import Any

import numpy as np

from jaxpr.core import AnyArray, InputError, check_count, in_float64, is_float32, is_traced, rounding_unit
from jaxpr.numerics.moments import Moments
from jaxpr.numerics.psd import squared_gap

__all__ = ["conditional_frechet_distance"]

# Directions of y whose variance is a smaller share of the largest are constant up to the rounding of float32 features.
_CONSTANT = 1e-12
# The measurements behind natural images and restorations are the same numbers, up to the rounding of their sums.
_SAME = 1e-6


def conditional_frechet_distance(real: Moments, fake: Moments, *, width: int) -> AnyArray:
    r"""Conditional Fréchet distance, CFID with Inception features (Soloveitchik et al. 2021, Lemma 2).

    The mean over y of the squared Wasserstein-2 distance between the Gaussian laws of x and of x̂ given y:
    $\|\mu_x - \mu_{\hat x}\|^2 + \operatorname{tr}\,(\Sigma_{xy}-\Sigma_{\hat xy})\Sigma_{yy}^+(\Sigma_{xy} -
    \Sigma_{\hat xy})^\top + \operatorname{tr}\,\Sigma_{x|y} + \operatorname{tr}\,\Sigma_{\hat x|y} - 2
    \operatorname{tr}\,(\Sigma_{x|y}^{1/2}\Sigma_{\hat x|y}\Sigma_{x|y}^{1/2})^{1/2}$ with $\Sigma_{x|y} = \Sigma_{xx}
    - \Sigma_{xy}\Sigma_{yy}^+\Sigma_{yx}$. At least the Fréchet distance of x and x̂; equal to it where neither depends
    on y.

    Note:
        With at most d_y + 1 points y explains x without remainder, and the conditional covariances vanish: use many
        more points than dimensions of y. `frechet_bias_note` of the joint dimension tells.

    Args:
        real: moments of `joint_features(x, y)`.
        fake: moments of `joint_features(x̂, y)`, with the same measurements.
        width: dimension of the features of x, which come first. Static.

    Returns:
        Scalar >= 0; NumPy float64 for concrete moments, the moments' dtype under a transformation.

    Raises:
        InputError: dimensions differ, width not in [1, d - 1], fewer than two points, or other measurements in `fake`.
    """
    check_count("width", width)
    dim = real.mean.shape[-1]
    if fake.mean.shape != real.mean.shape:
        raise InputError(f"fake: found features of dimension {fake.mean.shape[-1]}, expected {dim} as in real")
    if width >= dim:
        raise InputError(f"width: found {width}, expected less than the joint dimension {dim}")
    for name, moments in (("real", real), ("fake", fake)):
        if not is_traced(moments) and moments.count < 2:
            raise InputError(f"{name}: found {int(moments.count)} points, expected at least two")
    if not is_traced(real, fake):
        _check_same_measurements(real, fake, width)

    def distance(xp: ModuleType, mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any) -> Any:
        inverse = _pseudo_inverse(xp, (cov_a[width:, width:] + cov_b[width:, width:]) / 2)
        conditional = []
        for cov in (cov_a, cov_b):
            cross = cov[:width, width:]
            rest = cov[:width, :width] - cross @ inverse @ cross.T
            conditional.append((rest + rest.T) / 2)
        shift = cov_a[:width, width:] - cov_b[:width, width:]
        constant = xp.sum((mean_a[:width] - mean_b[:width]) ** 2) + xp.sum((shift @ inverse) * shift)
        return constant + squared_gap(xp, xp.zeros_like(constant), *conditional)

    return in_float64(distance)(real.mean, real.covariance, fake.mean, fake.covariance)


def _pseudo_inverse(xp: ModuleType, matrix: Any) -> Any:
    values, vectors = xp.linalg.eigh(matrix)
    constant = len(values) * rounding_unit(matrix) if is_float32(matrix) else _CONSTANT
    keep = values > constant * values[-1]
    inverse = xp.where(keep, 1 / xp.where(keep, values, 1), 0)
    return (vectors * inverse[None]) @ vectors.T


def _check_same_measurements(real: Moments, fake: Moments, width: int) -> None:
    if int(real.count) != int(fake.count):
        raise InputError(f"fake: found {int(fake.count)} points, expected {int(real.count)} as in real")
    means = [np.asarray(m.mean, np.float64)[width:] for m in (real, fake)]
    covs = [np.asarray(m.covariance, np.float64)[width:, width:] for m in (real, fake)]
    scale = max(float(np.trace(covs[0])), float(np.sum(means[0] ** 2)) * _SAME, np.finfo(np.float64).tiny)
    off = max(float(np.max(np.abs(covs[0] - covs[1]))), float(np.sum((means[0] - means[1]) ** 2))) / scale
    if off > _SAME:
        raise InputError(f"fake: found other measurements than in real (off by {off:.2g}), expected the same y")
