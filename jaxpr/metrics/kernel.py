"""Kernel distance (KID with Inception features): an unbiased squared maximum mean discrepancy of two sets of features.

The kernel is k(a, b) = (aᵀb/d + 1)³ on features of dimension d (Bińkowski et al. 2018). Unlike the Fréchet distance its
expectation does not depend on the number of points, so small sets compare; values slightly below zero are right where
the distributions are close. Features are float (N, d), arguments are ordered `(real, fake)`; nothing of size (N, M) is
stored.
"""

import functools
import warnings
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import AnyArray, Array, InputError, Key, check_count, check_points, in_float64, is_traced
from jaxpr.numerics.kernels import KernelSums, kernel_sums
from jaxpr.numerics.statistics import Jackknife, jackknife_error

__all__ = [
    "KernelDistance",
    "SmallSubsetWarning",
    "kernel_distance",
    "kernel_distance_full",
    "kernel_distance_grouped",
    "kernel_distance_subsets",
]

# Points per step within a subset: smaller than a subset, so that the symmetry of the kernel saves work.
_SUBSET_BLOCK = 512
# Subsets drawn side by side; bounds the memory of the permutations of large sets.
_DRAWN_TOGETHER = 16


class SmallSubsetWarning(UserWarning):
    """There are fewer points than the requested subset size; smaller subsets were used."""


class KernelDistance(NamedTuple):
    """Kernel distance over random subsets.

    Attributes:
        value: mean over the subsets of the unbiased squared maximum mean discrepancy; may be below zero.
        stderr: standard error of that mean over the choice of subsets, sample standard deviation / √subsets. The
            points are taken as given: the uncertainty due to the images is larger, see `kernel_distance_grouped`. NaN
            for one subset.
        std: population standard deviation over the subsets, which torch-fidelity and others print after the mean.
        subsets: number of subsets.
        subset_size: points of each set in a subset; smaller than requested where there were too few points.
    """

    value: AnyArray
    stderr: AnyArray
    std: AnyArray
    subsets: int
    subset_size: int


def kernel_distance(
    key: Key, real: AnyArray, fake: AnyArray, *, subsets: int, subset_size: int, block: int = 1024
) -> KernelDistance:
    """Kernel distance as KID is reported: mean over random subsets (Bińkowski et al. 2018, Section 4).

    Each subset draws `subset_size` points of either set without replacement. Sets that are too small give smaller
    subsets and a `SmallSubsetWarning`, not an error.

    Args:
        key: from `jax.random.key`.
        real: (N, d) features of natural images, N >= 2.
        fake: (M, d) features of restorations, M >= 2.
        subsets: number of subsets; 100 in the literature. Static.
        subset_size: points per subset; 1000 in the literature. Static.
        block: points per step where all pairs of the sets are formed. Static.

    Returns:
        `KernelDistance`; NumPy float64 for concrete input, float32 under a transformation.

    Raises:
        InputError: not points, widths differ, NaN, fewer than two points on a side, subsets < 1 or subset_size < 2.
    """
    check_count("subsets", subsets)
    check_count("subset_size", subset_size, at_least=2)
    check_points("real", real, at_least=2)
    check_points("fake", fake, width=real.shape[1], at_least=2)
    size = min(subset_size, real.shape[0], fake.shape[0])
    if size < subset_size:
        warnings.warn(
            f"kernel_distance: {real.shape[0]} real and {fake.shape[0]} fake points; subsets of {size} points used "
            f"instead of {subset_size}",
            SmallSubsetWarning,
            stacklevel=2,
        )
    key_real, key_fake = jax.random.split(key)
    indices = (
        _draw(key_real, count=real.shape[0], size=size, subsets=subsets),
        _draw(key_fake, count=fake.shape[0], size=size, subsets=subsets),
    )
    values = kernel_distance_subsets(real, fake, *indices, block=block)
    value, stderr, std = in_float64(_mean_and_spread)(values)
    return KernelDistance(value, stderr, std, subsets, size)


