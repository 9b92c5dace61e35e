"""Training pairs of image and measurement, cut into pairs of patches."""

import numpy as np

from jaxpr._core import AnyArray, InputError, check_images
from jaxpr.estimators.patches import PatchGrid

__all__ = ["training_patches"]


def training_patches(
    x: AnyArray, y: AnyArray, *, grid: PatchGrid, base: AnyArray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Corresponding contexts of y and cores of x that lie inside the image.

    Args:
        x: image (H, W, C) in [0, 1].
        y: its measurement (h, w, c) with H = factor · h and W = factor · w.
        grid: geometry; patches are taken every `stride` pixels of y.
        base: (H, W, C), subtracted from x; None for nothing.

    Returns:
        Contexts (n, context · context · c) and targets (n, core · factor · core · factor · C), on the host.

    Raises:
        InputError: an image of another rank, dtype or range, sizes that do not fit the factor, or y smaller than a
            context.
    """
    image, measured = np.asarray(x), np.asarray(y)
    # Catches another scale, such as [0, 255]; a training image may otherwise be anything.
    check_images("x", image[None], overshoot=3.0)
    check_images("y", measured[None], data_range=None)
    (height, width), (h, w) = image.shape[:2], measured.shape[:2]
    if (height, width) != (grid.factor * h, grid.factor * w):
        raise InputError(f"x: found {height}×{width} pixels for y of {h}×{w}, expected {grid.factor} times as many")
    if min(h, w) < grid.context:
        raise InputError(f"y: found {h}×{w} pixels, expected at least {grid.context} on a side for one patch")
    if base is not None:
        image = image - np.asarray(base)
    margin, core = grid.margin * grid.factor, grid.core * grid.factor
    inner = image[margin : height - margin, margin : width - margin]
    return _windows(measured, grid.context, grid.stride), _windows(inner, core, grid.stride * grid.factor)


def _windows(image: np.ndarray, size: int, stride: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))[::stride, ::stride]
    # The view puts channels in front of the window axes; patches are stored pixel by pixel, channels last.
    return np.moveaxis(windows, 2, -1).reshape(windows.shape[0] * windows.shape[1], -1)
