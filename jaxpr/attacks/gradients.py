"""Whether a restorer has a gradient that an attack can follow; if not, surviving the attack says nothing about it."""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks.boundary import check_measurements, restorations
from jaxpr.core import Array, Estimator, InputError, Key, example_keys
from jaxpr.numerics.balls import example_norms
from jaxpr.numerics.guards import widened

__all__ = ["GradientState", "GradientStatus", "classify_gradient", "gradient_status"]


class GradientState(enum.StrEnum):
    """What the gradient of a restorer is like; a string, fit for records.

    Attributes:
        OK: finite everywhere and not zero.
        ZERO: zero at every measurement: rounding, quantisation, a stopped gradient, or a constant output.
        NAN: NaN or infinite at one measurement or more.
        UNDIFFERENTIABLE: JAX cannot differentiate the restorer: host callbacks, integers, NumPy, unbounded loops.
    """

    OK = "ok"
    ZERO = "zero"
    NAN = "nan"
    UNDIFFERENTIABLE = "undifferentiable"


class GradientStatus(NamedTuple):
    """The gradient at each measurement, along one random direction of the output.

    Attributes:
        norm: ‖Jᵀu‖ for a random u of length one, (N,). Its size is that of a typical singular value times the root of
            the share of outputs, so compare it with zero, not with a Lipschitz constant.
        zero: where the gradient is exactly zero, (N,) booleans.
        finite: where all its entries are finite, (N,) booleans.
    """

    norm: Array
    zero: Array
    finite: Array


def gradient_status(key: Key, estimator: Estimator, y: Array) -> GradientStatus:
    """The gradient of a random projection of the output, by one reverse-mode product.

    A Jacobian that is not zero sends a random direction to zero with probability zero.

    Args:
        key: one key, or one per example.
        estimator: maps measurements (N, ...) to floating restorations (N, ...); differentiable.
        y: measurements (N, ...).

    Raises:
        InputError: y is not floating or not finite, or the restorations are not floating.
        Exception: whatever JAX raises for an estimator that it cannot differentiate; see `classify_gradient`.
    """
    check_measurements(y, bounds=None)
    keys = example_keys(key, y.shape[0])
    restored, pull = jax.vjp(lambda z: restorations(estimator, z.astype(y.dtype)), widened(y))
    directions = jax.vmap(lambda k: jax.random.normal(k, restored.shape[1:], restored.dtype))(keys)
    lengths = example_norms(directions).reshape(-1, *(1,) * (restored.ndim - 1))
    (gradient,) = pull(directions / lengths)
    flat = gradient.reshape(y.shape[0], -1)
    return GradientStatus(
        norm=example_norms(gradient), zero=jnp.all(flat == 0, axis=1), finite=jnp.all(jnp.isfinite(flat), axis=1)
    )


def classify_gradient(key: Key, estimator: Estimator, y: Array) -> GradientState:
    """One word on whether attacks on this restorer mean anything. Host only, not under `jit`.

    Run it on a few measurements before an attack; the restorer is compiled for it.

    Args:
        key: one key, or one per example.
        estimator: any callable on measurements; it need not be differentiable, nor traceable.
        y: measurements (N, ...), N >= 1.

    Returns:
        NAN if any example's gradient has NaN or infinite entries, else ZERO if all examples' are zero, else OK;
        UNDIFFERENTIABLE if JAX fails to differentiate what runs fine without.

    Raises:
        InputError: y is not floating, not finite or empty, or key is no key.
        Exception: whatever the estimator itself raises when it is called on y.
    """
    check_measurements(y, bounds=None)
    if y.shape[0] < 1:
        raise InputError("y: found no measurements, expected at least one")
    example_keys(key, y.shape[0])
    try:
        # Only the tracing: running out of memory later is no property of the gradient.
        compiled = jax.jit(lambda k, z: gradient_status(k, estimator, z)).lower(key, y)
    except Exception:
        # JAX has an exception of its own for each reason. If the estimator fails by itself, that error is the caller's.
        jax.block_until_ready(estimator(y))
        return GradientState.UNDIFFERENTIABLE
    status = compiled.compile()(key, y)
    if not np.asarray(status.finite).all():
        return GradientState.NAN
    return GradientState.ZERO if np.asarray(status.zero).all() else GradientState.OK
