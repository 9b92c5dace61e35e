"""AutoencoderKL, the autoencoder of Stable Diffusion, under the names of CompVis and both generations of diffusers'.

Images in [-1, 1], RGB, and so is the output, up to overshoots. Latents have one pixel for each 2^(levels - 1) of the
image along an axis and are not scaled; the factor 0.18215 of Stable Diffusion belongs to its diffusion model.

Paper: Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import Array, InputError, Key
from jaxpr.models.diffusion_parts import (
    Downsample,
    Level,
    Middle,
    ResidualBlock,
    SelfAttention,
    Upsample,
    check_widths,
)
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, Conv, Keys, check_channels, conv2d, group_norm, in_turn
from jaxpr.models.naming import Naming, Network, Shapes, indices

__all__ = [
    "AUTOENCODER_KL",
    "AutoencoderKL",
    "AutoencoderKLConfig",
    "Posterior",
    "autoencoder_kl",
    "check_autoencoder_sizes",
]

_EPSILON = 1e-6
_SMALLEST_LOGVAR, _LARGEST_LOGVAR = -30.0, 20.0
_MOST_GROUPS = 32


class AutoencoderKLConfig(NamedTuple):
    """Sizes of an autoencoder, named as in diffusers; the defaults are those of Stable Diffusion.

    Attributes:
        in_channels: of the images.
        out_channels: of the reconstructions.
        block_out_channels: width at each resolution, the full one first; each next one has half the height and width.
        layers_per_block: residual blocks for each resolution of the encoder; the decoder has one more.
        latent_channels: of the latents.
        norm_num_groups: groups of the norms.
        use_quant_conv: a 1×1 convolution behind the encoder.
        use_post_quant_conv: a 1×1 convolution before the decoder.
    """

    in_channels: int = 3
    out_channels: int = 3
    block_out_channels: tuple[int, ...] = (128, 256, 512, 512)
    layers_per_block: int = 2
    latent_channels: int = 4
    norm_num_groups: int = 32
    use_quant_conv: bool = True
    use_post_quant_conv: bool = True

    @property
    def factor(self) -> int:
        """Pixels of the image for each of the latents, along an axis."""
        return 2 ** (len(self.block_out_channels) - 1)


class Posterior(NamedTuple):
    """Independent normal distributions of latents.

    Attributes:
        mean: (N, h, w, latent_channels); the mode as well.
        logvar: logarithm of the variance, in [-30, 20].
    """

    mean: Array
    logvar: Array

    @property
    def std(self) -> Array:
        """The standard deviation."""
        return jnp.exp(0.5 * self.logvar)

    def at(self, noise: Array) -> Array:
        """The latents that standard normal noise of their shape leads to."""
        return self.mean + self.std * noise

    def sample(self, key: Key) -> Array:
        """Latents at random."""
        return self.at(jax.random.normal(key, self.mean.shape, self.mean.dtype))


class AutoencoderKL(NamedTuple):
    """The network as pure functions.

    Attributes:
        model: `model.apply(params, x)` decodes the posterior's mean: (N, H, W, in_channels) to (N, H, W, out_channels),
            less the pixels by which H and W exceed multiples of the config's `factor`.
        encode: maps (params, x) to the `Posterior` of its latents, (N, ⌊H/factor⌋, ⌊W/factor⌋, latent_channels).
        decode: maps (params, latents) to images, `factor` times as high and wide.
    """

    model: Model
    encode: Callable[[dict[Any, Any], Array], Posterior]
    decode: Callable[[dict[Any, Any], Array], Array]


class _Encoder(nnx.Module):
    def __init__(self, config: AutoencoderKLConfig, *, compute: Compute, rngs: Keys) -> None:
        self.remat = compute.remat
        widths, groups = config.block_out_channels, config.norm_num_groups
        residual, attention = _blocks(groups, compute, rngs)
        self.conv_in = conv2d(config.in_channels, widths[0], compute=compute, rngs=rngs)
        last, levels = widths[0], []
        for i, width in enumerate(widths):
            inputs = (last, *[width] * (config.layers_per_block - 1))
            down = Downsample(width, width, compute=compute, rngs=rngs) if i < len(widths) - 1 else None
            levels.append(Level([residual(before, width) for before in inputs], downsample=down))
            last = width
        self.down = nnx.List(levels)
        self.mid = Middle(last, residual=residual, attention=attention)
        self.norm_out = group_norm(last, compute=compute, rngs=rngs, epsilon=_EPSILON, groups=groups)
        self.conv_out = conv2d(last, 2 * config.latent_channels, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.conv_in(x)
        for level in self.down:
            x = in_turn(level.block, x, remat=self.remat)
            x = x if level.downsample is None else level.downsample(x)
        return self.conv_out(jax.nn.silu(self.norm_out(self.mid(x, remat=self.remat))))


class _Decoder(nnx.Module):
    """Its levels are numbered as the encoder's, from the full resolution on, and run from the last to the first."""

    def __init__(self, config: AutoencoderKLConfig, *, compute: Compute, rngs: Keys) -> None:
        self.remat = compute.remat
        widths, groups = config.block_out_channels, config.norm_num_groups
        residual, attention = _blocks(groups, compute, rngs)
        last, levels = widths[-1], []
        self.conv_in = conv2d(config.latent_channels, last, compute=compute, rngs=rngs)
        self.mid = Middle(last, residual=residual, attention=attention)
        for i in reversed(range(len(widths))):
            width = widths[i]
            inputs = (last, *[width] * config.layers_per_block)
            up = Upsample(width, width, compute=compute, rngs=rngs) if i else None
            levels.append(Level([residual(before, width) for before in inputs], upsample=up))
            last = width
        self.up = nnx.List(levels[::-1])
        self.norm_out = group_norm(last, compute=compute, rngs=rngs, epsilon=_EPSILON, groups=groups)
        self.conv_out = conv2d(last, config.out_channels, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        x = self.mid(self.conv_in(x), remat=self.remat)
        for level in reversed(self.up):
            x = in_turn(level.block, x, remat=self.remat)
            x = x if level.upsample is None else level.upsample(x)
        return self.conv_out(jax.nn.silu(self.norm_out(x)))


def _blocks(
    groups: int, compute: Compute, rngs: Keys
) -> tuple[Callable[[int, int], ResidualBlock], Callable[[int], SelfAttention]]:
    """Makers of residual blocks (from both widths) and of attention (from its width)."""
    options: dict[str, Any] = {"epsilon": _EPSILON, "groups": groups, "compute": compute, "rngs": rngs}
    return functools.partial(ResidualBlock, **options), functools.partial(SelfAttention, **options)


class _AutoencoderKL(nnx.Module):
    def __init__(self, config: AutoencoderKLConfig, *, compute: Compute, rngs: Keys) -> None:
        self.config = nnx.static(config)

        def pointwise(width: int) -> Conv:
            return conv2d(width, width, size=1, compute=compute, rngs=rngs)

        self.encoder = _Encoder(config, compute=compute, rngs=rngs)
        self.decoder = _Decoder(config, compute=compute, rngs=rngs)
        self.quant_conv = pointwise(2 * config.latent_channels) if config.use_quant_conv else None
        self.post_quant_conv = pointwise(config.latent_channels) if config.use_post_quant_conv else None

    def __call__(self, x: Array, part: str = "both") -> Any:
        """Encode, decode, or encode and decode the mean."""
        if part == "decode":
            return self._decode(x)
        posterior = self._encode(x)
        return posterior if part == "encode" else self._decode(posterior.mean)

    def _encode(self, x: Array) -> Posterior:
        check_channels(x, self.config.in_channels)
        if min(x.shape[1:3]) < self.config.factor:
            raise InputError(f"x: found {x.shape[1]}×{x.shape[2]} pixels, expected {self.config.factor} or more")
        moments = self.encoder(x)
        moments = moments if self.quant_conv is None else self.quant_conv(moments)
        mean, logvar = jnp.split(moments.astype(x.dtype), 2, axis=-1)
        return Posterior(mean, jnp.clip(logvar, _SMALLEST_LOGVAR, _LARGEST_LOGVAR))

    def _decode(self, latents: Array) -> Array:
        check_channels(latents, self.config.latent_channels)
        x = latents if self.post_quant_conv is None else self.post_quant_conv(latents)
        return self.decoder(x).astype(latents.dtype)


def autoencoder_kl(config: AutoencoderKLConfig, *, compute: Compute = Compute()) -> AutoencoderKL:  # noqa: B008
    """The network as pure functions; all of them take the parameters that `model.init` makes.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Raises:
        InputError: sizes that do not fit together; when applied: other channels, or images smaller than one latent.
    """
    check_autoencoder_sizes(config)
    model = functional(lambda rngs: _AutoencoderKL(config, compute=compute, rngs=Keys(rngs)))
    return AutoencoderKL(
        model,
        encode=lambda params, x: model.apply(params, x, "encode"),
        decode=lambda params, latents: model.apply(params, latents, "decode"),
    )


def check_autoencoder_sizes(config: AutoencoderKLConfig) -> None:
    """Raise InputError unless sizes fit together."""
    if not config.block_out_channels or config.layers_per_block < 1:
        raise InputError(
            f"block_out_channels and layers_per_block: found {config.block_out_channels} and "
            f"{config.layers_per_block}, expected one or more"
        )
    check_widths("block_out_channels", config.block_out_channels, config.norm_num_groups)


def _recognise(shapes: Shapes) -> AutoencoderKLConfig | None:
    """Groups cannot be seen: 32 of them, or as few as give every one of them several channels."""
    first, last = shapes.get("encoder.conv_in.weight"), shapes.get("decoder.conv_out.weight")
    levels = indices(shapes, r"encoder\.down\.(\d+)\.block\.0\.conv1\.weight")
    if (
        first is None
        or last is None
        or not levels
        or levels != indices(shapes, r"decoder\.up\.(\d+)\.block\.0\.conv1\.weight")
    ):
        return None
    widths = tuple(shapes[f"encoder.down.{i}.block.0.conv1.weight"][0] for i in levels)
    groups = _MOST_GROUPS
    while groups > 1 and any(width % groups or width == groups for width in widths):
        groups //= 2
    return AutoencoderKLConfig(
        in_channels=first[1],
        out_channels=last[0],
        block_out_channels=widths,
        layers_per_block=len(indices(shapes, r"encoder\.down\.0\.block\.(\d+)\.")),
        latent_channels=shapes["decoder.conv_in.weight"][1],
        norm_num_groups=groups,
        use_quant_conv="quant_conv.weight" in shapes,
        use_post_quant_conv="post_quant_conv.weight" in shapes,
    )


def _diffusers(levels: int) -> Naming:
    """Names of diffusers, of both generations, whose decoder counts its levels from the lowest resolution on."""
    attention = {"to_q|query": "q", "to_k|key": "k", "to_v|value": "v", r"to_out\.0|proj_attn": "proj_out"}
    return Naming(
        rename=(
            (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
            (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
            (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
            (r"\.attn_1\.group_norm\.", ".attn_1.norm."),
            *((rf"\.attn_1\.(?:{theirs})\.", f".attn_1.{ours}.") for theirs, ours in attention.items()),
            (r"\.conv_norm_out\.", ".norm_out."),
            (r"\.down_blocks\.(\d+)\.", r".down.\1."),
            *((rf"\.up_blocks\.{i}\.", f".up.{levels - 1 - i}.") for i in range(levels)),
            (r"\.resnets\.(\d+)\.", r".block.\1."),
            (r"\.conv_shortcut\.", ".nin_shortcut."),
            (r"\.(down|up)samplers\.0\.", r".\1sample."),
        )
    )


_LEFTOVERS = (r"^loss\.", r"^model_ema\.")

AUTOENCODER_KL = Network(
    name="AutoencoderKL",
    namings=(
        Naming(ignored=_LEFTOVERS),
        Naming(prefix="first_stage_model.", ignored=_LEFTOVERS),
        *map(_diffusers, (4, 3, 5, 2, 6, 1)),
    ),
    recognise=_recognise,
    build=lambda config, compute: autoencoder_kl(config, compute=compute).model,
)
