"""Restorers by interpolation alone: no fitting, no knowledge of images."""

import math

import jax.numpy as jnp

from jaxpr.core import Array, InputError, check_count, check_images
from jaxpr.numerics.resampling import BOX, CUBIC, LANCZOS3, Kernel, resize

__all__ = ["bicubic", "lanczos", "nearest"]


def nearest(y: Array, *, factor: int, channels: int = 3) -> Array:
    """Repeat every pixel `factor` times along both axes.

    Args:
        y: measurements (N, h, w, c), c equal to `channels` or 1.
        factor: enlargement; 1 returns y itself. Static.
        channels: of the result; a single channel of y is repeated. Static.

    Returns:
        (N, factor · h, factor · w, channels).

    Raises:
        InputError: not float NHWC, factor < 1, or channels that do not fit.
    """
    return _enlarge(y, BOX, factor=factor, channels=channels)


def bicubic(y: Array, *, factor: int, channels: int = 3) -> Array:
    """Enlarge by cubic convolution (Keys 1981, a = -1/2), MATLAB's alignment and symmetric boundary; see `nearest`.

    The result overshoots [0, 1] near strong edges; it is not clipped.
    """
    return _enlarge(y, CUBIC, factor=factor, channels=channels)


def lanczos(y: Array, *, factor: int, channels: int = 3) -> Array:
    """Enlarge by the three-lobed Lanczos window, otherwise as `bicubic`; see `nearest`."""
    return _enlarge(y, LANCZOS3, factor=factor, channels=channels)


def _enlarge(y: Array, kernel: Kernel, *, factor: int, channels: int) -> Array:
    check_count("factor", factor)
    check_images("y", y, data_range=None)
    if y.shape[-1] not in (1, channels):
        raise InputError(f"y: found {y.shape[-1]} channels, expected 1 or {channels}")
    y = jnp.broadcast_to(y, (*y.shape[:3], channels))
    if factor == 1 or math.prod(y.shape) == 0:
        return y
    return resize(y, (factor * y.shape[1], factor * y.shape[2]), kernel=kernel, antialias=False)
