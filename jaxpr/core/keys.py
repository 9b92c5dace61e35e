"""Per-example randomness that does not depend on how examples are batched."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core.checks import InputError, described
from jaxpr.core.types import Array, Key

__all__ = ["check_key", "example_keys", "seed_key"]

_SEEDS = 1 << 32


def check_key(key: Key, *, single: bool = False) -> None:
    """Raise unless `key` was made by `jax.random.key`; legacy uint32 keys were not.

    Args:
        key: one key or an array of them.
        single: whether it must be one.

    Raises:
        InputError: anything else.
    """
    if not isinstance(key, jax.Array) or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        found = getattr(key, "dtype", type(key).__name__)
        raise InputError(f"key: found {found}, expected a key made by jax.random.key")
    if single and key.ndim:
        raise InputError(f"key: found keys of shape {key.shape}, expected one key; use jax.vmap for many problems")


def example_keys(key: Key, count: int) -> Array:
    """One key per example: `fold_in(key, i)` for i in 0..count-1, or the given keys themselves.

    A caller that streams a data set in batches passes an array of `count` keys, folded with the examples' positions
    in the data set; then results do not depend on the batch size, on sharding or on a resumed run.

    Args:
        key: one key from `jax.random.key`, or an array of `count` keys.
        count: number of examples N. Static.

    Returns:
        Keys, shape (count,).

    Raises:
        InputError: `key` is a legacy uint32 key or an array of another length.
    """
    check_key(key)
    if key.ndim == 0:
        return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(count))
    if key.shape != (count,):
        raise InputError(f"key: found keys of shape {key.shape}, expected one key or one for each of {count} examples")
    return key


def seed_key(name: str, seed: int) -> Key:
    """`jax.random.key(seed)`, for seeds that JAX tells apart: of longer ones it takes the last 32 bits.

    Args:
        name: of the argument, for the message.
        seed: 0 to 2³² - 1.

    Raises:
        InputError: another number, or none.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < _SEEDS:
        raise InputError(f"{name}: found {described(seed)}, expected an integer from 0 to {_SEEDS - 1}")
    return jax.random.key(seed)
