"""Measures of whole sets of patches: Fréchet, kernel and neighbour measures, each also for pairs with y.

Where nothing is known of y its features have no width, and measures of pairs are left out.

Features stream from the stores of a run. Fréchet distances see all patches as moments; kernel and neighbour measures,
whose cost grows with the square of their number, see at most `Protocol.set_patches` of them, chosen at random.
"""

import functools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxpr.core import AnyArray, Array, Key
from jaxpr.evaluation.arrays import ReferenceArrays, RestorerArrays, read_arrays
from jaxpr.evaluation.state import BatchStore
from jaxpr.metrics import (
    ManifoldScores,
    Moments,
    SmallSampleWarning,
    conditional_frechet_distance,
    frechet_bias_note,
    frechet_distance,
    frechet_extrapolated,
    inception_score,
    joint_features,
    kernel_distance_full,
    kernel_distance_grouped,
    manifold_scores,
)
from jaxpr.numerics.statistics import merged_labels
from jaxpr.records.results import Metric, leave_one_out, mean_metric

__all__ = [
    "PatchSets",
    "choose",
    "classes_score",
    "frechet_of_blocks",
    "gather",
    "half_against_half",
    "merged_groups",
    "moments_by_block",
    "patch_sets",
    "set_metrics",
]

# Delete-one jackknife groups for the Fréchet distances: each costs an eigenproblem.
_MOST_GROUPS = 10
# Subset sizes of the extrapolation, from half of the patches to all of them.
_SIZES = 6
# Parts of the inception score, as in the literature.
_SPLITS = 10


class PatchSets(NamedTuple):
    """The patches of the natural images, and which of them the quadratic measures see.

    Attributes:
        moments: of joint features of (x, y), one per block of photographs.
        width: of the features of x, which come first.
        blocks: (N,) the block of photographs that each example belongs to.
        chosen: for each example the numbers of its patches that the quadratic measures see.
        x: (M, d) features of the chosen patches of x.
        y: (M, d) features of the chosen patches of y; (M, 0) where nothing is known of it.
        groups: (M,) the photograph of each chosen patch.
        total: number of all patches.
        key: for subsets of the extrapolation.
        neighbours: k of the neighbour measures.
    """

    moments: list[Moments]
    width: int
    blocks: np.ndarray
    chosen: list[np.ndarray]
    x: np.ndarray
    y: np.ndarray
    groups: np.ndarray
    total: int
    key: Key
    neighbours: int


def patch_sets(key: Key, reference: BatchStore, groups: np.ndarray, *, most: int | None, neighbours: int) -> PatchSets:
    """Read the natural images' side once for all restorers.

    Args:
        key: decides the choice of patches.
        reference: stored batches.
        groups: (N,), the photograph that each example comes from.
        most: see `Protocol.set_patches`.
        neighbours: k of precision, recall, density and coverage.
    """
    count = len(groups)
    k_choice, k_extrapolate = jax.random.split(key)
    patches = [len(features) for features in _features_x(reference, count)]
    chosen = choose(k_choice, patches, most)
    x, y = gather(_features_x(reference, count), chosen), gather(_features_y(reference, count), chosen)
    moments = moments_by_block(_features_x(reference, count), _features_y(reference, count), groups)
    labels = np.repeat(groups, [len(rows) for rows in chosen])
    blocks = merged_groups(groups)
    return PatchSets(moments, x.shape[1], blocks, chosen, x, y, labels, sum(patches), k_extrapolate, neighbours)


def set_metrics(real: PatchSets, store: BatchStore, reference: BatchStore, *, features: str) -> dict[str, Metric]:
    """All set measures of one restorer.

    Args:
        real: the natural images' side.
        store: the restorer's stored batches.
        reference: the natural images' batches.
        features: name of the extractor, which ends the metrics' names.
    """
    count = len(real.blocks)
    fake_moments = moments_by_block(_features(store, count), _features_y(reference, count), real.blocks)
    fake = gather(_features(store, count), real.chosen)
    found = _frechet(real, fake_moments)
    for (prefix, x), (_, x_hat) in zip(_alone_and_paired(real.x, real.y), _alone_and_paired(fake, real.y), strict=True):
        found[f"extrapolated_{prefix}fd"] = _extrapolated(real, x, x_hat)
        found |= {prefix + name: metric for name, metric in _quadratic(real, x, x_hat).items()}
    return {f"{name}_{features}": metric for name, metric in found.items()}


