"""Additive noise."""

import jax
import jax.numpy as jnp

from jaxpr.core import Array, ArrayLike, Key, check_examples, check_positive, example_keys

__all__ = ["gaussian_noise"]


def gaussian_noise(key: Key, x: ArrayLike, *, std: ArrayLike) -> Array:
    """White Gaussian noise added to every value; the result is not clipped and may leave [0, 1].

    Args:
        key: one key, or one for each example (see `example_keys`); an example's noise depends on its own key only.
        x: images (N, H, W, C), points (N, d) or numbers (N,), floating point, any range.
        std: standard deviation in the units of x, a non-negative number; zero gives x itself. Traced.

    Returns:
        x + std * noise, shape and dtype of x.

    Raises:
        InputError: x is not such a batch or not finite, std is no number or negative, or the keys do not fit.
    """
    check_examples("x", x)
    check_positive("std", std, or_zero=True, scalar=True)
    x = jnp.asarray(x)
    noise = jax.vmap(lambda k: jax.random.normal(k, x.shape[1:], x.dtype))(example_keys(key, x.shape[0]))
    return x + jnp.asarray(std, x.dtype) * noise
