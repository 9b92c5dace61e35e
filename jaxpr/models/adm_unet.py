"""The U-Nets of ADM (guided-diffusion), unconditional and class-conditional.

Images in [-1, 1] with noise and a time in. Of the output the first half of the channels is the noise in units of its
standard deviation; in published files a second half v tells the variance: its logarithm is the mean of those of the
largest and the smallest sensible variance, with weights (1 + v) / 2 and (1 - v) / 2.

Paper: Dhariwal, Nichol, "Diffusion Models Beat GANs on Image Synthesis", NeurIPS 2021.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxpr.core import Array, InputError, check_count
from jaxpr.models.diffusion_parts import (
    Downsample,
    ResidualBlock,
    TimeEmbedding,
    Upsample,
    attend,
    average_pool,
    batch_of_times,
    check_pixels,
    check_widths,
    double,
    timestep_embedding,
)
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, Keys, check_channels, conv2d, group_norm, in_turn, linear

__all__ = [
    "EPSILON",
    "ADMUNetConfig",
    "Encoder",
    "SplitUNet",
    "adm_unet",
    "check_unet_sizes",
    "split_adm_unet",
    "split_attention_heads",
]

EPSILON = 1e-5
"""Of the norms."""

_GROUPS = 32


class ADMUNetConfig(NamedTuple):
    """Sizes of a U-Net, named as in the published constructor; the defaults are those of 256x256_diffusion_uncond.pt.

    Attributes:
        in_channels: of the images.
        model_channels: width, to be multiplied; the embedding of the time is four times as wide.
        out_channels: twice in_channels with variances.
        num_res_blocks: residual blocks for each resolution on the way down; there is one more on the way up.
        attention_resolutions: of the resolutions with attention: how often their pixels fit in one direction into the
            image's, 1, 2, 4, ...
        channel_mult: width at each resolution in multiples of model_channels, the full one first; each next one has
            half the height and width.
        num_classes: of images; None for an unconditional network.
        num_heads: attention heads, if num_head_channels is -1.
        num_head_channels: width of each head; -1 for num_heads of them.
        num_heads_upsample: heads on the way up, if num_head_channels is -1; -1 for as many as on the way down.
        use_scale_shift_norm: the embedding scales and shifts normalised activations; otherwise it is added before.
        resblock_updown: residual blocks change the resolution; otherwise convolutions do.
        use_new_attention_order: queries of all heads go before keys of all heads in files; otherwise queries, keys and
            values of one head go before those of the next.
        conv_resample: whether, without resblock_updown, changes of resolution have convolutions.
    """

    in_channels: int = 3
    model_channels: int = 256
    out_channels: int = 6
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (8, 16, 32)
    channel_mult: tuple[float, ...] = (1, 1, 2, 2, 4, 4)
    num_classes: int | None = None
    num_heads: int = 4
    num_head_channels: int = 64
    num_heads_upsample: int = -1
    use_scale_shift_norm: bool = True
    resblock_updown: bool = True
    use_new_attention_order: bool = False
    conv_resample: bool = True

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at each resolution."""
        return tuple(round(multiple * self.model_channels) for multiple in self.channel_mult)

    @property
    def multiple(self) -> int:
        """Of the height and width of images."""
        return 2 ** (len(self.channel_mult) - 1)


