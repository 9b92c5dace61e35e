"""The one place where images in [0, 1] become those on [-1, 1] on which diffusion lives, and the way back.

For a linear A and x on [0, 1], A (2 x - 1) = 2 A x - A 1: measurements move by what A makes of a white image.
"""

from collections.abc import Callable

import jax.numpy as jnp

from jaxpr.core import Array, ArrayLike
from jaxpr.degradations import LinearOperator

__all__ = ["image_outside", "measurement_inside", "residual_inside", "std_inside"]


def image_outside(x: Array) -> Array:
    """From [-1, 1] to [0, 1]; not clipped."""
    return (x + 1) / 2


def measurement_inside(operator: LinearOperator, y: Array) -> Array:
    """What `operator` would have made of the image on [-1, 1]; y (N, h, w, c) is of the image on [0, 1]."""
    white = operator(jnp.ones((1, *operator.shape), y.dtype))
    return 2 * y - white


def residual_inside(operator: Callable[[Array], Array], x: Array, y: Array) -> Array:
    """A x - y in units of [-1, 1], for x (N, H, W, C) on [-1, 1] and any operator on [0, 1], linear or not."""
    return 2 * (operator(image_outside(x)) - y)


def std_inside(std: ArrayLike) -> Array:
    """A standard deviation in units of [0, 1] in those of [-1, 1]: twice as large."""
    return 2 * jnp.asarray(std, jnp.float32)