def half_against_half(real: PatchSets, reference: BatchStore, *, features: str) -> dict[str, Metric]:
    """Set measures of every other example of the truth against the rest, as different images are apart.

    Restorations can be nearer to the truth than that: they share its contents, and are twice as many. Empty for a
    single example.
    """
    count = len(real.blocks)
    if count < 2:
        return {}
    side = np.arange(count) % 2
    halves = moments_by_block(_features_x(reference, count), _features_y(reference, count), side)
    first, second = halves
    found = _fd_and_joint_fd(first, second, real.width) if min(first.count, second.count) > 1 else {}
    rows = np.repeat(side, [len(chosen) for chosen in real.chosen])
    for prefix, points in _alone_and_paired(real.x, real.y):
        one, other = points[rows == 0], points[rows == 1]
        if min(len(one), len(other)) > real.neighbours:
            found[f"{prefix}kid"] = float(kernel_distance_full(one, other))
            scores = manifold_scores(one, other, k=real.neighbours)
            found |= {prefix + name: float(np.mean(values)) for name, values in _shares(scores).items()}
    note = "one half of the true images against the other, every other one"
    return {f"{name}_{features}": Metric(value, math.nan, note) for name, value in found.items()}


def classes_score(real: PatchSets, stored: Iterable[ReferenceArrays] | Iterable[RestorerArrays]) -> Metric | None:
    """The inception score of stored class probabilities; None if there are none.

    Of all patches, in an order that is random and the same for all stores; the error is over the splits.

    Args:
        real: whose patches, and the key of the order.
        stored: of each example.
    """
    found = [arrays.classes for arrays in stored if arrays.classes is not None]
    if not found:
        return None
    classes = np.concatenate(found)
    if len(classes) < 2 * _SPLITS:
        return Metric(math.nan, math.nan, f"undefined for {len(classes)} patches; needs at least {2 * _SPLITS}")
    order = np.asarray(jax.random.permutation(real.key, len(classes)))
    score = inception_score(classes[order], splits=_SPLITS)
    return Metric(float(score.value), float(score.stderr))


def _frechet(real: PatchSets, fake: Sequence[Moments]) -> dict[str, Metric]:
    """FD, joint FD, what the pairing adds, and the conditional distance, with errors over blocks of photographs."""

    def distances(pairs: Sequence[tuple[Moments, Moments]]) -> dict[str, float]:
        truth, found = (functools.reduce(Moments.merge, side) for side in zip(*pairs, strict=True))
        if min(truth.count, found.count) < 2:
            return dict.fromkeys(names, math.nan)
        both = _fd_and_joint_fd(truth, found, real.width)
        if not paired:
            return both
        with warnings.catch_warnings():
            # The record's notes say it.
            warnings.simplefilter("ignore", SmallSampleWarning)
            conditional = float(conditional_frechet_distance(truth, found, width=real.width))
        added = math.sqrt(max(both["joint_fd"] - both["fd"], 0.0))
        return both | {"consistency_fd": added, "conditional_fd": conditional}

    paired = real.y.shape[1] > 0
    names = ("fd", *(("joint_fd", "consistency_fd", "conditional_fd") if paired else ()))
    metrics = leave_one_out(distances, list(zip(real.moments, fake, strict=True)))
    if real.total < 2:
        return {name: Metric(math.nan, math.nan, "undefined for fewer than two patches") for name in metrics}
    dims = {"fd": real.width, "joint_fd": real.x.shape[1] + real.y.shape[1]}
    dims |= {"consistency_fd": dims["joint_fd"], "conditional_fd": dims["joint_fd"]}
    return {
        name: metric._replace(note=metric.note or frechet_bias_note(real.total, dims[name]))
        for name, metric in metrics.items()
    }


