"""What a small set says about all answers: how different its members are, and how near they are to a further answer."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, check_points, is_traced
from jaxpr.selection.inputs import prepare_distances

__all__ = ["SetReport", "set_report"]


class SetReport(NamedTuple):
    """The two axes of Figure 17 of [cohen2024md], with distances in place of users.

    Attributes:
        diversity: mean distance between two members of the set, scalar.
        nearest: (H,) distance of each further answer to the nearest member.
        coverage_distance: their mean, scalar; the less, the better further answers are covered. NaN without any.
    """

    diversity: Array
    nearest: Array
    coverage_distance: Array


def set_report(distances: Array, held_out: Array) -> SetReport:
    """Diversity and coverage of a set ([cohen2024md], Section 4.1, Figures 6 and 17, Appendix E).

    Args:
        distances: (n, n) between the members of the set, n of at least two.
        held_out: (H, n) from further answers, which the set was not chosen from, to its members; H may be zero.

    Raises:
        InputError: not square, fewer than two members, NaN, negative, or another width.
    """
    table = prepare_distances(distances, count=2)
    size = table.shape[0]
    check_points("held_out", held_out, width=size, at_least=0)
    if not is_traced(held_out) and bool((np.asarray(held_out) < 0).any()):
        raise InputError("held_out: found negative values, expected non-negative distances")
    others = jnp.where(jnp.eye(size, dtype=bool), 0, table)
    nearest = jnp.min(jnp.asarray(held_out, table.dtype), axis=1)
    coverage = jnp.mean(nearest) if nearest.shape[0] else jnp.asarray(jnp.nan, table.dtype)
    return SetReport(jnp.sum(others) / (size * (size - 1)), nearest, coverage)
