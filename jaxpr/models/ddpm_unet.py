"""The U-Net of DDPM in its PyTorch form: celeba_hq.ckpt, on which DDRM and SDEdit build, and its relatives.

Images in [-1, 1] with noise and a time in; the noise out, in units of its standard deviation.

Paper: Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.diffusion_parts import (
    Downsample,
    Level,
    Middle,
    ResidualBlock,
    SelfAttention,
    TimeEmbedding,
    Upsample,
    batch_of_times,
    check_pixels,
    check_widths,
    timestep_embedding,
)
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, Keys, check_channels, conv2d, group_norm
from jaxpr.models.naming import Naming, Network, Shapes, indices

__all__ = ["DDPM_UNET", "DDPMUNetConfig", "attention_levels", "ddpm_unet"]

_EPSILON, _GROUPS = 1e-6, 32


class DDPMUNetConfig(NamedTuple):
    """Sizes of a U-Net, named as in the published constructor; the defaults are those of celeba_hq.ckpt.

    Attributes:
        in_channels: of the images.
        out_ch: of the output.
        ch: width, a multiple of 32; the embedding of the time is four times as wide.
        ch_mult: width at each resolution in multiples of ch, the full one first; each next one has half the height
            and width.
        num_res_blocks: residual blocks for each resolution on the way down; there is one more on the way up.
        attention_levels: places in ch_mult of the resolutions with attention (see `attention_levels`).
        resamp_with_conv: whether changes of resolution have convolutions.
    """

    in_channels: int = 3
    out_ch: int = 3
    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    num_res_blocks: int = 2
    attention_levels: tuple[int, ...] = (4,)
    resamp_with_conv: bool = True

    @property
    def multiple(self) -> int:
        """Of the height and width of images."""
        return 2 ** (len(self.ch_mult) - 1)


def attention_levels(*, image_size: int, attn_resolutions: tuple[int, ...], levels: int) -> tuple[int, ...]:
    """The levels at which images of the size in training have one of the published `attn_resolutions`."""
    return tuple(i for i in range(levels) if image_size // 2**i in attn_resolutions)


class _DDPMUNet(nnx.Module):
    def __init__(self, config: DDPMUNetConfig, *, compute: Compute, rngs: Keys) -> None:
        self.config, self.compute = nnx.static(config), nnx.static(compute)
        options: dict[str, Any] = {"epsilon": _EPSILON, "groups": _GROUPS, "compute": compute, "rngs": rngs}
        residual: Callable[[int, int], ResidualBlock] = functools.partial(
            ResidualBlock, **options, embedding=4 * config.ch
        )
        attention: Callable[[int], SelfAttention] = functools.partial(SelfAttention, **options)
        resample: dict[str, Any] = {"convolve": config.resamp_with_conv, "compute": compute, "rngs": rngs}
        widths = [config.ch * multiple for multiple in config.ch_mult]
        last, skipped = config.ch, [config.ch]  # widths of the image so far, and of what waits for the way up

        self.temb = TimeEmbedding(config.ch, 4 * config.ch, compute=compute, rngs=rngs)
        self.conv_in = conv2d(config.in_channels, config.ch, compute=compute, rngs=rngs)
        down = []
        for i, width in enumerate(widths):
            inputs = (last, *[width] * (config.num_res_blocks - 1))
            attending = len(inputs) if i in config.attention_levels else 0
            further = i < len(widths) - 1
            down.append(
                Level(
                    [residual(before, width) for before in inputs],
                    [attention(width) for _ in range(attending)],
                    downsample=Downsample(width, width, **resample) if further else None,
                )
            )
            last = width
            skipped += [width] * (config.num_res_blocks + further)
        self.down = nnx.List(down)
        self.mid = Middle(last, residual=residual, attention=attention)
        up = []
        for i in reversed(range(len(widths))):
            width = widths[i]
            inputs = (last, *[width] * config.num_res_blocks)
            attending = len(inputs) if i in config.attention_levels else 0
            up.append(
                Level(
                    [residual(before + skipped.pop(), width) for before in inputs],
                    [attention(width) for _ in range(attending)],
                    upsample=Upsample(width, width, **resample) if i else None,
                )
            )
            last = width
        self.up = nnx.List(up[::-1])
        self.norm_out = group_norm(last, compute=compute, rngs=rngs, epsilon=_EPSILON, groups=_GROUPS)
        self.conv_out = conv2d(last, config.out_ch, compute=compute, rngs=rngs)

    def __call__(self, x: Array, t: Array) -> Array:
        """Map (N, H, W, in_channels) and times (N,) or () to (N, H, W, out_ch)."""
        config, remat = self.config, self.compute.remat
        check_channels(x, config.in_channels)
        check_pixels(x, config.multiple)
        t = batch_of_times(t, x.shape[0])
        embedding = self.temb(timestep_embedding(t, config.ch, cosine_first=False, closed=True))
        h = self.conv_in(x)
        kept = [h]
        for level in self.down:
            for i in range(len(level.block)):
                h = level.run(i, h, embedding, remat=remat)
                kept.append(h)
            if level.downsample is not None:
                h = level.downsample(h)
                kept.append(h)
        h = self.mid(h, embedding, remat=remat)
        for level in reversed(self.up):
            for i in range(len(level.block)):
                h = level.run(i, jnp.concatenate([h, kept.pop()], axis=-1), embedding, remat=remat)
            h = h if level.upsample is None else level.upsample(h)
        return self.conv_out(jax.nn.silu(self.norm_out(h))).astype(x.dtype)


def ddpm_unet(config: DDPMUNetConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x, t)` maps images (N, H, W, in_channels), H and W multiples of the config's `multiple`, and
        times (N,), or () for all, in 0 ... 999, integral or not, to (N, H, W, out_ch).

    Raises:
        InputError: sizes that do not fit together; when applied: other channels, sizes or numbers of times.

    Note:
        The published code takes images of the size in training only. Here attention stays at the levels that had the
        published resolutions in training, whatever the size of the input is.
    """
    if not config.ch_mult or config.num_res_blocks < 1:
        raise InputError(
            f"ch_mult and num_res_blocks: found {config.ch_mult} and {config.num_res_blocks}, expected one or more"
        )
    check_widths("ch and ch_mult", (config.ch, *(config.ch * multiple for multiple in config.ch_mult)), _GROUPS)
    return functional(lambda rngs: _DDPMUNet(config, compute=compute, rngs=Keys(rngs)))


def _recognise(shapes: Shapes) -> DDPMUNetConfig | None:
    """Everything can be seen."""
    first, last = shapes.get("conv_in.weight"), shapes.get("conv_out.weight")
    levels = indices(shapes, r"down\.(\d+)\.block\.0\.conv1\.weight")
    if first is None or last is None or not levels or "temb.dense.0.weight" not in shapes:
        return None
    widths = [shapes[f"down.{i}.block.0.conv1.weight"][0] for i in levels]
    return DDPMUNetConfig(
        in_channels=first[1],
        out_ch=last[0],
        ch=first[0],
        ch_mult=tuple(width // first[0] for width in widths),
        num_res_blocks=len(indices(shapes, r"down\.0\.block\.(\d+)\.")),
        attention_levels=indices(shapes, r"down\.(\d+)\.attn\.0\."),
        resamp_with_conv=len(levels) == 1 or "down.0.downsample.conv.weight" in shapes,
    )


DDPM_UNET = Network(
    name="DDPM U-Net",
    namings=(Naming(),),
    recognise=_recognise,
    build=lambda config, compute: ddpm_unet(config, compute=compute),
)
