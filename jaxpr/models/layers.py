"""Building blocks that networks share. Parameters have the names and shapes of Flax's own layers.

Everything here computes what PyTorch's layers of the same purpose do, on NHWC: paddings are symmetric, normalisations
use the biased variance, GELU is the exact one, channels are shuffled in PyTorch's order.
"""

import functools
import itertools
import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxpr.core import HIGHEST, Array, InputError, Key
from jaxpr.numerics.convolution import canonical_convolutions

__all__ = [
    "Compute",
    "Conv",
    "GroupNorm",
    "Keys",
    "Mlp",
    "PReLU",
    "batch_norm",
    "check_channels",
    "conv2d",
    "gelu",
    "group_norm",
    "halve",
    "in_turn",
    "l2_normalise",
    "layer_norm",
    "linear",
    "pad_to_multiple",
    "pixel_shuffle",
    "pixel_unshuffle",
    "upsample_bilinear",
    "upsample_nearest",
]


class Compute(NamedTuple):
    """How a network computes. No choice changes its parameters, which stay float32.

    Attributes:
        dtype: of activations and products, float32 or bfloat16. Outputs return to the input's dtype.
        precision: of float32 products; TPUs and recent GPUs round operands if it is lower.
        remat: recompute the activations of repeated blocks in gradients instead of keeping them.
        attention_limit: attention logits held at once, in numbers; beyond it attention is computed in blocks.
    """

    dtype: Any = jnp.float32
    precision: jax.lax.PrecisionLike = HIGHEST
    remat: bool = False
    attention_limit: int = 2**26


class Keys:
    """Random keys for declaring layers, in place of `nnx.Rngs`.

    The counters of `nnx.Rngs` are arrays; tracing hundreds of layers with them takes many seconds.
    """

    def __init__(self, rngs: nnx.Rngs) -> None:
        self._key, self._count = rngs.params(), 0

    def params(self) -> Key:
        """A new key."""
        self._count += 1
        return jax.random.fold_in(self._key, self._count)


class Conv(nnx.Conv):
    """`nnx.Conv`, in all its options and in its parameters `kernel` and `bias`, with fast gradients in CPU loops.

    Its convolution is that of `numerics.conv`; values are those of `nnx.Conv`.
    """

    def __call__(self, inputs: Array) -> Array:
        """Map (..., H, W, in_features) to (..., H', W', out_features)."""
        return canonical_convolutions(super().__call__)(inputs)


