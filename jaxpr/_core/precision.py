"""Precision: full-width matrix products, and float64 where digits would be lost.

Nothing here changes JAX's global configuration.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr._core.checks import is_traced
from jaxpr._core.versions import enable_x64

__all__ = ["HIGHEST", "in_float64"]

HIGHEST = jax.lax.Precision.HIGHEST
"""For matrix products and convolutions that enter a metric: TPUs and recent GPUs round operands by default."""


def in_float64(fn: Callable[..., Any]) -> Callable[..., Any]:
    """Run `fn(xp, *arrays)` in float64 and return what it returns; `xp` is NumPy or `jax.numpy`.

    On concrete arrays of any device: `xp` is NumPy on the host (LAPACK in double precision, no float64 on an
    accelerator) and results are NumPy float64. Under a JAX transformation: `xp` is `jax.numpy`, float64 is enabled for
    the scope of `fn` and its reverse-mode gradient only (there is no forward mode), and results return to the widest
    input dtype; on a TPU, which has no such unit, the computation stays in the inputs' dtype.
    """

    @functools.wraps(fn)
    def wrapped(*args: Any) -> Any:
        if not is_traced(args):
            return fn(np, *jax.tree.map(lambda a: np.asarray(a, np.float64), args))
        with jax.numpy_dtype_promotion("standard"):
            dtype = jnp.result_type(*jax.tree.leaves(args))
        if jax.default_backend() == "tpu":
            return fn(jnp, *jax.tree.map(lambda a: jnp.asarray(a, dtype), args))
        return _traced_in_float64(functools.partial(fn, jnp), dtype, args)

    return wrapped


def _traced_in_float64(fn: Callable[..., Any], dtype: jnp.dtype, args: tuple[Any, ...]) -> Any:
    """Trace `fn` with float64 enabled. Its transpose is traced later, outside the scope, unless it has its own rule."""

    def scoped(*values: Any) -> Any:
        out = fn(*jax.tree.map(lambda a: jnp.asarray(a).astype(jnp.float64), values))
        return jax.tree.map(lambda a: jnp.asarray(a).astype(dtype), out)

    @jax.custom_vjp
    def run(*values: Any) -> Any:
        with enable_x64():
            return scoped(*values)

    def forward(*values: Any) -> tuple[Any, Any]:
        with enable_x64():
            return jax.vjp(scoped, *values)

    def backward(pullback: Any, cotangent: Any) -> Any:
        with enable_x64():
            return pullback(cotangent)

    run.defvjp(forward, backward)
    return run(*args)
