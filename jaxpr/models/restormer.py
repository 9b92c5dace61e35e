"""Restormer, with both normalisations, with and without biases, for one image or a dual-pixel pair.

Images in [0, 1], RGB or grey, and so is the output, up to overshoots. Any height and width that reflection can extend
to multiples of eight. Names of parameters and of sizes are the published ones.

Paper: Zamir et al., "Restormer: Efficient Transformer for High-Resolution Image Restoration", CVPR 2022.
"""

import math
from fractions import Fraction
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import (
    Compute,
    Keys,
    check_channels,
    conv2d,
    gelu,
    in_turn,
    l2_normalise,
    layer_norm,
    pad_to_multiple,
    pixel_shuffle,
    pixel_unshuffle,
)
from jaxpr.models.naming import Naming, Network, Shapes, indices

__all__ = ["RESTORMER", "RestormerConfig", "restormer"]

Norm = Literal["BiasFree", "WithBias"]
"""Division by the standard deviation alone, without subtracting the mean; or ordinary layer normalisation."""

_EPSILON = 1e-5
_MULTIPLE = 8  # three halvings


class RestormerConfig(NamedTuple):
    """Sizes of a Restormer, named as in the published constructor; the defaults are those of its denoising files.

    Attributes:
        inp_channels: 3, 1 for grey, 6 for a dual-pixel pair.
        out_channels: as inp_channels, 3 for a dual-pixel pair.
        dim: width at full resolution; it doubles with every halving.
        num_blocks: blocks of each of the four levels, on the way down and on the way up.
        num_refinement_blocks: blocks at the end, at full resolution.
        heads: attention heads of each level.
        ffn_expansion_factor: width inside the gated layers, in multiples of the width outside.
        bias: whether convolutions have one; the first and those that change the resolution never have.
        LayerNorm_type: "BiasFree" in files for denoising, "WithBias" in the others.
        dual_pixel_task: features of the input, not the input, are added at the end.
    """

    inp_channels: int = 3
    out_channels: int = 3
    dim: int = 48
    num_blocks: tuple[int, ...] = (4, 6, 6, 8)
    num_refinement_blocks: int = 4
    heads: tuple[int, ...] = (1, 2, 4, 8)
    ffn_expansion_factor: float = 2.66
    bias: bool = False
    LayerNorm_type: Norm = "BiasFree"
    dual_pixel_task: bool = False

    @property
    def scale(self) -> int:
        """One: the output is as large as the input."""
        return 1


class _BiasFreeNorm(nnx.Module):
    """Division by the standard deviation over the channels, which does take the mean into account."""

    def __init__(self, width: int) -> None:
        self.scale = nnx.Param(jnp.ones(width, jnp.float32))

    def __call__(self, x: Array) -> Array:
        variance = jnp.var(x.astype(jnp.promote_types(x.dtype, jnp.float32)), axis=-1, keepdims=True)
        scale = self.scale[...].reshape(1, 1, 1, -1)
        return (x * jax.lax.rsqrt(variance + _EPSILON) * scale).astype(x.dtype)


class _Norm(nnx.Module):
    def __init__(self, width: int, kind: Norm, *, compute: Compute, rngs: Keys) -> None:
        if kind == "BiasFree":
            self.body = _BiasFreeNorm(width)
        else:
            self.body = layer_norm(width, compute=compute, rngs=rngs, epsilon=_EPSILON)

    def __call__(self, x: Array) -> Array:
        return self.body(x)