def conv2d(
    inputs: int,
    outputs: int,
    *,
    compute: Compute,
    rngs: Keys,
    size: int | tuple[int, int] = 3,
    stride: int = 1,
    groups: int = 1,
    bias: bool = True,
    padding: int | None = None,
) -> Conv:
    """A convolution with zeros around the image.

    Args:
        inputs: channels before.
        outputs: channels after.
        compute: dtype and precision.
        rngs: keys for its parameters.
        size: side of the kernel, or its height and width.
        stride: step of the kernel.
        groups: of channels that do not mix; `inputs` for depthwise.
        bias: whether there is one.
        padding: zeros on every side; None for `size // 2`.
    """
    sides = (size, size) if isinstance(size, int) else size
    top, left = (side // 2 if padding is None else padding for side in sides)
    return Conv(
        inputs,
        outputs,
        sides,
        strides=stride,
        padding=((top, top), (left, left)),
        feature_group_count=groups,
        use_bias=bias,
        dtype=compute.dtype,
        precision=compute.precision,
        rngs=rngs,
    )


def linear(inputs: int, outputs: int, *, compute: Compute, rngs: Keys, bias: bool = True) -> nnx.Linear:
    """A dense layer on the last axis."""
    return nnx.Linear(inputs, outputs, use_bias=bias, dtype=compute.dtype, precision=compute.precision, rngs=rngs)


def layer_norm(width: int, *, compute: Compute, rngs: Keys, epsilon: float = 1e-5) -> nnx.LayerNorm:
    """Normalisation over the last axis; statistics in float32."""
    # The fast variance, E[x²] - E[x]², loses the digits that a tolerance of 1e-5 needs.
    return nnx.LayerNorm(width, epsilon=epsilon, use_fast_variance=False, dtype=compute.dtype, rngs=rngs)


class GroupNorm(nnx.GroupNorm):
    """`nnx.GroupNorm` over the last axis, in its parameters `scale` and `bias`, faster on CPUs.

    Sums are of each channel first, then of its group: XLA:CPU sums groups of neighbouring channels much slower.
    """

    def __call__(self, x: Array) -> Array:
        """Map (N, ..., channels) to the same shape."""
        dtype = self.dtype or x.dtype
        wide = x.astype(jnp.promote_types(dtype, jnp.float32))
        positions = tuple(range(1, x.ndim - 1))
        each = x.shape[-1] // self.num_groups
        weight, bias = (
            jnp.expand_dims(param[...].astype(wide.dtype), (0, *positions)) for param in (self.scale, self.bias)
        )

        def mean(values: Array) -> Array:
            sums = values.sum(positions).reshape(x.shape[0], self.num_groups, each).sum(-1) / each
            means = jnp.repeat(sums / math.prod(x.shape[1:-1]), each, axis=1)
            return means.reshape(x.shape[0], *[1] * len(positions), x.shape[-1])

        centred = wide - mean(wide)
        scale = jax.lax.rsqrt(mean(jnp.square(centred)) + self.epsilon) * weight
        return (centred * scale + bias).astype(dtype)


def group_norm(channels: int, *, compute: Compute, rngs: Keys, epsilon: float, groups: int = 32) -> GroupNorm:
    """Normalisation of each group of channels over all positions; statistics in float32."""
    return GroupNorm(channels, groups, epsilon=epsilon, use_fast_variance=False, dtype=compute.dtype, rngs=rngs)


def l2_normalise(x: Array, *, axis: int, epsilon: float = 1e-12) -> Array:
    """Divide by the l2 norm along one axis, or by epsilon where that is larger; computed in float32 at least."""
    wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    squared = jnp.sum(wide**2, axis=axis, keepdims=True)
    return (wide * jax.lax.rsqrt(jnp.maximum(squared, epsilon**2))).astype(x.dtype)


def batch_norm(channels: int, *, compute: Compute, rngs: Keys, epsilon: float = 1e-5) -> nnx.BatchNorm:
    """Normalisation of each channel by stored statistics, which the network does not change."""
    return nnx.BatchNorm(channels, use_running_average=True, epsilon=epsilon, dtype=compute.dtype, rngs=rngs)


def gelu(x: Array) -> Array:
    """The exact GELU, with the error function."""
    return jax.nn.gelu(x, approximate=False)


class PReLU(nnx.Module):
    """Identity above zero, and below it a slope of each channel's own, its parameter `weight`."""

    def __init__(self, channels: int) -> None:
        self.weight = nnx.Param(jnp.full((channels,), 0.25))

    def __call__(self, x: Array) -> Array:
        """Map (..., channels) to the same shape."""
        slopes = jnp.expand_dims(self.weight[...].astype(x.dtype), tuple(range(x.ndim - 1)))
        return jnp.where(x > 0, x, slopes * x)


class Mlp(nnx.Module):
    """Two dense layers, `fc1` and `fc2`, with a GELU between them."""

    def __init__(self, width: int, hidden: int, *, compute: Compute, rngs: Keys) -> None:
        self.fc1 = linear(width, hidden, compute=compute, rngs=rngs)
        self.fc2 = linear(hidden, width, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (..., width) to the same shape."""
        return self.fc2(gelu(self.fc1(x)))


def in_turn(blocks: Iterable[nnx.Module], x: Array, *args: Any, remat: bool = False) -> Array:
    """`block(x, *args)` for one block after the other; neighbours that differ only in their parameters share one loop.

    The loop keeps compilation short: a network of 23 equal blocks compiles as one block.

    Args:
        blocks: modules; each maps x to the same shape and dtype.
        x: an array.
        args: the same for every block.
        remat: recompute what is inside a block in gradients; only its input is kept.
    """
    for graph, run in itertools.groupby([nnx.split(block) for block in blocks], key=lambda split: split[0]):
        states = [state for _, state in run]
        step: Any = functools.partial(_step, graph, args)
        step = jax.checkpoint(step) if remat else step
        if len(states) == 1:
            x, _ = step(x, states[0])
        else:
            x, _ = jax.lax.scan(step, x, jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))
    return x


def _step(graph: Any, args: tuple[Any, ...], x: Array, state: Any) -> tuple[Array, None]:
    return nnx.merge(graph, state)(x, *args), None


def pixel_shuffle(x: Array, factor: int) -> Array:
    """Channels to pixels: (N, H, W, C·f²) to (N, H·f, W·f, C); channel c·f² + dy·f + dx goes to pixel (dy, dx)."""
    n, height, width, channels = x.shape
    x = x.reshape(n, height, width, channels // factor**2, factor, factor)
    return x.transpose(0, 1, 4, 2, 5, 3).reshape(n, height * factor, width * factor, -1)


def pixel_unshuffle(x: Array, factor: int) -> Array:
    """Pixels to channels, the inverse of `pixel_shuffle`: (N, H, W, C) to (N, H/f, W/f, C·f²).

    Raises:
        InputError: the height or width is no multiple of the factor.
    """
    n, height, width, channels = x.shape
    if height % factor or width % factor:
        raise InputError(f"x: found {height}×{width} pixels, expected multiples of {factor}")
    x = x.reshape(n, height // factor, factor, width // factor, factor, channels)
    return x.transpose(0, 1, 3, 5, 2, 4).reshape(n, height // factor, width // factor, channels * factor**2)


def upsample_nearest(x: Array, factor: int) -> Array:
    """Every pixel f×f times: (N, H, W, C) to (N, H·f, W·f, C)."""
    n, height, width, channels = x.shape
    x = jnp.broadcast_to(x[:, :, None, :, None, :], (n, height, factor, width, factor, channels))
    return x.reshape(n, height * factor, width * factor, channels)


def upsample_bilinear(x: Array) -> Array:
    """Twice as high and wide by bilinear interpolation between the centres of pixels; the edges go on."""
    for axis in (1, 2):
        size = x.shape[axis]
        before = jnp.concatenate([_part(x, axis, 0, 1), _part(x, axis, 0, size - 1)], axis)
        after = jnp.concatenate([_part(x, axis, 1, size), _part(x, axis, size - 1, size)], axis)
        pairs = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis + 1)
        x = pairs.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])
    return x


def _part(x: Array, axis: int, start: int, stop: int) -> Array:
    return jax.lax.slice_in_dim(x, start, stop, axis=axis)


def halve(x: Array) -> Array:
    """Means of 2×2 pixels, which is what bilinear interpolation without antialiasing gives at half the size.

    Raises:
        InputError: the height or width is odd.
    """
    n, height, width, channels = x.shape
    if height % 2 or width % 2:
        raise InputError(f"x: found {height}×{width} pixels, expected multiples of 2")
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).mean((2, 4))


def pad_to_multiple(x: Array, multiple: int, *, mode: str) -> Array:
    """Extend (N, H, W, C) at the bottom and the right to the next multiple, or not at all.

    Args:
        x: images.
        multiple: of the new height and width.
        mode: "reflect" (the edge is not repeated), "symmetric" (it is) or "edge".

    Raises:
        InputError: the image is too small to be reflected so far.
    """
    height, width = x.shape[1:3]
    bottom, right = -height % multiple, -width % multiple
    largest = {"reflect": 1, "symmetric": 0}.get(mode)
    if largest is not None and (bottom > height - largest or right > width - largest):
        raise InputError(
            f"x: found {height}×{width} pixels, expected enough to {mode} {bottom} rows and {right} columns "
            f"(multiples of {multiple})"
        )
    return jnp.pad(x, ((0, 0), (0, bottom), (0, right), (0, 0)), mode=mode)


def check_channels(x: Array, channels: int) -> None:
    """Raise unless x is a batch of images (N, H, W, channels)."""
    if np.ndim(x) != 4 or x.shape[3] != channels:
        raise InputError(f"x: found shape {np.shape(x)}, expected (N, H, W, {channels})")
