"""What keeps results the same whichever of JAX's modes the caller switched on; all scopes, nothing global.

`jax_debug_nans` finds NaN where none is meant. What is undefined by contract is NaN all the same: it is kept out of the
computation by a guard and filled in by the last operation, which does not trap (`defined_where`), or a function that
refuses NaN among its inputs does all its work untrapped (`may_be_undefined`). Both hold for calls outside a
transformation: inside a `jit` of the caller's own the NaN is an output of the caller's program, at which JAX stops as
it was asked to.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core.types import Array

__all__ = ["defined_where", "floating_dtype", "lenient_promotion", "may_be_undefined"]

F = TypeVar("F", bound=Callable[..., Any])


def defined_where(defined: Array, value: Array) -> Array:
    """`value` where `defined`, NaN elsewhere; the NaN does not trap under `jax_debug_nans`, one in `value` does."""
    with jax.debug_nans(False):
        return jnp.where(defined, value, jnp.nan)


def may_be_undefined(fn: F) -> F:
    """`fn`, whose documented results include NaN, without a trap for any NaN that it computes."""

    @functools.wraps(fn)
    def untrapped(*args: Any, **options: Any) -> Any:
        with jax.debug_nans(False):
            return fn(*args, **options)

    return untrapped  # type: ignore[return-value]


@contextlib.contextmanager
def lenient_promotion() -> Iterator[None]:
    """A scope for libraries that broadcast ranks and mix dtypes, as the caller may have forbidden."""
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


def floating_dtype(*values: object) -> np.dtype:
    """float64 if one of the values is a float64 array and `jax_enable_x64` is on, else float32.

    Python's own numbers have no say: they are float64 to a JAX with `jax_enable_x64`, and draws in float64 are others.
    """
    wide = any(getattr(value, "dtype", None) == np.float64 for value in values)
    return np.dtype(jnp.result_type(float) if wide else np.float32)
