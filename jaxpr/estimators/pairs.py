"""Training pairs of image and measurement, cut into pairs of patches."""

import numpy as np

from jaxpr._core import Array, InputError
from jaxpr.estimators.patches import PatchGrid

__all__ = ["training_patches"]


def training_patches(x: Array, y: Array, *, grid: PatchGrid) -> tuple[np.ndarray, np.ndarray]:
    """Corresponding contexts of y and cores of x that lie inside the image.

    Args:
        x: image (H, W, C).
        y: its measurement (h, w, c) with H = factor · h and W = factor · w.
        grid: geometry; patches are taken every `stride` pixels of y.

    Returns:
        Contexts (n, context · context · c) and targets (n, core · factor · core · factor · C), on the host.

    Raises:
        InputError: the sizes do not fit the factor, or y is smaller than a context.
    """
    x, y = np.asarray(x), np.asarray(y)
    if x.shape[:2] != (grid.factor * y.shape[0], grid.factor * y.shape[1]):
        raise InputError(f"x: found {x.shape[:2]} pixels for y of {y.shape[:2]}, expected {grid.factor} times as many")
    if min(y.shape[:2]) < grid.context:
        raise InputError(f"y: found {y.shape[:2]} pixels, expected at least {grid.context} for one patch")
    margin, core = grid.margin * grid.factor, grid.core * grid.factor
    contexts = _windows(y, grid.context, grid.stride)
    inner = x[margin : x.shape[0] - margin, margin : x.shape[1] - margin]
    return contexts, _windows(inner, core, grid.stride * grid.factor)


def _windows(image: np.ndarray, size: int, stride: int) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size), axis=(0, 1))[::stride, ::stride]
    # The view puts channels in front of the window axes; patches are stored pixel by pixel, channels last.
    return np.moveaxis(windows, 2, -1).reshape(windows.shape[0] * windows.shape[1], -1)
