"""Restoration of large images in overlapping tiles of one shape: memory is that of a tile."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, Estimator, InputError, check_count, check_images
from jaxpr.restorers.restorer import Apply, Restorer, as_restorer

__all__ = ["tiled"]


def tiled(
    estimator: Estimator, *, tile: int, overlap: int, scale: int = 1, feather: int = 0, multiple: int = 1
) -> Restorer:
    """The estimator applied to tiles of y, one after the other, of each of which the middle is kept.

    The first and the last tile end at the borders of y, where the estimator treats them as it treats borders. A pixel
    of y in an overlap lies at least (overlap - feather) / 2 pixels, rounded down, from the inner edges of the tiles it
    is taken from. So for an estimator that looks no further, and places its output relative to the position of a pixel
    modulo `multiple` only, the result is exactly that without tiles; for others it is so away from the seams.

    Note:
        In gradients a tile is computed again, so their memory too is that of one tile besides y and x̂.
        Networks that look at the whole image (global attention, normalisation over the image) have no such overlap;
        `feather` hides their seams.

    Args:
        estimator: maps (N, h, w, c) to (N, scale · h, scale · w, C) for the shape of a tile; deterministic. What a
            `Restorer` says of itself the result says, too.
        tile: side of the tiles, in pixels of y; where an axis of y is shorter, so are the tiles.
        overlap: pixels of y that neighbouring tiles share at least, below `tile`: twice the reach of the estimator (its
            receptive field less one pixel), plus `feather`.
        scale: pixels of x̂ per pixel of y.
        feather: width, in pixels of y, of the ramps by which neighbouring tiles pass into each other, at most
            `overlap`; 0 for a cut.
        multiple: tiles begin at multiples of it: the side of windows or the product of strides. To end at the border of
            y, tiles may become larger by less than it.

    Returns:
        Callable y (N, H, W, c) -> x̂ (N, scale · H, scale · W, C), for any H and W; one program for each shape of y.

    Raises:
        InputError: options that do not fit. When called: y is not float NHWC, or the estimator returns another shape.
    """
    for name, value in {"tile": tile, "scale": scale, "multiple": multiple}.items():
        check_count(name, value)
    for name, value in {"overlap": overlap, "feather": feather}.items():
        check_count(name, value, at_least=0)
    if overlap > tile - multiple:
        raise InputError(f"overlap: found {overlap}, expected at most tile - multiple = {tile - multiple}")
    if feather > overlap:
        raise InputError(f"feather: found {feather}, expected at most overlap = {overlap}")

    found = as_restorer("estimator", estimator)
    if found.stochastic:
        raise InputError("estimator: found a stochastic one, expected y -> x̂")
    geometry = _Geometry(tile, overlap, scale, feather, multiple)
    return replace(found, apply=_Tiled(found.apply, geometry), scale=scale)


class _Geometry(NamedTuple):
    """Tiles, in pixels of y; see `tiled`."""

    tile: int
    overlap: int
    scale: int
    feather: int
    multiple: int

    def cut(self, length: int) -> "_Axis":
        """Tiles of one side that begin at multiples of `multiple`, the last of which ends at `length`."""
        if length <= self.tile:
            return _Axis(length, np.zeros(1, np.int32), self.feather)
        side = self.tile + (length - self.tile) % self.multiple
        last = length - side
        starts = np.append(np.arange(0, last, (side - self.overlap) // self.multiple * self.multiple), last)
        return _Axis(side, starts.astype(np.int32), self.feather)


@dataclass(frozen=True)
class _Tiled:
    """Equal for equal parts, so that members of a family stay one."""

    apply: Apply
    geometry: _Geometry

    def __call__(self, params: Any, key: Any, y: Array) -> Array:
        y = jnp.asarray(y)
        check_images("y", y, data_range=None)
        axes, scale = [self.geometry.cut(side) for side in y.shape[1:3]], self.geometry.scale
        sides = [axis.side for axis in axes]
        tile_shape = (y.shape[0], *sides, y.shape[3])
        estimator = functools.partial(self.apply, params, key)
        found = jax.eval_shape(estimator, jax.ShapeDtypeStruct(tile_shape, y.dtype))
        if found.ndim != 4 or found.shape[:3] != (y.shape[0], scale * sides[0], scale * sides[1]):
            raise InputError(f"estimator: found output {found.shape} for a tile {tile_shape}, expected scale = {scale}")
        if all(len(axis.starts) == 1 for axis in axes):
            return estimator(y)

        @jax.checkpoint
        def one(start: Array, weights: Sequence[Array]) -> Array:
            piece = estimator(jax.lax.dynamic_slice(y, jnp.pad(start, 1), tile_shape))
            weight = (weights[0][:, None] * weights[1][None]).astype(found.dtype)[None, :, :, None]
            # Not only a product: what is cut off may be NaN.
            return jnp.where(weight > 0, weight * piece, 0)

        def add(canvas: Array, number: tuple[Array, ...]) -> tuple[Array, None]:
            start = jnp.stack([jnp.asarray(axis.starts)[i] for axis, i in zip(axes, number, strict=True)])
            weights = [jnp.asarray(axis.weights(scale))[i] for axis, i in zip(axes, number, strict=True)]
            place = jnp.pad(scale * start, 1)
            piece = one(start, weights)
            there = jax.lax.dynamic_slice(canvas, place, piece.shape)
            return jax.lax.dynamic_update_slice(canvas, there + piece, place), None

        empty = jnp.zeros((y.shape[0], scale * y.shape[1], scale * y.shape[2], found.shape[3]), found.dtype)
        numbers = np.indices([len(axis.starts) for axis in axes]).reshape(2, -1)
        return jax.lax.scan(add, empty, tuple(jnp.asarray(axis) for axis in numbers))[0]


class _Axis(NamedTuple):
    """The tiles along one axis of y.

    Attributes:
        side: of every tile.
        starts: first pixel of each tile, (T,).
        feather: width of the ramps.
    """

    side: int
    starts: np.ndarray
    feather: int

    def weights(self, scale: int) -> np.ndarray:
        """Share of each tile in each of its pixels of x̂, (T, scale · side), float32; the shares of a pixel sum to 1."""
        pixels = scale * self.starts[:, None] + np.arange(scale * self.side)[None] + 0.5
        # Tiles pass into each other half-way between the start of one and the end of the one before.
        passes = scale * (self.starts[1:] + self.starts[:-1] + self.side)[:, None] / 2
        begun, over = np.ones(pixels.shape), np.zeros(pixels.shape)
        begun[1:] = _ramp(pixels[1:] - passes, scale * self.feather)
        over[:-1] = _ramp(pixels[:-1] - passes, scale * self.feather)
        return (begun - over).astype(np.float32)


def _ramp(distance: np.ndarray, width: int) -> np.ndarray:
    """From 0 to 1 around distance 0."""
    return np.clip(distance / width + 0.5, 0, 1) if width else (distance >= 0).astype(float)
