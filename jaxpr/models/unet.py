r"""The U-Net with injected noise by which [ohayon2023] restores images: Figure 7, with its one size s.

Contract: images NHWC in [0, 1] in and, up to overshoots, out, both of one size. At each of `scales` resolutions i the
noise Z_i, one channel of that resolution's height and width, is concatenated to the input of Down Block i; zeros make
the network deterministic.

Normalisation is the paper's batch normalisation by default. Training on a batch uses the batch's own statistics, over
all devices that share it. Everything else uses running statistics: evaluation, and attacks also during training, so
that each restoration depends on its own measurement only, and the attacked function is the one that is evaluated. The
running statistics are leaves among the parameters (see `models.stateful`). "group" normalises each example over
its positions and groups of channels, and "none" not at all; both are the same function in training and evaluation.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023. Ronneberger, Fischer, Brox, "U-Net", MICCAI 2015.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.functional import StatefulModel, stateful
from jaxpr.models.layers import Compute, Keys, check_channels, conv2d, group_norm, upsample_nearest

__all__ = ["Normalisation", "UNetConfig", "noise_shapes", "unet"]

Normalisation: TypeAlias = Literal["batch", "group", "none"]
_EPSILON, _MOMENTUM = 1e-5, 0.9  # PyTorch's defaults, whose momentum 0.1 is the share of the new
_LARGEST_GROUPS = 8


class UNetConfig(NamedTuple):
    """Sizes of a U-Net.

    Attributes:
        channels: of the images.
        width: s, channels at full resolution; each halving doubles them. 24 for CelebA, 32 for ImageNet in the paper.
        scales: halvings; 4 in the paper, for 64×64 pixels. Two fit 8×8.
        normalisation: see the module.
        noise_scale: multiplies the noise, as larger first weights would: where it is large, short trainings learn to
            use the noise. 1 in the paper.
    """

    channels: int = 3
    width: int = 24
    scales: int = 4
    normalisation: Normalisation = "batch"
    noise_scale: float = 1.0


def unet(config: UNetConfig, *, compute: Compute = Compute()) -> StatefulModel:  # noqa: B008 (immutable)
    """The network as pure functions.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x, noise)` maps images (N, H, W, channels), H and W multiples of 2^scales, and noise of
        `noise_shapes` to restorations of x's shape and dtype; `train` likewise, with the batch's statistics.

    Raises:
        InputError: unknown normalisation; when called: other channels, sizes or shapes of noise.

    Note:
        The figure shows no upsampling rule; here it is nearest neighbour.
    """
    if config.normalisation not in ("batch", "group", "none"):
        raise InputError(f"normalisation: found {config.normalisation!r}, expected batch, group or none")
    return stateful(lambda rngs: _UNet(config, compute=compute, rngs=Keys(rngs)))


def noise_shapes(config: UNetConfig, height: int, width: int) -> tuple[tuple[int, int, int], ...]:
    """Shapes (h, w, 1) of Z_1, Z_2, ... of one image.

    Raises:
        InputError: height or width is no multiple of 2^scales.
    """
    if height % 2**config.scales or width % 2**config.scales:
        raise InputError(f"x: found {height}×{width} pixels, expected multiples of {2**config.scales}")
    return tuple((height >> i, width >> i, 1) for i in range(config.scales))


class _DoubleConv(nnx.Module):
    """Twice: a 3×3 convolution, the normalisation, a ReLU."""

    def __init__(self, inputs: int, outputs: int, normalisation: str, *, compute: Compute, rngs: Keys) -> None:
        self.conv1 = conv2d(inputs, outputs, compute=compute, rngs=rngs, bias=normalisation == "none")
        self.norm1 = _norm(outputs, normalisation, compute=compute, rngs=rngs)
        self.conv2 = conv2d(outputs, outputs, compute=compute, rngs=rngs, bias=normalisation == "none")
        self.norm2 = _norm(outputs, normalisation, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2)):
            x = conv(x)
            x = jax.nn.relu(x if norm is None else norm(x))
        return x


class _UNet(nnx.Module):
    def __init__(self, config: UNetConfig, *, compute: Compute, rngs: Keys) -> None:
        self.config, self.remat = nnx.static(config), nnx.static(compute.remat)

        def block(inputs: int, outputs: int) -> _DoubleConv:
            return _DoubleConv(inputs, outputs, config.normalisation, compute=compute, rngs=rngs)

        widths = [config.width << i for i in range(config.scales + 1)]
        self.first = block(config.channels, widths[0])
        self.down = nnx.List([block(a + 1, b) for a, b in itertools.pairwise(widths)])
        self.up = nnx.List([block(a + b, a) for a, b in itertools.pairwise(widths)])
        self.last = conv2d(widths[0], config.channels, size=1, compute=compute, rngs=rngs)

    def __call__(self, x: Array, noise: Sequence[Array]) -> Array:
        """Map (N, H, W, channels) and one (N, H/2^i, W/2^i, 1) for each scale to (N, H, W, channels)."""
        check_channels(x, self.config.channels)
        wanted = [(x.shape[0], *shape) for shape in noise_shapes(self.config, *x.shape[1:3])]
        if [part.shape for part in noise] != wanted:
            raise InputError(f"noise: found shapes {[part.shape for part in noise]}, expected {wanted}")
        h, kept = self._run(self.first, 2 * x - 1), []
        for block, part in zip(self.down, noise, strict=True):
            kept.append(h)
            scaled = self.config.noise_scale * part.astype(h.dtype)
            h = self._run(block, _max_pool(jnp.concatenate([h, scaled], axis=-1)))
        for block, skipped in zip(reversed(self.up), reversed(kept), strict=True):
            h = self._run(block, jnp.concatenate([skipped, upsample_nearest(h, 2)], axis=-1))
        return ((self.last(h) + 1) / 2).astype(x.dtype)

    def _run(self, block: nnx.Module, x: Array) -> Array:
        """`block(x)`; with rematerialisation its running statistics leave through the output."""
        if not self.remat:
            return block(x)
        graph, state = nnx.split(block)

        def apply(state: nnx.State, x: Array) -> tuple[Array, nnx.State]:
            inner = nnx.merge(graph, state)
            return inner(x), nnx.state(inner)

        x, renewed = jax.checkpoint(apply)(state, x)
        nnx.update(block, renewed)
        return x


def _norm(channels: int, normalisation: str, *, compute: Compute, rngs: Keys) -> nnx.Module | None:
    if normalisation == "none":
        return None
    if normalisation == "group":
        groups = math.gcd(channels, _LARGEST_GROUPS)
        return group_norm(channels, compute=compute, rngs=rngs, epsilon=_EPSILON, groups=groups)
    return nnx.BatchNorm(
        channels,
        use_running_average=True,
        momentum=_MOMENTUM,
        epsilon=_EPSILON,
        use_fast_variance=False,
        dtype=compute.dtype,
        rngs=rngs,
    )


def _max_pool(x: Array) -> Array:
    """The largest of each 2×2 pixels; as a reduction of a view, whose gradient XLA computes faster than a window's."""
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
