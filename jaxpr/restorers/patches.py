"""Overlapping patches of measurements and restorations, as slices and sums that differentiate cheaply.

Patch number i along an axis predicts `core` pixels of y (times the scale factor, pixels of x) and sees `margin` more on
either side. Neighbouring patches start `stride` pixels of y apart; where their predictions overlap they are averaged.
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxpr.core import AnyArray, Array, InputError, check_count

__all__ = ["PatchGrid"]


@dataclass(frozen=True)
class PatchGrid:
    """Geometry of overlapping patches; all fields are static.

    Attributes:
        factor: pixels of x per pixel of y along an axis.
        core: predicted pixels of y per patch and axis; a multiple of `stride`.
        margin: further pixels of y that a patch sees on each side.
        stride: step between patches in pixels of y.

    Raises:
        InputError: a field is not a positive integer (margin: not a non-negative one), or stride does not divide core.
    """

    factor: int
    core: int
    margin: int
    stride: int

    def __post_init__(self) -> None:
        for name in ("factor", "core", "stride"):
            check_count(name, getattr(self, name))
        check_count("margin", self.margin, at_least=0)
        if self.core % self.stride:
            raise InputError(f"stride: found {self.stride}, expected a divisor of core = {self.core}")

    @property
    def context(self) -> int:
        """Side of the part of y that a patch sees."""
        return self.core + 2 * self.margin

    def count(self, side: int) -> int:
        """Number of patches along an axis of y with `side` pixels: every pixel is predicted equally often."""
        return -(-(side + self.core - self.stride) // self.stride)

    def contexts(self, y: AnyArray) -> AnyArray:
        """Cut y (N, h, w, c) into (N, rows, columns, context · context · c); y is mirrored at its borders.

        NumPy arrays are cut by NumPy: training images of many sizes would each compile a program.
        """
        xp: Any = np if isinstance(y, np.ndarray) else jnp
        pads = [self._padding(side) for side in y.shape[1:3]]
        padded = xp.pad(y, ((0, 0), *pads, (0, 0)), mode="symmetric")
        rows = self._windows(xp, padded, axis=1, count=self.count(y.shape[1]))
        windows = self._windows(xp, rows, axis=2, count=self.count(y.shape[2]))
        return windows.reshape(*windows.shape[:3], -1)

    def assemble(self, predictions: Array, shape: tuple[int, int]) -> Array:
        """Average overlapping predictions into images.

        Args:
            predictions: (N, rows, columns, P · P · C) with P = core · factor, one patch of x for each context.
            shape: (h, w) of y.

        Returns:
            (N, factor · h, factor · w, C).
        """
        step, repeats = self.stride * self.factor, self.core // self.stride
        count, rows, columns = predictions.shape[:3]
        tiles = predictions.reshape(count, rows, columns, repeats, step, repeats, step, -1)
        total = jnp.zeros((count, rows + repeats - 1, columns + repeats - 1, step, step, tiles.shape[-1]), tiles.dtype)
        for i in range(repeats):
            for j in range(repeats):
                shifts = ((0, 0), (i, repeats - 1 - i), (j, repeats - 1 - j), (0, 0), (0, 0), (0, 0))
                total += jnp.pad(tiles[:, :, :, i, :, j], shifts)
        canvas = jnp.swapaxes(total, 2, 3).reshape(count, total.shape[1] * step, total.shape[2] * step, -1)
        # The first tiles lie outside the image; inside, exactly repeats² predictions overlap everywhere.
        start = (self.core - self.stride) * self.factor
        height, width = (self.factor * side for side in shape)
        return canvas[:, start : start + height, start : start + width] / repeats**2

    def _padding(self, side: int) -> tuple[int, int]:
        before = self.core - self.stride + self.margin
        after = (self.count(side) - 1) * self.stride + self.context - before - side
        return before, after

    def _windows(self, xp: Any, padded: AnyArray, *, axis: int, count: int) -> AnyArray:
        """Stack the `context` shifted, strided slices of an axis behind the patch axes, in front of the channels."""
        last = (count - 1) * self.stride + 1
        slices = [_strided(padded, axis, shift, last, self.stride) for shift in range(self.context)]
        return xp.stack(slices, axis=-2)


def _strided(x: AnyArray, axis: int, start: int, length: int, stride: int) -> AnyArray:
    index = [slice(None)] * x.ndim
    index[axis] = slice(start, start + length, stride)
    return x[tuple(index)]