def _extrapolated(real: PatchSets, x: np.ndarray, x_hat: np.ndarray) -> Metric:
    needed = 2 * x.shape[1]
    if len(x) < needed:
        return Metric(math.nan, math.nan, f"undefined for {len(x)} patches; needs at least {needed}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallSampleWarning)
        found = frechet_extrapolated(real.key, x, x_hat, points=_SIZES, smallest=0.5, subset_real=True)
    return Metric(float(found.value), float(found.stderr))


def _quadratic(real: PatchSets, x: np.ndarray, x_hat: np.ndarray) -> dict[str, Metric]:
    """Kernel distance and neighbour measures. A share's error is over photographs, the other side held fixed."""
    undefined = f"undefined for {len(x)} patches; needs at least {real.neighbours + 1}"
    names = ("kid", "precision", "recall", "density", "coverage")
    if len(x) <= real.neighbours:
        return dict.fromkeys(names, Metric(math.nan, math.nan, undefined))
    blocks = merged_groups(real.groups)
    kernel = kernel_distance_grouped(x, x_hat, blocks, blocks)
    scores = manifold_scores(x, x_hat, k=real.neighbours)
    means = {name: mean_metric(np.asarray(values), real.groups) for name, values in _shares(scores).items()}
    return {"kid": Metric(kernel.value, kernel.stderr, left_out=kernel.left_out), **means}


def frechet_of_blocks(pairs: Sequence[tuple[Moments, Moments]]) -> dict[str, float]:
    """The Fréchet distance "fd" of two sets from moments of their blocks, for `leave_one_out`; NaN of one point.

    Its bias in small sets is not warned of: what shows the number says it.
    """
    real, fake = (functools.reduce(Moments.merge, side) for side in zip(*pairs, strict=True))
    if min(real.count, fake.count) < 2:
        return {"fd": math.nan}
    return _fd_and_joint_fd(real, fake, len(real.mean))


def _fd_and_joint_fd(first: Moments, second: Moments, width: int) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SmallSampleWarning)
        found = {"fd": float(frechet_distance(_leading(first, width), _leading(second, width)))}
        if len(first.mean) > width:
            found["joint_fd"] = float(frechet_distance(first, second))
        return found


def _alone_and_paired(x: np.ndarray, y: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Features by the prefix of their measures: of x, and with those of y where there are any."""
    return [("", x), *([("joint_", np.asarray(joint_features(x, y)))] if y.shape[1] else [])]


def _shares(scores: ManifoldScores) -> dict[str, Array]:
    return {
        "precision": scores.fake_in_real,
        "recall": scores.real_in_fake,
        "density": scores.fake_density,
        "coverage": scores.real_covered,
    }


def moments_by_block(
    x_features: Iterable[AnyArray], y_features: Iterable[AnyArray], groups: np.ndarray
) -> list[Moments]:
    """Moments of joint features, for each block of photographs, from features that stream example by example.

    Args:
        x_features: for each example the features (P, d_x) of its patches of x, or of x̂.
        y_features: for each example the features (P, d_y) of its patches of y.
        groups: (N,), the photograph that each example comes from.

    Returns:
        One `Moments` of dimension d_x + d_y per photograph, or per block of neighbouring ones where there are many.
    """
    blocks: dict[int, Moments] = {}
    for label, x, y in zip(merged_groups(groups), x_features, y_features, strict=True):
        joint = np.asarray(joint_features(x, y) if y.shape[1] else x)
        blocks[label] = blocks.get(label, Moments.zero(joint.shape[1])).update(joint)
    return list(blocks.values())


def merged_groups(groups: np.ndarray) -> np.ndarray:
    """At most ten labels: neighbouring photographs share one if there are more."""
    return merged_labels(groups, most=_MOST_GROUPS)


def _leading(moments: Moments, width: int) -> Moments:
    """Moments of the first `width` coordinates."""
    return Moments(moments.count, moments.mean[:width], moments.scatter[:width, :width])


def choose(key: Key, patches: Sequence[int], most: int | None) -> list[np.ndarray]:
    """For each example the numbers of the patches that are chosen, ascending; all if `most` allows it."""
    total = sum(patches)
    if most is None or total <= most:
        return [np.arange(count) for count in patches]
    marked = np.zeros(total, bool)
    marked[np.asarray(jax.random.permutation(key, total))[:most]] = True
    return [np.flatnonzero(part) for part in np.split(marked, np.cumsum(patches)[:-1])]


def _features_x(reference: BatchStore, count: int) -> Iterator[AnyArray]:
    return (arrays.features_x for arrays in read_arrays(ReferenceArrays, reference, count))


def _features_y(reference: BatchStore, count: int) -> Iterator[AnyArray]:
    return (arrays.features_y for arrays in read_arrays(ReferenceArrays, reference, count))


def _features(store: BatchStore, count: int) -> Iterator[AnyArray]:
    return (arrays.features for arrays in read_arrays(RestorerArrays, store, count))


def gather(stored: Iterable[AnyArray], chosen: Sequence[np.ndarray]) -> np.ndarray:
    """The chosen rows of an array of every example, one below the other."""
    return np.concatenate([array[rows] for array, rows in zip(stored, chosen, strict=True)])
