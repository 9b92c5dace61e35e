"""Three other critics of images, as options: a VGG-style classifier, a U-Net that judges every pixel, one of patches.

Images NHWC, any range. They have the layouts of the discriminators of ESRGAN, Real-ESRGAN and pix2pix, without the
spectral normalisation of the second and the batch normalisation of the others: here R₁ keeps critics smooth, and it
needs logits that depend on one image only. Training and evaluation are the same function.

Papers: ESRGAN, Wang et al., ECCV Workshops 2018; Real-ESRGAN, Wang et al., ICCV Workshops 2021; pix2pix, Isola et al.,
"Image-to-Image Translation with Conditional Adversarial Networks", CVPR 2017, for critics of patches.
"""

import itertools
from typing import NamedTuple

import jax
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, Keys, check_channels, conv2d, linear
from jaxpr.numerics.resampling import LINEAR, resize

__all__ = [
    "PatchCriticConfig",
    "UNetCriticConfig",
    "VggCriticConfig",
    "patch_critic",
    "unet_critic",
    "vgg_critic",
]

_SLOPE = 0.2
_WIDEST, _HIDDEN, _SMALLEST = 8, 100, 4
_HALVINGS = 3
_PATCH_WIDEST, _PATCH_KERNEL = 8, 4


class VggCriticConfig(NamedTuple):
    """Sizes of a VGG-style critic.

    Attributes:
        size: height and width of the images, 4 to 7 times a power of two.
        channels: of the images, and of what they are conditioned on.
        width: channels at full resolution, doubled by each halving up to eightfold; 64 in ESRGAN.
    """

    size: int
    channels: int
    width: int


class UNetCriticConfig(NamedTuple):
    """Sizes of a U-Net critic.

    Attributes:
        channels: of the images, and of what they are conditioned on.
        width: channels at full resolution; 64 in Real-ESRGAN.
    """

    channels: int
    width: int


class PatchCriticConfig(NamedTuple):
    """Sizes of a critic of patches.

    Attributes:
        channels: of the images, and of what they are conditioned on.
        width: channels after the first convolution, doubled by each further one up to eightfold; 64 in pix2pix.
        halvings: convolutions with stride 2; 3 in pix2pix, whose patches have 70 pixels a side, 34 with 2, 16 with 1.
    """

    channels: int
    width: int
    halvings: int = 3

    @property
    def smallest(self) -> int:
        """Side of the smallest images that it takes, in pixels."""
        return 3 * 2**self.halvings