def kernel_distance_subsets(
    real: AnyArray, fake: AnyArray, real_indices: AnyArray, fake_indices: AnyArray, *, block: int = 1024
) -> AnyArray:
    """Unbiased squared maximum mean discrepancy of given subsets, (S,); for comparison with other programs.

    Args:
        real: (N, d).
        fake: (M, d).
        real_indices: (S, m) rows of `real`, no row twice in a subset.
        fake_indices: (S, m) rows of `fake`.
        block: points per step where all pairs of the sets are formed. Static.

    Returns:
        NumPy float64 for concrete input, float32 under a transformation. Kernels are float32 in both cases.

    Raises:
        InputError: not points, widths differ, index arrays of other shapes, m < 2, or an index out of range.
    """
    check_points("real", real, at_least=2)
    check_points("fake", fake, width=real.shape[1], at_least=2)
    for name, indices, points in (("real_indices", real_indices, real), ("fake_indices", fake_indices, fake)):
        if np.ndim(indices) != 2 or np.shape(indices) != np.shape(real_indices) or np.shape(indices)[1] < 2:
            raise InputError(f"{name}: found shape {np.shape(indices)}, expected (S, m) twice, m >= 2")
        if not is_traced(indices) and not (np.min(indices) >= 0 and np.max(indices) < points.shape[0]):
            found = f"[{np.min(indices)}, {np.max(indices)}]"
            raise InputError(f"{name}: found rows in {found}, expected [0, {points.shape[0] - 1}]")
    subsets, size = np.shape(real_indices)
    real, fake = jnp.asarray(real), jnp.asarray(fake)
    real_indices, fake_indices = jnp.asarray(real_indices), jnp.asarray(fake_indices)
    # Pairs of points per way, symmetric halves counted once; whole sets also cost a product with the memberships.
    per_subset = 2 * subsets * size**2
    whole = (real.shape[0] + fake.shape[0]) ** 2 / 2 * (1 + subsets / real.shape[1])
    if whole < per_subset:
        members = [_memberships(i, p.shape[0]) for i, p in ((real_indices, real), (fake_indices, fake))]
        sums = kernel_sums(real, fake, *members, block=block)
        terms = [jnp.diagonal(matrix) for matrix in sums]
    else:
        terms = list(_subset_sums(real, fake, real_indices, fake_indices))
    counts = np.full(subsets, size, np.float32)
    return in_float64(_discrepancy)(*terms, counts, counts)


def kernel_distance_full(real: AnyArray, fake: AnyArray, *, block: int = 1024) -> AnyArray:
    r"""Unbiased squared maximum mean discrepancy of all points (Gretton et al. 2012, eq. (3)); no subsets, no key.

    $\frac{1}{N(N-1)}\sum_{i\ne j} k(a_i,a_j) + \frac{1}{M(M-1)}\sum_{i\ne j} k(b_i,b_j) - \frac{2}{NM}\sum_{ij}
    k(a_i,b_j)$.

    Args:
        real: (N, d) features of natural images, N >= 2.
        fake: (M, d) features of restorations, M >= 2.
        block: points of each set per step. Static.

    Returns:
        Scalar; NumPy float64 for concrete input, float32 under a transformation.

    Raises:
        InputError: not points, widths differ, NaN, or fewer than two points on a side.
    """
    check_points("real", real, at_least=2)
    check_points("fake", fake, width=real.shape[1], at_least=2)
    ones = [np.ones((points.shape[0], 1), np.float32) for points in (real, fake)]
    sums = kernel_sums(real, fake, *ones, block=block)
    return in_float64(_discrepancy)(*(s[0, 0] for s in sums), real.shape[0], fake.shape[0])