class _Attention(nnx.Module):
    """Attention over all positions of an image, behind a norm and beside a residual connection."""

    def __init__(self, width: int, *, heads: int, new_order: bool, compute: Compute, rngs: Keys) -> None:
        self.heads, self.new_order, self.compute = heads, new_order, nnx.static(compute)
        self.norm = group_norm(width, compute=compute, rngs=rngs, epsilon=EPSILON, groups=_GROUPS)
        self.qkv = linear(width, 3 * width, compute=compute, rngs=rngs)
        self.proj_out = linear(width, width, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, width) to the same shape."""
        n, height, width, channels = x.shape
        qkv = self.qkv(self.norm(x).reshape(n, height * width, channels))
        h = attend(*split_attention_heads(qkv, heads=self.heads, new_order=self.new_order), compute=self.compute)
        return x + self.proj_out(h).reshape(x.shape)


def split_attention_heads(qkv: Array, *, heads: int, new_order: bool) -> tuple[Array, Array, Array]:
    """Queries, keys and values, (N, L, heads, d) each, out of (N, L, 3 · heads · d)."""
    n, length, _ = qkv.shape
    if new_order:
        q, k, v = jnp.moveaxis(qkv.reshape(n, length, 3, heads, -1), 2, 0)
    else:
        q, k, v = jnp.moveaxis(qkv.reshape(n, length, heads, 3, -1), 3, 0)
    return q, k, v


class _Blocks(NamedTuple):
    """Makers of the parts of a network."""

    config: ADMUNetConfig
    compute: Compute
    rngs: Keys

    def residual(self, inputs: int, outputs: int, resample: Callable[[Array], Array] | None = None) -> ResidualBlock:
        return ResidualBlock(
            inputs,
            outputs,
            epsilon=EPSILON,
            groups=_GROUPS,
            embedding=4 * self.config.model_channels,
            modulated=self.config.use_scale_shift_norm,
            resample=resample,
            compute=self.compute,
            rngs=self.rngs,
        )

    def attention(self, width: int, level: int | None, *, upwards: bool = False) -> list[_Attention]:
        """One, or none at a level (None for the middle) without attention."""
        config = self.config
        if level is not None and 2**level not in config.attention_resolutions:
            return []
        order = config.use_new_attention_order
        heads = _heads(config, width, upwards=upwards)
        return [_Attention(width, heads=heads, new_order=order, compute=self.compute, rngs=self.rngs)]

    def down(self, width: int) -> nnx.Module:
        if self.config.resblock_updown:
            return self.residual(width, width, average_pool)
        convolve = self.config.conv_resample
        return Downsample(width, width, convolve=convolve, symmetric=True, compute=self.compute, rngs=self.rngs)

    def up(self, width: int) -> nnx.Module:
        if self.config.resblock_updown:
            return self.residual(width, width, double)
        return Upsample(width, width, convolve=self.config.conv_resample, compute=self.compute, rngs=self.rngs)


class Encoder(nnx.Module):
    """The way down and the middle, to be inherited, because their names stand at the root of published files."""

    def __init__(self, config: ADMUNetConfig, *, compute: Compute, rngs: Keys) -> None:
        self.remat = compute.remat
        self.model_channels = config.model_channels
        blocks = _Blocks(config, compute, rngs)
        self.time_embed = TimeEmbedding(config.model_channels, 4 * config.model_channels, compute=compute, rngs=rngs)
        width = config.widths[0]
        stages, kept = [nnx.List([conv2d(config.in_channels, width, compute=compute, rngs=rngs)])], [width]
        for level, outputs in enumerate(config.widths):
            if level:
                stages.append(nnx.List([blocks.down(width)]))
                kept.append(width)
            for _ in range(config.num_res_blocks):
                parts = [blocks.residual(width, outputs), *blocks.attention(outputs, level)]
                stages.append(nnx.List(parts))
                kept.append(width := outputs)
        self.input_blocks = nnx.List(stages)
        self.middle_block = nnx.List(
            [blocks.residual(width, width), *blocks.attention(width, None), blocks.residual(width, width)]
        )
        self.kept = tuple(kept)  # channels behind each stage

    def embed(self, t: Array) -> Array:
        """Map times (N,) to their embedding."""
        return self.time_embed(timestep_embedding(t, self.model_channels, cosine_first=True, closed=False))

    def encode(self, x: Array, embedding: Array) -> tuple[list[Array], Array]:
        """What each stage of the way down, and the middle, make of images."""
        outputs = self.go_down(x, embedding, len(self.input_blocks))
        return outputs, self.run(self.middle_block, outputs[-1], embedding)

    def go_down(self, x: Array, embedding: Array, stages: int) -> list[Array]:
        """What each of the first stages of the way down makes of images."""
        outputs = []
        for stage in self.input_blocks[:stages]:
            x = self.run(stage, x, embedding)
            outputs.append(x)
        return outputs

    def run(self, stage: nnx.List, x: Array, embedding: Array) -> Array:
        """The parts of a stage."""
        for part in stage:
            match part:
                case ResidualBlock():
                    x = in_turn([part], x, embedding, remat=self.remat)
                case _Attention():
                    x = in_turn([part], x, remat=self.remat)
                case _:
                    x = part(x)
        return x


class _ADMUNet(Encoder):
    def __init__(self, config: ADMUNetConfig, *, compute: Compute, rngs: Keys) -> None:
        super().__init__(config, compute=compute, rngs=rngs)
        self.config = nnx.static(config)
        blocks = _Blocks(config, compute, rngs)
        if config.num_classes is not None:
            self.label_emb = nnx.Embed(config.num_classes, 4 * config.model_channels, dtype=compute.dtype, rngs=rngs)
        skipped, width, stages = list(self.kept), config.widths[-1], []
        for level, outputs in reversed(list(enumerate(config.widths))):
            for i in range(config.num_res_blocks + 1):
                parts = [
                    blocks.residual(width + skipped.pop(), outputs),
                    *blocks.attention(outputs, level, upwards=True),
                ]
                width = outputs
                if level and i == config.num_res_blocks:
                    parts.append(blocks.up(width))
                stages.append(nnx.List(parts))
        self.output_blocks = nnx.List(stages)
        norm = group_norm(width, compute=compute, rngs=rngs, epsilon=EPSILON, groups=_GROUPS)
        self.out = nnx.Dict({"0": norm, "2": conv2d(width, config.out_channels, compute=compute, rngs=rngs)})

    def __call__(
        self, x: Array, t: Array, y: Array | None = None, shallow: int = 0, features: Array | None = None
    ) -> Any:
        """Map (N, H, W, in_channels), times (N,) or () and labels (N,) or () to (N, H, W, out_channels).

        With a number of shallow stages: to what goes into the last so many of them, too; given that, compute no others.
        """
        config = self.config
        check_channels(x, config.in_channels)
        check_pixels(x, config.multiple)
        embedding = self.embed(batch_of_times(t, x.shape[0]))
        if (y is None) != (config.num_classes is None):
            wanted = "None" if config.num_classes is None else f"labels of {config.num_classes} classes"
            raise InputError(f"y: found {'None' if y is None else 'labels'}, expected {wanted}")
        if y is not None:
            embedding = embedding + self.label_emb(_batch_of_labels(y, x.shape[0]))
        deep = len(self.output_blocks) - shallow
        if features is None:
            kept, h = self.encode(x, embedding)
            h = self.go_up(h, kept, embedding, self.output_blocks[:deep])
        else:
            kept, h = self.go_down(x, embedding, shallow), features
        last = self.go_up(h, kept, embedding, self.output_blocks[deep:])
        found = self.out["2"](jax.nn.silu(self.out["0"](last))).astype(x.dtype)
        return (found, h) if shallow and features is None else found

    def go_up(self, h: Array, kept: list[Array], embedding: Array, stages: Sequence[nnx.List]) -> Array:
        """Some stages of the way up; each takes the last that is kept away."""
        for stage in stages:
            h = self.run(stage, jnp.concatenate([h, kept.pop()], axis=-1), embedding)
        return h


def adm_unet(config: ADMUNetConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x, t)` maps images (N, H, W, in_channels), H and W multiples of the config's `multiple`, and
        times (N,), or () for all, in 0 ... 999, integral or not, to (N, H, W, out_channels). A class-conditional
        network's `apply(params, x, t, y)` takes labels besides, integers in 0 ... num_classes - 1, (N,) or ().

    Raises:
        InputError: sizes that do not fit together; when applied: other channels, sizes, or numbers of times or labels;
            labels missing or not wanted.
    """
    check_unet_sizes(config)
    return functional(lambda rngs: _ADMUNet(config, compute=compute, rngs=Keys(rngs)))


