"""Root mean squares of differences, and what they are in decibels: the one place of both. Arrays are (N, ...)."""

import math

import jax.numpy as jnp

from jaxpr.core import Array, ArrayLike
from jaxpr.numerics.balls import example_norms
from jaxpr.numerics.guards import widened

__all__ = ["peak_ratio", "root_mean_square"]


def root_mean_square(a: ArrayLike, b: ArrayLike) -> Array:
    """Of the difference of arrays that are known to fit, (N,); float32 or wider. Its gradient at zero is zero."""
    return example_norms(widened(a) - widened(b)) / math.sqrt(math.prod(jnp.shape(a)[1:]))


def peak_ratio(a: ArrayLike, b: ArrayLike, *, data_range: float | Array) -> Array:
    """20 log10(range / root mean square) decibels, (N,); infinite, with gradient zero, where arrays are equal."""
    error = root_mean_square(a, b)
    apart = error != 0
    return jnp.where(apart, 20 * jnp.log10(data_range / jnp.where(apart, error, 1)), jnp.inf)