def kernel_distance_grouped(
    real: AnyArray, fake: AnyArray, real_groups: AnyArray, fake_groups: AnyArray, *, block: int = 1024
) -> Jackknife:
    """The estimate of all points, with its jackknife standard error over groups (photographs). Host only.

    One pass over the pairs gives the kernel sums between groups; leaving a group out of both sets costs nothing more.

    Args:
        real: (N, d) features of natural images.
        fake: (M, d) features of restorations.
        real_groups: (N,) label of each point's group, integers or strings.
        fake_groups: (M,) likewise, with the same labels.
        block: points of each set per step. Static.

    Returns:
        `kernel_distance_full`, its delete-one-group jackknife standard error (`numerics.jackknife`), which is NaN for
        fewer than two groups, or where fewer than two points remain without one of them, and what that is made of.

    Raises:
        InputError: not points, widths differ, NaN, fewer than two points, or labels that do not fit.
    """
    check_points("real", real, at_least=2)
    check_points("fake", fake, width=real.shape[1], at_least=2)
    labels = [np.asarray(real_groups), np.asarray(fake_groups)]
    for name, groups, points in zip(("real_groups", "fake_groups"), labels, (real, fake), strict=True):
        if groups.shape != (points.shape[0],):
            raise InputError(f"{name}: found shape {groups.shape}, expected ({points.shape[0]},)")
    names = np.unique(labels[0])
    alone = set(names.tolist()) ^ set(labels[1].tolist())
    if alone:
        raise InputError(f"fake_groups: found other labels than in real_groups ({sorted(alone)[0]}), expected the same")
    members = [(groups[:, None] == names[None]).astype(np.float32) for groups in labels]
    sums = [np.asarray(s, np.float64) for s in kernel_sums(real, fake, *members, block=block)]
    counts = [m.sum(axis=0, dtype=np.float64) for m in members]
    value = float(_discrepancy(np, *(s.sum() for s in sums), *(c.sum() for c in counts)))
    left = [c.sum() - c for c in counts]
    if len(names) < 2 or min(c.min() for c in left) < 2:
        return Jackknife(value, float("nan"))
    left_out = _discrepancy(np, *(_without_each(s) for s in sums), *left)
    return Jackknife(value, jackknife_error(left_out), tuple(map(float, left_out)))


def _without_each(sums: np.ndarray) -> np.ndarray:
    """Sums over all pairs in which group g does not take part, (G,)."""
    return sums.sum() - sums.sum(axis=0) - sums.sum(axis=1) + np.diagonal(sums)


def _discrepancy(xp: ModuleType, real: Any, fake: Any, cross: Any, count_real: Any, count_fake: Any) -> Any:
    within = real / (count_real * (count_real - 1)) + fake / (count_fake * (count_fake - 1))
    return within - 2 * cross / (count_real * count_fake)


def _mean_and_spread(xp: ModuleType, values: Any) -> tuple[Any, Any, Any]:
    std = xp.std(values)
    stderr = std / xp.sqrt(values.size - 1) if values.size > 1 else std * xp.nan
    return xp.mean(values), stderr, std


@functools.partial(jax.jit, static_argnames=("count", "size", "subsets"))
def _draw(key: Key, *, count: int, size: int, subsets: int) -> Array:
    """Rows of each subset without replacement, (subsets, size): those of the largest random numbers.

    The numbers are all positive normal floats, equally likely by their bits: 256 times as many as `jax.random.uniform`
    has, so that ties are rare, and a type for which XLA selects instead of sorting.
    """
    smallest, infinity = (np.float32(x).view(np.uint32) for x in (np.finfo(np.float32).tiny, np.inf))

    def one(key: Key) -> Array:
        numbers = smallest + jax.random.bits(key, (count,), jnp.uint32) % (infinity - smallest)
        return jax.lax.top_k(jax.lax.bitcast_convert_type(numbers, jnp.float32), size)[1]

    return jax.lax.map(one, jax.random.split(key, subsets), batch_size=_DRAWN_TOGETHER)


def _memberships(indices: Array, count: int) -> Array:
    """(count, S) zeros and ones."""
    subsets = indices.shape[0]
    columns = jnp.broadcast_to(jnp.arange(subsets)[:, None], indices.shape)
    return jnp.zeros((count, subsets), jnp.float32).at[indices, columns].set(1)


@jax.jit
def _subset_sums(real: Array, fake: Array, real_indices: Array, fake_indices: Array) -> KernelSums:
    """Sums within each subset, (S,) three times, one subset after the other."""
    ones = jnp.ones((real_indices.shape[1], 1), jnp.float32)

    def one(indices: tuple[Array, Array]) -> KernelSums:
        return kernel_sums(real[indices[0]], fake[indices[1]], ones, ones, block=_SUBSET_BLOCK)

    return KernelSums(*(s[:, 0, 0] for s in jax.lax.map(one, (real_indices, fake_indices))))
