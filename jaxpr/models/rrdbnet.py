"""RRDBNet: the generator of ESRGAN, Real-ESRGAN, BSRGAN and BSRNet, in all three generations of their names.

Images in [0, 1], RGB, and so is the output, up to overshoots. Names of parameters and of sizes are those of BasicSR.

Papers: ESRGAN, Wang et al., ECCV Workshops 2018; Real-ESRGAN, Wang et al., ICCV Workshops 2021; BSRGAN, Zhang et al.,
ICCV 2021.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import Array
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import (
    Compute,
    Keys,
    check_channels,
    conv2d,
    in_turn,
    pixel_unshuffle,
    upsample_nearest,
)
from jaxpr.models.naming import Naming, Network, Shapes, indices

__all__ = ["RRDBNET", "RRDBNetConfig", "rrdbnet"]

_RESIDUAL, _SLOPE = 0.2, 0.2


class RRDBNetConfig(NamedTuple):
    """Sizes of an RRDBNet; the defaults are those of the published x4 files.

    Attributes:
        num_in_ch: channels of the input.
        num_out_ch: channels of the output.
        num_feat: width.
        num_block: blocks, of three dense blocks each.
        num_grow_ch: channels that each convolution of a dense block adds.
        unshuffle: the input's pixels go to channels by this factor first: 2 and 1 for Real-ESRGAN's x2 and x4, 4 for
            its x1.
        upsamplings: doublings at the end; 1 for BSRGAN's x2.
    """

    num_in_ch: int = 3
    num_out_ch: int = 3
    num_feat: int = 64
    num_block: int = 23
    num_grow_ch: int = 32
    unshuffle: int = 1
    upsamplings: int = 2

    @property
    def scale(self) -> int:
        """How many times as high and wide the output is."""
        return 2**self.upsamplings // self.unshuffle


class _DenseBlock(nnx.Module):
    """Five convolutions, each of which sees the input and all earlier outputs, oldest first."""

    def __init__(self, config: RRDBNetConfig, *, compute: Compute, rngs: Keys) -> None:
        width, growth = config.num_feat, config.num_grow_ch
        for i in range(5):
            outputs = growth if i < 4 else width
            setattr(self, f"conv{i + 1}", conv2d(width + i * growth, outputs, compute=compute, rngs=rngs))

    def __call__(self, x: Array) -> Array:
        seen = x
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            seen = jnp.concatenate([seen, jax.nn.leaky_relu(conv(seen), _SLOPE)], axis=-1)
        return x + _RESIDUAL * self.conv5(seen)


class _Block(nnx.Module):
    """Three dense blocks inside a scaled residual."""

    def __init__(self, config: RRDBNetConfig, *, compute: Compute, rngs: Keys) -> None:
        self.rdb1 = _DenseBlock(config, compute=compute, rngs=rngs)
        self.rdb2 = _DenseBlock(config, compute=compute, rngs=rngs)
        self.rdb3 = _DenseBlock(config, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return x + _RESIDUAL * self.rdb3(self.rdb2(self.rdb1(x)))


class _RRDBNet(nnx.Module):
    def __init__(self, config: RRDBNetConfig, *, compute: Compute, rngs: Keys) -> None:
        self.config, self.compute = nnx.static(config), nnx.static(compute)
        width, channels = config.num_feat, config.num_in_ch * config.unshuffle**2
        self.conv_first = conv2d(channels, width, compute=compute, rngs=rngs)
        self.body = nnx.List([_Block(config, compute=compute, rngs=rngs) for _ in range(config.num_block)])
        self.conv_body = conv2d(width, width, compute=compute, rngs=rngs)
        for i in range(config.upsamplings):
            setattr(self, f"conv_up{i + 1}", conv2d(width, width, compute=compute, rngs=rngs))
        self.conv_hr = conv2d(width, width, compute=compute, rngs=rngs)
        self.conv_last = conv2d(width, config.num_out_ch, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, num_in_ch) to (N, scale·H, scale·W, num_out_ch)."""
        check_channels(x, self.config.num_in_ch)
        dtype = x.dtype
        x = self.conv_first(pixel_unshuffle(x, self.config.unshuffle))
        x = x + self.conv_body(in_turn(self.body, x, remat=self.compute.remat))
        for i in range(self.config.upsamplings):
            x = jax.nn.leaky_relu(getattr(self, f"conv_up{i + 1}")(upsample_nearest(x, 2)), _SLOPE)
        x = self.conv_last(jax.nn.leaky_relu(self.conv_hr(x), _SLOPE))
        return x.astype(dtype)


def rrdbnet(config: RRDBNetConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x)` maps (N, H, W, num_in_ch) to (N, scale·H, scale·W, num_out_ch). H and W must be multiples
        of `unshuffle`; Real-ESRGAN's own scripts reach that by reflection at the bottom and the right.
    """
    return functional(lambda rngs: _RRDBNet(config, compute=compute, rngs=Keys(rngs)))


def _recognise(shapes: Shapes) -> RRDBNetConfig | None:
    """All sizes but one can be seen; three channels out mean three channels in if the rest is a square."""
    needed = ("conv_first.weight", "conv_last.weight", "conv_hr.weight", "body.0.rdb1.conv1.weight")
    if any(name not in shapes for name in needed):
        return None
    first, last, _, grow = (shapes[name] for name in needed)
    unshuffle = math.isqrt(first[1] // last[0]) or 1
    if first[1] != last[0] * unshuffle**2:
        unshuffle = 1
    return RRDBNetConfig(
        num_in_ch=first[1] // unshuffle**2,
        num_out_ch=last[0],
        num_feat=first[0],
        num_block=len(indices(shapes, r"body\.(\d+)\.")),
        num_grow_ch=grow[0],
        unshuffle=unshuffle,
        upsamplings=len(indices(shapes, r"conv_up(\d+)\.")),
    )


def _numbered(upsamplings: int) -> Naming:
    """Names of the first generation: positions in a list, where layers without parameters count too."""
    ups = [(rf"^model\.{3 * i + 3}\.", f"conv_up{i + 1}.") for i in range(upsamplings)]
    end = 3 * upsamplings + 2
    return Naming(
        rename=(
            (r"^model\.0\.", "conv_first."),
            (r"^model\.1\.sub\.(\d+)\.RDB(\d)\.conv(\d)\.0\.", r"body.\1.rdb\2.conv\3."),
            (r"^model\.1\.sub\.\d+\.(?=weight$|bias$)", "conv_body."),
            *ups,
            (rf"^model\.{end}\.", "conv_hr."),
            (rf"^model\.{end + 2}\.", "conv_last."),
        )
    )


_SECOND_GENERATION = Naming(
    rename=(
        (r"^RRDB_trunk\.(\d+)\.RDB(\d)\.", r"body.\1.rdb\2."),
        (r"^trunk_conv\.", "conv_body."),
        (r"^upconv(\d)\.", r"conv_up\1."),
        (r"^HRconv\.", "conv_hr."),
    )
)

RRDBNET = Network(
    name="RRDBNet",
    namings=(Naming(), _SECOND_GENERATION, *map(_numbered, (2, 1, 0, 3))),
    recognise=_recognise,
    build=lambda config, compute: rrdbnet(config, compute=compute),
)
