"""Additive noise."""

import jax
import jax.numpy as jnp

from jaxpr._core import Array, ArrayLike, InputError, Key, check_positive, example_keys

__all__ = ["gaussian_noise"]


def gaussian_noise(key: Key, x: ArrayLike, *, std: ArrayLike) -> Array:
    """White Gaussian noise added to every value; the result is not clipped and may leave [0, 1].

    Args:
        key: one key, or one for each example (see `example_keys`); an example's noise depends on its own key only.
        x: (N, ...), floating point, any range.
        std: standard deviation in the units of x, a non-negative number; zero gives x itself. Traced.

    Returns:
        x + std * noise, shape and dtype of x.

    Raises:
        InputError: x is a scalar or not floating point, std is no number or negative, or the keys do not fit.
    """
    shape, dtype = jnp.shape(x), jnp.result_type(x)
    if not shape or not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(f"x: found shape {shape} and dtype {dtype}, expected a floating-point batch (N, ...)")
    if jnp.ndim(std) != 0:
        raise InputError(f"std: found shape {jnp.shape(std)}, expected one number")
    check_positive("std", std, or_zero=True)
    x = jnp.asarray(x)
    noise = jax.vmap(lambda k: jax.random.normal(k, shape[1:], x.dtype))(example_keys(key, shape[0]))
    return x + jnp.asarray(std, x.dtype) * noise
