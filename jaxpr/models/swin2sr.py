"""Swin2SR, with all its ways to enlarge, among them the one for compressed images, and all window sizes.

Images in [0, 1], RGB or grey, and so is the output, up to overshoots. Any height and width that reflection can extend
to multiples of the window. Names of parameters and of sizes are the published ones.

Paper: Conde et al., "Swin2SR: SwinV2 Transformer for Compressed Image Super-Resolution and Restoration", ECCV Workshops
2022.
"""

import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import (
    Compute,
    Keys,
    Mlp,
    check_channels,
    conv2d,
    in_turn,
    l2_normalise,
    layer_norm,
    linear,
    pad_to_multiple,
)
from jaxpr.models.naming import Naming, Network, Shapes
from jaxpr.models.swin_parts import (
    FEATURES,
    HEAD_SLOPE,
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
from jaxpr.numerics import CUBIC_SHARP, clamp, resize

__all__ = ["SWIN2SR", "Swin2SRConfig", "Swin2SROutput", "swin2sr"]

_HIDDEN = 512
"""Width of the layers that make biases out of offsets."""
_LARGEST_SCALE = 100.0
_LARGEST_BIAS, _LARGEST_OFFSET = 16.0, 8.0


class Swin2SRConfig(NamedTuple):
    """Sizes of a Swin2SR, named as in the published constructor.

    Attributes:
        upscale: 1, 2, 3, 4, 8.
        in_chans: 1 or 3.
        img_size: side of the images in training. It matters only if it is no larger than the window: then the windows
            have this side and are not shifted, whatever the size of the input is.
        window_size: side of the windows; inputs are extended to multiples of it.
        img_range: 255 for the published JPEG network, 1 for all others.
        depths: blocks in each group.
        embed_dim: width.
        num_heads: attention heads in each group.
        mlp_ratio: width inside the blocks' dense layers, in multiples of embed_dim.
        upsampler: how the output is enlarged; "pixelshuffle_aux" restores a small image first, enlarges that, and adds
            a bicubic enlargement of the input.
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
    upsampler: Upsampler | Literal["pixelshuffle_aux"]
    resi_connection: ResidualConnection

    @property
    def scale(self) -> int:
        """How many times as high and wide the output is."""
        return self.upscale


class Swin2SROutput(NamedTuple):
    """Both outputs of a network with "pixelshuffle_aux".

    Attributes:
        image: (N, upscale·H, upscale·W, in_chans).
        small: the restored input, before it is enlarged, at the extended size of the input.
    """

    image: Array
    small: Array


class _CosineAttention(nnx.Module):
    """Multi-head attention by cosines inside windows, with biases that a small network computes from offsets."""

    def __init__(self, width: int, heads: int, window: int, *, compute: Compute, rngs: Keys) -> None:
        self.heads, self.window, self.compute = heads, window, nnx.static(compute)
        self.logit_scale = nnx.Param(jnp.full((heads, 1, 1), math.log(10.0), jnp.float32))
        self.q_bias = nnx.Param(jnp.zeros(width, jnp.float32))
        self.v_bias = nnx.Param(jnp.zeros(width, jnp.float32))
        precise = compute._replace(dtype=jnp.float32)  # few numbers, which enter every logit
        self.cpb_mlp = nnx.Dict(
            {
                "0": linear(2, _HIDDEN, compute=precise, rngs=rngs),
                "2": linear(_HIDDEN, heads, compute=precise, rngs=rngs, bias=False),
            }
        )
        self.qkv = linear(width, 3 * width, compute=compute, rngs=rngs, bias=False)
        self.proj = linear(width, width, compute=compute, rngs=rngs)

    def __call__(self, x: Array, regions: np.ndarray | None) -> Array:
        """Map windows (N, windows, L, width) to the same shape."""
        qkv = self.qkv(x)
        q_bias, v_bias = self.q_bias[...], self.v_bias[...]
        added = jnp.concatenate([q_bias, jnp.zeros_like(q_bias), v_bias]).astype(qkv.dtype)
        q, k, v = split_heads(qkv + added[None, None, None], self.heads)
        scale = jnp.exp(jnp.minimum(self.logit_scale[...], math.log(_LARGEST_SCALE))).astype(q.dtype)
        q, k = l2_normalise(q, axis=-1) * scale[None, None], l2_normalise(k, axis=-1)
        x = window_attention(q, k, v, scale=1.0, bias=self._bias(), regions=regions, compute=self.compute)
        return self.proj(join_heads(x))

    def _bias(self) -> Array:
        """For every head and pair of positions, (heads, L, L), between 0 and 16."""
        table = self.cpb_mlp["2"](jax.nn.relu(self.cpb_mlp["0"](_offsets(self.window))))
        table = _LARGEST_BIAS * jax.nn.sigmoid(table)
        return table[relative_position_index(self.window)].transpose(2, 0, 1)


def _offsets(window: int) -> np.ndarray:
    """All offsets inside a window, ((2w - 1)², 2), on a logarithmic scale where the farthest is log₂ 9 / log₂ 8."""
    along = np.arange(1 - window, window) / (window - 1) * _LARGEST_OFFSET
    along = np.sign(along) * np.log2(np.abs(along) + 1) / math.log2(8)
    return np.stack(np.meshgrid(along, along, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float32)


class _Block(nnx.Module):
    """Attention in windows, then dense layers, both before a normalisation and beside a residual connection."""

    def __init__(self, config: Swin2SRConfig, *, heads: int, shifted: bool, compute: Compute, rngs: Keys) -> None:
        width, whole = config.embed_dim, config.img_size <= config.window_size
        self.window = min(config.img_size, config.window_size)
        self.shift = self.window // 2 if shifted and not whole else 0
        self.attn = _CosineAttention(width, heads, self.window, compute=compute, rngs=rngs)
        self.norm1 = layer_norm(width, compute=compute, rngs=rngs)
        self.mlp = Mlp(width, int(width * config.mlp_ratio), compute=compute, rngs=rngs)
        self.norm2 = layer_norm(width, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = x + self.norm1(in_windows(x, self.attn, window=self.window, shift=self.shift))
        return x + self.norm2(self.mlp(x))


class _Group(nnx.Module):
    """Blocks, then two convolutions, beside a residual connection."""

    def __init__(self, config: Swin2SRConfig, *, group: int, compute: Compute, rngs: Keys) -> None:
        self.remat, width, heads = compute.remat, config.embed_dim, config.num_heads[group]
        blocks = [
            _Block(config, heads=heads, shifted=bool(i % 2), compute=compute, rngs=rngs)
            for i in range(config.depths[group])
        ]
        self.residual_group = nnx.Dict({"blocks": nnx.List(blocks)})
        self.conv = residual_convolution(width, config.resi_connection, compute=compute, rngs=rngs)
        self.patch_embed = nnx.Dict({"proj": conv2d(width, width, size=1, compute=compute, rngs=rngs)})

    def __call__(self, x: Array) -> Array:
        deep = in_turn(self.residual_group["blocks"], x, remat=self.remat)
        return x + self.patch_embed["proj"](run_convolutions(self.conv, deep))


class _Swin2SR(Reconstruction):
    def __init__(self, config: Swin2SRConfig, *, auxiliary: bool, compute: Compute, rngs: Keys) -> None:
        width, channels = config.embed_dim, config.in_chans
        options: dict[str, Any] = {"compute": compute, "rngs": rngs}
        upsampler: Upsampler = "pixelshuffle" if config.upsampler == "pixelshuffle_aux" else config.upsampler
        super().__init__(width, channels, upscale=config.upscale, upsampler=upsampler, **options)
        self.config, self.compute, self.auxiliary = nnx.static(config), nnx.static(compute), auxiliary
        self.conv_first = conv2d(channels, width, **options)
        self.patch_embed = nnx.Dict(
            {"proj": conv2d(width, width, size=1, **options), "norm": layer_norm(width, **options)}
        )
        self.layers = nnx.List([_Group(config, group=i, **options) for i in range(len(config.depths))])
        self.norm = layer_norm(width, **options)
        self.conv_after_body = residual_convolution(width, config.resi_connection, **options)
        if config.upsampler == "pixelshuffle_aux":
            self.conv_bicubic = conv2d(channels, FEATURES, **options)
            self.conv_aux = conv2d(FEATURES, channels, **options)
            self.conv_after_aux = nnx.Dict({"0": conv2d(channels, FEATURES, **options)})

    def __call__(self, x: Array) -> Array | Swin2SROutput:
        """Map (N, H, W, in_chans) to (N, upscale·H, upscale·W, in_chans)."""
        config = self.config
        check_channels(x, config.in_chans)
        size = (x.shape[1] * config.upscale, x.shape[2] * config.upscale)
        image = centre(pad_to_multiple(x, config.window_size, mode="reflect"), img_range=config.img_range)
        shallow = self.conv_first(image)
        deep = self.patch_embed["norm"](self.patch_embed["proj"](shallow))
        deep = self.norm(in_turn(self.layers, deep))
        features = run_convolutions(self.conv_after_body, deep) + shallow
        if config.upsampler != "pixelshuffle_aux":
            out = self.reconstruct(features, image.astype(features.dtype))
            return uncentre(out.astype(x.dtype), img_range=config.img_range)[:, : size[0], : size[1]]
        out, small = (
            uncentre(y.astype(x.dtype), img_range=config.img_range) for y in self._twice(features, image, size)
        )
        return Swin2SROutput(out, small) if self.auxiliary else out

    def _twice(self, features: Array, image: Array, size: tuple[int, int]) -> tuple[Array, Array]:
        """An image of the given size, and a small one before it.

        The extended input is resized to the size of the output without the extension, so the bicubic branch is slightly
        shrunk, and the last convolution meets zeros where the output ends: so do the published networks.
        """
        bicubic = self.conv_bicubic(resize(image, size, kernel=CUBIC_SHARP, antialias=False, border=clamp))
        small = self.conv_aux(self._before(features))
        x = self._shuffle(jax.nn.leaky_relu(self.conv_after_aux["0"](small), HEAD_SLOPE))
        return self.conv_last(x[:, : size[0], : size[1]] + bicubic), small


def swin2sr(
    config: Swin2SRConfig,
    *,
    auxiliary: bool = False,
    compute: Compute = Compute(),  # noqa: B008 (immutable)
) -> Model:
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        auxiliary: `apply` returns a `Swin2SROutput`; only with "pixelshuffle_aux".
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x)` maps (N, H, W, in_chans) to (N, upscale·H, upscale·W, in_chans). It extends x itself, by
        reflection at the bottom and the right; the published test script extends it once more before.

    Raises:
        InputError: sizes that do not fit together; when applied: an image too small to be reflected.
    """
    check_sizes(config)
    if min(config.img_size, config.window_size) < 2:
        raise InputError(f"window_size and img_size: found {config.window_size} and {config.img_size}, expected > 1")
    if config.upsampler == "nearest+conv" and config.upscale != 4:
        raise InputError(f"upscale: found {config.upscale}, expected 4 with nearest+conv")
    if auxiliary and config.upsampler != "pixelshuffle_aux":
        raise InputError(f"auxiliary: found True with {config.upsampler!r}, expected it with pixelshuffle_aux only")
    return functional(lambda rngs: _Swin2SR(config, auxiliary=auxiliary, compute=compute, rngs=Keys(rngs)))


def _recognise(shapes: Shapes) -> Swin2SRConfig | None:
    """The range of images is not in the shapes; nor, without stored tables, the window, nor without masks img_size."""
    scales, tables = (in_first_blocks(shapes, name) for name in ("logit_scale", "relative_position_index"))
    window = math.isqrt(tables[0][0]) if tables else 8
    found = recognise_sizes(shapes, window=window, num_heads=tuple(shape[0] for shape in scales))
    if not scales or found is None:
        return None
    if "conv_aux.weight" in shapes:
        found["upsampler"] = "pixelshuffle_aux"
    return Swin2SRConfig(**found)


SWIN2SR = Network(
    name="Swin2SR",
    namings=(Naming(ignored=(r"\.relative_position_index$", r"\.relative_coords_table$", r"\.attn_mask$")),),
    recognise=_recognise,
    build=lambda config, compute: swin2sr(config, compute=compute),
)