class SplitUNet(NamedTuple):
    """The network of `adm_unet` in a deep and a shallow part.

    With one shallow stage that part has 0.11 of the network's arithmetic, in ADM's network of 256×256 images as in the
    small one of the recipe `photos32`.

    Attributes:
        whole: maps (params, x, t), and labels y where there are classes, to the output and the deep part's features.
        shallow: maps (params, x, t, features), and y, to the output.
    """

    whole: Callable[..., tuple[Array, Array]]
    shallow: Callable[..., Array]


def split_adm_unet(config: ADMUNetConfig, *, stages: int = 1, compute: Compute = Compute()) -> SplitUNet:  # noqa: B008
    """The network of `adm_unet`, with its parameters, so that deep features can be reused in later steps.

    Paper: Ma, Fang, Wang, "DeepCache: Accelerating Diffusion Models for Free", CVPR 2024.

    Args:
        config: its sizes.
        stages: of the way down and of the way up that are shallow.
        compute: as in `adm_unet`.

    Raises:
        InputError: as `adm_unet`; stages is no positive integer, or no stage is left for the deep part.
    """
    model = adm_unet(config, compute=compute)
    check_count("stages", stages)
    most = len(config.channel_mult) * (config.num_res_blocks + 1) - 1
    if stages > most:
        raise InputError(f"stages: found {stages}, expected at most {most}")

    def whole(params: Any, x: Array, t: Array, y: Array | None = None) -> tuple[Array, Array]:
        found: tuple[Array, Array] = model.apply(params, x, t, y, stages)
        return found

    def shallow(params: Any, x: Array, t: Array, features: Array, y: Array | None = None) -> Array:
        return model.apply(params, x, t, y, stages, features)

    return SplitUNet(whole, shallow)


def check_unet_sizes(config: ADMUNetConfig) -> None:
    """Raise unless the sizes fit together."""
    if not config.channel_mult or config.num_res_blocks < 1:
        raise InputError(
            f"channel_mult and num_res_blocks: found {config.channel_mult} and {config.num_res_blocks}, expected "
            "one or more"
        )
    check_widths("model_channels and channel_mult", config.widths, _GROUPS)
    attending = {config.widths[-1]}  # the middle
    attending |= {width for i, width in enumerate(config.widths) if 2**i in config.attention_resolutions}
    for width in attending:
        for upwards in (False, True):
            _heads(config, width, upwards=upwards)


def _heads(config: ADMUNetConfig, width: int, *, upwards: bool) -> int:
    """How many there are in attention of some width."""
    each = config.num_head_channels
    if each != -1:
        if each < 1 or width % each:
            raise InputError(f"num_head_channels: found {each}, expected -1 or a divisor of {width}")
        return width // each
    heads = config.num_heads_upsample if upwards and config.num_heads_upsample != -1 else config.num_heads
    if heads < 1 or width % heads:
        raise InputError(f"num_heads: found {heads}, expected a divisor of {width}")
    return heads


def _batch_of_labels(y: Array, n: int) -> Array:
    if np.shape(y) not in ((), (n,)) or not jnp.issubdtype(jnp.result_type(y), jnp.integer):
        raise InputError(f"y: found {jnp.result_type(y)} {np.shape(y)}, expected integers () or ({n},)")
    return jnp.broadcast_to(jnp.asarray(y), (n,))
