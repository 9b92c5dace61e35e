"""Diversity: how much several restorations of one measurement differ, and how. Samples are (S, N, ...), draws first.

Images are float (S, N, H, W, C) in [0, 1], overshoot allowed; features are (S, N, d).
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import AnyArray, Array, InputError, check_finite, check_floats, check_images, defined_where
from jaxpr.numerics.guards import power_of_two, widened

__all__ = ["KURTOSIS_DRAWS", "first_component_kurtosis", "pairwise_diversity", "per_pixel_std", "per_pixel_std_map"]

KURTOSIS_DRAWS = 4
"""Draws below which `first_component_kurtosis` says nothing."""


def per_pixel_std(samples: AnyArray) -> Array:
    """Standard deviation of each value over the draws, averaged over pixels and channels ([ohayon2023], Section 6.1.1).

    Args:
        samples: (S, N, H, W, C) draws of x̂ for the same N measurements, S >= 2; the paper takes 32.

    Returns:
        (N,), intensity units; see `per_pixel_std_map` for the normalisation.

    Raises:
        InputError: fewer than two draws, no draws axis, not floating, NaN, NCHW, or another range.
    """
    spread = _spread(samples)
    return jnp.mean(spread.reshape(spread.shape[0], math.prod(spread.shape[1:])), axis=1).astype(samples.dtype)


def per_pixel_std_map(samples: AnyArray) -> Array:
    """Standard deviation over draws, (N, H, W, C), from unbiased variances (divided by S - 1); see `per_pixel_std`."""
    return _spread(samples).astype(samples.dtype)


def _spread(samples: AnyArray) -> Array:
    """In float32 or wider."""
    _check(samples)
    wide = widened(samples)
    scale = power_of_two(jnp.max(jnp.abs(wide), initial=0))
    return jnp.std(wide / scale, axis=0, ddof=1) * scale


def pairwise_diversity(samples: AnyArray, distance: Callable[[Array, Array], Array]) -> Array:
    """Mean distance between two different draws for the same measurement, over all S (S - 1) / 2 pairs.

    Pairs are computed one after another, so memory does not grow with their number.

    Args:
        samples: (S, N, ...) draws, S >= 2: images, or their features.
        distance: symmetric, maps two batches (N, ...) to (N,), for example LPIPS with its network bound.

    Returns:
        (N,).

    Raises:
        InputError: fewer than two draws, no draws axis, not floating, NaN, images that are NCHW or in another range, or
            distances that are not floating (N,).
    """
    _check(samples)
    samples = jnp.asarray(samples)
    count = samples.shape[1]
    found = jax.eval_shape(distance, samples[0], samples[1])
    if not isinstance(found, jax.ShapeDtypeStruct) or found.shape != (count,):
        shape = getattr(found, "shape", type(found).__name__)
        raise InputError(f"distance: found values of shape {shape}, expected ({count},), one per example")
    if not jnp.issubdtype(found.dtype, jnp.floating):
        raise InputError(f"distance: found values of dtype {found.dtype}, expected floating point")
    first, second = (jnp.asarray(indices) for indices in np.triu_indices(samples.shape[0], k=1))

    def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        return total + widened(distance(samples[pair[0]], samples[pair[1]])), None

    start = widened(jnp.zeros(count, found.dtype))
    total, _ = jax.lax.scan(add, start, (first, second))
    return (total / len(first)).astype(found.dtype)


def first_component_kurtosis(samples: AnyArray) -> Array:
    r"""Kurtosis of draws projected onto their first principal component: heavy tails, [cohen2024md], Figures 2 and 3.

    $m_4 / m_2^2$ with the central moments of the S projections, divided by S: 3 for a Gaussian, not 0, and from 1 to
    S - 2 + 1 / (S - 1) whatever the draws. The paper takes 100 draws, of pixels or of deep features.

    Args:
        samples: (S, N, ...) draws for the same N measurements, S >= 2: images, or their features.

    Returns:
        (N,); NaN for fewer than four draws, or where all are equal. Where the two largest principal components are
        equal, either may be taken.

    Raises:
        InputError: fewer than two draws, no draws axis, not floating, NaN, images that are NCHW or in another range.
    """
    _check(samples)
    wide = jnp.moveaxis(widened(samples), 0, 1)
    wide = wide.reshape(*wide.shape[:2], math.prod(wide.shape[2:]))
    gaps = wide - jnp.mean(wide, axis=1, keepdims=True)
    gaps = gaps / power_of_two(jnp.max(jnp.abs(gaps), axis=(1, 2), keepdims=True, initial=0))
    products = jnp.einsum("nsd,ntd->nst", gaps, gaps, precision=jax.lax.Precision.HIGHEST)
    # The leading eigenvector of the draws' products is their projections, up to a factor that the quotient drops.
    projections = jnp.linalg.eigh(products)[1][:, :, -1]
    projections = projections - jnp.mean(projections, axis=1, keepdims=True)
    kurtosis = jnp.mean(projections**4, axis=1) / jnp.mean(projections**2, axis=1) ** 2
    known = (jnp.max(jnp.abs(gaps), axis=(1, 2), initial=0) > 0) & (samples.shape[0] >= KURTOSIS_DRAWS)
    return defined_where(known, kurtosis).astype(samples.dtype)


def _check(samples: AnyArray) -> None:
    shape = check_floats("samples", samples, expected="images (S, N, H, W, C) or features (S, N, d)")
    if len(shape) not in (3, 5) or shape[0] < 2:
        raise InputError(
            f"samples: found shape {shape}, expected (S, N, H, W, C) or features (S, N, d), at least two draws S"
        )
    if len(shape) == 5:
        check_images("samples", samples.reshape(-1, *shape[2:]), overshoot=1.0)
    check_finite("samples", samples)
