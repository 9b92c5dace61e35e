"""SwinIR, with all its ways to enlarge, window sizes and residual connections.

Images in [0, 1], RGB or grey, and so is the output, up to overshoots. Any height and width that reflection can extend
to multiples of the window. Names of parameters and of sizes are the published ones.

Paper: Liang et al., "SwinIR: Image Restoration Using Swin Transformer", ICCV Workshops 2021.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxpr.core import Array
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import (
    Compute,
    Keys,
    Mlp,
    check_channels,
    conv2d,
    in_turn,
    layer_norm,
    linear,
    pad_to_multiple,
)
from jaxpr.models.naming import Naming, Network, Shapes
from jaxpr.models.swin_parts import (
    Reconstruction,
    ResidualConnection,
    Upsampler,
    centre,
    check_sizes,
    in_first_blocks,
    recognise_sizes,
    residual_convolution,
    run_convolutions,
    uncentre,
)
from jaxpr.models.windows import in_windows, join_heads, relative_position_index, split_heads, window_attention

__all__ = ["SWINIR", "SwinIRConfig", "swinir"]


class SwinIRConfig(NamedTuple):
    """Sizes of a SwinIR, named as in the published constructor.

    Attributes:
        upscale: 1, 2, 3, 4, 8.
        in_chans: 1 or 3.
        img_size: side of the images in training. It matters only if it is no larger than the window: then the windows
            have this side and are not shifted, whatever the size of the input is.
        window_size: side of the windows; inputs are extended to multiples of it.
        img_range: 255 for the published JPEG networks, 1 for all others.
        depths: blocks in each group.
        embed_dim: width.
        num_heads: attention heads in each group.
        mlp_ratio: width inside the blocks' dense layers, in multiples of embed_dim.
        upsampler: how the output is enlarged.
        resi_connection: what stands behind each group.
    """

    upscale: int
    in_chans: int
    img_size: int
    window_size: int
    img_range: float
    depths: tuple[int, ...]
    embed_dim: int
    num_heads: tuple[int, ...]
    mlp_ratio: float
    upsampler: Upsampler
    resi_connection: ResidualConnection

    @property
    def scale(self) -> int:
        """How many times as high and wide the output is."""
        return self.upscale


class _WindowAttention(nnx.Module):
    """Multi-head attention inside windows, with a learned bias for every offset between two positions."""

    def __init__(self, width: int, heads: int, window: int, *, compute: Compute, rngs: Keys) -> None:
        self.heads, self.window, self.compute = heads, window, nnx.static(compute)
        table = 0.02 * jax.random.truncated_normal(rngs.params(), -2, 2, ((2 * window - 1) ** 2, heads), jnp.float32)
        self.relative_position_bias_table = nnx.Param(table)
        self.qkv = linear(width, 3 * width, compute=compute, rngs=rngs)
        self.proj = linear(width, width, compute=compute, rngs=rngs)

    def __call__(self, x: Array, regions: np.ndarray | None) -> Array:
        """Map windows (N, windows, L, width) to the same shape."""
        q, k, v = split_heads(self.qkv(x), self.heads)
        bias = self.relative_position_bias_table[...][relative_position_index(self.window)].transpose(2, 0, 1)
        scale = (x.shape[-1] // self.heads) ** -0.5
        x = window_attention(q, k, v, scale=scale, bias=bias, regions=regions, compute=self.compute)
        return self.proj(join_heads(x))


class _Block(nnx.Module):
    """Attention in windows, then dense layers, both behind a normalisation and beside a residual connection."""

    def __init__(self, config: SwinIRConfig, *, heads: int, shifted: bool, compute: Compute, rngs: Keys) -> None:
        width, whole = config.embed_dim, config.img_size <= config.window_size
        self.window = min(config.img_size, config.window_size)
        self.shift = self.window // 2 if shifted and not whole else 0
        self.norm1 = layer_norm(width, compute=compute, rngs=rngs)
        self.attn = _WindowAttention(width, heads, self.window, compute=compute, rngs=rngs)
        self.norm2 = layer_norm(width, compute=compute, rngs=rngs)
        self.mlp = Mlp(width, int(width * config.mlp_ratio), compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = x + in_windows(self.norm1(x), self.attn, window=self.window, shift=self.shift)
        return x + self.mlp(self.norm2(x))


class _Blocks(nnx.Module):
    def __init__(self, config: SwinIRConfig, *, group: int, compute: Compute, rngs: Keys) -> None:
        heads = config.num_heads[group]
        self.blocks = nnx.List(
            [
                _Block(config, heads=heads, shifted=bool(i % 2), compute=compute, rngs=rngs)
                for i in range(config.depths[group])
            ]
        )


class _Group(nnx.Module):
    """Blocks, then a convolution, beside a residual connection."""

    def __init__(self, config: SwinIRConfig, *, group: int, compute: Compute, rngs: Keys) -> None:
        self.remat = compute.remat
        self.residual_group = _Blocks(config, group=group, compute=compute, rngs=rngs)
        self.conv = residual_convolution(config.embed_dim, config.resi_connection, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return x + run_convolutions(self.conv, in_turn(self.residual_group.blocks, x, remat=self.remat))


class _PatchEmbed(nnx.Module):
    def __init__(self, width: int, *, compute: Compute, rngs: Keys) -> None:
        self.norm = layer_norm(width, compute=compute, rngs=rngs)


class _SwinIR(Reconstruction):
    def __init__(self, config: SwinIRConfig, *, compute: Compute, rngs: Keys) -> None:
        width = config.embed_dim
        super().__init__(
            width,
            config.in_chans,
            upscale=config.upscale,
            upsampler=config.upsampler,
            compute=compute,
            rngs=rngs,
        )
        self.config, self.compute = nnx.static(config), nnx.static(compute)
        self.conv_first = conv2d(config.in_chans, width, compute=compute, rngs=rngs)
        self.patch_embed = _PatchEmbed(width, compute=compute, rngs=rngs)
        self.layers = nnx.List([_Group(config, group=i, compute=compute, rngs=rngs) for i in range(len(config.depths))])
        self.norm = layer_norm(width, compute=compute, rngs=rngs)
        self.conv_after_body = residual_convolution(width, config.resi_connection, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, in_chans) to (N, upscale·H, upscale·W, in_chans)."""
        config = self.config
        check_channels(x, config.in_chans)
        height, width = x.shape[1:3]
        image = centre(pad_to_multiple(x, config.window_size, mode="reflect"), img_range=config.img_range)
        shallow = self.conv_first(image)
        deep = self.norm(in_turn(self.layers, self.patch_embed.norm(shallow)))
        out = self.reconstruct(run_convolutions(self.conv_after_body, deep) + shallow, image.astype(shallow.dtype))
        out = uncentre(out.astype(x.dtype), img_range=config.img_range)
        return out[:, : height * config.upscale, : width * config.upscale]


def swinir(config: SwinIRConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x)` maps (N, H, W, in_chans) to (N, upscale·H, upscale·W, in_chans). It extends x itself, by
        reflection at the bottom and the right; the published test script extends it once more before.

    Raises:
        InputError: sizes that do not fit together; when applied: an image too small to be reflected.
    """
    check_sizes(config)
    return functional(lambda rngs: _SwinIR(config, compute=compute, rngs=Keys(rngs)))


def _recognise(shapes: Shapes) -> SwinIRConfig | None:
    """The range of images and, where the file has no masks, their size in training are not in the shapes."""
    tables = in_first_blocks(shapes, "relative_position_bias_table")
    window = (math.isqrt(tables[0][0]) + 1) // 2 if tables else 0
    if window < 1:
        return None
    found = recognise_sizes(shapes, window=window, num_heads=tuple(shape[1] for shape in tables))
    return SwinIRConfig(**found) if found else None


SWINIR = Network(
    name="SwinIR",
    namings=(Naming(ignored=(r"\.relative_position_index$", r"\.attn_mask$")),),
    recognise=_recognise,
    build=lambda config, compute: swinir(config, compute=compute),
)
