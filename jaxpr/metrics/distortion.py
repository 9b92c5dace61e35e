"""Distortion: how far restorations are from the truth. One value per image, shape (N,).

Images are float NHWC in [0, data_range], which is [0, 1] where no range is given; restorations may overshoot by that
range. Results have the images' dtype; those of half precision are computed in float32. Nothing is averaged over the
batch: the caller reduces, so a mean of per-image PSNRs is never confused with the PSNR of a pooled error.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, Array, InputError, check_images, check_positive, check_same_shape, is_traced
from jaxpr.numerics.errors import peak_ratio, root_mean_square
from jaxpr.numerics.guards import widened

__all__ = ["mse", "psnr", "rmse", "ssim"]

# Restorations may leave the range near edges; twice the range is another scale ([0, 255], say), not an overshoot.
_OVERSHOOT = 1.0

_SSIM_RADIUS = 5
_SSIM_SIGMA = 1.5
# Output rows per block of the banded filter matrix: 32 outputs read 42 inputs, small enough to stay in cache.
_SSIM_BLOCK = 32


def mse(restored: Array, reference: Array) -> Array:
    """Mean squared error of each image, over pixels and channels.

    Args:
        restored: (N, H, W, C) in [0, 1], overshoot allowed.
        reference: (N, H, W, C) likewise.

    Returns:
        (N,), squared intensity units.

    Raises:
        InputError: shapes differ, not float NHWC, NaN, or values in another range.
    """
    _check_pair(restored, reference, data_range=1.0)
    return jnp.mean(jnp.square(widened(restored) - widened(reference)), axis=(1, 2, 3)).astype(restored.dtype)


def rmse(restored: Array, reference: Array) -> Array:
    """Root mean squared error of each image, in intensity units; see `mse`. Its gradient at zero error is zero."""
    _check_pair(restored, reference, data_range=1.0)
    return root_mean_square(restored, reference).astype(restored.dtype)


def psnr(restored: Array, reference: Array, *, data_range: float) -> Array:
    r"""Peak signal-to-noise ratio of each image, $10 \log_{10}(\text{range}^2 / \text{MSE})$ dB.

    Args:
        restored: (N, H, W, C).
        reference: (N, H, W, C) in [0, data_range].
        data_range: largest possible intensity, 1.0 for jaxpr's images; never guessed from the data.

    Returns:
        (N,), dB. Identical images give inf: nothing is added to the error.

    Raises:
        InputError: shapes differ, not float NHWC, NaN, values in another range.
    """
    check_positive("data_range", data_range, scalar=True)
    _check_pair(restored, reference, data_range=data_range)
    return peak_ratio(restored, reference, data_range=data_range).astype(restored.dtype)


def ssim(restored: Array, reference: Array, *, data_range: float) -> Array:
    r"""Structural similarity of each image (Wang et al. 2004), averaged over positions and channels.

    Gaussian window 11×11 with σ = 1.5, K₁ = 0.01, K₂ = 0.03, only windows inside the image, population covariances:
    scikit-image's `structural_similarity` with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False`.

    Args:
        restored: (N, H, W, C), H and W at least 11.
        reference: (N, H, W, C) in [0, data_range].
        data_range: largest possible intensity.

    Returns:
        (N,), at most 1; 1 for identical images.

    Raises:
        InputError: as `psnr`, or an image smaller than the window.
    """
    check_positive("data_range", data_range, scalar=True)
    _check_pair(restored, reference, data_range=data_range)
    size = 2 * _SSIM_RADIUS + 1
    if min(restored.shape[1:3]) < size:
        raise InputError(f"restored: found images of {restored.shape[1:3]}, expected at least {size}×{size} for SSIM")
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2

    def one(pair: tuple[Array, Array]) -> Array:
        a, b = (jnp.moveaxis(image, -1, 1) for image in pair)  # (H, C, W): both filters are then plain products
        # Variances do not change under shifts and lose fewer float32 digits near zero.
        shift_a, shift_b = jnp.mean(a), jnp.mean(b)
        a, b = a - shift_a, b - shift_b
        mean_a, mean_b, square_a, square_b, product = _window_means(jnp.stack([a, b, a * a, b * b, a * b], axis=1))
        var_a, var_b, cov = square_a - mean_a**2, square_b - mean_b**2, product - mean_a * mean_b
        mean_a, mean_b = mean_a + shift_a, mean_b + shift_b
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        return jnp.mean(luminance * (2 * cov + c2) / (var_a + var_b + c2))

    # One image at a time: its maps then fit into a CPU's cache, and memory does not grow with the batch.
    return jax.lax.map(one, (widened(restored), widened(reference))).astype(restored.dtype)


def _window_means(maps: Array) -> Array:
    """Gaussian-weighted means over all windows inside (H, K, C, W) maps: (K, H - 10, C, W - 10)."""
    height, *middle, width = maps.shape
    rows = _filter_axis(maps.reshape(height, -1), axis=0)
    columns = _filter_axis(rows.reshape(-1, width), axis=1)
    return jnp.moveaxis(columns.reshape(-1, *middle, columns.shape[1]), 1, 0)


def _filter_axis(maps: Array, *, axis: int) -> Array:
    """Correlate an axis of a matrix with the window as products with one small banded matrix, block by block."""
    outputs = maps.shape[axis] - 2 * _SSIM_RADIUS
    block = min(_SSIM_BLOCK, outputs)
    band = _band_matrix(block).astype(maps.dtype)
    pieces = []
    for done in range(0, outputs, block):
        start = min(done, outputs - block)  # the last block overlaps the one before
        part = jax.lax.slice_in_dim(maps, start, start + band.shape[1], axis=axis)
        pair = (band[done - start :], part) if axis == 0 else (part, band[done - start :].T)
        pieces.append(jnp.matmul(*pair, precision=HIGHEST))
    return jnp.concatenate(pieces, axis=axis)


def _band_matrix(outputs: int) -> np.ndarray:
    """(outputs, outputs + 10) matrix whose row i holds the Gaussian window at columns i..i+10."""
    taps = np.exp(-0.5 * (np.arange(-_SSIM_RADIUS, _SSIM_RADIUS + 1) / _SSIM_SIGMA) ** 2)
    matrix = np.zeros((outputs, outputs + 2 * _SSIM_RADIUS))
    for row in range(outputs):
        matrix[row, row : row + taps.size] = taps / taps.sum()
    return matrix


def _check_pair(restored: Array, reference: Array, *, data_range: float) -> None:
    limit = None if is_traced(data_range) else float(data_range)
    check_images("restored", restored, data_range=limit, overshoot=_OVERSHOOT)
    check_images("reference", reference, data_range=limit, overshoot=_OVERSHOOT)
    check_same_shape("restored", restored, "reference", reference)
