"""In which space answers are compared: principal components of deep features or of pixels, or LPIPS distances.

Papers: [cohen2024md], Section 4.1 and Appendix A. Images are (N, H, W, C) in [0, 1], C 1 or 3, clipped to it.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, PerceptualNetwork, check_images, did_you_mean, map_chunks
from jaxpr.metrics import lpips
from jaxpr.numerics.resampling import LINEAR, resize
from jaxpr.selection import principal_components
from jaxpr.selection.inputs import squared_gaps
from jaxpr.weights import perceptual_network

__all__ = ["SPACES", "Compared", "compare_images", "deep_features", "lpips_distances"]

SPACES = {
    "vgg16": "principal components of the last features of VGG-16",
    "alexnet": "principal components of the last features of AlexNet",
    "lpips": "LPIPS distances (VGG-16)",
    "pixels": "principal components of the pixels",
    "unknown-pixels": "principal components of the pixels that inpainting fills in",
}
"""The words for a space, and what they mean."""

_COMPONENTS = 25
_LPIPS_DIMENSION = 5  # effective, of the authors
_SMALLEST = 64  # pixels on a side that networks see

_components = jax.jit(principal_components, static_argnames="count")
_gaps = jax.jit(squared_gaps)


class Compared(NamedTuple):
    """Images in a space.

    Attributes:
        features: (N, k) principal components of the answers; None where only distances are known.
        distances: (N + M, N + M) between answers and others, answers first.
        dim: the dimension of the space, by which densities are estimated.
    """

    features: Array | None
    distances: Array
    dim: int


def compare_images(
    answers: Array, others: Array, *, space: str, unknown: np.ndarray | None = None, chunk: int = 10
) -> Compared:
    """Answers, and images that are compared with them, in a space that the answers span.

    Args:
        answers: (N, H, W, C).
        others: (M, H, W, C), M may be zero.
        space: one of `SPACES`. The authors keep 25 components, and count LPIPS distances as of dimension 5.
        unknown: (H, W), true where `unknown-pixels` looks.
        chunk: images that a network sees at once.

    Raises:
        InputError: no such space, images of different shapes, or `unknown-pixels` without any.
    """
    _check_space(space)
    check_images("answers", answers, data_range=None)
    check_images("others", others, data_range=None)
    if answers.shape[1:] != others.shape[1:]:
        raise InputError(f"others: found images of shape {others.shape[1:]}, expected {answers.shape[1:]}")
    images = jnp.clip(jnp.concatenate([jnp.asarray(answers), jnp.asarray(others)]), 0, 1)
    if space == "lpips":
        return Compared(
            None, lpips_distances(images, network=perceptual_network("vgg16"), chunk=chunk), _LPIPS_DIMENSION
        )
    if space == "unknown-pixels":
        if unknown is None or not np.any(unknown):
            raise InputError("space: found 'unknown-pixels' where no pixel is unknown, expected inpainting")
        raw = images[:, np.asarray(unknown, bool)].reshape(len(images), -1)
    elif space == "pixels":
        raw = images.reshape(len(images), -1)
    else:
        raw = deep_features(images, network=space, chunk=chunk)
    count = answers.shape[0]
    found = _components(raw[:count], count=_COMPONENTS)
    points = jnp.concatenate([found.features, found.project(raw[count:])]) if len(raw) > count else found.features
    return Compared(found.features, jnp.sqrt(_gaps(points, points)), found.features.shape[1])


def deep_features(images: Array, *, network: str, chunk: int = 10) -> Array:
    """The last pooled features of a trained network, with their places in the image, (N, d).

    Images whose shorter side is below 64 pixels are enlarged to it (bilinear), one channel is repeated to three.

    Args:
        images: (N, H, W, C) in [0, 1].
        network: "vgg16", as in [cohen2024md], or "alexnet".
        chunk: images that the network sees at once.

    Raises:
        InputError: no such network, or not images.
    """
    check_images("images", images)
    taps = perceptual_network(network).taps

    @jax.jit
    def extract(images: Array) -> Array:
        last = taps(_enlarged(images))[-1]
        height, width = (side // 2 * 2 for side in last.shape[1:3])
        blocks = last[:, :height, :width].reshape(len(last), height // 2, 2, width // 2, 2, -1)
        return jnp.max(blocks, axis=(2, 4)).reshape(len(last), -1)

    return jax.jit(functools.partial(map_chunks, extract, size=chunk))(jnp.asarray(images))


def lpips_distances(images: Array, *, network: PerceptualNetwork, chunk: int = 10) -> Array:
    """LPIPS between all pairs of images, (N, N), computed chunk by chunk, so that memory does not grow with N² images.

    Args:
        images: (N, H, W, C) in [0, 1]; small and grey ones as in `deep_features`.
        network: from `weights.perceptual_network`; the authors take VGG-16.
        chunk: images on either side of a block of the matrix.

    Raises:
        InputError: not images.
    """
    check_images("images", images)
    shown, count = _enlarged(jnp.asarray(images)), len(images)
    size = min(chunk, count)
    padded = jnp.concatenate([shown, jnp.repeat(shown[:1], -count % size, axis=0)])

    @jax.jit
    def block(a: Array, b: Array) -> Array:
        return jax.lax.map(lambda one: lpips(jnp.broadcast_to(one, b.shape), b, network=network), a)

    table = np.zeros((len(padded), len(padded)), np.float32)
    for top in range(0, len(padded), size):
        for left in range(top, len(padded), size):
            found = np.asarray(block(padded[top : top + size], padded[left : left + size]))
            table[top : top + size, left : left + size] = found
            table[left : left + size, top : top + size] = found.T
    np.fill_diagonal(table, 0)
    return jnp.asarray(table[:count, :count])


def _check_space(space: str) -> None:
    if space not in SPACES:
        likely = did_you_mean(space, SPACES)
        raise InputError(f"space: found {space!r}, expected one of {', '.join(SPACES)}{likely}")


def _enlarged(images: Array) -> Array:
    """RGB, with at least 64 pixels on the shorter side."""
    height, width, channels = images.shape[1:]
    if channels not in (1, 3):
        raise InputError(f"images: found {channels} channels, expected 1 or 3")
    rgb = jnp.broadcast_to(images, (*images.shape[:3], 3))
    least = min(height, width)
    if least >= _SMALLEST:
        return rgb
    shape = (-(-height * _SMALLEST // least), -(-width * _SMALLEST // least))
    return jnp.clip(resize(rgb, shape, kernel=LINEAR), 0, 1)
