"""Resizing in the convention of MATLAB's `imresize`, as one small matrix per axis.

Images are float NHWC batches. Sample i of the output (counted from zero) lies at (i + 1/2) / scale - 1/2 of the input;
when shrinking with antialiasing the kernel is stretched by 1 / scale; weights are normalised per output sample; beyond
the border the image is mirrored with its edge pixel repeated. Values are neither rounded nor clipped, so bicubic and
Lanczos resizing may overshoot [0, 1].
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpr._core import HIGHEST, Array, ArrayLike, InputError, check_count, check_positive

__all__ = ["BOX", "CUBIC", "LANCZOS3", "LINEAR", "Kernel", "resize", "resize_matrix"]


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


def _cubic(distance: np.ndarray) -> np.ndarray:
    # Keys' cubic convolution with a = -1/2, in Horner form.
    d = np.abs(distance)
    inner = (1.5 * d - 2.5) * d * d + 1.0
    outer = ((-0.5 * d + 2.5) * d - 4.0) * d + 2.0
    return np.where(d <= 1.0, inner, np.where(d <= 2.0, outer, 0.0))


def _lanczos3(distance: np.ndarray) -> np.ndarray:
    return np.where(np.abs(distance) < 3.0, np.sinc(distance) * np.sinc(distance / 3.0), 0.0)


BOX = Kernel("box", _box, 1.0)
"""Nearest neighbour; with antialiasing, the average over the shrunken pixel."""
LINEAR = Kernel("linear", _linear, 2.0)
CUBIC = Kernel("cubic", _cubic, 4.0)
"""MATLAB's bicubic: Keys' kernel with a = -1/2."""
LANCZOS3 = Kernel("lanczos3", _lanczos3, 6.0)


def resize_matrix(
    size_in: int, size_out: int, *, kernel: Kernel, antialias: bool = True, scale: float | None = None
) -> np.ndarray:
    """The linear map that resizes one axis.

    Args:
        size_in: number of input samples.
        size_out: number of output samples.
        kernel: one of `BOX`, `LINEAR`, `CUBIC`, `LANCZOS3`, or another `Kernel`.
        antialias: stretch the kernel when shrinking.
        scale: output pixels per input pixel; `size_out / size_in` if not given. MATLAB, when called with a scale,
            uses it as given together with `size_out = ceil(scale * size_in)`, which differs if that rounds.

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
    np.add.at(matrix, (np.arange(size_out)[:, None], _mirror(index, size_in)), weight)
    return matrix


def resize(images: ArrayLike, shape: tuple[int, int], *, kernel: Kernel, antialias: bool = True) -> Array:
    """Resize a batch of images: first along the height, then along the width.

    Args:
        images: (N, H, W, C), floating point, any range.
        shape: new height and width. Static.
        kernel: interpolation kernel. Static.
        antialias: stretch the kernel when shrinking. With `BOX` and False this is nearest neighbour. Static.

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
    rows = resize_matrix(found[1], shape[0], kernel=kernel, antialias=antialias)
    columns = resize_matrix(found[2], shape[1], kernel=kernel, antialias=antialias)
    x = jnp.einsum("hi,niwc->nhwc", jnp.asarray(rows, x.dtype), x, precision=HIGHEST)
    return jnp.einsum("wj,nhjc->nhwc", jnp.asarray(columns, x.dtype), x, precision=HIGHEST)


def _mirror(index: np.ndarray, size: int) -> np.ndarray:
    """Indices of a signal mirrored with repeated edges, however far outside 0..size-1 they lie."""
    wrapped = np.mod(index, 2 * size)
    return np.minimum(wrapped, 2 * size - 1 - wrapped)
