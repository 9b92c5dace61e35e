"""Consistency: does a restoration explain the measurement it came from?

For a linear degradation y = A x + noise the answer is A x̂ against y; for denoising, whether y - x̂ looks like noise.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    Array,
    InputError,
    check_count,
    check_finite,
    check_floats,
    check_images,
    check_positive,
    check_same_shape,
    is_traced,
    may_be_undefined,
)
from jaxpr.numerics.balls import example_norms
from jaxpr.numerics.errors import peak_ratio, root_mean_square
from jaxpr.numerics.guards import power_of_two, widened

__all__ = ["ResidualNoise", "measurement_deviation", "measurement_psnr", "measurement_rmse", "residual_noise"]

# Noise leaves the range, though not so far as images in another range do, 0..255 say.
_NOISE = 9.0


def measurement_psnr(operator: Callable[[Array], Array], restored: Array, y: Array, *, data_range: float) -> Array:
    """LR-PSNR: PSNR between the restoration degraded again, A x̂, and y ([ohayon2024], Section 3.3).

    Args:
        operator: maps x (N, H, W, C) to A x.
        restored: x̂, (N, H, W, C) in [0, data_range], overshoot allowed.
        y: measurements, of the operator's output shape; noise may leave the range.
        data_range: largest possible intensity.

    Returns:
        (N,), dB; inf for exact consistency.

    Raises:
        InputError: as `psnr`, or the operator returns something else.
    """
    check_positive("data_range", data_range, scalar=True)
    again = _degraded(operator, restored, y, data_range)
    return peak_ratio(again, y, data_range=data_range).astype(y.dtype)


def measurement_deviation(operator: Callable[[Array], Array], restored: Array, y: Array) -> Array:
    r"""$\|A\hat x - y\|_2$ per example, a norm over all entries of y; shape (N,). Arguments as `measurement_rmse`."""
    return example_norms(widened(_degraded(operator, restored, y, 1.0)) - widened(y)).astype(y.dtype)


def measurement_rmse(operator: Callable[[Array], Array], restored: Array, y: Array) -> Array:
    """Root mean square of A x̂ - y per example, shape (N,). Arguments as `measurement_psnr`, for images in [0, 1]."""
    return root_mean_square(_degraded(operator, restored, y, 1.0), y).astype(y.dtype)


def _degraded(operator: Callable[[Array], Array], restored: Array, y: Array, data_range: float) -> Array:
    """A x̂, where all fits together."""
    limit = None if is_traced(data_range) else float(data_range)
    check_images("restored", restored, data_range=limit, overshoot=1.0)
    check_images("y", y, data_range=limit, overshoot=_NOISE)
    again = operator(restored)
    check_floats("operator", again, expected="measurements (N, h, w, c)")
    check_same_shape("operator(restored)", again, "y", y)
    check_finite("operator(restored)", again)
    return again


class ResidualNoise(NamedTuple):
    """What a denoiser took away, y - x̂, compared with white noise; each (N,).

    Attributes:
        std_ratio: its standard deviation over that of the noise: 1 if exactly the noise went, below 1 for a timid
            restorer, above 1 where structure went as well.
        whiteness: root mean square of its autocorrelation over lags up to the radius, times √(H W C): 1 on average for
            white noise, larger for correlated residuals.
        correlation: Pearson correlation with x̂: 0 if what was removed has nothing to do with what was kept.
    """

    std_ratio: Array
    whiteness: Array
    correlation: Array


@may_be_undefined
def residual_noise(restored: Array, y: Array, *, std: float, radius: int = 4) -> ResidualNoise:
    r"""Is y - x̂ white noise of the right strength? For y = x + white noise ([ohayon2024], Appendix D.2.2).

    A posterior sample and the truth leave residuals with the law of the noise; the posterior mean leaves less.
    Autocorrelations are $\rho(\Delta) = \sum_p r_p r_{p+\Delta} / \sum_p r_p^2$ with circular boundary and the mean of
    each channel removed; for white noise each has mean about 0 and variance about 1/(H W C).

    Args:
        restored: x̂, (N, H, W, C), in any units.
        y: noisy images in the same units, same shape; not clipped, or clipped values spoil the comparison.
        std: standard deviation of the noise, intensity units.
        radius: largest lag in pixels along an axis. Static.

    Raises:
        InputError: shapes differ, std <= 0, or images not larger than the radius.
    """
    for name, images in (("restored", restored), ("y", y)):
        check_images(name, images, data_range=None)
    check_same_shape("restored", restored, "y", y)
    check_positive("std", std, scalar=True)
    check_count("radius", radius)
    height, width = y.shape[1:3]
    if min(height, width) <= 2 * radius:
        raise InputError(f"radius: found {radius} for images of {height}×{width}, expected less than half of a side")
    dtype, restored, y = y.dtype, widened(restored), widened(y)
    residual = y - restored
    # Neither whiteness nor correlation change with the scale, and their squares should neither overflow nor vanish.
    centred = _unit_scale(residual - jnp.mean(residual, axis=(1, 2), keepdims=True))
    kept = _unit_scale(restored - jnp.mean(restored, axis=(1, 2), keepdims=True))
    power = jnp.sum(centred**2, axis=(1, 2, 3))
    correlation = jnp.sum(centred * kept, axis=(1, 2, 3)) / jnp.sqrt(power * jnp.sum(kept**2, axis=(1, 2, 3)))
    # All lags at once; one half of them, since the autocorrelation is symmetric.
    spectrum = jnp.abs(jnp.fft.rfft2(centred, axes=(1, 2))) ** 2
    lags = jnp.sum(jnp.fft.irfft2(spectrum, s=(height, width), axes=(1, 2)), axis=3) / power[:, None, None]
    rows, columns = _half_plane(radius)
    count = math.prod(y.shape[1:])
    whiteness = jnp.sqrt(count * jnp.mean(lags[:, rows, columns] ** 2, axis=1))
    std_ratio = root_mean_square(y, restored) / std
    return ResidualNoise(*(found.astype(dtype) for found in (std_ratio, whiteness, correlation)))


def _unit_scale(images: Array) -> Array:
    return images / power_of_two(jnp.max(jnp.abs(images), axis=(1, 2, 3), keepdims=True, initial=0))


def _half_plane(radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Lags (row, column) with row > 0, or row = 0 and column > 0."""
    pairs = [(r, c) for r in range(radius + 1) for c in range(-radius, radius + 1) if r > 0 or c > 0]
    rows, columns = np.array(pairs).T
    return rows, columns
