"""Boundary checks: one line that names the argument, what was found and what was expected.

Shapes and dtypes are checked always, also while JAX traces. Values (range, NaN) are checked where they exist,
that is outside `jit`; inside a trace there is nothing to look at and the check is skipped.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr._core.types import ArrayLike

__all__ = [
    "InputError",
    "check_count",
    "check_images",
    "check_points",
    "check_positive",
    "check_same_shape",
    "check_square",
    "first_line",
    "is_traced",
]

CHANNEL_COUNTS = (1, 2, 3, 4)


class InputError(ValueError):
    """Bad input from the caller. The message is one line and fit for a terminal; the CLI exits with code 2."""


def first_line(error: BaseException) -> str:
    """The error's own message, without the lines that JAX appends to errors raised while it traces."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def is_traced(*arrays: object) -> bool:
    """True if any leaf of `arrays` is an abstract value of a running JAX transformation."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arrays))


def check_images(
    name: str,
    images: ArrayLike,
    *,
    channels: int | None = None,
    data_range: float | None = 1.0,
    overshoot: float = 1e-3,
) -> None:
    """Raise unless `images` is a float NHWC batch with finite values in [0, data_range].

    Args:
        name: the argument's name, for the message.
        images: (N, H, W, C).
        channels: required C, or None for any of 1-4.
        data_range: the largest valid value; None skips the range check (NaN and infinity are still refused).
        overshoot: by how much of `data_range` values may leave the range on both sides. Restorations overshoot near
            edges, clean images do not.

    Raises:
        InputError: wrong rank, dtype, likely NCHW layout, channel count, NaN, or range.
    """
    shape, dtype = jnp.shape(images), jnp.result_type(images)
    if len(shape) != 4:
        raise InputError(f"{name}: found shape {shape}, expected a batch of images (N, H, W, C)")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(f"{name}: found dtype {dtype}, expected floating point")
    if shape[-1] not in CHANNEL_COUNTS and shape[1] in CHANNEL_COUNTS:
        raise InputError(f"{name}: found shape {shape}, which looks like NCHW; expected NHWC (N, H, W, C)")
    if shape[-1] not in (CHANNEL_COUNTS if channels is None else (channels,)):
        raise InputError(f"{name}: found {shape[-1]} channels in shape {shape}, expected {channels or '1 to 4'}")
    if is_traced(images) or math.prod(shape) == 0:
        return
    # Also inside a trace, where plain jnp would stage the reduction of a constant out instead of computing it.
    with jax.ensure_compile_time_eval():
        low, high = float(jnp.min(images)), float(jnp.max(images))
    if not (math.isfinite(low) and math.isfinite(high)):
        bad = int((~np.isfinite(np.asarray(images))).sum())
        raise InputError(f"{name}: found {bad} NaN or infinite values, expected none")
    if data_range is None:
        return
    slack = overshoot * data_range
    if low < -slack or high > data_range + slack:
        raise InputError(f"{name}: found values in [{low:.4g}, {high:.4g}], expected [0, {data_range:g}]")


def check_points(name: str, points: ArrayLike, *, width: int | None = None, at_least: int = 1) -> None:
    """Raise unless `points` is a finite float array (N, d) with N >= at_least and, if given, d = width."""
    shape, dtype = jnp.shape(points), jnp.result_type(points)
    if len(shape) != 2:
        raise InputError(f"{name}: found shape {shape}, expected points (N, d)")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(f"{name}: found dtype {dtype}, expected floating point")
    if width is not None and shape[1] != width:
        raise InputError(f"{name}: found width {shape[1]}, expected {width}")
    if shape[0] < at_least:
        raise InputError(f"{name}: found {shape[0]} points, expected at least {at_least}")
    if not is_traced(points) and not bool(np.isfinite(np.asarray(points)).all()):
        raise InputError(f"{name}: found NaN or infinite values, expected finite points")


def check_same_shape(name_a: str, a: ArrayLike, name_b: str, b: ArrayLike) -> None:
    """Raise unless both arrays have one shape; nothing is broadcast."""
    if jnp.shape(a) != jnp.shape(b):
        raise InputError(f"{name_a} and {name_b}: found shapes {jnp.shape(a)} and {jnp.shape(b)}, expected one shape")


def check_square(name: str, matrix: ArrayLike) -> None:
    """Raise unless `matrix` is a finite square matrix (d, d)."""
    shape = jnp.shape(matrix)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise InputError(f"{name}: found shape {shape}, expected a square matrix (d, d)")
    if not is_traced(matrix) and not np.isfinite(np.asarray(matrix)).all():
        raise InputError(f"{name}: found NaN or infinite values, expected a finite matrix")


def check_count(name: str, value: int, *, at_least: int = 1) -> None:
    """Raise unless `value` is an integer >= at_least."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise InputError(f"{name}: found {value!r}, expected an integer of at least {at_least}")


def check_positive(name: str, value: ArrayLike, *, or_zero: bool = False) -> None:
    """Raise unless `value` is a positive (or, with `or_zero`, non-negative) finite number."""
    if is_traced(value):
        return
    found = np.asarray(value)
    if not np.isfinite(found).all() or (found < 0).any() or (not or_zero and (found == 0).any()):
        raise InputError(f"{name}: found {value}, expected a {'non-negative' if or_zero else 'positive'} number")
