"""Fréchet distance between the Gaussians fitted to two sets of features."""

import warnings
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    AnyArray,
    InputError,
    Key,
    check_count,
    check_points,
    described,
    in_float64,
    is_number,
    is_traced,
)
from jaxpr.numerics.extrapolation import fit_line
from jaxpr.numerics.moments import Moments
from jaxpr.numerics.psd import squared_gap

__all__ = [
    "FrechetExtrapolation",
    "SmallSampleWarning",
    "frechet_bias_note",
    "frechet_distance",
    "frechet_distance_from_features",
    "frechet_extrapolated",
]


class SmallSampleWarning(UserWarning):
    """Not more points than dimensions: the covariance is singular and the Fréchet distance is biased upwards."""


class FrechetExtrapolation(NamedTuple):
    """Fréchet distance extrapolated to infinitely many points.

    Attributes:
        value: intercept of the line through the distances over 1/n; may be slightly negative for equal laws.
        stderr: its standard error from the scatter about the line. The subsets overlap, so this understates the
            uncertainty due to the images; it judges the fit.
        slope: of the line: a distance of n points is biased by about slope / n.
        sizes: (P,) points per subset.
        values: (P,) distances of the subsets.
    """

    value: float
    stderr: float
    slope: float
    sizes: np.ndarray
    values: np.ndarray


