"""Diversity: how much several restorations of one measurement differ. Samples are (S, N, ...), draws first."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr._core import Array, InputError

__all__ = ["pairwise_diversity", "per_pixel_std", "per_pixel_std_map"]


def per_pixel_std(samples: Array) -> Array:
    """Standard deviation of each value over the draws, averaged over pixels and channels ([ohayon2023], Section 6.1.1).

    Args:
        samples: (S, N, H, W, C) draws of x̂ for the same N measurements, S >= 2; the paper takes 32.

    Returns:
        (N,), intensity units; see `per_pixel_std_map` for the normalisation.

    Raises:
        InputError: fewer than two draws, or no draws axis.
    """
    spread = per_pixel_std_map(samples)
    return jnp.mean(spread.reshape(spread.shape[0], -1), axis=1)


def per_pixel_std_map(samples: Array) -> Array:
    """Standard deviation over draws, (N, H, W, C), from unbiased variances (divided by S - 1); see `per_pixel_std`."""
    _check(samples)
    return jnp.std(samples, axis=0, ddof=1)


def pairwise_diversity(samples: Array, distance: Callable[[Array, Array], Array]) -> Array:
    """Mean distance between two different draws for the same measurement, over all S (S - 1) / 2 pairs.

    Pairs are computed one after another, so memory does not grow with their number.

    Args:
        samples: (S, N, ...) draws, S >= 2: images, or their features.
        distance: symmetric, maps two batches (N, ...) to (N,), for example LPIPS with its network bound.

    Returns:
        (N,).

    Raises:
        InputError: fewer than two draws, or no draws axis.
    """
    _check(samples)
    first, second = (jnp.asarray(indices) for indices in np.triu_indices(samples.shape[0], k=1))

    def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        return total + distance(samples[pair[0]], samples[pair[1]]), None

    start = jnp.zeros(samples.shape[1], jax.eval_shape(distance, samples[0], samples[1]).dtype)
    total, _ = jax.lax.scan(add, start, (first, second))
    return total / len(first)


def _check(samples: Array) -> None:
    if samples.ndim < 3 or samples.shape[0] < 2:
        raise InputError(f"samples: found shape {samples.shape}, expected (S, N, ...) with at least two draws S")
