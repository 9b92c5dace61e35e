"""Precision: full-width matrix products, and float64 where digits would be lost.

Nothing here changes JAX's global configuration.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core.checks import is_traced
from jaxpr.core.versions import enable_x64

__all__ = ["FLOAT32_PLATFORMS", "HIGHEST", "in_float64", "is_float32", "rounding_unit"]

HIGHEST = jax.lax.Precision.HIGHEST
"""For matrix products and convolutions that enter a metric: TPUs and recent GPUs round operands by default."""

FLOAT32_PLATFORMS = ("tpu",)
"""Platforms without factorisations in float64. Tests put the CPU here to run there what a TPU runs."""


def in_float64(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Run `fn(xp, *arrays)` in float64 and return what it returns; `xp` is NumPy or `jax.numpy`.

    On concrete arrays of any device: `xp` is NumPy on the host (LAPACK in double precision, no float64 on an
    accelerator) and results are NumPy float64. Under a JAX transformation: `xp` is `jax.numpy`, float64 is enabled for
    the scope of `fn` and its reverse-mode gradient only (there is no forward mode), and results return to the widest
    input dtype.

    A TPU is not known to have such factorisations. Where a program is lowered for one, on whatever machine that
    happens, the arrays are float32 and products have full width: `fn` must do with that, and can tell by their dtype.
    The gradient runs `fn` again.
    """

    @functools.wraps(fn)
    def wrapped(*args: Any) -> Any:
        if not is_traced(args):
            return fn(np, *jax.tree.map(lambda a: np.asarray(a, np.float64), args))
        leaves, tree = jax.tree.flatten(args)
        traced = [is_traced(leaf) for leaf in leaves]

        def call(constants: list[Any], values: tuple[Any, ...]) -> Any:
            rest, given = iter(constants), iter(values)
            return fn(jnp, *jax.tree.unflatten(tree, [next(given) if t else next(rest) for t in traced]))

        constants = [leaf for leaf, t in zip(leaves, traced, strict=True) if not t]
        values = [leaf for leaf, t in zip(leaves, traced, strict=True) if t]
        with jax.numpy_dtype_promotion("standard"):
            dtype = jnp.result_type(*leaves)
        return _on_platforms(call, constants, values, dtype)

    return wrapped


def is_float32(array: Any) -> bool:
    """Is this an array on which `in_float64` had to do with float32, so that another form may be right?"""
    return bool(array.dtype == jnp.float32)


def rounding_unit(array: Any) -> float:
    """Of the array's dtype, which decides what counts as zero beside the largest value."""
    return float(jnp.finfo(array.dtype).eps)


def _on_platforms(call: Callable[..., Any], constants: list[Any], values: list[Any], dtype: jnp.dtype) -> Any:
    """`call` in the precision of the platform, with a gradient of its own; the residuals are its arguments.

    Values between the two would have float64 where a TPU has float32, and a program for a TPU would hold them.
    """
    real = [jnp.issubdtype(jnp.result_type(value), jnp.inexact) for value in values]

    def choose(run: Callable[..., Any], *operands: Any) -> Any:
        narrow = dict.fromkeys(FLOAT32_PLATFORMS, functools.partial(run, jnp.float32))
        default = functools.partial(run, jnp.float64)
        return _scoped(lambda *args: jax.lax.platform_dependent(*args, **narrow, default=default))(*operands)

    def primal(compute: Any, *operands: Any) -> Any:
        found = _in(compute, call, _constants(constants, compute), _cast(operands, compute))
        return _cast(found, dtype)

    def gradient(compute: Any, operands: tuple[Any, ...], cotangent: Any) -> list[Any]:
        def pull(operands: Any, cotangent: Any) -> Any:
            fixed = _constants(constants, compute)
            _, pullback = jax.vjp(lambda *v: _cast(call(fixed, v), compute), *operands)
            return pullback(cotangent)

        found = _in(compute, pull, *(_cast(part, compute) for part in (operands, cotangent)))
        pairs = zip(found, operands, real, strict=True)
        return [_cast(part, operand.dtype) for part, operand, r in pairs if r]

    @jax.custom_vjp
    def run(*operands: Any) -> Any:
        return choose(primal, *operands)

    def forward(*operands: Any) -> tuple[Any, Any]:
        return choose(primal, *operands), operands

    def backward(operands: tuple[Any, ...], cotangent: Any) -> tuple[Any, ...]:
        found = iter(choose(gradient, operands, cotangent))
        return tuple(next(found) if r else None for r in real)

    run.defvjp(forward, backward)
    return run(*values)


def _scoped(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` with float64 enabled while it is traced, and also while `vmap` batches a program that holds it."""

    @jax.custom_batching.custom_vmap
    def run(*args: Any) -> Any:
        with enable_x64(True):
            return fn(*args)

    @run.def_vmap
    def batch(axis_size: int, batched: Any, *args: Any) -> tuple[Any, Any]:
        axes = jax.tree.map(lambda mapped: 0 if mapped else None, tuple(batched))
        found = _scoped(jax.vmap(fn, in_axes=axes, axis_size=axis_size))(*args)
        return found, jax.tree.map(lambda _: True, found)

    return run


def _in(compute: Any, fn: Callable[..., Any], *args: Any) -> Any:
    """Trace `fn` where new arrays have this dtype and float32 products are not rounded to bfloat16."""
    with enable_x64(compute == jnp.float64), jax.default_matmul_precision("highest"):
        return fn(*args)


def _constants(values: list[Any], dtype: Any) -> list[Any]:
    return [_cast(v, dtype) if isinstance(v, jax.Array) else _constant(v, dtype) for v in values]


def _constant(value: Any, dtype: Any) -> Any:
    """An array of the host, so that no program holds it in float64: those for a TPU should not, and others lose digits.

    JAX lifts constants out of branches, where float64 is not enabled.
    """
    wide = np.asarray(value, np.float64)
    with np.errstate(over="ignore"):
        narrow = wide.astype(np.float32)
    if dtype == jnp.float32 or np.array_equal(narrow, wide, equal_nan=True):
        return _cast(narrow, dtype)
    with enable_x64(True):
        return jax.lax.bitcast_convert_type(wide.reshape(*wide.shape, 1).view(np.uint32), jnp.float64)


def _cast(tree: Any, dtype: Any) -> Any:
    with enable_x64(True):
        return jax.tree.map(lambda a: jnp.asarray(a).astype(dtype), tree)
