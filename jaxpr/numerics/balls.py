"""Norm balls around zero, per example: projection and uniform sampling. Arrays are (N, ...), leading axis examples."""

import math

import jax
import jax.numpy as jnp

from jaxpr.core import Array, Key, check_positive, example_keys
from jaxpr.numerics.guards import power_of_two, safe_sqrt, widened

__all__ = ["example_norms", "project_l2", "project_linf", "sample_l2", "sample_linf"]


def example_norms(x: Array) -> Array:
    """Euclidean norm of each example, shape (N,), dtype of x; its gradient at zero is zero, not NaN.

    Right wherever it can be held: squares neither overflow nor vanish. Half precision is summed in float32.
    """
    rows = widened(x).reshape(x.shape[0], math.prod(x.shape[1:]))
    scale = power_of_two(jnp.max(jnp.abs(rows), axis=1, initial=0))
    return (safe_sqrt(jnp.sum(jnp.square(rows / scale[:, None]), axis=1)) * scale).astype(x.dtype)


def project_linf(delta: Array, *, radius: float | Array) -> Array:
    """The nearest point with every entry in [-radius, radius].

    Args:
        delta: (N, ...).
        radius: non-negative scalar. Traced.

    Raises:
        InputError: radius is negative or not finite.
    """
    check_positive("radius", radius, or_zero=True)
    return jnp.clip(delta, -radius, radius)


def project_l2(delta: Array, *, radius: float | Array) -> Array:
    """The nearest point whose per-example Euclidean norm is at most `radius`.

    Args:
        delta: (N, ...).
        radius: non-negative scalar. Traced.

    Raises:
        InputError: radius is negative or not finite.
    """
    check_positive("radius", radius, or_zero=True)
    norms = example_norms(delta)
    scale = jnp.where(norms > radius, radius / jnp.where(norms > 0, norms, 1), 1)
    return delta * _per_example(scale, delta).astype(delta.dtype)


def sample_linf(key: Key, like: Array, *, radius: float | Array) -> Array:
    """Uniform samples of the cube [-radius, radius]^d, one per example.

    Args:
        key: one key, or one per example (see `example_keys`).
        like: (N, ...); gives shape and dtype.
        radius: non-negative scalar. Traced.
    """
    check_positive("radius", radius, or_zero=True)
    keys = example_keys(key, like.shape[0])
    return radius * jax.vmap(lambda k: jax.random.uniform(k, like.shape[1:], like.dtype, -1, 1))(keys)


def sample_l2(key: Key, like: Array, *, radius: float | Array) -> Array:
    """Uniform samples of the Euclidean ball of the given radius, one per example.

    A Gaussian direction times radius · U^{1/d}, U uniform in [0, 1], is uniform in the ball.

    Args:
        key: one key, or one per example (see `example_keys`).
        like: (N, ...); gives shape and dtype.
        radius: non-negative scalar. Traced.
    """
    check_positive("radius", radius, or_zero=True)
    dimension = max(1, math.prod(like.shape[1:]))

    def one(k: Key) -> tuple[Array, Array]:
        k_direction, k_length = jax.random.split(k)
        direction = jax.random.normal(k_direction, like.shape[1:], like.dtype)
        return direction, jax.random.uniform(k_length, (), like.dtype) ** (1 / dimension)

    directions, lengths = jax.vmap(one)(example_keys(key, like.shape[0]))
    return radius * directions * _per_example(lengths / example_norms(directions), like)


def _per_example(values: Array, like: Array) -> Array:
    return values.reshape(-1, *(1,) * (like.ndim - 1))
