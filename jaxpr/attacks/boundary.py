"""What every attack checks before it starts, what it asks of a restorer, and the gradient that it follows."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    Array,
    Estimator,
    InputError,
    Objective,
    check_count,
    check_examples,
    described,
    is_number,
    is_traced,
)
from jaxpr.numerics.convolution import canonical_convolutions
from jaxpr.numerics.guards import widened

__all__ = ["ascent_gradient", "ascent_values", "check_attack", "check_measurements", "restorations"]


def restorations(estimator: Estimator, y: Array, *, name: str = "estimator") -> Array:
    """`estimator(y)`, checked where it is called: integers would wrap around in differences.

    Args:
        estimator: maps measurements (N, ...) to restorations (N, ...).
        y: measurements.
        name: the estimator's name, for the message.

    Returns:
        The restorations, in float32 where they are in half precision; squares and gradients are then safe.

    Raises:
        InputError: what it returns is no floating array of one restoration per example.
    """
    found = estimator(y)
    if not isinstance(found, jax.Array | np.ndarray):
        raise InputError(f"{name}: found {type(found).__name__}, expected an array of {y.shape[0]} restorations")
    if not jnp.issubdtype(found.dtype, jnp.floating) or found.shape[:1] != y.shape[:1]:
        raise InputError(
            f"{name}: found {found.dtype} of shape {found.shape}, expected {y.shape[0]} floating restorations"
        )
    return widened(found)


def ascent_gradient(objective: Objective) -> Callable[[Array], Array]:
    """Each example's own gradient of its objective, fast inside `scan` on CPUs too (see `canonical_convolutions`).

    Examples are independent, so the gradient of the sum holds all of them.
    """
    return canonical_convolutions(jax.grad(lambda y: jnp.sum(widened(objective(y)))))


def ascent_values(objective: Objective) -> Callable[[Array], tuple[Array, Array]]:
    """Each example's value of its objective, (N,), beside what `ascent_gradient` gives."""

    def total(y: Array) -> tuple[Array, Array]:
        values = widened(objective(y))
        return jnp.sum(values), values

    both = canonical_convolutions(jax.value_and_grad(total, has_aux=True))

    def values_and_gradient(y: Array) -> tuple[Array, Array]:
        (_, values), gradient = both(y)
        return values, gradient

    return values_and_gradient


def check_attack(objective: Objective, y: Array, *, steps: int | Array, bounds: tuple[float, float] | None) -> None:
    """Raise unless an attack on `objective` from `y` is well defined.

    Raises:
        InputError: y is not floating, not finite or has values outside the bounds, bounds are reversed, steps < 1, or
            the objective does not return one floating value per example.
    """
    check_measurements(y, bounds=bounds)
    if not isinstance(steps, jax.Array):
        check_count("steps", steps)
    found = jax.eval_shape(objective, y)
    shape = getattr(found, "shape", type(found).__name__)
    if shape != (y.shape[0],):
        raise InputError(f"objective: found values of shape {shape}, expected ({y.shape[0]},), one per example")
    if not jnp.issubdtype(found.dtype, jnp.floating):
        raise InputError(f"objective: found values of dtype {found.dtype}, expected floating point")


def check_measurements(y: Array, *, bounds: tuple[float, float] | None) -> None:
    """Raise unless `y` is a floating batch with finite values inside `bounds`; values are checked where they exist.

    Raises:
        InputError: dtype, rank, layout, NaN, values outside the bounds, or bounds that are not (low, high).
    """
    check_examples("y", y)
    if not y.shape[0]:
        raise InputError("y: found no examples, expected at least one")
    if bounds is None:
        return
    if not isinstance(bounds, tuple | list) or len(bounds) != 2 or not all(is_number(b) for b in bounds):
        raise InputError(f"bounds: found {_shown(bounds)}, expected (low, high) with low < high")
    low, high = bounds
    if not low < high:
        raise InputError(f"bounds: found {_shown(bounds)}, expected (low, high) with low < high")
    if is_traced(y) or not y.size:
        return
    values = np.asarray(y)
    if values.min() < low or values.max() > high:
        raise InputError(
            f"y: found values in [{values.min():.4g}, {values.max():.4g}], expected them inside bounds {_shown(bounds)}"
        )


def _shown(bounds: object) -> str:
    if isinstance(bounds, tuple | list) and len(bounds) <= 3:
        return f"({', '.join(described(bound) for bound in bounds)})"
    return described(bounds)
