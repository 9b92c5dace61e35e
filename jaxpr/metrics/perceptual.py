"""LPIPS: perceptual distance between image pairs in the feature space of a trained network."""

import jax.numpy as jnp

from jaxpr._core import HIGHEST, Array, PerceptualNetwork, check_images, check_same_shape
from jaxpr.numerics.guards import safe_sqrt

__all__ = ["lpips"]


def lpips(restored: Array, reference: Array, *, network: PerceptualNetwork) -> Array:
    r"""Learned perceptual image patch similarity v0.1 (Zhang et al. 2018, eq. (1)); lower is more similar.

    $\sum_k \frac{1}{h_k w_k} \sum_{ij} w_k^\top (\hat f_k - \hat g_k)_{ij}^2$ with features normalised to unit
    length over channels.

    Args:
        restored: (N, H, W, 3) in [0, 1], overshoot allowed.
        reference: (N, H, W, 3) in [0, 1].
        network: trunk and channel weights, from `jaxpr.models.perceptual_network`.

    Returns:
        (N,), non-negative; 0 for identical images.

    Raises:
        InputError: shapes differ, not float NHWC with 3 channels, NaN, or another range.
    """
    check_images("restored", restored, channels=3, overshoot=1.0)
    check_images("reference", reference, channels=3)
    check_same_shape("restored", restored, "reference", reference)
    total = jnp.zeros(restored.shape[0], restored.dtype)
    for found, expected, weights in zip(network.taps(restored), network.taps(reference), network.weights, strict=True):
        difference = jnp.square(_unit_channels(found) - _unit_channels(expected))
        total += jnp.mean(jnp.matmul(difference, weights, precision=HIGHEST), axis=(1, 2))
    return total


def _unit_channels(features: Array) -> Array:
    """Unit length over channels; 1e-10 outside the root as in the official code, with a finite gradient at zero."""
    return features / (safe_sqrt(jnp.sum(jnp.square(features), axis=-1, keepdims=True)) + 1e-10)
