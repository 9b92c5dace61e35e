"""GFPGAN in its clean architecture (versions 1.3 and 1.4): blind restoration of faces.

Images are RGB in [-1, 1], and so is the output, up to overshoots: aligned faces of exactly one size, 512×512 in the
published files. Names of parameters and of sizes are the published ones.

Paper: Wang et al., "Towards Real-World Blind Face Restoration with Generative Facial Prior", CVPR 2021.
"""

import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import Array, InputError, Key, example_keys
from jaxpr.models.functional import Model, functional
from jaxpr.models.gfpgan_decoder import SLOPE, Decoder, noise_sides, widths
from jaxpr.models.layers import Compute, Keys, check_channels, conv2d, halve, in_turn, linear, upsample_bilinear
from jaxpr.models.naming import Naming, Network, Shapes, indices

__all__ = ["GFPGAN", "GFPGANConfig", "GFPGANOutput", "gfpgan", "gfpgan_noises"]


class GFPGANConfig(NamedTuple):
    """Sizes of a GFPGAN, named as in the published constructor; the defaults are those of the published files.

    Attributes:
        out_size: side of the images, a power of two, 8 to 1024.
        num_style_feat: width of the styles.
        channel_multiplier: of the widths from 64×64 on.
        num_mlp: layers that map styles; the published files have them, but do not use them.
        input_is_latent: styles are not mapped.
        different_w: each layer has a style of its own.
        narrow: of all widths.
        sft_half: features of the input change only one half of the decoder's channels.
    """

    out_size: int = 512
    num_style_feat: int = 512
    channel_multiplier: float = 2
    num_mlp: int = 8
    input_is_latent: bool = True
    different_w: bool = True
    narrow: float = 1
    sft_half: bool = True

    @property
    def scale(self) -> int:
        """One: the output is as large as the input."""
        return 1

    @property
    def log_size(self) -> int:
        """The logarithm of out_size to base 2."""
        return self.out_size.bit_length() - 1

    @property
    def num_latent(self) -> int:
        """How many layers have styles."""
        return 2 * self.log_size - 2


class GFPGANOutput(NamedTuple):
    """All outputs of the network.

    Attributes:
        image: (N, out_size, out_size, 3).
        rgbs: images that the first half of the network makes on its way up, from 8×8 to the full size.
    """

    image: Array
    rgbs: tuple[Array, ...]