def frechet_distance(real: Moments, fake: Moments) -> AnyArray:
    r"""Squared Fréchet (Wasserstein-2) distance of two Gaussians, as FID reports it (Heusel et al. 2017, eq. (6)).

    $\|\mu_r - \mu_f\|^2 + \operatorname{tr}\Sigma_r + \operatorname{tr}\Sigma_f - 2\operatorname{tr}(\Sigma_r^{1/2}
    \Sigma_f \Sigma_r^{1/2})^{1/2}$ with unbiased covariances. It is called FID only with Inception features. For joint
    features of (x̂, y) and (x, y) it is the joint index of [ohayon2024], eq. (6). Fewer points than dimensions are
    allowed (singular covariances), but the value is then biased upwards, and a `SmallSampleWarning` says so; compare
    only at equal counts.

    Note:
        In float32, in a program for a TPU, it is a sum of squares: off by 3e-6 of itself where eigenvalues lie within a
        factor of ten or end in zeros, by 5e-4 where they span six decades, and between covariances that differ by one
        per cent by 2e-4, by 2e-2 where half of their eigenvalues are zero (d = 4 to 512, with LAPACK's float32; the
        difference of traces had lost all digits there).

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
    if not is_traced(real, fake):
        _warn_of_bias(min(float(real.count), float(fake.count)), real.mean.shape[-1])
    return in_float64(_distance)(real.mean, fake.mean, real.covariance, fake.covariance)


def frechet_distance_from_features(real: AnyArray, fake: AnyArray) -> AnyArray:
    r"""`frechet_distance` of two sets of features, without covariances where a set is smaller than its dimension.

    With centred points X (N, d) and Y (M, d) the overlap of the covariances is the sum of the singular values of
    $XY^\top / \sqrt{(N-1)(M-1)}$, exact and cheap for N, M <= d. Otherwise the moments are formed.

    Args:
        real: (N, d) features of natural images, N >= 2.
        fake: (M, d) features of restorations, M >= 2.

    Returns:
        Scalar >= 0; NumPy float64 for concrete features, their dtype under a transformation.

    Raises:
        InputError: not points, widths differ, NaN, or fewer than two points on a side.
    """
    check_points("real", real, at_least=2)
    check_points("fake", fake, width=real.shape[1], at_least=2)
    dim = real.shape[1]
    if is_traced(real, fake) or max(real.shape[0], fake.shape[0]) > dim:
        return frechet_distance(Moments.zero(dim).update(real), Moments.zero(dim).update(fake))
    _warn_of_bias(min(real.shape[0], fake.shape[0]), dim)
    return in_float64(_from_few_points)(real, fake)


def frechet_extrapolated(
    key: Key, real: AnyArray, fake: AnyArray, *, points: int = 15, smallest: float = 0.1, subset_real: bool = False
) -> FrechetExtrapolation:
    r"""Fréchet distance of infinitely many restorations, $\mathrm{FD}_\infty$ (Chong and Forsyth 2020, Section 4.1).

    The distance of n points is biased upwards by about c/n with a c that depends on the generator, so that distances at
    equal n may rank generators wrongly. Distances of random subsets at `points` equally spaced sizes are
    extrapolated to 1/n = 0 along a straight line. Host only.

    Args:
        key: from `jax.random.key`; draws each subset without replacement.
        real: (N, d) features of natural images.
        fake: (M, d) features of restorations.
        points: number of subset sizes; the paper's 15.
        smallest: smallest subset as a share of M; the paper's 5,000 of 50,000. Subsets should exceed d: below, the bias
            does not fall along a line, and a `SmallSampleWarning` is issued.
        subset_real: False is the paper's procedure, which keeps all natural images (their bias stays). True draws equal
            sizes from both sets, so that the bias of both goes; for evaluations where N is not much larger than M.

    Returns:
        `FrechetExtrapolation`.

    Raises:
        InputError: not points, widths differ, NaN, points < 2, smallest not in (0, 1), or too few points for the sizes.
    """
    check_count("points", points, at_least=2)
    check_points("real", real, at_least=2)
    check_points("fake", fake, width=real.shape[1], at_least=2)
    if not is_number(smallest) or not 0 < smallest < 1:
        raise InputError(f"smallest: found {described(smallest)}, expected a share between 0 and 1")
    real, fake = np.asarray(real), np.asarray(fake)
    most = min(len(real), len(fake)) if subset_real else len(fake)
    sizes = np.linspace(max(smallest * most, 2), most, points).astype(int)
    if len(np.unique(sizes)) < points:
        raise InputError(f"fake: found {most} points, expected enough for {points} different subset sizes")
    _warn_of_bias(min(int(sizes[0]), len(real)), real.shape[1])
    whole = None if subset_real or len(real) <= real.shape[1] else Moments.zero(real.shape[1]).update(real)
    values = []
    for size, key_size in zip(sizes, jax.random.split(key, points), strict=True):
        key_real, key_fake = jax.random.split(key_size)
        chosen = fake[_draw(key_fake, len(fake), size)]
        other = real[_draw(key_real, len(real), size)] if subset_real else real
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SmallSampleWarning)
            if whole is not None:
                values.append(float(frechet_distance(whole, Moments.zero(real.shape[1]).update(chosen))))
            else:
                values.append(float(frechet_distance_from_features(other, chosen)))
    line = fit_line(1 / sizes, np.array(values))
    return FrechetExtrapolation(line.intercept, line.stderr, line.slope, sizes, np.array(values))


def frechet_bias_note(count: int, dim: int) -> str:
    """One line that says how few points a Fréchet distance rests on; empty if there are more points than dimensions.

    Args:
        count: points of the smaller set.
        dim: dimension of the features.
    """
    if count > dim:
        return ""
    return f"{int(count)} points in {dim} dimensions: biased upwards, compare only at equal counts"


def _warn_of_bias(count: float, dim: int) -> None:
    note = frechet_bias_note(int(count), dim)
    if note:
        warnings.warn(f"Fréchet distance of {note}", SmallSampleWarning, stacklevel=3)


def _draw(key: Key, count: int, size: int) -> np.ndarray:
    """Rows without replacement; all of them in their order where the subset is the whole set."""
    if size == count:
        return np.arange(count)
    return np.asarray(jnp.sort(jax.random.permutation(key, count)[:size]))


def _from_few_points(xp: ModuleType, real: Any, fake: Any) -> Any:
    means = real.mean(axis=0), fake.mean(axis=0)
    a = (real - means[0]) / xp.sqrt(real.shape[0] - 1)
    b = (fake - means[1]) / xp.sqrt(fake.shape[0] - 1)
    overlap = xp.sum(xp.linalg.svd(a @ b.T, compute_uv=False))
    return xp.maximum(xp.sum((means[0] - means[1]) ** 2) + xp.sum(a * a) + xp.sum(b * b) - 2 * overlap, 0)


def _distance(xp: ModuleType, mean_a: Any, mean_b: Any, cov_a: Any, cov_b: Any) -> Any:
    return squared_gap(xp, xp.sum((mean_a - mean_b) ** 2), cov_a, cov_b)
