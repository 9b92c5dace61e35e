"""Restored crops of photographs, moved by transport and measured along alpha: what experiments on transport share.

Test crops stream in batches: nothing but numbers, and the features of at most 4,000 of them, is kept of each mixture.

Papers: [adrai2023], Sections 4 and 5.
"""

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, may_be_undefined
from jaxpr.data import ImageSource, crops, from_arrays
from jaxpr.degradations import Degradation
from jaxpr.evaluation.sets import frechet_of_blocks, merged_groups
from jaxpr.metrics import (
    Moments,
    extract_patches,
    kernel_distance_grouped,
    mse,
    psnr,
    ssim,
)
from jaxpr.records.differences import paired_difference
from jaxpr.records.results import Difference, Metric, leave_one_out, mean_metric
from jaxpr.reproduce.set_measures import perceptual_embedding
from jaxpr.restorers import LatentEncoder, LatentTransport, Restorer, autoencoded, latent_transport
from jaxpr.restorers.restorer import UNCHANGED
from jaxpr.weights import feature_extractor, perceptual_network

__all__ = [
    "CropSet",
    "Known",
    "Meter",
    "Problem",
    "Tally",
    "change_from",
    "in_memory",
    "mixed",
    "moved_images",
    "photo_crops",
    "reconstructed",
]

_KEPT = 4000  # crops whose features the kernel distance sees, at most
_LEVELS, _OVERSHOOT = 255.0, 0.5


class CropSet(NamedTuple):
    """Crops of photographs.

    Attributes:
        source: all crops.
        chosen: numbers of those that are used.
        groups: (N,), of which photograph each is: crops of one are not independent.
    """

    source: ImageSource
    chosen: tuple[int, ...]
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.chosen)

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions (B,) and crops (B, H, W, C), in order."""
        for start in range(0, len(self), size):
            positions = np.arange(start, min(start + size, len(self)))
            yield positions, np.stack([self.source[self.chosen[i]] for i in positions])

    def arrays(self) -> np.ndarray:
        """All of them, (N, H, W, C)."""
        return np.stack([self.source[i] for i in self.chosen])


def photo_crops(images: ImageSource, size: int, *, each: int, photographs: int | None = None) -> CropSet:
    """Square crops of photographs, equally many of each, spread evenly over it.

    Args:
        images: photographs, decoded once each where there are few.
        size: side of a crop.
        each: crops of one photograph, at most.
        photographs: so many of them, spread evenly; None for all.
    """
    source = crops(images, size)
    photos = np.array([name.rpartition("[")[0] for name in source.names])
    _, first = np.unique(photos, return_index=True)
    labels = photos[np.sort(first)]
    if photographs is not None:
        labels = labels[np.linspace(0, len(labels) - 1, min(photographs, len(labels))).round().astype(int)]
    chosen, groups = [], []
    for number, label in enumerate(labels):
        members = np.flatnonzero(photos == label)
        picked = members[np.linspace(0, len(members) - 1, min(each, len(members))).round().astype(int)]
        chosen += picked.tolist()
        groups += [number] * len(picked)
    if not chosen:
        raise InputError(f"images: found none in {images.name}, expected photographs")
    return CropSet(source, tuple(chosen), np.array(groups))


def in_memory(images: ImageSource) -> ImageSource:
    """The same images, decoded once instead of once for a crop."""
    return from_arrays(list(images), name=images.name, names=images.names)


class Problem(NamedTuple):
    """What is measured of crops, and how they are restored.

    Attributes:
        degradation: of the crops.
        degrade: `(keys, x) -> y`.
        key: of noise and of restorers that draw.
    """

    degradation: Degradation
    degrade: Callable[[Any, Any], Any]
    key: Array

    def measured(self, positions: np.ndarray, x: np.ndarray, *, part: int) -> np.ndarray:
        """Measurements of crops; noise is that of their positions, and of the part: 0 to test, 1 to train."""
        keys = _keys(jax.random.fold_in(self.key, part), positions)
        return np.asarray(self.degrade(keys, jnp.asarray(x)))

    def restored(self, restorer: Restorer, positions: np.ndarray, y: np.ndarray, *, part: int) -> np.ndarray:
        """x* of measurements, not clipped."""
        keys = _keys(jax.random.fold_in(self.key, 2 + part), positions)
        return np.asarray(_run(restorer.apply, restorer.params, keys, jnp.asarray(y)), np.float32)

    def restored_all(self, restorer: Restorer, x: np.ndarray, *, batch: int, part: int) -> np.ndarray:
        """x* of all crops (N, H, W, C), as statistics take them: overshoots by more than a half are cut."""
        parts = [np.arange(i, min(i + batch, len(x))) for i in range(0, len(x), batch)]
        found = [self.restored(restorer, i, self.measured(i, x[i], part=part), part=part) for i in parts]
        return np.clip(np.concatenate(found), -_OVERSHOOT, 1 + _OVERSHOOT)


def _keys(key: Array, positions: np.ndarray) -> Array:
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.asarray(positions))


@functools.partial(jax.jit, static_argnums=0)
def _run(apply: Callable[..., Array], params: Any, keys: Array, y: Array) -> Array:
    """One program for all restorers with equal functions, such as all transports of one encoder."""
    return apply(params, keys, y)


def moved_images(
    key: Array,
    fitted: LatentTransport,
    restored: np.ndarray,
    *,
    positions: np.ndarray | None = None,
    encode: Literal["mode", "sample"] | None = None,
    deterministic: bool = False,
) -> np.ndarray:
    """x̂₀ of restored images (N, H, W, C), not clipped.

    Args:
        key: of noise, where the map needs it, and of latents, where they are drawn.
        fitted: the transport.
        restored: x*.
        positions: (N,), of which each image has its own noise; None for 0, 1, ...
        encode: see `latent_transport`.
        deterministic: see there.
    """
    moved = latent_transport(UNCHANGED, fitted, any_size=True, encode=encode, deterministic=deterministic)
    positions = np.arange(len(restored)) if positions is None else positions
    return np.asarray(_run(moved.apply, moved.params, _keys(key, positions), jnp.asarray(restored)))


def reconstructed(encoder: LatentEncoder, images: np.ndarray) -> np.ndarray:
    """D(E(·)) of images, with the mode of their latents."""
    again = autoencoded(UNCHANGED, encoder)
    return np.asarray(_run(again.apply, again.params, None, jnp.asarray(images)))


def mixed(moved: Any, restored: Any, alpha: Any) -> Any:
    """(1 - alpha) x̂₀ + alpha x*, Eq. (4) of [adrai2023]; clipped to [0, 1] when it is measured."""
    return (1 - alpha) * moved + alpha * restored


class Known(NamedTuple):
    """Truths that images are compared with.

    Attributes:
        x: (N, H, W, C).
        embedding: (N, d), whose squared distances are LPIPS.
    """

    x: Array
    embedding: Array


class Meter:
    """Distortion and features of images beside their truths; compiled once for all alphas.

    Args:
        features: of the patches.
        patch: their side.
        stride: between them.
    """

    def __init__(self, features: str, *, patch: int, stride: int) -> None:
        self.features = features.partition(":")[0]
        extract = feature_extractor(features).apply
        embed = functools.partial(perceptual_embedding, network=perceptual_network("alexnet"))

        @may_be_undefined
        @jax.jit
        def measure(known: Known, images: Array) -> tuple[dict[str, Array], Array]:
            shown = jnp.clip(images, 0, 1)
            values = {
                "mse": mse(shown, known.x) * _LEVELS**2,
                "psnr": psnr(shown, known.x, data_range=1.0),
                "ssim": ssim(shown, known.x, data_range=1.0),
                "lpips": jnp.sum((embed(shown) - known.embedding) ** 2, axis=1),
            }
            return values, extract(extract_patches(shown, size=patch, stride=stride))

        self._embed, self._measure = jax.jit(embed), measure

    def known(self, x: np.ndarray) -> Known:
        """Truths (N, H, W, C), ready to be compared with."""
        return Known(jnp.asarray(x), self._embed(jnp.asarray(x)))

    def __call__(self, known: Known, images: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Distortion of images (N, H, W, C), each (N,), MSE in squared grey levels; features (N, P, d)."""
        values, features = self._measure(known, jnp.asarray(images, jnp.float32))
        kept = np.asarray(features).reshape(len(images), -1, features.shape[-1])
        return {n: np.asarray(v) for n, v in values.items()}, kept


