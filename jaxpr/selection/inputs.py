"""What every selection checks at its boundary, and the one way in which it measures distances."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    Array,
    ArrayLike,
    InputError,
    check_count,
    check_finite,
    check_floats,
    check_points,
    described,
    is_traced,
)

__all__ = ["prepare_distances", "prepare_features", "squared_gaps"]


def prepare_features(features: Array, *, count: int, name: str = "features") -> Array:
    """The checked features, in float32 or wider.

    Args:
        features: (N, d), N >= count, d >= 1.
        count: number of points to select. Static.
        name: of the argument, for messages.

    Raises:
        InputError: not points, empty, NaN or infinite, count < 1, or count > N.
    """
    check_points(name, features)
    check_count("count", count)
    if count > features.shape[0]:
        raise InputError(f"count: found {count}, expected at most the number of points, {features.shape[0]}")
    array = jnp.asarray(features)
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def prepare_distances(distances: Array, *, count: int) -> Array:
    """The checked distances (N, N), in float32 or wider.

    Raises:
        InputError: not a square matrix, NaN, infinite or negative, count < 1, or count > N.
    """
    table = prepare_features(distances, count=count, name="distances")
    if table.shape[0] != table.shape[1]:
        raise InputError(f"distances: found shape {table.shape}, expected a square matrix (N, N)")
    if not is_traced(distances) and bool((np.asarray(distances) < 0).any()):
        raise InputError("distances: found negative values, expected non-negative distances")
    return table


def squared_gaps(a: Array, b: Array) -> Array:
    """Squared Euclidean distances (..., M, N) from a (..., M, d) to b (N, d), from differences.

    Unlike the expansion into a matrix product, copies are at distance exactly zero and equal distances tie exactly,
    wherever the origin lies. No (M, N, d) array is stored once compiled.
    """
    difference = a[..., :, None, :] - b.reshape((1,) * (a.ndim - 1) + b.shape)
    return jnp.sum(difference * difference, axis=-1)


def check_index(name: str, value: ArrayLike, size: int) -> None:
    """Raise unless `value` is a scalar integer in 0..size-1; its value is not looked at under a JAX transformation."""
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    array = isinstance(value, jax.Array | np.ndarray) and value.ndim == 0 and jnp.issubdtype(value.dtype, jnp.integer)
    if not integer and not array:
        raise InputError(f"{name}: found {described(value)}, expected one integer")
    if not is_traced(value) and not 0 <= int(np.asarray(value)) < size:
        raise InputError(f"{name}: found {int(np.asarray(value))}, expected 0 to {size - 1}")


def check_vector(name: str, values: Array, size: int) -> None:
    """Raise unless `values` are finite floats (size,)."""
    shape = check_floats(name, values, expected=f"({size},)")
    if shape != (size,):
        raise InputError(f"{name}: found shape {shape}, expected ({size},)")
    check_finite(name, values)
