"""Lower bounds of an estimator's Lipschitz constant from pairs of nearby measurements."""

import jax.numpy as jnp

from jaxpr._core import Array, Estimator, check_same_shape
from jaxpr.numerics.balls import example_norms

__all__ = ["lipschitz_ratio", "shift_ratio"]


def lipschitz_ratio(estimator: Estimator, y: Array, y_adv: Array) -> Array:
    r"""$K(y, y_{adv}) = \|f(y) - f(y_{adv})\|_2 / \|y - y_{adv}\|_2$ per example ([ohayon2024], Section 4.2).

    Its mean over a data set is K̄, a lower bound of the Lipschitz constant of eq. (1); see
    `numerics.grouped_mean` for the mean with its standard error.

    Args:
        estimator: maps measurements (N, ...) to restorations.
        y: measurements, (N, ...).
        y_adv: attacked measurements, same shape.

    Returns:
        (N,); NaN where y_adv equals y, for which no ratio is defined.

    Raises:
        InputError: y and y_adv differ in shape.
    """
    check_same_shape("y", y, "y_adv", y_adv)
    return shift_ratio(estimator(y), estimator(y_adv), y, y_adv)


def shift_ratio(restored: Array, restored_adv: Array, y: Array, y_adv: Array) -> Array:
    """The same ratio from outputs that are already there, f(y) and f(y_adv); shape (N,)."""
    check_same_shape("y", y, "y_adv", y_adv)
    check_same_shape("restored", restored, "restored_adv", restored_adv)
    moved = example_norms(y - y_adv)
    return jnp.where(moved > 0, example_norms(restored - restored_adv) / jnp.where(moved > 0, moved, 1), jnp.nan)
