"""Boundary checks: one line that names the argument, what was found and what was expected.

Shapes and dtypes are checked always, also while JAX traces. Values (range, NaN) are checked where they exist,
that is outside `jit`; inside a trace there is nothing to look at and the check is skipped.
"""

import math
import numbers

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core.types import ArrayLike

__all__ = [
    "InputError",
    "check_count",
    "check_examples",
    "check_finite",
    "check_floats",
    "check_images",
    "check_points",
    "check_positive",
    "check_same_shape",
    "check_square",
    "described",
    "first_line",
    "is_number",
    "is_traced",
]

CHANNEL_COUNTS = (1, 2, 3, 4)
_LARGEST_COUNT = 2**31 - 1  # of the integers that JAX counts with
_LONGEST_VALUE = 60


class InputError(ValueError):
    """Bad input from the caller. The message is one line and fit for a terminal; the CLI exits with code 2."""


def first_line(error: BaseException) -> str:
    """The error's own message, without the lines that JAX appends to errors raised while it traces."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def is_traced(*arrays: object) -> bool:
    """True if any leaf of `arrays` is an abstract value of a running JAX transformation."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(arrays))


def is_number(value: object) -> bool:
    """True for a real number of Python or NumPy, NaN and infinity among them; False for booleans and arrays."""
    return isinstance(value, numbers.Real | np.integer | np.floating) and not isinstance(value, bool)


def described(value: object) -> str:
    """A value as a message shows it: whole if it is short, else its type, and of an array the shape."""
    if isinstance(value, jax.Array | np.ndarray) and (is_traced(value) or np.ndim(value)):
        return f"an array of shape {np.shape(value)} and dtype {value.dtype}"
    text = repr(value)
    if isinstance(value, list | dict | set) or len(text) > _LONGEST_VALUE or not text.isprintable():
        return type(value).__name__
    return text


def check_floats(name: str, array: ArrayLike, *, expected: str) -> tuple[int, ...]:
    """The shape of a floating-point array of NumPy or JAX; a nested list is none.

    Raises:
        InputError: anything else; the message ends with what was `expected`.
    """
    if not isinstance(array, jax.Array | np.ndarray | np.generic):
        raise InputError(f"{name}: found {type(array).__name__}, expected an array, {expected}")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise InputError(f"{name}: found dtype {array.dtype}, expected floating point, {expected}")
    return tuple(array.shape)


def check_finite(name: str, array: ArrayLike) -> None:
    """Raise if values of the array exist and one of them is NaN or infinite."""
    if _count_not_finite(array):
        raise InputError(f"{name}: found NaN or infinite values, expected finite ones")


def _check_finite_pixels(name: str, images: ArrayLike) -> None:
    if bad := _count_not_finite(images):
        raise InputError(f"{name}: found {bad} NaN or infinite values, expected none")


