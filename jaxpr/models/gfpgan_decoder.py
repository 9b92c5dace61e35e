"""The decoder of GFPGAN: a StyleGAN2 whose features another network scales and shifts; without custom kernels.

Activations are plain leaky ReLUs, resampling is bilinear, and parameters are used as they are stored.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import HIGHEST, Array
from jaxpr.models.layers import Compute, Keys, in_turn, linear, upsample_bilinear
from jaxpr.numerics.convolution import conv

__all__ = ["SLOPE", "Decoder", "noise_sides", "widths"]

SLOPE = 0.2
"""Of every leaky ReLU."""

_EPSILON = 1e-8
_GAIN = 2**0.5
_FIRST = 4  # pixels along the smallest image


def widths(log_size: int, *, channel_multiplier: float, narrow: float) -> dict[int, int]:
    """Channels by the side of the image, from 4 to 2**log_size."""
    sides = [2**i for i in range(2, log_size + 1)]
    return {side: int((512 if side <= 32 else 16384 // side * channel_multiplier) * narrow) for side in sides}


def noise_sides(log_size: int) -> tuple[int, ...]:
    """Sides of the noise images: one of the smallest size, two of every other."""
    return (_FIRST, *(2**i for i in range(3, log_size + 1) for _ in range(2)))


class _ModulatedConv(nnx.Module):
    """A convolution whose input channels a style scales; then, if asked for, every output has unit variance."""

    def __init__(
        self, inputs: int, outputs: int, *, size: int, features: int, demodulate: bool, compute: Compute, rngs: Keys
    ) -> None:
        self.size, self.demodulate, self.compute = size, demodulate, nnx.static(compute)
        normal = jax.random.normal(rngs.params(), (1, outputs, inputs, size, size), jnp.float32)
        self.weight = nnx.Param(normal / (inputs * size**2) ** 0.5)
        self.modulation = linear(features, inputs, compute=compute, rngs=rngs)
        self.modulation.bias = nnx.Param(jnp.ones(inputs, jnp.float32))

    def __call__(self, x: Array, style: Array) -> Array:
        """Map (N, H, W, inputs) and (N, features) to (N, H, W, outputs)."""
        factors = self.modulation(style).astype(jnp.float32)
        weight = self.weight[...][0]
        around = (self.size // 2, self.size // 2)
        out = conv(
            (x * factors[:, None, None]).astype(x.dtype),
            weight.transpose(2, 3, 1, 0).astype(x.dtype),
            padding=(around, around),
            precision=self.compute.precision,
        )
        if not self.demodulate:
            return out
        power = jnp.einsum("oi,ni->no", jnp.sum(weight**2, axis=(2, 3)), factors**2, precision=HIGHEST)
        return (out * jax.lax.rsqrt(power + _EPSILON)[:, None, None]).astype(x.dtype)


class _StyleConv(nnx.Module):
    def __init__(self, inputs: int, outputs: int, *, upsample: bool, **options: Any) -> None:
        self.upsample = upsample
        self.modulated_conv = _ModulatedConv(inputs, outputs, size=3, demodulate=True, **options)
        self.weight = nnx.Param(jnp.zeros(1, jnp.float32))  # of the noise
        self.bias = nnx.Param(jnp.zeros((1, outputs, 1, 1), jnp.float32))

    def __call__(self, x: Array, style: Array, noise: Array) -> Array:
        x = self.modulated_conv(upsample_bilinear(x) if self.upsample else x, style) * _GAIN
        added = self.weight[...].reshape(1, 1, 1, 1) * noise + self.bias[...].reshape(1, 1, 1, -1)
        return jax.nn.leaky_relu(x + added.astype(x.dtype), SLOPE)


class _ToRgb(nnx.Module):
    def __init__(self, inputs: int, **options: Any) -> None:
        self.modulated_conv = _ModulatedConv(inputs, 3, size=1, demodulate=False, **options)
        self.bias = nnx.Param(jnp.zeros((1, 3, 1, 1), jnp.float32))

    def __call__(self, x: Array, style: Array) -> Array:
        return self.modulated_conv(x, style) + self.bias[...].reshape(1, 1, 1, -1).astype(x.dtype)


class Decoder(nnx.Module):
    """Styles, and scales and shifts of every size, to an image."""

    def __init__(
        self, log_size: int, channels: dict[int, int], *, features: int, num_mlp: int, compute: Compute, rngs: Keys
    ) -> None:
        self.compute = nnx.static(compute)
        options: dict[str, Any] = {"features": features, "compute": compute, "rngs": rngs}
        self.style_mlp = nnx.Dict(
            {str(2 * i + 1): linear(features, features, compute=compute, rngs=rngs) for i in range(num_mlp)}
        )
        first = channels[_FIRST]
        constant = jax.random.normal(rngs.params(), (1, first, _FIRST, _FIRST), jnp.float32)
        self.constant_input = nnx.Dict({"weight": nnx.Param(constant)})
        self.style_conv1 = _StyleConv(first, first, upsample=False, **options)
        self.to_rgb1 = _ToRgb(first, **options)
        style_convs, to_rgbs, inputs = [], [], first
        for side in [2**i for i in range(3, log_size + 1)]:
            outputs = channels[side]
            style_convs += [
                _StyleConv(inputs, outputs, upsample=True, **options),
                _StyleConv(outputs, outputs, upsample=False, **options),
            ]
            to_rgbs.append(_ToRgb(outputs, **options))
            inputs = outputs
        self.style_convs, self.to_rgbs = nnx.List(style_convs), nnx.List(to_rgbs)
        self.noises = nnx.Dict(
            {
                f"noise{i}": nnx.Param(jax.random.normal(rngs.params(), (1, 1, side, side), jnp.float32))
                for i, side in enumerate(noise_sides(log_size))
            }
        )

    def map_styles(self, styles: Array) -> Array:
        """From the first to the second space of styles.

        The second axis is normalised. In (N, features) that is the features; in (N, layers, features) it is the
        layers, as in the published code.
        """
        power = jnp.mean(styles.astype(jnp.float32) ** 2, axis=1, keepdims=True)
        x = (styles * jax.lax.rsqrt(power + _EPSILON)).astype(styles.dtype)
        for i in range(len(self.style_mlp)):
            x = jax.nn.leaky_relu(self.style_mlp[str(2 * i + 1)](x), SLOPE)
        return x

    def stored_noises(self) -> tuple[Array, ...]:
        """The noise images of the file, (1, side, side, 1)."""
        return tuple(self.noises[f"noise{i}"][...].transpose(0, 2, 3, 1) for i in range(len(self.noises)))

    def __call__(
        self, styles: Array, conditions: Sequence[tuple[Array, Array]], noises: Sequence[Array], *, half: bool
    ) -> Array:
        """Make an image.

        Args:
            styles: (N, layers, features), one for every layer.
            conditions: scales and shifts from 8×8 on, smallest first.
            noises: (N or 1, side, side, 1), of `noise_sides`.
            half: whether conditions are for the second half of the channels only.
        """
        constant = self.constant_input["weight"][...].transpose(0, 2, 3, 1).astype(self.compute.dtype)
        x = jnp.broadcast_to(constant, (styles.shape[0], *constant.shape[1:]))
        x = self._run(self.style_conv1, x, styles[:, 0], noises[0])
        image = self.to_rgb1(x, styles[:, 1])
        for i, (scale, shift) in enumerate(conditions):
            layer = 2 * i + 1
            x = self._run(self.style_convs[2 * i], x, styles[:, layer], noises[layer])
            x = _modulate(x, scale, shift, half=half)
            x = self._run(self.style_convs[2 * i + 1], x, styles[:, layer + 1], noises[layer + 1])
            image = self.to_rgbs[i](x, styles[:, layer + 2]) + upsample_bilinear(image)
        return image

    def _run(self, layer: _StyleConv, x: Array, style: Array, noise: Array) -> Array:
        return in_turn([layer], x, style, noise, remat=self.compute.remat)


def _modulate(x: Array, scale: Array, shift: Array, *, half: bool) -> Array:
    if not half:
        return x * scale + shift
    same, changed = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([same, changed * scale + shift], axis=-1)
