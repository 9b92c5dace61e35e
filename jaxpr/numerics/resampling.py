"""Resizing in the convention of MATLAB's `imresize`, as one small matrix per axis.

Images are float NHWC batches. Sample i of the output (counted from zero) lies at (i + 1/2) / scale - 1/2 of the input;
when shrinking with antialiasing the kernel is stretched by 1 / scale; weights are normalised per output sample; beyond
the border the image is mirrored with its edge pixel repeated, or, if asked for, its edge pixel goes on. Values are
neither rounded nor clipped, so bicubic and Lanczos resizing may overshoot [0, 1].
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, Array, ArrayLike, InputError, check_count, check_positive

__all__ = ["BOX", "CUBIC", "CUBIC_SHARP", "LANCZOS3", "LINEAR", "Kernel", "clamp", "mirror", "resize", "resize_matrix"]

Border = Callable[[np.ndarray, int], np.ndarray]
"""Maps indices, however far outside 0..size-1 they lie, and the size to indices inside."""


class Kernel(NamedTuple):
    """An interpolation kernel.

    Attributes:
        name: for messages.
        function: weight of a distance in input pixels, vectorised over NumPy arrays.
        width: length of the interval, centred at zero, outside which the weight is zero.
    """

    name: str
    function: Callable[[np.ndarray], np.ndarray]
    width: float


def _box(distance: np.ndarray) -> np.ndarray:
    # Half open, so that exactly one input sample is the nearest.
    return ((distance >= -0.5) & (distance < 0.5)).astype(np.float64)


def _linear(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1.0 - np.abs(distance), 0.0)


def _cubic(distance: np.ndarray, *, a: float) -> np.ndarray:
    # Keys' cubic convolution, in Horner form.
    d = np.abs(distance)
    inner = ((a + 2) * d - (a + 3)) * d * d + 1.0
    outer = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1.0, inner, np.where(d <= 2.0, outer, 0.0))


def _lanczos3(distance: np.ndarray) -> np.ndarray:
    return np.where(np.abs(distance) < 3.0, np.sinc(distance) * np.sinc(distance / 3.0), 0.0)


BOX = Kernel("box", _box, 1.0)
"""Nearest neighbour; with antialiasing, the average over the shrunken pixel."""
LINEAR = Kernel("linear", _linear, 2.0)
CUBIC = Kernel("cubic", partial(_cubic, a=-0.5), 4.0)
"""MATLAB's bicubic: Keys' kernel with a = -1/2."""
CUBIC_SHARP = Kernel("cubic, a = -3/4", partial(_cubic, a=-0.75), 4.0)
"""PyTorch's and OpenCV's bicubic without antialiasing, together with `clamp`."""
LANCZOS3 = Kernel("lanczos3", _lanczos3, 6.0)


def mirror(index: np.ndarray, size: int) -> np.ndarray:
    """Indices of a signal mirrored with repeated edges."""
    wrapped = np.mod(index, 2 * size)
    return np.minimum(wrapped, 2 * size - 1 - wrapped)


def clamp(index: np.ndarray, size: int) -> np.ndarray:
    """Indices of a signal whose first and last samples go on."""
    return np.clip(index, 0, size - 1)


def resize_matrix(
    size_in: int,
    size_out: int,
    *,
    kernel: Kernel,
    antialias: bool = True,
    scale: float | None = None,
    border: Border = mirror,
) -> np.ndarray:
    """The linear map that resizes one axis.

    Args:
        size_in: number of input samples.
        size_out: number of output samples.
        kernel: one of `BOX`, `LINEAR`, `CUBIC`, `LANCZOS3`, or another `Kernel`.
        antialias: stretch the kernel when shrinking.
        scale: output pixels per input pixel; `size_out / size_in` if not given. MATLAB, when called with a scale,
            uses it as given together with `size_out = ceil(scale * size_in)`, which differs if that rounds.
        border: `mirror` or `clamp`.

    Returns:
        Matrix (size_out, size_in), float64, rows summing to one.

    Raises:
        InputError: a size is not a positive integer, or the scale is not positive.
    """
    check_count("size_in", size_in)
    check_count("size_out", size_out)
    if scale is None:
        scale = size_out / size_in
        # One rounding only: a position half way between two pixels comes out exactly half way.
        position = (2 * np.arange(size_out) + 1) * size_in / (2 * size_out) - 0.5
    else:
        check_positive("scale", scale)
        position = (2 * np.arange(size_out) + 1) / (2 * scale) - 0.5
    shrink = min(scale, 1.0) if antialias else 1.0
    width = kernel.width / shrink
    first = np.floor(position - width / 2).astype(np.int64)
    index = first[:, None] + np.arange(int(np.ceil(width)) + 2)
    weight = kernel.function((position[:, None] - index) * shrink)
    weight = weight / weight.sum(axis=1, keepdims=True)
    matrix = np.zeros((size_out, size_in))
    np.add.at(matrix, (np.arange(size_out)[:, None], border(index, size_in)), weight)
    return matrix


def resize(
    images: ArrayLike, shape: tuple[int, int], *, kernel: Kernel, antialias: bool = True, border: Border = mirror
) -> Array:
    """Resize a batch of images: first along the height, then along the width.

    Args:
        images: (N, H, W, C), floating point, any range.
        shape: new height and width. Static.
        kernel: interpolation kernel. Static.
        antialias: stretch the kernel when shrinking. With `BOX` and False this is nearest neighbour. Static.
        border: what lies outside the image, `mirror` or `clamp`. Static.

    Returns:
        (N, *shape, C), dtype of `images`; differentiable.

    Raises:
        InputError: `images` is not a floating-point batch of rank four, or `shape` is not two positive integers.
    """
    found, dtype = jnp.shape(images), jnp.result_type(images)
    if len(found) != 4 or 0 in found[1:]:
        raise InputError(f"images: found shape {found}, expected a batch of images (N, H, W, C)")
    if not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(f"images: found dtype {dtype}, expected floating point")
    if len(shape) != 2:
        raise InputError(f"shape: found {tuple(shape)}, expected (height, width)")
    x = jnp.asarray(images)
    rows = resize_matrix(found[1], shape[0], kernel=kernel, antialias=antialias, border=border)
    columns = resize_matrix(found[2], shape[1], kernel=kernel, antialias=antialias, border=border)
    x = jnp.einsum("hi,niwc->nhwc", jnp.asarray(rows, x.dtype), x, precision=HIGHEST)
    return jnp.einsum("wj,nhjc->nhwc", jnp.asarray(columns, x.dtype), x, precision=HIGHEST)