class Tally:
    """What is kept of one set of images.

    Args:
        groups: (N,), the photograph of each image.
    """

    def __init__(self, groups: np.ndarray) -> None:
        self.groups, self.blocks = groups, merged_groups(groups)
        self.values: dict[str, np.ndarray] = {}
        self._kept: dict[int, np.ndarray] = {}
        self._wanted = set(np.linspace(0, len(groups) - 1, min(len(groups), _KEPT)).round().astype(int).tolist())
        self._moments: dict[int, Moments] = {}

    def add(self, positions: np.ndarray, values: Mapping[str, np.ndarray], features: np.ndarray) -> None:
        """Values (B,) and features (B, P, d) of the images at these positions."""
        for name, some in values.items():
            self.values.setdefault(name, np.full(len(self.groups), np.nan))[positions] = some
        for position, rows in zip(positions.tolist(), features, strict=True):
            if position in self._wanted:
                self._kept[position] = rows
            block = int(self.blocks[position])
            self._moments[block] = self._moments.get(block, Moments.zero(rows.shape[1])).update(rows)

    def metrics(self, real: "Tally") -> dict[str, Metric]:
        """Means, with errors over photographs; Fréchet and kernel distance from the truths, by the jackknife.

        Leaving a photograph out leaves out its truths, too.
        """
        found = {name: mean_metric(values, self.groups) for name, values in self.values.items()}
        order = sorted(self._kept)
        labels = np.concatenate([np.full(len(self._kept[i]), self.blocks[i]) for i in order])
        both = [np.concatenate([tally._kept[i] for i in order]) for tally in (real, self)]
        pairs = [(real._moments[b], self._moments[b]) for b in sorted(self._moments)]
        found |= leave_one_out(frechet_of_blocks, pairs)
        kernel = kernel_distance_grouped(both[0], both[1], labels, labels)
        return found | {"kd": Metric(kernel.value, kernel.stderr, left_out=kernel.left_out)}


def change_from(found: Mapping[str, Metric], base: Mapping[str, Metric], name: str) -> Difference:
    """Of a metric of two sets of the same crops, with Student's interval over photographs; NaN where undefined."""
    apart = paired_difference(found[name], base[name])
    value = found[name].value - base[name].value
    unknown = math.nan
    return Difference(value, unknown, unknown, unknown, unknown) if apart is None else apart
