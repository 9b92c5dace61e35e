"""The classifier of noisy images with which ADM (guided-diffusion) guides its samples: the way down of its U-Net.

Images in [-1, 1] with noise and a time in; logits of classes out.

Paper: Dhariwal, Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021.
"""

import math
from typing import Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.adm_files import NAMING, recognise_encoder
from jaxpr.models.adm_unet import EPSILON, ADMUNetConfig, Encoder, check_unet_sizes, split_attention_heads
from jaxpr.models.diffusion_parts import attend, batch_of_times
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, GroupNorm, Keys, check_channels, conv2d, group_norm, linear
from jaxpr.models.naming import Network, Shapes

__all__ = ["ADM_CLASSIFIER", "ADMClassifierConfig", "Pool", "adm_classifier"]

Pool: TypeAlias = Literal["attention", "adaptive", "spatial", "spatial_v2"]
"""How positions become one: attention of their mean to them; their mean; dense layers on the means behind all stages,
without and with a norm."""

_HIDDEN = 2048
"""Between the dense layers."""


class ADMClassifierConfig(NamedTuple):
    """Sizes of a classifier, named as in the published constructor; the defaults are those of 256x256_classifier.pt.

    Attributes:
        image_size: of the images, for the pool "attention" alone; None for any.
        in_channels: of the images.
        model_channels: see `ADMUNetConfig`, also for all that are not described here.
        out_channels: classes.
        num_res_blocks: residual blocks for each resolution.
        attention_resolutions: of the resolutions with attention.
        channel_mult: width at each resolution.
        num_heads: attention heads, if num_head_channels is -1.
        num_head_channels: width of each head, which the pool "attention" needs.
        use_scale_shift_norm: how the embedding enters.
        resblock_updown: how the resolution changes.
        use_new_attention_order: in the blocks; the pool always has it.
        conv_resample: how the resolution changes without resblock_updown.
        pool: the end of the network.
    """

    image_size: int | None = 256
    in_channels: int = 3
    model_channels: int = 128
    out_channels: int = 1000
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (8, 16, 32)
    channel_mult: tuple[float, ...] = (1, 1, 2, 2, 4, 4)
    num_heads: int = 1
    num_head_channels: int = 64
    use_scale_shift_norm: bool = True
    resblock_updown: bool = True
    use_new_attention_order: bool = False
    conv_resample: bool = True
    pool: Pool = "attention"

    @property
    def unet(self) -> ADMUNetConfig:
        """The U-Net whose way down the classifier is."""
        common = (name for name in self._fields if name in ADMUNetConfig._fields)
        return ADMUNetConfig(**{name: getattr(self, name) for name in common})


