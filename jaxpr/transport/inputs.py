"""What the transport solvers share: names of costs, weights, and optional packages."""

import importlib
import warnings
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import ArrayLike, InputError, check_points, described, is_traced, missing_extra

__all__ = ["Cost", "check_cost", "check_pair", "optional", "weight_pair"]

Cost = Literal["l1", "l2", "squared_l2"]
"""Between points: the sum of absolute differences, the Euclidean distance, or its square."""

# Weights that should sum to the same are rescaled if rounding (float32, a million points) explains the difference.
_SAME_MASS = 1e-6


def optional(module: str) -> Any:
    """Import a module of the extra `transport`, or name the extra."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of what those packages import themselves
            return importlib.import_module(module)
    except ImportError as error:
        raise missing_extra(module, "transport") from error


def check_cost(cost: str) -> None:
    """Raise unless `cost` is one of the named costs."""
    if not isinstance(cost, str) or cost not in get_args(Cost):
        raise InputError(f"cost: found {described(cost)}, expected one of {', '.join(map(repr, get_args(Cost)))}")


def check_pair(x: ArrayLike, y: ArrayLike) -> None:
    """Raise unless both are finite points (n, d) and (m, d) of one width d >= 1."""
    check_points("x", x)
    check_points("y", y, width=jnp.shape(x)[1])


def weight_pair(
    weights_x: ArrayLike | None, weights_y: ArrayLike | None, count_x: int, count_y: int
) -> tuple[Any, Any]:
    """Both weights, checked, or (None, None) for uniform ones; those of y rescaled to the sum of those of x.

    One side alone may be None: it gets equal weights with the other's sum. Concrete weights become NumPy float64.

    Raises:
        InputError: wrong shape, negative, NaN, all zero, or sums that differ by more than rounding.
    """
    a, b = _weights("weights_x", weights_x, count_x), _weights("weights_y", weights_y, count_y)
    if a is None and b is None:
        return None, None
    traced = is_traced(a, b)
    xp: Any = jnp if traced else np
    a = xp.full(count_x, xp.sum(b) / count_x) if a is None else a
    b = xp.full(count_y, xp.sum(a) / count_y) if b is None else b
    if not traced and abs(a.sum() - b.sum()) > _SAME_MASS * max(a.sum(), b.sum()):
        raise InputError(f"weights_x and weights_y: found sums {a.sum():.9g} and {b.sum():.9g}, expected equal sums")
    return a, b * (xp.sum(a) / xp.sum(b))


def _weights(name: str, weights: ArrayLike | None, count: int) -> Any:
    if weights is None:
        return None
    if not isinstance(weights, jax.Array | np.ndarray) or weights.dtype.kind not in "fiuV":  # V: bfloat16
        raise InputError(f"{name}: found {described(weights)}, expected an array of numbers ({count},)")
    if weights.shape != (count,):
        raise InputError(f"{name}: found shape {weights.shape}, expected ({count},), one for each point")
    if is_traced(weights):
        return weights
    found = np.asarray(weights, np.float64)
    if not np.isfinite(found).all() or (found < 0).any() or not found.any():
        raise InputError(f"{name}: found negative, infinite, NaN or only zero weights, expected non-negative ones")
    with np.errstate(over="ignore"):
        total = found.sum()
    if not np.isfinite(total):
        raise InputError(f"{name}: found a sum beyond float64, expected smaller weights")
    return found