def vgg_critic(config: VggCriticConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """ESRGAN's discriminator without normalisation: pairs of 3×3 and strided 4×4 convolutions down to 4×4 pixels.

    Sizes such as 28 end with 5 to 7 pixels a side.

    Returns:
        `apply(params, x)` maps (N, size, size, channels) to logits (N,).

    Raises:
        InputError: size is not 4 to 7 times a power of two, at least 8; when called, images of another shape.
    """
    halvings = _vgg_halvings(config)
    if halvings < 1 or config.size % 2**halvings:
        raise InputError(f"size: found {config.size}, expected 4 to 7 times a power of two, at least 8")
    return functional(lambda rngs: _Vgg(config, compute=compute, rngs=Keys(rngs)))


def unet_critic(config: UNetCriticConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """Real-ESRGAN's discriminator without normalisation: three halvings, three bilinear doublings, added skips.

    Returns:
        `apply(params, x)` maps (N, H, W, channels), H and W multiples of 8, to a logit for each pixel, (N, H, W, 1).

    Raises:
        InputError: when called, other channels or sizes.
    """
    return functional(lambda rngs: _UNetCritic(config, compute=compute, rngs=Keys(rngs)))


def patch_critic(config: PatchCriticConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """pix2pix's discriminator without normalisation: 4×4 convolutions, the last two with stride 1.

    Returns:
        `apply(params, x)` maps (N, H, W, channels) to a logit for each of overlapping patches,
        (N, ⌊H/2^halvings⌋ - 2, ⌊W/2^halvings⌋ - 2, 1).

    Raises:
        InputError: no halving; when called, other channels or images that are too small.
    """
    if config.halvings < 1:
        raise InputError(f"halvings: found {config.halvings}, expected 1 or more")
    return functional(lambda rngs: _PatchCritic(config, compute=compute, rngs=Keys(rngs)))


def _vgg_halvings(config: VggCriticConfig) -> int:
    """Until less than 8 pixels a side are left; 0 for images that are too small."""
    return max(0, (config.size // _SMALLEST).bit_length() - 1)


class _Vgg(nnx.Module):
    def __init__(self, config: VggCriticConfig, *, compute: Compute, rngs: Keys) -> None:
        self.config = nnx.static(config)
        halvings = _vgg_halvings(config)
        last, layers = config.channels, []
        for i in range(halvings):
            outputs = config.width * min(2**i, _WIDEST)
            layers.append(conv2d(last, outputs, compute=compute, rngs=rngs))
            layers.append(conv2d(outputs, outputs, size=4, stride=2, padding=1, compute=compute, rngs=rngs))
            last = outputs
        self.features = nnx.List(layers)
        self.linear1 = linear((config.size >> halvings) ** 2 * last, _HIDDEN, compute=compute, rngs=rngs)
        self.linear2 = linear(_HIDDEN, 1, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, size, size, channels) to (N,)."""
        wanted = (self.config.size, self.config.size, self.config.channels)
        if x.ndim != 4 or x.shape[1:] != wanted:
            raise InputError(f"x: found shape {x.shape}, expected (N, {', '.join(map(str, wanted))})")
        dtype = x.dtype
        for layer in self.features:
            x = _activation(layer(x))
        x = _activation(self.linear1(x.reshape(x.shape[0], -1)))
        return self.linear2(x)[:, 0].astype(dtype)


class _UNetCritic(nnx.Module):
    def __init__(self, config: UNetCriticConfig, *, compute: Compute, rngs: Keys) -> None:
        self.channels = nnx.static(config.channels)
        widths = [config.width << i for i in range(_HALVINGS + 1)]
        self.first = conv2d(config.channels, widths[0], compute=compute, rngs=rngs)
        pairs = list(itertools.pairwise(widths))
        self.down = nnx.List(
            [conv2d(a, b, size=4, stride=2, padding=1, bias=False, compute=compute, rngs=rngs) for a, b in pairs]
        )
        self.up = nnx.List([conv2d(b, a, bias=False, compute=compute, rngs=rngs) for a, b in pairs])
        self.hidden1 = conv2d(widths[0], widths[0], bias=False, compute=compute, rngs=rngs)
        self.hidden2 = conv2d(widths[0], widths[0], bias=False, compute=compute, rngs=rngs)
        self.last = conv2d(widths[0], 1, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, channels) to (N, H, W, 1)."""
        check_channels(x, self.channels)
        height, width = x.shape[1:3]
        if height % 2**_HALVINGS or width % 2**_HALVINGS:
            raise InputError(f"x: found {height}×{width} pixels, expected multiples of {2**_HALVINGS}")
        h, kept = _activation(self.first(x)), []
        for layer in self.down:
            kept.append(h)
            h = _activation(layer(h))
        for layer, skipped in zip(reversed(self.up), reversed(kept), strict=True):
            h = _activation(layer(resize(h, (skipped.shape[1], skipped.shape[2]), kernel=LINEAR))) + skipped
        h = _activation(self.hidden2(_activation(self.hidden1(h))))
        return self.last(h).astype(x.dtype)


class _PatchCritic(nnx.Module):
    def __init__(self, config: PatchCriticConfig, *, compute: Compute, rngs: Keys) -> None:
        self.config = nnx.static(config)
        widths = [config.width * min(2**i, _PATCH_WIDEST) for i in range(config.halvings + 1)]
        pairs = itertools.pairwise((config.channels, *widths, 1))
        strides = (*[2] * config.halvings, 1, 1)
        self.layers = nnx.List(
            [
                conv2d(a, b, size=_PATCH_KERNEL, stride=stride, padding=1, compute=compute, rngs=rngs)
                for (a, b), stride in zip(pairs, strides, strict=True)
            ]
        )

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, channels) to (N, h, w, 1)."""
        check_channels(x, self.config.channels)
        if min(x.shape[1:3]) < self.config.smallest:
            raise InputError(f"x: found {x.shape[1]}×{x.shape[2]} pixels, expected {self.config.smallest} or more")
        *layers, last = self.layers
        h = x
        for layer in layers:
            h = _activation(layer(h))
        return last(h).astype(x.dtype)


def _activation(x: Array) -> Array:
    return jax.nn.leaky_relu(x, _SLOPE)
