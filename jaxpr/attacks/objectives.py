"""What attacks ascend: callables from measurements (N, ...) to values (N,)."""

import jax
import jax.numpy as jnp

from jaxpr._core import Array, Estimator, Objective

__all__ = ["output_shift"]


def output_shift(estimator: Estimator, y: Array) -> Objective:
    r"""Squared distance of the output from the unattacked output, $\|f(y') - f(y)\|_2^2$ per example.

    It is the loss of the basic attack ([ohayon2024], Section 4.2). Its gradient at y' = y is zero; see `ifgsm`.

    Args:
        estimator: maps measurements (N, ...) to restorations; differentiable.
        y: the unattacked measurements; f(y) is computed once, here.

    Returns:
        An objective for measurements of y's shape.
    """
    clean = jax.lax.stop_gradient(estimator(y))

    def objective(attacked: Array) -> Array:
        shift = estimator(attacked) - clean
        return jnp.sum(jnp.square(shift).reshape(shift.shape[0], -1), axis=1)

    return objective
