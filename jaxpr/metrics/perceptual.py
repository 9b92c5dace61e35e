"""LPIPS: perceptual distance between image pairs in the feature space of a trained network."""

import jax.numpy as jnp

from jaxpr.core import HIGHEST, Array, PerceptualNetwork, check_images, check_same_shape
from jaxpr.numerics.guards import safe_sqrt, widened
from jaxpr.numerics.resampling import LINEAR, resize

__all__ = ["lpips", "lpips_map"]


def lpips(restored: Array, reference: Array, *, network: PerceptualNetwork) -> Array:
    r"""Learned perceptual image patch similarity v0.1 (Zhang et al. 2018, eq. (1)); lower is more similar.

    $\sum_k \frac{1}{h_k w_k} \sum_{ij} w_k^\top (\hat f_k - \hat g_k)_{ij}^2$ with features normalised to unit
    length over channels.

    Args:
        restored: (N, H, W, 3) in [0, 1], overshoot allowed.
        reference: (N, H, W, 3) in [0, 1].
        network: trunk and channel weights, from `jaxpr.weights.perceptual_network`.

    Returns:
        (N,), non-negative; 0 for identical images.

    Raises:
        InputError: shapes differ, not float NHWC with 3 channels, NaN, or another range.
    """
    terms = _differences(restored, reference, network)
    means = (jnp.mean(term, axis=(1, 2)) for term in terms)
    return sum(means, start=jnp.zeros(restored.shape[0], widened(restored).dtype)).astype(restored.dtype)


def lpips_map(restored: Array, reference: Array, *, network: PerceptualNetwork) -> Array:
    """Where images differ: LPIPS with each tap's map enlarged to the images (bilinearly) instead of averaged.

    The official code's `spatial=True`. The map's mean is near `lpips`, not equal to it.

    Args:
        restored: (N, H, W, 3) in [0, 1], overshoot allowed.
        reference: (N, H, W, 3) in [0, 1].
        network: trunk and channel weights, from `jaxpr.weights.perceptual_network`.

    Returns:
        (N, H, W), non-negative.

    Raises:
        InputError: as `lpips`.
    """
    terms = _differences(restored, reference, network)
    shape = (restored.shape[1], restored.shape[2])
    maps = (resize(term[..., None], shape, kernel=LINEAR, antialias=False)[..., 0] for term in terms)
    return sum(maps, start=jnp.zeros(restored.shape[:3], widened(restored).dtype)).astype(restored.dtype)


def _differences(restored: Array, reference: Array, network: PerceptualNetwork) -> list[Array]:
    """The weighted squared difference at every position of every tap, (N, h, w) each."""
    check_images("restored", restored, channels=3, overshoot=1.0)
    check_images("reference", reference, channels=3)
    check_same_shape("restored", restored, "reference", reference)
    pairs = zip(network.taps(widened(restored)), network.taps(widened(reference)), strict=True)
    squares = [jnp.square(_unit_channels(found) - _unit_channels(expected)) for found, expected in pairs]
    return [jnp.matmul(s, weights, precision=HIGHEST) for s, weights in zip(squares, network.weights, strict=True)]


def _unit_channels(features: Array) -> Array:
    """Unit length over channels; 1e-10 outside the root as in the official code, with a finite gradient at zero."""
    return features / (safe_sqrt(jnp.sum(jnp.square(features), axis=-1, keepdims=True)) + 1e-10)
