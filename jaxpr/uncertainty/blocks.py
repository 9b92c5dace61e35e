"""Small blocks of pixels with their surroundings in y: points of few dimensions on which densities can be estimated."""

import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, check_count, check_images

__all__ = ["local_blocks"]


def local_blocks(x: Array, y: Array, *, block: int, context: int, stride: int) -> tuple[Array, Array]:
    """Blocks of x and the windows of y around them, on a regular grid, in brightness (the mean over channels).

    Args:
        x: (N, H, W, C), or restorations of that size.
        y: (N, h, w, c) with H = f h and W = f w for an integer factor f.
        block: side of a block in pixels of x, a multiple of f. Static.
        context: pixels of y around a block on every side. Static.
        stride: step between blocks in pixels of y. Static.

    Returns:
        Blocks (N, P, block²) and windows (N, P, (block / f + 2 context)²), P >= 0 places whose window lies inside y.

    Raises:
        InputError: not images, sizes that do not fit together, or a block that is no multiple of f.
    """
    check_images("x", x, data_range=None)
    check_images("y", y, data_range=None)
    check_count("block", block)
    check_count("context", context, at_least=0)
    check_count("stride", stride)
    factor = max(1, x.shape[1] // max(y.shape[1], 1))
    if x.shape[:3] != (y.shape[0], factor * y.shape[1], factor * y.shape[2]):
        raise InputError(f"y: found shape {y.shape} for x of shape {x.shape}, expected x to be a whole multiple")
    if block % factor:
        raise InputError(f"block: found {block}, expected a multiple of the scale factor {factor}")
    side = block // factor + 2 * context
    tops, lefts = (np.arange(0, size - side + 1, stride) for size in y.shape[1:3])
    windows = _windows(jnp.mean(y, axis=-1), tops, lefts, side)
    inner = _windows(jnp.mean(x, axis=-1), factor * (tops + context), factor * (lefts + context), block)
    return inner, windows


def _windows(image: Array, tops: np.ndarray, lefts: np.ndarray, side: int) -> Array:
    rows, columns = tops[:, None] + np.arange(side), lefts[:, None] + np.arange(side)
    found = image[:, rows[:, None, :, None], columns[None, :, None, :]]
    return found.reshape(image.shape[0], len(tops) * len(lefts), side * side)
