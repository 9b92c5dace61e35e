r"""The ResNet critic of Mescheder et al. (2018), in the sizes of Table 4 of [ohayon2023]: width f.

Images NHWC, any range, to one logit each. Pre-activation blocks with leaky ReLUs (slope 0.2) whose outputs are scaled
by 0.1, 3×3 average pools with stride 2 whose padding counts as zeros, one dense layer. No normalisation: each logit
depends on its own image only, in training as in evaluation, as R₁ presumes.

Papers: Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?", ICML 2018.
[ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over Deterministic
Ones", ICML 2023.
"""

from typing import NamedTuple

import jax
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, Keys, conv2d, in_turn, linear

__all__ = ["ResNetCriticConfig", "resnet_critic", "table4"]

_SLOPE, _RESIDUAL = 0.2, 0.1
_SMALLEST, _WIDEST = 2, 16


class ResNetCriticConfig(NamedTuple):
    """Sizes of a critic.

    Attributes:
        size: height and width of the images.
        channels: of the images, and of what they are conditioned on.
        width: channels after the first convolution.
        levels: for each resolution, from the full one on, the widths of its blocks' outputs; the pools are between.
        outputs: logits per image.
    """

    size: int
    channels: int
    width: int
    levels: tuple[tuple[int, ...], ...]
    outputs: int = 1


def table4(*, size: int, channels: int, width: int) -> ResNetCriticConfig:
    """The sizes of Table 4 of [ohayon2023], continued to other images: two blocks for each resolution down to 2×2.

    Args:
        size: 64 in the paper; a power of two, at least 4.
        channels: 3 in the paper, whose critic does not see y.
        width: f; 16 for CelebA, 32 for ImageNet in the paper. Widths double at each resolution, up to 16 f.

    Raises:
        InputError: size is no such power.
    """
    if size < 2 * _SMALLEST or size & (size - 1):
        raise InputError(f"size: found {size}, expected a power of two, at least {2 * _SMALLEST}")
    counts = range((size // _SMALLEST).bit_length())
    levels = tuple((width * min(2**i, _WIDEST), width * min(2 ** (i + 1), _WIDEST)) for i in counts)
    return ResNetCriticConfig(size, channels, width, levels)


def resnet_critic(config: ResNetCriticConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """The network as pure `init` and `apply`.

    Parameters have the names of the authors' public code: `conv_img`, `resnet.k.conv_0`, `.conv_1`, `.conv_s`, `fc`,
    where pools count in k and the dense layer reads channels first.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x)` maps (N, size, size, channels) to logits (N,), or (N, outputs) if there are several.

    Raises:
        InputError: when called, images of another shape.
    """
    return functional(lambda rngs: _Critic(config, compute=compute, rngs=Keys(rngs)))


class _Block(nnx.Module):
    def __init__(self, inputs: int, outputs: int, *, compute: Compute, rngs: Keys) -> None:
        hidden = min(inputs, outputs)
        self.conv_0 = conv2d(inputs, hidden, compute=compute, rngs=rngs)
        self.conv_1 = conv2d(hidden, outputs, compute=compute, rngs=rngs)
        self.conv_s = (
            conv2d(inputs, outputs, size=1, bias=False, compute=compute, rngs=rngs) if inputs != outputs else None
        )

    def __call__(self, x: Array) -> Array:
        changed = self.conv_1(_activation(self.conv_0(_activation(x))))
        return (x if self.conv_s is None else self.conv_s(x)) + _RESIDUAL * changed


class _Pool(nnx.Module):
    def __call__(self, x: Array) -> Array:
        return nnx.avg_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)), count_include_pad=True)


class _Critic(nnx.Module):
    def __init__(self, config: ResNetCriticConfig, *, compute: Compute, rngs: Keys) -> None:
        self.config, self.remat = nnx.static(config), nnx.static(compute.remat)
        self.conv_img = conv2d(config.channels, config.width, compute=compute, rngs=rngs)
        last, size, parts = config.width, config.size, []
        for i, level in enumerate(config.levels):
            if i:
                parts.append(_Pool())
                size = (size + 1) // 2
            for outputs in level:
                parts.append(_Block(last, outputs, compute=compute, rngs=rngs))
                last = outputs
        self.resnet = nnx.List(parts)
        self.fc = linear(size * size * last, config.outputs, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, size, size, channels) to logits."""
        size, channels = self.config.size, self.config.channels
        if x.ndim != 4 or x.shape[1:] != (size, size, channels):
            raise InputError(f"x: found shape {x.shape}, expected (N, {size}, {size}, {channels})")
        dtype = x.dtype
        x = in_turn(self.resnet, self.conv_img(x), remat=self.remat)
        x = _activation(x).transpose(0, 3, 1, 2)
        logits = self.fc(x.reshape(x.shape[0], -1)).astype(dtype)
        return logits[:, 0] if self.config.outputs == 1 else logits


def _activation(x: Array) -> Array:
    return jax.nn.leaky_relu(x, _SLOPE)
