"""What every attack checks before it starts, and the gradient that it follows."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr._core import Array, InputError, Objective, check_count, is_traced
from jaxpr.numerics.convolution import canonical_convolutions

__all__ = ["ascent_gradient", "check_attack", "check_measurements"]


def ascent_gradient(objective: Objective) -> Callable[[Array], Array]:
    """Each example's own gradient of its objective, fast inside `scan` on CPUs too (see `canonical_convolutions`).

    Examples are independent, so the gradient of the sum holds all of them.
    """
    return canonical_convolutions(jax.grad(lambda y: jnp.sum(objective(y))))


def check_attack(objective: Objective, y: Array, *, steps: int, bounds: tuple[float, float] | None) -> None:
    """Raise unless an attack on `objective` from `y` is well defined.

    Raises:
        InputError: y is not floating, not finite or has values outside the bounds, bounds are reversed, steps < 1, or
            the objective does not return one value per example.
    """
    check_measurements(y, bounds=bounds)
    check_count("steps", steps)
    found = jax.eval_shape(objective, y)
    shape = getattr(found, "shape", type(found).__name__)
    if shape != (y.shape[0],):
        raise InputError(f"objective: found values of shape {shape}, expected ({y.shape[0]},), one per example")


def check_measurements(y: Array, *, bounds: tuple[float, float] | None) -> None:
    """Raise unless `y` is a floating batch with finite values inside `bounds`; values are checked where they exist.

    Raises:
        InputError: dtype, rank, NaN, values outside the bounds, or bounds that are not (low, high).
    """
    if not jnp.issubdtype(jnp.result_type(y), jnp.floating):
        raise InputError(f"y: found dtype {jnp.result_type(y)}, expected floating point")
    if jnp.ndim(y) == 0:
        raise InputError("y: found a scalar, expected measurements (N, ...)")
    low, high = bounds if bounds is not None else (-np.inf, np.inf)
    if not low < high:
        raise InputError(f"bounds: found {bounds}, expected (low, high) with low < high")
    if is_traced(y) or not y.size:
        return
    values = np.asarray(y)
    if not np.isfinite(values).all():
        raise InputError(f"y: found {int((~np.isfinite(values)).sum())} NaN or infinite values, expected none")
    if values.min() < low or values.max() > high:
        raise InputError(
            f"y: found values in [{values.min():.4g}, {values.max():.4g}], expected them inside bounds {bounds}"
        )
