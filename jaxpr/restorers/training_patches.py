"""Training pairs of image and measurement, cut into pairs of patches."""

import numpy as np

from jaxpr.core import AnyArray, InputError, check_images
from jaxpr.restorers.patches import PatchGrid

__all__ = ["training_patches"]


def training_patches(
    x: AnyArray, y: AnyArray, *, grid: PatchGrid, base: AnyArray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Corresponding contexts of y and cores of x, for all patches whose core lies inside the image.

    Contexts see mirrored borders, as they do when y is restored.

    Args:
        x: image (H, W, C) in [0, 1].
        y: its measurement (h, w, c) with H = factor · h and W = factor · w.
        grid: geometry.
        base: (H, W, C), subtracted from x; None for nothing.

    Returns:
        Contexts (n, context · context · c) and targets (n, core · factor · core · factor · C), on the host.

    Raises:
        InputError: an image of another rank, dtype or range, or sizes that do not fit the factor.
    """
    image, measured = np.asarray(x), np.asarray(y)
    # Catches another scale, such as [0, 255]; a training image may otherwise be anything.
    check_images("x", image[None], overshoot=3.0)
    check_images("y", measured[None], data_range=None)
    (height, width), (h, w) = image.shape[:2], measured.shape[:2]
    if (height, width) != (grid.factor * h, grid.factor * w):
        raise InputError(f"x: found {height}×{width} pixels for y of {h}×{w}, expected {grid.factor} times as many")
    if base is not None:
        image = image - np.asarray(base)
    # The same patches as seen in x: without margin, everything `factor` times as large.
    cores = PatchGrid(factor=1, core=grid.core * grid.factor, margin=0, stride=grid.stride * grid.factor)
    return _inside(grid, measured), _inside(cores, image)


def _inside(grid: PatchGrid, image: np.ndarray) -> np.ndarray:
    overhanging = grid.core // grid.stride - 1
    rows, columns = (slice(overhanging, side // grid.stride) for side in image.shape[:2])
    patches = np.asarray(grid.contexts(image[None]))[0, rows, columns]
    return patches.reshape(-1, patches.shape[-1])