class _ChannelAttention(nnx.Module):
    """Multi-head attention between channels: similarities are cosines over all pixels, so cost is linear in those."""

    def __init__(self, width: int, heads: int, bias: bool, *, compute: Compute, rngs: Keys) -> None:
        self.heads, self.compute = heads, nnx.static(compute)
        self.temperature = nnx.Param(jnp.ones((heads, 1, 1), jnp.float32))
        options: dict[str, Any] = {"bias": bias, "compute": compute, "rngs": rngs}
        self.qkv = conv2d(width, 3 * width, size=1, **options)
        self.qkv_dwconv = conv2d(3 * width, 3 * width, groups=3 * width, **options)
        self.project_out = conv2d(width, width, size=1, **options)

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, width) to the same shape."""
        n, height, width, channels = x.shape
        pixels = self.qkv_dwconv(self.qkv(x)).reshape(n, height * width, 3, self.heads, channels // self.heads)
        q, k, v = (pixels[:, :, i] for i in range(3))
        q, k = l2_normalise(q, axis=1), l2_normalise(k, axis=1)
        product: dict[str, Any] = {"precision": self.compute.precision, "preferred_element_type": jnp.float32}
        cosines = jnp.einsum("nphc,nphd->nhcd", q, k, **product)
        weights = jax.nn.softmax(cosines * self.temperature[...][None], axis=-1).astype(v.dtype)
        x = jnp.einsum("nhcd,nphd->nphc", weights, v, **product).astype(v.dtype)
        return self.project_out(x.reshape(n, height, width, channels))


class _GatedLayers(nnx.Module):
    """Convolutions whose one half, through a GELU, multiplies the other."""

    def __init__(self, width: int, hidden: int, bias: bool, *, compute: Compute, rngs: Keys) -> None:
        options: dict[str, Any] = {"bias": bias, "compute": compute, "rngs": rngs}
        self.project_in = conv2d(width, 2 * hidden, size=1, **options)
        self.dwconv = conv2d(2 * hidden, 2 * hidden, groups=2 * hidden, **options)
        self.project_out = conv2d(hidden, width, size=1, **options)

    def __call__(self, x: Array) -> Array:
        gate, x = jnp.split(self.dwconv(self.project_in(x)), 2, axis=-1)
        return self.project_out(gelu(gate) * x)


class _Block(nnx.Module):
    """Attention, then gated layers, both behind a normalisation and beside a residual connection."""

    def __init__(self, config: RestormerConfig, *, width: int, heads: int, compute: Compute, rngs: Keys) -> None:
        hidden = int(width * config.ffn_expansion_factor)
        self.norm1 = _Norm(width, config.LayerNorm_type, compute=compute, rngs=rngs)
        self.attn = _ChannelAttention(width, heads, config.bias, compute=compute, rngs=rngs)
        self.norm2 = _Norm(width, config.LayerNorm_type, compute=compute, rngs=rngs)
        self.ffn = _GatedLayers(width, hidden, config.bias, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = x + self.attn(self.norm1(x))
        return x + self.ffn(self.norm2(x))


class _Restormer(nnx.Module):
    def __init__(self, config: RestormerConfig, *, compute: Compute, rngs: Keys) -> None:
        self.config, self.compute = nnx.static(config), nnx.static(compute)
        dim, bias = config.dim, config.bias
        options: dict[str, Any] = {"compute": compute, "rngs": rngs}

        def blocks(count: int, level: int, width: int) -> nnx.List:
            heads = config.heads[level - 1]
            return nnx.List([_Block(config, width=width, heads=heads, **options) for _ in range(count)])

        def body(inputs: int, outputs: int) -> nnx.Dict:
            return nnx.Dict({"body": nnx.Dict({"0": conv2d(inputs, outputs, bias=False, **options)})})

        self.patch_embed = nnx.Dict({"proj": conv2d(config.inp_channels, dim, bias=False, **options)})
        for level in (1, 2, 3):
            width = dim * 2 ** (level - 1)
            setattr(self, f"encoder_level{level}", blocks(config.num_blocks[level - 1], level, width))
            setattr(self, f"down{level}_{level + 1}", body(width, width // 2))
        self.latent = blocks(config.num_blocks[3], 4, 8 * dim)
        for level in (3, 2, 1):
            width = dim * 2**level
            setattr(self, f"up{level + 1}_{level}", body(width, 2 * width))
            if level > 1:  # the first level keeps the double width
                setattr(self, f"reduce_chan_level{level}", conv2d(width, width // 2, size=1, bias=bias, **options))
                width //= 2
            setattr(self, f"decoder_level{level}", blocks(config.num_blocks[level - 1], level, width))
        self.refinement = blocks(config.num_refinement_blocks, 1, 2 * dim)
        if config.dual_pixel_task:
            self.skip_conv = conv2d(dim, 2 * dim, size=1, bias=bias, **options)
        self.output = conv2d(2 * dim, config.out_channels, bias=bias, **options)

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, inp_channels) to (N, H, W, out_channels)."""
        check_channels(x, self.config.inp_channels)
        height, width = x.shape[1:3]
        image = pad_to_multiple(x, _MULTIPLE, mode="reflect")
        embedded = self.patch_embed["proj"](image)
        features = self._run("refinement", self._levels(embedded))
        if self.config.dual_pixel_task:
            out = self.output(features + self.skip_conv(embedded)).astype(x.dtype)
        else:
            out = self.output(features).astype(x.dtype) + image
        return out[:, :height, :width]

    def _levels(self, x: Array) -> Array:
        """Down three levels and up again; (N, H, W, dim) to (N, H, W, 2·dim)."""
        skips = []
        for level in (1, 2, 3):
            x = self._run(f"encoder_level{level}", x)
            skips.append(x)
            x = pixel_unshuffle(getattr(self, f"down{level}_{level + 1}")["body"]["0"](x), 2)
        x = self._run("latent", x)
        for level in (3, 2, 1):
            x = pixel_shuffle(getattr(self, f"up{level + 1}_{level}")["body"]["0"](x), 2)
            x = jnp.concatenate([x, skips.pop()], axis=-1)
            if level > 1:
                x = getattr(self, f"reduce_chan_level{level}")(x)
            x = self._run(f"decoder_level{level}", x)
        return x

    def _run(self, blocks: str, x: Array) -> Array:
        return in_turn(getattr(self, blocks), x, remat=self.compute.remat)