class _ResBlock(nnx.Module):
    """Two convolutions with a change of resolution between them, beside a short way."""

    def __init__(self, inputs: int, outputs: int, *, up: bool, compute: Compute, rngs: Keys) -> None:
        self.up = up
        self.conv1 = conv2d(inputs, inputs, compute=compute, rngs=rngs)
        self.conv2 = conv2d(inputs, outputs, compute=compute, rngs=rngs)
        self.skip = conv2d(inputs, outputs, size=1, bias=False, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        resample = upsample_bilinear if self.up else halve
        deep = resample(jax.nn.leaky_relu(self.conv1(x), SLOPE))
        return jax.nn.leaky_relu(self.conv2(deep), SLOPE) + self.skip(resample(x))


class _GFPGAN(nnx.Module):
    def __init__(self, config: GFPGANConfig, *, everything: bool, compute: Compute, rngs: Keys) -> None:
        self.config, self.compute, self.everything = nnx.static(config), nnx.static(compute), everything
        options: dict[str, Any] = {"compute": compute, "rngs": rngs}
        channels = _widths(config, 0.5)
        sides = sorted(channels)
        pairs = list(itertools.pairwise(sides))
        self.conv_body_first = conv2d(3, channels[config.out_size], size=1, **options)
        self.conv_body_down = nnx.List(
            [_ResBlock(channels[large], channels[small], up=False, **options) for small, large in reversed(pairs)]
        )
        self.final_conv = conv2d(channels[4], channels[4], **options)
        self.conv_body_up = nnx.List(
            [_ResBlock(channels[small], channels[large], up=True, **options) for small, large in pairs]
        )
        self.toRGB = nnx.List([conv2d(channels[side], 3, size=1, **options) for side in sides[1:]])
        styles = config.num_latent if config.different_w else 1
        self.final_linear = linear(16 * channels[4], styles * config.num_style_feat, **options)
        self.stylegan_decoder = Decoder(
            config.log_size,
            _widths(config, 1),
            features=config.num_style_feat,
            num_mlp=config.num_mlp,
            **options,
        )
        outputs = 1 if config.sft_half else 2

        def condition(width: int) -> nnx.Dict:
            return nnx.Dict({"0": conv2d(width, width, **options), "2": conv2d(width, outputs * width, **options)})

        self.condition_scale = nnx.List([condition(channels[side]) for side in sides[1:]])
        self.condition_shift = nnx.List([condition(channels[side]) for side in sides[1:]])

    def __call__(self, x: Array, noises: tuple[Array, ...] | None = None) -> Array | GFPGANOutput:
        """Map (N, out_size, out_size, 3) to the same shape."""
        check_channels(x, 3)
        side = self.config.out_size
        if x.shape[1:3] != (side, side):
            raise InputError(f"x: found {x.shape[1]}×{x.shape[2]} pixels, expected {side}×{side}")
        features, skips = jax.nn.leaky_relu(self.conv_body_first(x), SLOPE), []
        for block in self.conv_body_down:
            features = in_turn([block], features, remat=self.compute.remat)
            skips.append(features)
        features = jax.nn.leaky_relu(self.final_conv(features), SLOPE)
        styles = self._styles(features)
        conditions, rgbs = [], []
        for i, block in enumerate(self.conv_body_up):
            features = in_turn([block], features + skips.pop(), remat=self.compute.remat)
            conditions.append((_run(self.condition_scale[i], features), _run(self.condition_shift[i], features)))
            rgbs.append(self.toRGB[i](features).astype(x.dtype))
        decoder = self.stylegan_decoder
        noises = decoder.stored_noises() if noises is None else self._checked(noises, x.shape[0])
        image = decoder(styles, conditions, noises, half=self.config.sft_half).astype(x.dtype)
        return GFPGANOutput(image, tuple(rgbs)) if self.everything else image

    def _styles(self, features: Array) -> Array:
        """One style for every layer of the decoder, (N, num_latent, num_style_feat)."""
        config, n = self.config, features.shape[0]
        styles = self.final_linear(features.transpose(0, 3, 1, 2).reshape(n, -1))  # in the order of the file
        if config.different_w:
            styles = styles.reshape(n, config.num_latent, config.num_style_feat)
        if not config.input_is_latent:
            styles = self.stylegan_decoder.map_styles(styles)
        if config.different_w:
            return styles
        return jnp.broadcast_to(styles[:, None], (n, config.num_latent, config.num_style_feat))

    def _checked(self, noises: tuple[Array, ...], n: int) -> tuple[Array, ...]:
        expected = [(n, side, side, 1) for side in noise_sides(self.config.log_size)]
        if [noise.shape for noise in noises] != expected:
            raise InputError(f"noises: found shapes {[noise.shape for noise in noises]}, expected {expected}")
        return noises


def _widths(config: GFPGANConfig, share: float) -> dict[int, int]:
    """Channels by the side of the image; the first half of the network has half as many as the decoder."""
    return widths(config.log_size, channel_multiplier=config.channel_multiplier, narrow=share * config.narrow)


def _run(convolutions: nnx.Dict, x: Array) -> Array:
    return convolutions["2"](jax.nn.leaky_relu(convolutions["0"](x), SLOPE))


def gfpgan(
    config: GFPGANConfig,
    *,
    everything: bool = False,
    compute: Compute = Compute(),  # noqa: B008 (immutable)
) -> Model:
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        everything: `apply` returns a `GFPGANOutput`.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x)` maps (N, out_size, out_size, 3) in [-1, 1] to the same shape, with the noise images that lie
        among the parameters: it is deterministic. `apply(params, x, noises)` uses the noise that `gfpgan_noises` draws,
        which is what the published program does, so that its results vary. Noise images are no weights to train.

    Raises:
        InputError: sizes that do not exist; when applied: images or noises of other shapes.
    """
    if config.out_size not in [2**i for i in range(3, 11)]:
        raise InputError(f"out_size: found {config.out_size}, expected a power of two, 8 to 1024")
    if min(_widths(config, 0.5).values()) < 1:
        raise InputError(f"narrow: found {config.narrow}, expected enough for one channel at every size")
    return functional(lambda rngs: _GFPGAN(config, everything=everything, compute=compute, rngs=Keys(rngs)))


def gfpgan_noises(key: Key, config: GFPGANConfig, count: int) -> tuple[Array, ...]:
    """Noise images for `count` faces, standard normal, (count, side, side, 1) for every layer that takes one.

    Args:
        key: one key, or one for every face.
        config: sizes of the network.
        count: number of faces. Static.
    """
    sides = noise_sides(config.log_size)

    def draw(key: Key) -> tuple[Array, ...]:
        keys = jax.random.split(key, len(sides))
        return tuple(jax.random.normal(k, (side, side, 1), jnp.float32) for k, side in zip(keys, sides, strict=True))

    return jax.vmap(draw)(example_keys(key, count))


def _recognise(shapes: Shapes) -> GFPGANConfig | None:
    """What shapes do not tell is as in the published files.

    That is the multiplier of widths if there are no images of 64×64, and that styles are mapped where all layers share
    one, and not mapped where each has its own.
    """
    decoder = "stylegan_decoder."
    needed = ("conv_body_first.weight", "final_linear.weight", decoder + "constant_input.weight")
    if any(name not in shapes for name in needed):
        return None
    levels = indices(shapes, r"toRGB\.(\d+)\.")
    features = shapes[decoder + "style_conv1.modulated_conv.modulation.weight"][1]
    narrow = shapes[decoder + "constant_input.weight"][1] / 512
    at_64 = shapes.get(decoder + "style_convs.6.modulated_conv.weight")
    scale = shapes["condition_scale.0.2.weight"]
    different = shapes["final_linear.weight"][0] != features
    return GFPGANConfig(
        out_size=2 ** (len(levels) + 2),
        num_style_feat=features,
        channel_multiplier=at_64[1] / (256 * narrow) if at_64 else 2,
        num_mlp=len(indices(shapes, r"stylegan_decoder\.style_mlp\.(\d+)\.weight")),
        input_is_latent=different,
        different_w=different,
        narrow=narrow,
        sft_half=scale[0] == scale[1],
    )


GFPGAN = Network(
    name="GFPGAN",
    namings=(Naming(),),
    recognise=_recognise,
    build=lambda config, compute: gfpgan(config, compute=compute),
)