class _AttentionPool(nnx.Module):
    """Attention of the mean of all positions to itself and to them."""

    def __init__(self, positions: int, width: int, outputs: int, *, heads: int, compute: Compute, rngs: Keys) -> None:
        self.heads, self.compute = heads, nnx.static(compute)
        table = jax.random.normal(rngs.params(), (width, positions + 1), jnp.float32) / math.sqrt(width)
        self.positional_embedding = nnx.Param(table)
        self.qkv_proj = linear(width, 3 * width, compute=compute, rngs=rngs)
        self.c_proj = linear(width, outputs, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, width) to (N, outputs)."""
        n, height, width, channels = x.shape
        table = self.positional_embedding[...].T
        if height * width != len(table) - 1:
            raise InputError(f"x: found {height}×{width} pixels before the pool, expected {len(table) - 1} in all")
        x = x.reshape(n, height * width, channels)
        x = jnp.concatenate([x.mean(axis=1, keepdims=True), x], axis=1) + table[None].astype(x.dtype)
        q, k, v = split_attention_heads(self.qkv_proj(x), heads=self.heads, new_order=True)
        return self.c_proj(attend(q[:, :1], k, v, compute=self.compute)[:, 0])


class _ADMClassifier(Encoder):
    def __init__(self, config: ADMClassifierConfig, *, compute: Compute, rngs: Keys) -> None:
        super().__init__(config.unet, compute=compute, rngs=rngs)
        self.config = nnx.static(config)
        width, outputs = config.unet.widths[-1], config.out_channels

        def norm(channels: int) -> GroupNorm:
            return group_norm(channels, compute=compute, rngs=rngs, epsilon=EPSILON)

        match config.pool:
            case "attention":
                positions, heads = _positions(config), width // config.num_head_channels
                pool = _AttentionPool(positions, width, outputs, heads=heads, compute=compute, rngs=rngs)
                self.out = nnx.Dict({"0": norm(width), "2": pool})
            case "adaptive":
                last = conv2d(width, outputs, size=1, compute=compute, rngs=rngs)
                self.out = nnx.Dict({"0": norm(width), "3": last})
            case "spatial":
                first = linear(sum(self.kept) + width, _HIDDEN, compute=compute, rngs=rngs)
                self.out = nnx.Dict({"0": first, "2": linear(_HIDDEN, outputs, compute=compute, rngs=rngs)})
            case "spatial_v2":
                first = linear(sum(self.kept) + width, _HIDDEN, compute=compute, rngs=rngs)
                last = linear(_HIDDEN, outputs, compute=compute, rngs=rngs)
                self.out = nnx.Dict({"0": first, "1": norm(_HIDDEN), "3": last})

    def __call__(self, x: Array, t: Array) -> Array:
        """Map (N, H, W, in_channels) and times (N,) or () to logits (N, out_channels)."""
        config, dtype = self.config, x.dtype
        check_channels(x, config.in_channels)
        smallest = config.unet.multiple
        if min(x.shape[1:3]) < smallest:
            raise InputError(f"x: found {x.shape[1]}×{x.shape[2]} pixels, expected {smallest} or more")
        kept, h = self.encode(x, self.embed(batch_of_times(t, x.shape[0])))
        if config.pool in ("attention", "adaptive"):
            h = jax.nn.silu(self.out["0"](h))
            if config.pool == "attention":
                return self.out["2"](h).astype(dtype)
            return self.out["3"](h.mean(axis=(1, 2), keepdims=True))[:, 0, 0].astype(dtype)
        means = jnp.concatenate([part.astype(dtype).mean(axis=(1, 2)) for part in (*kept, h)], axis=-1)
        h = self.out["0"](means)
        if config.pool == "spatial":
            return self.out["2"](jax.nn.relu(h)).astype(dtype)
        return self.out["3"](jax.nn.silu(self.out["1"](h))).astype(dtype)


def _positions(config: ADMClassifierConfig) -> int:
    return ((config.image_size or 0) // config.unet.multiple) ** 2


def adm_classifier(config: ADMClassifierConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x, t)` maps images (N, H, W, in_channels) and times (N,), or () for all, in 0 ... 999, integral
        or not, to logits (N, out_channels). With the pool "attention" the lowest resolution must have as many
        positions as in training; with the others every size above one pixel there will do.

    Raises:
        InputError: sizes that do not fit together; when applied: other channels, sizes or numbers of times.
    """
    if config.pool not in get_args(Pool):
        raise InputError(f"pool: found {config.pool!r}, expected one of {', '.join(get_args(Pool))}")
    check_unet_sizes(config.unet)
    if config.pool == "attention" and (config.num_head_channels == -1 or not _positions(config)):
        raise InputError(
            f"num_head_channels and image_size: found {config.num_head_channels} and {config.image_size}, expected "
            f"numbers of channels and pixels (at least {config.unet.multiple}) with the pool attention"
        )
    return functional(lambda rngs: _ADMClassifier(config, compute=compute, rngs=Keys(rngs)))


def _recognise(shapes: Shapes) -> ADMClassifierConfig | None:
    """Heads cannot be seen: in all published files they are 64 channels wide. The size of images can if it matters."""
    encoder, pool = recognise_encoder(shapes), _recognise_pool(shapes)
    if encoder is None or pool is None or "output_blocks.0.0.norm1.weight" in shapes:
        return None
    last = {"attention": "2.c_proj", "adaptive": "3", "spatial": "2", "spatial_v2": "3"}[pool]
    common = (name for name in ADMClassifierConfig._fields if name in ADMUNetConfig._fields)
    sizes = {name: getattr(encoder, name) for name in common}
    sizes |= {"out_channels": shapes[f"out.{last}.weight"][0], "num_heads": ADMClassifierConfig().num_heads}
    size = None
    if pool == "attention":
        size = math.isqrt(shapes["out.2.positional_embedding"][1]) * encoder.multiple
    return ADMClassifierConfig(**sizes, image_size=size, pool=pool)


def _recognise_pool(shapes: Shapes) -> Pool | None:
    if "out.2.positional_embedding" in shapes:
        return "attention"
    first = shapes.get("out.0.weight", ())
    if "out.3.weight" in shapes:
        return "adaptive" if len(first) == 1 else "spatial_v2"
    return "spatial" if len(first) == 2 and "out.2.weight" in shapes else None


ADM_CLASSIFIER = Network(
    name="ADM classifier",
    namings=(NAMING,),
    recognise=_recognise,
    build=lambda config, compute: adm_classifier(config, compute=compute),
)