def restormer(config: RestormerConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        compute: dtype, precision and memory. Attention is between channels, so its blocks are never needed.

    Returns:
        `apply(params, x)` maps (N, H, W, inp_channels) to (N, H, W, out_channels). Sizes that are no multiples of eight
        are extended by reflection at the bottom and the right, as the published scripts do; unlike those, it does not
        clip the output to [0, 1].

    Raises:
        InputError: sizes that do not fit together; when applied: an image too small to be reflected.
    """
    _check(config)
    return functional(lambda rngs: _Restormer(config, compute=compute, rngs=Keys(rngs)))


def _check(config: RestormerConfig) -> None:
    if config.LayerNorm_type not in get_args(Norm):
        raise InputError(f"LayerNorm_type: found {config.LayerNorm_type!r}, expected one of {get_args(Norm)}")
    if len(config.num_blocks) != 4 or len(config.heads) != 4:
        raise InputError(f"num_blocks and heads: found {config.num_blocks} and {config.heads}, expected four each")
    if config.dim % 2:
        raise InputError(f"dim: found {config.dim}, expected an even number")
    if any(config.dim * 2**level % heads for level, heads in enumerate(config.heads)):
        raise InputError(f"heads: found {config.heads}, expected divisors of the widths, {config.dim} and its doubles")
    if not config.dual_pixel_task and config.inp_channels not in (1, config.out_channels):
        raise InputError(
            f"inp_channels: found {config.inp_channels}, expected {config.out_channels} as out_channels, because the "
            "input is added to the output"
        )


def _recognise(shapes: Shapes) -> RestormerConfig | None:
    """Every size is seen; of the many expansion factors that give the same widths it is the one with fewest digits."""
    needed = ("patch_embed.proj.weight", "output.weight", "latent.0.attn.temperature", "refinement.0.ffn.dwconv.weight")
    if any(name not in shapes for name in needed):
        return None
    dim, inputs = shapes["patch_embed.proj.weight"][:2]
    levels = ("encoder_level1", "encoder_level2", "encoder_level3", "latent")
    return RestormerConfig(
        inp_channels=inputs,
        out_channels=shapes["output.weight"][0],
        dim=dim,
        num_blocks=tuple(len(indices(shapes, rf"{level}\.(\d+)\.")) for level in levels),
        num_refinement_blocks=len(indices(shapes, r"refinement\.(\d+)\.")),
        heads=tuple(shapes[f"{level}.0.attn.temperature"][0] for level in levels),
        ffn_expansion_factor=_shortest_factor(
            {dim * 2**i: shapes[f"{level}.0.ffn.dwconv.weight"][0] // 2 for i, level in enumerate(levels)}
        ),
        bias="latent.0.attn.qkv.bias" in shapes,
        LayerNorm_type="WithBias" if "latent.0.norm1.body.bias" in shapes else "BiasFree",
        dual_pixel_task="skip_conv.weight" in shapes,
    )


def _shortest_factor(hidden: dict[int, int]) -> float:
    """The factor with the fewest decimals that makes each width, times it and rounded down, the width it points to."""
    least = max(Fraction(inside, width) for width, inside in hidden.items())
    for digits in range(16):
        factor = math.ceil(least * 10**digits) / 10**digits
        if all(int(width * factor) == inside for width, inside in hidden.items()):
            return factor
    return float(least)


RESTORMER = Network(
    name="Restormer",
    namings=(Naming(),),
    recognise=_recognise,
    build=lambda config, compute: restormer(config, compute=compute),
)
