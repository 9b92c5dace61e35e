"""What is measured of a set of images: distortion from their truths, and how natural they look as a set.

Every image is measured alone, on 8-bit pixels as its file holds them, and kept as arrays; `measured_set` makes means
with standard errors of what was kept, one image at a time.
"""

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, may_be_undefined
from jaxpr.evaluation.measure import distortion_of, natural_blocks, perceptual_distance
from jaxpr.evaluation.naturalness import naturalness
from jaxpr.evaluation.sets import frechet_of_blocks, moments_by_block
from jaxpr.evaluation.state import BatchStore
from jaxpr.metrics import Moments, extract_patches, frechet_bias_note, packaged_niqe_parameters
from jaxpr.records.results import Metric, leave_one_out, mean_metric
from jaxpr.weights import feature_extractor

__all__ = ["Patched", "feature_blocks", "measured_set", "measurer"]

_NETWORK = "alexnet"
_FEATURES, _BLOCKS = "features", "niqe_blocks"


class Patched(NamedTuple):
    """How deep features see images: those of square patches.

    Attributes:
        features: name of a feature extractor.
        size: side of the patches in pixels.
        stride: step between them.
    """

    features: str
    size: int
    stride: int

    @property
    def metric(self) -> str:
        """Name of the Fréchet distance of these features."""
        return f"fd_{self.features.partition(':')[0]}"


def measurer(patched: Patched) -> Callable[[np.ndarray, np.ndarray | None], dict[str, np.ndarray]]:
    """`(levels, truth) -> arrays` of one image: uint8 (H, W, C), and its truth in [0, 1] or None.

    Args:
        patched: for the features.
    """
    extract = feature_extractor(patched.features).apply

    @jax.jit
    def features(x: Array) -> Array:
        return extract(extract_patches(x, size=patched.size, stride=patched.stride))

    @may_be_undefined
    @jax.jit
    def distortion(x: Array, truth: Array) -> dict[str, Array]:
        found = distortion_of(x, truth) | perceptual_distance(x, truth, network=_NETWORK)
        return {name: values[0] for name, values in found.items()}

    def measure(levels: np.ndarray, truth: np.ndarray | None) -> dict[str, np.ndarray]:
        x = jnp.asarray(levels[None].astype(np.float32) / np.float32(255))
        found: dict[str, Any] = {_FEATURES: features(x)}
        if (blocks := natural_blocks(x)) is not None:
            found[_BLOCKS] = blocks[0]
        if truth is not None:
            found |= distortion(x, jnp.asarray(truth[None]))
        return {name: np.asarray(values) for name, values in found.items()}

    return measure


def feature_blocks(store: BatchStore, count: int) -> list[Moments]:
    """Moments of the features of stored images 0 to count - 1, one for each image, or for blocks of them."""
    features = (arrays[_FEATURES] for arrays in store.load(count))
    return moments_by_block(features, itertools.repeat(np.zeros((0, 0)), count), np.arange(count))


def measured_set(
    store: BatchStore, count: int, patched: Patched, *, real: Sequence[Moments] | None, paired: bool
) -> dict[str, Metric]:
    """Means and set measures of stored images, with standard errors over them.

    Args:
        store: what `measurer` found of each.
        count: images.
        patched: as of the measurer.
        real: moments of natural images by blocks, see `feature_blocks`; None for no Fréchet distance.
        paired: the natural images are the truths of these, and are left out together with them; else they are held
            fixed, and errors are over the images alone.
    """
    groups = np.arange(count)
    scalars: dict[str, list[float]] = {}
    blocks: list[np.ndarray | None] = []
    for arrays in store.load(count):
        blocks.append(arrays.get(_BLOCKS))
        for name, value in arrays.items():
            if name not in (_FEATURES, _BLOCKS):
                scalars.setdefault(name, []).append(float(value))
    found = {name: mean_metric(np.array(v), groups) for name, v in scalars.items() if len(v) == count}
    if real is not None:
        found[patched.metric] = _frechet(real, feature_blocks(store, count), paired=paired)
    if (score := naturalness(blocks, groups, parameters=packaged_niqe_parameters())) is not None:
        found["niqe"] = score
    return found


def _frechet(real: Sequence[Moments], fake: Sequence[Moments], *, paired: bool) -> Metric:
    whole = functools.reduce(Moments.merge, real)

    def from_whole(fakes: Sequence[Moments]) -> dict[str, float]:
        return frechet_of_blocks([(whole, functools.reduce(Moments.merge, fakes))])

    pairs = list(zip(real, fake, strict=True)) if paired else []
    metric = (leave_one_out(frechet_of_blocks, pairs) if paired else leave_one_out(from_whole, fake))["fd"]
    least = int(min(whole.count, sum(moments.count for moments in fake)))
    note = "undefined for fewer than two patches" if least < 2 else frechet_bias_note(least, len(whole.mean))
    return metric._replace(note=note)