def _count_not_finite(array: ArrayLike) -> int:
    """How many values are NaN or infinite; zero where there are no values yet."""
    if is_traced(array):
        return 0
    # Minima and maxima do not tell: XLA's lose a NaN among many values on CPUs. Also inside a trace, where plain jnp
    # would stage the reduction of a constant out instead of computing it.
    with jax.ensure_compile_time_eval():
        xp = jnp if isinstance(array, jax.Array) else np
        return int(xp.sum(~xp.isfinite(array)))


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
        images: (N, H, W, C), at least one pixel; N may be zero.
        channels: required C, or None for any of 1-4.
        data_range: the largest valid value; None skips the range check (NaN and infinity are still refused).
        overshoot: by how much of `data_range` values may leave the range on both sides. Restorations overshoot near
            edges, clean images do not.

    Raises:
        InputError: no array, wrong rank, dtype, likely NCHW layout, channel count, no pixels, NaN, or range.
    """
    shape = check_floats(name, images, expected="a batch of images (N, H, W, C)")
    if len(shape) != 4:
        raise InputError(f"{name}: found shape {shape}, expected a batch of images (N, H, W, C)")
    _check_layout(name, shape)
    if shape[-1] not in (CHANNEL_COUNTS if channels is None else (channels,)):
        raise InputError(f"{name}: found {shape[-1]} channels in shape {shape}, expected {channels or '1 to 4'}")
    _check_finite_pixels(name, images)
    if data_range is not None:
        _check_range(name, images, data_range, overshoot * data_range)


def check_examples(name: str, batch: ArrayLike, *, data_range: float | None = None, overshoot: float = 1.0) -> None:
    """Raise unless `batch` is finite floats: images (N, H, W, any C), points (N, d) or numbers (N,).

    Args:
        name: the argument's name, for the message.
        batch: what attacks and noise work on; N may be zero.
        data_range: the largest valid value of images; None skips the range check, and so do points.
        overshoot: as in `check_images`.

    Raises:
        InputError: no array, another rank, dtype, likely NCHW layout, no pixels, NaN, or range.
    """
    shape = check_floats(name, batch, expected="a batch of images (N, H, W, C) or points (N, d)")
    if len(shape) not in (1, 2, 4):
        raise InputError(f"{name}: found shape {shape}, expected a batch of images (N, H, W, C) or points (N, d)")
    if len(shape) == 4:
        _check_layout(name, shape)
    if 0 in shape[1:]:
        raise InputError(f"{name}: found shape {shape}, expected at least one value per example")
    _check_finite_pixels(name, batch)
    if len(shape) == 4 and data_range is not None:
        _check_range(name, batch, data_range, overshoot * data_range)


def _check_layout(name: str, shape: tuple[int, ...]) -> None:
    if shape[-1] not in CHANNEL_COUNTS and shape[1] in CHANNEL_COUNTS:
        raise InputError(f"{name}: found shape {shape}, which looks like NCHW; expected NHWC (N, H, W, C)")
    if 0 in shape[1:]:
        raise InputError(f"{name}: found shape {shape}, expected at least one pixel")


def _check_range(name: str, images: ArrayLike, data_range: float, slack: float) -> None:
    if is_traced(images) or math.prod(np.shape(images)) == 0:
        return
    with jax.ensure_compile_time_eval():
        low, high = float(jnp.min(images)), float(jnp.max(images))
    if low < -slack or high > data_range + slack:
        raise InputError(f"{name}: found values in [{low:.4g}, {high:.4g}], expected [0, {data_range:g}]")


def check_points(name: str, points: ArrayLike, *, width: int | None = None, at_least: int = 1) -> None:
    """Raise unless `points` is a finite float array (N, d) with N >= at_least, d >= 1 and, if given, d = width."""
    shape = check_floats(name, points, expected="points (N, d)")
    if len(shape) != 2:
        raise InputError(f"{name}: found shape {shape}, expected points (N, d)")
    if width is not None and shape[1] != width:
        raise InputError(f"{name}: found width {shape[1]}, expected {width}")
    if shape[1] == 0:
        raise InputError(f"{name}: found shape {shape}, expected points (N, d) of at least one coordinate")
    if shape[0] < at_least:
        raise InputError(f"{name}: found {shape[0]} points, expected at least {at_least}")
    check_finite(name, points)


def check_same_shape(name_a: str, a: ArrayLike, name_b: str, b: ArrayLike) -> None:
    """Raise unless both arrays have one shape; nothing is broadcast."""
    if jnp.shape(a) != jnp.shape(b):
        raise InputError(f"{name_a} and {name_b}: found shapes {jnp.shape(a)} and {jnp.shape(b)}, expected one shape")


def check_square(name: str, matrix: ArrayLike) -> None:
    """Raise unless `matrix` is a finite floating square matrix (d, d), d >= 1."""
    shape = check_floats(name, matrix, expected="a square matrix (d, d)")
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] == 0:
        raise InputError(f"{name}: found shape {shape}, expected a square matrix (d, d)")
    check_finite(name, matrix)


def check_count(name: str, value: int, *, at_least: int = 1) -> None:
    """Raise unless `value` is an integer >= at_least that 32 bits hold; a boolean and an array are none."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < at_least:
        raise InputError(f"{name}: found {described(value)}, expected an integer of at least {at_least}")
    if value > _LARGEST_COUNT:
        raise InputError(f"{name}: found {described(value)}, expected an integer of at most {_LARGEST_COUNT}")


def check_positive(name: str, value: ArrayLike, *, or_zero: bool = False, scalar: bool = False) -> None:
    """Raise unless `value` is a positive (or, with `or_zero`, non-negative) finite number, or an array of them.

    Args:
        name: the argument's name, for the message.
        value: of Python, NumPy or JAX; integers count, booleans and strings do not.
        or_zero: whether zero is valid.
        scalar: whether arrays are refused but for those of rank zero.

    Raises:
        InputError: anything else. Of a traced value only dtype and rank are checked.
    """
    expected = f"a {'non-negative' if or_zero else 'positive'} number"
    if isinstance(value, jax.Array | np.ndarray):
        real = jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)
        if not real or (scalar and value.ndim):
            raise InputError(f"{name}: found {described(value)}, expected {expected}")
    elif not is_number(value):
        raise InputError(f"{name}: found {described(value)}, expected {expected}")
    if is_traced(value):
        return
    found = np.asarray(value, np.float64)
    wrong = ~np.isfinite(found) | (found < 0) | (not or_zero and found == 0)
    if wrong.any():
        shown = described(value) if found.ndim == 0 else f"{found[wrong][0]:g}"
        raise InputError(f"{name}: found {shown}, expected {expected}")
