"""Trying a restorer before anything is written: shape, dtype, NaN, and whether an attack can see it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr._core import Array, InputError, Key, first_line, may_be_undefined
from jaxpr.evaluation.measure import Programs
from jaxpr.evaluation.stream import Run

__all__ = ["Trial", "check_finite", "try_restorer"]


class Trial(NamedTuple):
    """What the first batch showed.

    Attributes:
        output: first restoration (H, W, C), by which the restorer is recognised in a later run.
        programs: the restorer's programs; with an attack that changes nothing if JAX cannot differentiate it.
        differentiable: can JAX differentiate it?
    """

    output: np.ndarray
    programs: Programs
    differentiable: bool


def try_restorer(run: Run, name: str, found: Programs) -> Trial:
    """Run a restorer on the first examples.

    Raises:
        InputError: it fails, returns another shape or dtype, or NaN.
    """
    numbers = run.first_piece()
    x, y = run.inputs(numbers)
    keys = run.draw_keys[np.array(numbers)]
    _check_output(name, found, keys, x, y)
    restored = np.asarray(found.restore(keys, y))
    check_finite(run, name, numbers, restored)
    try:
        jax.eval_shape(found.attack, keys, y)
    except InputError as error:
        raise InputError(f"restorer {name}: {first_line(error)}") from error
    except Exception:
        return Trial(restored[0].astype(np.float32), found._replace(attack=_no_attack), differentiable=False)
    return Trial(restored[0].astype(np.float32), found, differentiable=True)


@may_be_undefined
def _no_attack(_: Key, y: Array) -> tuple[Array, Array]:
    return y, jnp.full(y.shape[0], jnp.nan, y.dtype)


def _check_output(name: str, found: Programs, keys: Key, x: Array, y: Array) -> None:
    try:
        output = jax.eval_shape(found.restore, keys, y)
    except InputError as error:
        raise InputError(f"restorer {name}: {first_line(error)}") from error
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(
            f"restorer {name}: failed on measurements of shape {y.shape} ({reason}), expected a function that JAX can "
            "trace from y to x̂, or from key and y to x̂"
        ) from error
    shape = getattr(output, "shape", None)
    if shape != x.shape or not jnp.issubdtype(output.dtype, jnp.floating):
        described = f"{output.dtype} of shape {shape}" if shape is not None else type(output).__name__
        raise InputError(f"restorer {name}: found output {described}, expected floating point of shape {x.shape}")


def check_finite(run: Run, name: str, numbers: list[int], restored: np.ndarray) -> None:
    """Raise unless all restorations of these examples are finite.

    Raises:
        InputError: NaN or infinite values, with their number and the example's name.
    """
    for position, number in enumerate(numbers):
        if not np.isfinite(restored[position]).all():
            bad = int((~np.isfinite(restored[position])).sum())
            raise InputError(
                f"restorer {name}: found {bad} NaN or infinite values in the restoration of "
                f"{run.examples.name(number)}, expected none"
            )
