"""Soft nearest-exemplar restoration: one temperature walks from a posterior mean to a single remembered example.

The dictionary holds patch pairs of training photographs: what a patch of y looks like without its mean colour, and
which detail the true patch has beyond the bicubic enlargement. With a high temperature all exemplars are averaged and
the detail is smooth; with a low one the nearest exemplar is copied: realistic texture, and an output that jumps when a
small change of y makes another exemplar the nearest.
"""

import functools
from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, AnyArray, Array, InputError, Key, check_count, check_images, check_positive, map_chunks
from jaxpr.restorers.patches import PatchGrid
from jaxpr.restorers.training_patches import training_patches
from jaxpr.restorers.upscaling import bicubic

__all__ = ["Exemplars", "exemplar", "fit_exemplars"]

# Patches compared with the dictionary at a time, few enough for their weights to stay in a CPU's cache.
_QUERIES = 512


class Exemplars(NamedTuple):
    """A dictionary of M patch pairs.

    Attributes:
        contexts: (M, context entries of y), each channel's mean removed.
        details: (M, core entries of x), true patch minus its bicubic enlargement.
    """

    contexts: Array
    details: Array


def fit_exemplars(
    key: Key, pairs: Iterable[tuple[AnyArray, AnyArray]], *, grid: PatchGrid, count: int, contrast: float = 0.02
) -> Exemplars:
    """Draw a dictionary of patch pairs at random from training images.

    Every image gives the same share. Flat patches, which teach nothing, are drawn with lower probability: in proportion
    to σ / (σ + contrast), σ being the standard deviation of the context.

    Args:
        key: decides which patches are drawn.
        pairs: (x, y) image pairs, (H, W, C) and (h, w, c) with H = factor · h.
        grid: geometry of the patches.
        count: size M of the dictionary; all patches are taken where there are fewer.
        contrast: σ at which the probability is one half, in intensity units.

    Returns:
        Parameters for `exemplar`.

    Raises:
        InputError: no pairs, or sizes that do not fit the factor.
    """
    check_count("count", count)
    check_positive("contrast", contrast)
    pools = []
    for x, y in pairs:
        base = bicubic(jnp.asarray(y)[None], factor=grid.factor, channels=np.shape(x)[-1])[0]
        contexts, details = training_patches(x, y, grid=grid, base=base)
        pools.append((np.asarray(_without_mean(contexts, np.shape(y)[-1])), details))
    if not pools:
        raise InputError("pairs: found none, expected at least one training pair (x, y)")
    count = min(count, sum(len(contexts) for contexts, _ in pools))
    random = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    shares = _shares(count, [len(contexts) for contexts, _ in pools])
    drawn = [
        _draw(random, contexts, details, n, contrast) for (contexts, details), n in zip(pools, shares, strict=True)
    ]
    contexts, details = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    return Exemplars(jnp.asarray(contexts), jnp.asarray(details))


def exemplar(params: Exemplars, y: Array, *, grid: PatchGrid, temperature: float | Array, channels: int = 3) -> Array:
    r"""Bicubic enlargement plus the expected detail under $w_i \propto \exp(-\|p - c_i\|^2 / (2\tau^2))$.

    p is a patch of y without its mean colour, c_i the exemplars' contexts and τ the temperature; overlapping details
    are averaged.

    Args:
        params: from `fit_exemplars` with the same grid.
        y: measurements (N, h, w, c).
        grid: geometry. Static.
        temperature: τ > 0, in intensity units of the Euclidean distance between contexts. Traced.
        channels: of the restoration. Static.

    Returns:
        (N, factor · h, factor · w, channels).

    Raises:
        InputError: not float NHWC, channels other than in training, or temperature <= 0.
    """
    check_positive("temperature", temperature)
    check_images("y", y, data_range=None)
    contexts = grid.contexts(y)
    if contexts.shape[-1] != params.contexts.shape[1]:
        raise InputError(
            f"y: found {y.shape[-1]} channels, expected {params.contexts.shape[1] // grid.context**2} as in training"
        )
    queries = _without_mean(contexts, y.shape[-1])
    expected = functools.partial(_expected_details, params, temperature)
    flat = jnp.asarray(queries).reshape(-1, queries.shape[-1])
    details = map_chunks(expected, flat, size=_QUERIES).reshape(*queries.shape[:3], -1)
    return bicubic(y, factor=grid.factor, channels=channels) + grid.assemble(details, (y.shape[1], y.shape[2]))


# Weights are not stored for the gradient but computed again: memory then grows with the dictionary, not with the image.
@jax.checkpoint
def _expected_details(params: Exemplars, temperature: float | Array, queries: Array) -> Array:
    """Expected details (n, core entries of x) of mean-removed contexts (n, context entries of y)."""
    # |p|² is the same for all exemplars and cancels in the softmax.
    overlap = jnp.matmul(queries, params.contexts.T, precision=HIGHEST)
    energies = overlap - 0.5 * jnp.sum(jnp.square(params.contexts), axis=1)[None]
    # Before the division, which would blow the rounding of the largest energy up; twice, because τ² can underflow.
    energies = energies - jax.lax.stop_gradient(jnp.max(energies, axis=-1, keepdims=True))
    weights = jax.nn.softmax(energies / temperature / temperature, axis=-1)
    return jnp.matmul(weights, params.details, precision=HIGHEST)


def _without_mean(contexts: AnyArray, channels: int) -> AnyArray:
    """Remove each channel's mean over the patch from contexts (..., pixels · channels)."""
    pixels = contexts.reshape(*contexts.shape[:-1], -1, channels)
    return (pixels - pixels.mean(axis=-2, keepdims=True)).reshape(contexts.shape)


def _shares(count: int, available: list[int]) -> list[int]:
    """Split `count` evenly over images, small images giving all they have."""
    shares = [0] * len(available)
    for left, index in zip(range(len(available), 0, -1), np.argsort(available, kind="stable"), strict=True):
        shares[index] = min(available[index], -(-(count - sum(shares)) // left))
    return shares


def _draw(
    random: np.random.Generator, contexts: np.ndarray, details: np.ndarray, count: int, contrast: float
) -> tuple[np.ndarray, np.ndarray]:
    deviation = contexts.std(axis=1, dtype=np.float64)
    probability = deviation / (deviation + contrast) + 1e-9
    chosen = random.choice(len(contexts), size=count, replace=False, p=probability / probability.sum())
    return contexts[chosen], details[chosen]
