"""Precision, recall, density and coverage: do restorations lie among natural images, and do they reach all of them.

Each set is replaced by the union of balls around its points, whose radius is the distance to the k-th nearest other
point. Features are float (N, d); nothing of size (N, M) is stored. Arguments are ordered `(real, fake)`: collapsed
restorations have high precision and low recall, not the reverse.
"""

from typing import NamedTuple

import jax.numpy as jnp

from jaxpr.core import AnyArray, Array, InputError, check_count, check_points
from jaxpr.numerics.overlap import count_balls, neighbour_radii

__all__ = [
    "DensityCoverage",
    "ManifoldScores",
    "PrecisionRecall",
    "density_coverage",
    "manifold_scores",
    "precision_recall",
]


class PrecisionRecall(NamedTuple):
    """Improved precision and recall.

    Attributes:
        precision: share of restorations that lie in a ball around a natural image, in [0, 1].
        recall: share of natural images that lie in a ball around a restoration, in [0, 1].
    """

    precision: Array
    recall: Array


class DensityCoverage(NamedTuple):
    """Density and coverage.

    Attributes:
        density: number of balls around natural images that a restoration lies in, over k; at least 0, and 1 on average
            for equal distributions.
        coverage: share of natural images whose ball contains a restoration, in [0, 1].
    """

    density: Array
    coverage: Array


class ManifoldScores(NamedTuple):
    """The four measures point by point, for standard errors over groups (`numerics.grouped_mean`).

    Attributes:
        fake_in_real: (M,) 0 or 1; the mean is the precision.
        real_in_fake: (N,) 0 or 1; the mean is the recall.
        fake_density: (M,) multiples of 1/k; the mean is the density.
        real_covered: (N,) 0 or 1; the mean is the coverage.
    """

    fake_in_real: Array
    real_in_fake: Array
    fake_density: Array
    real_covered: Array


def precision_recall(real: AnyArray, fake: AnyArray, *, k: int) -> PrecisionRecall:
    r"""Improved precision and recall (Kynkäänniemi et al. 2019, eqs. (1)-(3)).

    Precision is the mean over fake points $b$ of $\max_i 1[\|b - a_i\| \le r_k(a_i)]$, with $r_k(a_i)$ the distance of
    $a_i$ to its k-th nearest other real point; recall exchanges the sets. The balls are closed, as in the authors'
    program and torch-fidelity; see `manifold_scores` for ties and copies.

    Args:
        real: (N, d) features of natural images, N > k.
        fake: (M, d) features of restorations, M > k.
        k: neighbour that defines the radius; 3 in the paper. Static.

    Raises:
        InputError: not points, widths differ, NaN, k < 1, or at most k points on a side.
    """
    scores = manifold_scores(real, fake, k=k)
    return PrecisionRecall(jnp.mean(scores.fake_in_real), jnp.mean(scores.real_in_fake))


def density_coverage(real: AnyArray, fake: AnyArray, *, k: int) -> DensityCoverage:
    r"""Density and coverage (Naeem et al. 2020, eqs. (7) and (8)).

    Density is $\frac{1}{kM}\sum_j\sum_i 1[\|b_j - a_i\| \le r_k(a_i)]$, which one outlier among the real points cannot
    raise to one; coverage is the mean over i of $\max_j 1[\|b_j - a_i\| \le r_k(a_i)]$.

    Note:
        The authors' program (`prdc`) has open balls (<); the two differ only where a distance equals a radius. A set
        compared with itself has coverage 1 in both.

    Args:
        real: (N, d) features of natural images, N > k.
        fake: (M, d) features of restorations, M > k.
        k: neighbour that defines the radius; 5 in the paper. Static.

    Raises:
        InputError: not points, widths differ, NaN, k < 1, or at most k points on a side.
    """
    scores = manifold_scores(real, fake, k=k)
    return DensityCoverage(jnp.mean(scores.fake_density), jnp.mean(scores.real_covered))


def manifold_scores(real: AnyArray, fake: AnyArray, *, k: int, block: int = 2048) -> ManifoldScores:
    """Precision, recall, density and coverage of every point, from three blocked passes over the pairs.

    Distances are float32 matrix products with both sets centred. A distance that equals a radius up to their rounding
    counts as inside, so that a point in both sets lies in its own ball even where copies make the radius zero.

    Args:
        real: (N, d) features of natural images, N > k.
        fake: (M, d) features of restorations, M > k.
        k: neighbour that defines the radius, the point itself not counted. Static.
        block: points of each set per step. Static; the memory beyond the data is O(block² + block · d + 256 k N).

    Returns:
        float32 (float64 for float64 features).

    Raises:
        InputError: not points, widths differ, NaN, k < 1, or at most k points on a side.
    """
    check_count("k", k)
    check_points("real", real)
    check_points("fake", fake, width=real.shape[1])
    for name, points in (("real", real), ("fake", fake)):
        if points.shape[0] <= k:
            raise InputError(f"{name}: found {points.shape[0]} points, expected more than k = {k}")
    real, fake = jnp.asarray(real), jnp.asarray(fake)
    radii = neighbour_radii(real, k=k, block=block), neighbour_radii(fake, k=k, block=block)
    counts = count_balls(real, fake, *radii, block=block)
    dtype = radii[0].dtype
    return ManifoldScores(
        (counts.fake_hits > 0).astype(dtype),
        counts.real_hit.astype(dtype),
        counts.fake_hits.astype(dtype) / k,
        counts.real_covered.astype(dtype),
    )
