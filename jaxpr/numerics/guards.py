"""What plain formulas lose: gradients at zero, and values in half precision."""

import jax
import jax.numpy as jnp

from jaxpr.core import Array, ArrayLike

__all__ = ["power_of_two", "safe_sqrt", "widened"]


def safe_sqrt(x: Array) -> Array:
    """Square root of non-negative values; its gradient at zero is zero instead of infinite. NaN stays NaN."""
    nonzero = x != 0
    return jnp.where(nonzero, jnp.sqrt(jnp.where(nonzero, x, 1)), 0)


def widened(x: ArrayLike) -> Array:
    """A floating array in float32 or wider: sums of squares in half precision overflow, and their quotients vanish."""
    array = jnp.asarray(x)
    return array.astype(jnp.float32) if array.dtype.itemsize < 4 else array


def power_of_two(sizes: Array) -> Array:
    """A power of two within a factor of two below each positive finite value, else one; without a gradient.

    Divided by it numbers change no digit, and their powers neither overflow nor vanish.
    """
    sizes = jax.lax.stop_gradient(sizes)
    usable = (sizes > 0) & jnp.isfinite(sizes)
    mantissas, _ = jnp.frexp(jnp.where(usable, sizes, 1))
    return jnp.where(usable, sizes / (2 * mantissas), 1)
