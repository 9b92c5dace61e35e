"""The uncertainty-perception plane of a run, from small blocks of pixels and their surroundings in y.

The conditional laws of whole images cannot be estimated; those of small luma blocks given a window of y can. So the
numbers speak of local uncertainty. 8-bit rounding is the finest noise that is meaningful, and is added throughout.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, Key
from jaxpr.evaluation.arrays import ReferenceArrays, RestorerArrays, read_arrays
from jaxpr.evaluation.devices import spread
from jaxpr.evaluation.protocol import Protocol
from jaxpr.evaluation.sets import choose, gather, merged_groups
from jaxpr.evaluation.state import BatchStore
from jaxpr.metrics import Moments
from jaxpr.records.results import Metric, leave_one_out
from jaxpr.uncertainty import (
    Region,
    conditional_gaussian,
    conditional_knn_entropy,
    entropy_power,
    gaussian_entropy,
    local_blocks,
    plane_point,
    region,
    uncertainty_bounds,
)

__all__ = ["PlaneReference", "block_extractor", "plane_metrics", "plane_reference"]

_STEP = 1 / 255
_NOISE_FLOOR = _STEP**2 / 12
_CONTEXT = 1
_SPACING = 16
_LARGEST_BLOCK = 8
_NEIGHBOUR = 3


def block_extractor(protocol: Protocol, factor: int) -> Callable[[Array, Array], tuple[Array, Array]]:
    """Compiled `(x, y) -> blocks of x (N, P, d), windows of y (N, P, m)`; P = 0 where the plane is not asked for.

    Blocks have the protocol's side, or the scale factor's if that is larger, and lie 16 pixels of x apart. Scale
    factors above 8 leave the plane out: their blocks have too many dimensions.
    """
    block = -(-protocol.uncertainty_block // factor) * factor
    if block == 0 or block > _LARGEST_BLOCK:
        return spread(lambda x, y: (jnp.zeros((x.shape[0], 0, 1), x.dtype), jnp.zeros((x.shape[0], 0, 1), y.dtype)))
    stride = max(1, _SPACING // factor)
    return spread(functools.partial(local_blocks, block=block, context=_CONTEXT, stride=stride))


# The bounds are of restorers that are Gaussian given y, which those of photographs need not be: none is impossible.
_REGIONS = {
    Region.IMPOSSIBLE: "below the Gaussian bounds",
    Region.OPTIMAL: "between the Gaussian bounds",
    Region.SUBOPTIMAL: "above the Gaussian bounds",
}


class PlaneReference(NamedTuple):
    """The problem's side of the plane, the same for all restorers.

    Attributes:
        reference: stored batches.
        blocks: (N,) the block of photographs of each example.
        chosen: for each example the numbers of the places that the neighbour estimates see.
        x: blocks of the natural images at the chosen places, (M, d).
        y: their windows, (M, m).
        key: for dithering.
        record: what results.json says about the problem.
    """

    reference: BatchStore
    blocks: np.ndarray
    chosen: list[np.ndarray]
    x: np.ndarray
    y: np.ndarray
    key: Key
    record: dict[str, Any]


def plane_reference(key: Key, reference: BatchStore, groups: np.ndarray, *, most: int | None) -> PlaneReference | None:
    """Uncertainty of the problem itself; None if there are too few places to estimate anything.

    Args:
        key: decides the choice of places and their dither.
        reference: stored batches.
        groups: (N,), the photograph that each example comes from.
        most: places that the neighbour estimates see, at most; None for all.
    """
    count = len(groups)
    shapes = [(*at.blocks_x.shape, at.blocks_y.shape[1]) for at in read_arrays(ReferenceArrays, reference, count)]
    places, width, context = sum(shape[0] for shape in shapes), shapes[0][1], shapes[0][2]
    # Below this the covariance of (x, x̂, y) is singular.
    if places <= 2 * width + context:
        return None
    k_choice, k_dither = jax.random.split(key)
    chosen = choose(k_choice, [shape[0] for shape in shapes], most)
    x = gather((at.blocks_x for at in read_arrays(ReferenceArrays, reference, count)), chosen)
    y = gather((at.blocks_y for at in read_arrays(ReferenceArrays, reference, count)), chosen)
    moments = Moments.zero(width + context)
    for at in read_arrays(ReferenceArrays, reference, count):
        if len(at.blocks_x):
            moments = moments.update(np.concatenate([at.blocks_x, at.blocks_y], axis=1))
    given_y = conditional_gaussian(moments.mean, moments.covariance, width=width).covariance
    gaussian = float(gaussian_entropy(given_y + _NOISE_FLOOR * np.eye(width)))
    record = {
        "dim": width,
        "context_dim": context,
        "places": places,
        "noise_floor": _NOISE_FLOOR,
        "inherent_entropy_power": _neighbour_power(k_dither, x, y),
        "gaussian_entropy_power": float(entropy_power(gaussian, width)),
    }
    return PlaneReference(reference, merged_groups(groups), chosen, x, y, k_dither, record)


def plane_metrics(plane: PlaneReference, store: BatchStore) -> tuple[dict[str, Metric], dict[str, str]]:
    """A restorer's uncertainty, divergence and error, with jackknife errors over photographs, and its region."""
    count, width = len(plane.blocks), plane.record["dim"]

    def statistics(parts: Sequence[Moments]) -> dict[str, float]:
        point = plane_point(functools.reduce(Moments.merge, parts), width=width, noise_floor=_NOISE_FLOOR)
        return {"entropy_power": point.uncertainty, "renyi_divergence": point.divergence, "block_mse": point.mse}

    metrics = leave_one_out(statistics, _moments(plane, store))
    blocks = (at.blocks for at in read_arrays(RestorerArrays, store, count))
    errors = gather(blocks, plane.chosen) - plane.x
    metrics["entropy_power_knn"] = Metric(_neighbour_power(plane.key, errors, plane.y), float("nan"))
    inherent, gaussian = (plane.record[f"{name}_entropy_power"] for name in ("inherent", "gaussian"))
    bounds = uncertainty_bounds(metrics["renyi_divergence"].value, width, inherent=inherent, gaussian=gaussian)
    return metrics, {"uncertainty_region": _REGIONS[region(metrics["entropy_power"].value, bounds)]}


def _moments(plane: PlaneReference, store: BatchStore) -> list[Moments]:
    """Moments of (x, x̂, y) for each block of photographs, one example at a time."""
    count = len(plane.blocks)
    found: dict[int, Moments] = {}
    reals, fakes = read_arrays(ReferenceArrays, plane.reference, count), read_arrays(RestorerArrays, store, count)
    for label, real, fake in zip(plane.blocks, reals, fakes, strict=True):
        points = np.concatenate([real.blocks_x, fake.blocks, real.blocks_y], axis=1)
        if len(points):
            found[label] = found.get(label, Moments.zero(points.shape[1])).update(points)
    return list(found.values())


def _neighbour_power(key: Key, x: np.ndarray, y: np.ndarray) -> float:
    """Conditional entropy power of x (M, d) given y (M, m) by nearest neighbours, after dithering both by a step."""
    if len(x) <= _NEIGHBOUR:
        return float("nan")
    keys = jax.random.split(key)
    dithered = [
        part + _STEP * (np.asarray(jax.random.uniform(k, part.shape, jnp.float32)) - 0.5)
        for k, part in zip(keys, (x, y), strict=True)
    ]
    entropy = conditional_knn_entropy(*(jnp.asarray(part) for part in dithered), k=_NEIGHBOUR)
    return float(entropy_power(entropy, x.shape[1]))
