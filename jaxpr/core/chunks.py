"""Loops over a leading axis: in pieces, so that memory does not grow with N, and scans of any length."""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jaxpr.core.checks import check_count
from jaxpr.core.types import Array

__all__ = ["map_chunks", "scan"]


C = TypeVar("C")


def scan(step: Callable[[C, Any], tuple[C, Any]], start: C, inputs: Any) -> tuple[C, Any]:
    """`lax.scan` over the leading axis of `inputs` that may have length zero also under `jax_disable_jit`."""
    leaves = jax.tree.leaves(inputs)
    if leaves[0].shape[0]:
        return jax.lax.scan(step, start, inputs)
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), inputs)
    _, out = jax.eval_shape(step, start, one)
    return start, jax.tree.map(lambda leaf: jnp.zeros((0, *leaf.shape), leaf.dtype), out)


def map_chunks(fn: Callable[[Array], Array], x: Array, *, size: int) -> Array:
    """`fn(x)` for a batched `fn`, computed `size` examples at a time inside one `lax.scan`.

    Args:
        fn: maps (n, ...) to (n, ...) for any n, one example independent of the others.
        x: (N, ...), N >= 1. The last, shorter piece is computed on its own.
        size: examples per piece. Static.

    Returns:
        `fn(x)`, shape (N, ...).

    Raises:
        InputError: size is not a positive integer.
    """
    check_count("size", size)
    if x.shape[0] <= size:
        return fn(x)
    whole = x.shape[0] // size
    pieces = x[: whole * size].reshape(whole, size, *x.shape[1:])
    out = jax.lax.map(fn, pieces)
    out = out.reshape(whole * size, *out.shape[2:])
    if whole * size < x.shape[0]:
        out = jnp.concatenate([out, fn(x[whole * size :])])
    return out
