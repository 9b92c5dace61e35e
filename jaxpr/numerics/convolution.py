"""Convolutions whose gradients stay fast inside compiled loops on CPUs.

XLA:CPU runs a convolution fast only if its layout is NHWC · HWIO -> NHWC. It brings other layouts into that one in
the outermost computation, but not inside the bodies of `scan` and `while`; and the gradient of every convolution
has another layout. So an iterative attack through a network is an order of magnitude slower than its single steps.

`canonical_p` is `lax.conv_general_dilated_p` with another lowering on CPUs: transpose, convolve in the fast layout,
transpose back. All its differentiation and batching rules are JAX's own, passed through `canonical_convolutions`.
On other platforms both lower to the same code.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from jaxpr.core import Array, InputError
from jaxpr.core.versions import lower_as, new_primitive, same_result_as, with_primitive_swapped

__all__ = ["canonical_convolutions", "conv"]

F = TypeVar("F", bound=Callable[..., Any])
_plain_p = jax.lax.conv_general_dilated_p
_FAST = ("NHWC", "HWIO", "NHWC")


def conv(
    x: Array,
    kernel: Array,
    *,
    padding: str | Sequence[tuple[int, int]],
    strides: tuple[int, int] = (1, 1),
    input_dilation: tuple[int, int] = (1, 1),
    kernel_dilation: tuple[int, int] = (1, 1),
    feature_group_count: int = 1,
    precision: jax.lax.PrecisionLike = None,
) -> Array:
    """`jax.lax.conv_general_dilated` of images, with fast gradients inside `scan` on CPUs too.

    It has forward mode, reverse mode of any order, and `vmap`, in both arguments.

    Args:
        x: (N, H, W, C).
        kernel: (h, w, C / feature_group_count, features).
        padding: "SAME", "VALID", or ((top, bottom), (left, right)).
        strides: of the window, per axis.
        input_dilation: zeros put between pixels, plus one, per axis: above one for transposed convolutions.
        kernel_dilation: the same for the kernel.
        feature_group_count: channels and features are split into so many groups that do not mix; C for depthwise.
        precision: of the products; `core.HIGHEST` for what enters a metric.

    Returns:
        (N, H', W', features).

    Raises:
        InputError: x or kernel is not of rank four, or their channels do not fit.
    """
    if x.ndim != 4 or kernel.ndim != 4:
        raise InputError(f"x and kernel: found shapes {x.shape} and {kernel.shape}, expected NHWC and HWIO")
    if x.shape[3] != kernel.shape[2] * feature_group_count:
        raise InputError(
            f"kernel: found {kernel.shape[2]} input channels in {feature_group_count} groups, "
            f"expected {x.shape[3]} in all as in x"
        )

    def plain(x: Array, kernel: Array) -> Array:
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            window_strides=strides,
            padding=padding,
            lhs_dilation=input_dilation,
            rhs_dilation=kernel_dilation,
            dimension_numbers=_FAST,
            feature_group_count=feature_group_count,
            precision=precision,
        )

    return canonical_convolutions(plain)(x, kernel)


def canonical_convolutions(fn: F) -> F:
    """The same function with every convolution lowered in the layout that XLA:CPU runs fast everywhere.

    It traces `fn` and swaps the primitive of each convolution, also inside `jit`, `scan`, `while`, `cond`,
    `checkpoint` and the primal parts of custom derivatives. Wrap the *gradient*, `canonical_convolutions(jax.grad(f))`,
    not the network: custom derivative rules are then already applied, and convolutions inside them are found too.
    Values are equal up to the order of float32 sums.

    Args:
        fn: any function of pytrees of arrays; it may close over tracers.

    Returns:
        A function with fn's arguments (positional only) and results.
    """
    return with_primitive_swapped(fn, _plain_p, canonical_p)  # type: ignore[return-value]


def _convolve(x: Array, kernel: Array, **params: Any) -> Array:
    return _plain_p.bind(x, kernel, **params)


def _convolve_fast(x: Array, kernel: Array, *, dimension_numbers: Any, **params: Any) -> Array:
    """The convolution in the fast layout, between transposes that bring the operands there and the result back."""
    if params["batch_group_count"] > 1:  # the kernel's gradient of a grouped convolution; that layout cannot say it
        return _convolve(x, kernel, dimension_numbers=dimension_numbers, **params)
    # A spec gives the positions of (batch, channels, *space), for kernels of (output, input, *space).
    (x_batch, x_channels, *x_space), (k_output, k_input, *k_space), (o_batch, o_channels, *o_space) = dimension_numbers
    space = len(x_space)
    images = (0, space + 1, *range(1, space + 1))
    fast = jax.lax.ConvDimensionNumbers(images, (space + 1, space, *range(space)), images)
    x = jax.lax.transpose(x, (x_batch, *x_space, x_channels))
    kernel = jax.lax.transpose(kernel, (*k_space, k_input, k_output))
    out = _convolve(x, kernel, dimension_numbers=fast, **params)
    return jax.lax.transpose(out, np.argsort((o_batch, *o_space, o_channels)))


def _transpose_x(cotangent: Array, x: Any, kernel: Array, **params: Any) -> Array:
    (found,) = _canonical_transpose(lambda x: _convolve(x, kernel, **params), x.aval)(cotangent)
    return found


def _transpose_kernel(cotangent: Array, x: Array, kernel: Any, **params: Any) -> Array:
    (found,) = _canonical_transpose(lambda kernel: _convolve(x, kernel, **params), kernel.aval)(cotangent)
    return found


def _canonical_transpose(linear: Callable[[Array], Array], aval: Any) -> Callable[[Array], tuple[Array]]:
    return canonical_convolutions(jax.linear_transpose(linear, aval))


def _batch(args: Sequence[Array], axes: Sequence[int | None], **params: Any) -> tuple[Array, int]:
    def convolve(x: Array, kernel: Array) -> Array:
        return _convolve(x, kernel, **params)

    return canonical_convolutions(jax.vmap(convolve, in_axes=tuple(axes)))(*args), 0


canonical_p = new_primitive(
    "canonical_convolution",
    evaluate=_convolve,
    abstract=same_result_as(_plain_p),
    bilinear=(_transpose_x, _transpose_kernel),
    batch=_batch,
)
lower_as(canonical_p, _convolve)
lower_as(canonical_p, _convolve_fast, platform="cpu")
