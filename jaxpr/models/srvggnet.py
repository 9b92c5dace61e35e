"""SRVGGNetCompact: the small networks of Real-ESRGAN, for videos and for general use.

Convolutions with one slope per channel between them, all at the size of the input; the last one's channels become
pixels, to which the input, repeated, is added. Images in [0, 1], RGB, and so is the output, up to overshoots. Names of
parameters and of sizes are those of BasicSR.

Paper: Real-ESRGAN, Wang et al., ICCV Workshops 2021; the network came with its later releases.
"""

import math
from typing import NamedTuple

from flax import nnx

from jaxpr.core import Array
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, Keys, PReLU, check_channels, conv2d, pixel_shuffle, upsample_nearest
from jaxpr.models.naming import Naming, Network, Shapes, indices

__all__ = ["SRVGGNET", "SRVGGNetConfig", "srvggnet"]


class SRVGGNetConfig(NamedTuple):
    """Sizes of an SRVGGNetCompact; the defaults are those of realesr-animevideov3.

    Attributes:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output, as many.
        num_feat: width.
        num_conv: convolutions between the first and the last; 32 in realesr-general-x4v3.
        upscale: how many times as high and wide the output is.
    """

    num_in_ch: int = 3
    num_out_ch: int = 3
    num_feat: int = 64
    num_conv: int = 16
    upscale: int = 4

    @property
    def scale(self) -> int:
        """How many times as high and wide the output is, as other networks call it."""
        return self.upscale


class _SRVGGNet(nnx.Module):
    def __init__(self, config: SRVGGNetConfig, *, compute: Compute, rngs: Keys) -> None:
        self.config = nnx.static(config)
        width, made = config.num_feat, config.num_out_ch * config.upscale**2
        body: list[nnx.Module] = []
        for inputs in (config.num_in_ch, *[width] * config.num_conv):
            body += [conv2d(inputs, width, compute=compute, rngs=rngs), PReLU(width)]
        self.body = nnx.List([*body, conv2d(width, made, compute=compute, rngs=rngs)])

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, num_in_ch) to (N, upscale·H, upscale·W, num_out_ch)."""
        check_channels(x, self.config.num_in_ch)
        found = x
        for layer in self.body:
            found = layer(found)
        found = pixel_shuffle(found.astype(x.dtype), self.config.upscale)
        return found + upsample_nearest(x, self.config.upscale)


def srvggnet(config: SRVGGNetConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x)` maps (N, H, W, num_in_ch) to (N, upscale·H, upscale·W, num_out_ch).
    """
    return functional(lambda rngs: _SRVGGNet(config, compute=compute, rngs=Keys(rngs)))


def _recognise(shapes: Shapes) -> SRVGGNetConfig | None:
    """All sizes can be seen, since what is added to the output has the channels of the input."""
    layers = indices(shapes, r"body\.(\d+)\.weight$")
    if not layers or layers[-1] % 2 or len(shapes.get("body.1.weight", ())) != 1:
        return None
    first, last = shapes["body.0.weight"], shapes[f"body.{layers[-1]}.weight"]
    if len(first) != 4 or len(last) != 4:
        return None
    width, channels = first[:2]
    return SRVGGNetConfig(channels, channels, width, layers[-1] // 2 - 1, math.isqrt(last[0] // channels))


SRVGGNET = Network(
    name="SRVGGNetCompact",
    namings=(Naming(),),
    recognise=_recognise,
    build=lambda config, compute: srvggnet(config, compute=compute),
)
