r"""The moments of all overlapping patches of latents, without forming the patches.

A covariance of patches holds the same sums of products again and again, over windows that differ at the border only.
So few of them are summed, and the others follow from what enters and leaves a window when it moves by a row or by a
column.

Paper: [adrai2023], Section 4.1 and Appendix B.
"""

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.fft

from jaxpr.core import AnyArray, InputError, check_finite, check_floats, in_float64, is_traced
from jaxpr.numerics.moments import Moments
from jaxpr.restorers.latent_transport_patches import check_patch

# Pixels of latents whose products are summed in one step on the host: they stay in a core's caches.
_AT_ONCE = 1 << 13

__all__ = ["patch_moments"]


def patch_moments(latents: AnyArray, *, patch: int) -> Moments:
    """The moments of all patches that lie inside the latents, in one pass and without forming the patches.

    In float64 on the host for concrete arrays. Under a JAX transformation in float64, and in float32 in a program for
    a TPU: products are of latents less a mean, so that nothing is lost to large means.

    Note:
        In float32 the covariance is off by 4e-6 of its largest entry (ten latents of 64 × 64 × 4, whose means are a
        hundred times their standard deviations).

    Args:
        latents: (N, h, w, c), N >= 1.
        patch: p, odd. Static.

    Returns:
        Of N (h - p + 1) (w - p + 1) points in p² c dimensions; to be merged with those of other latents.

    Raises:
        InputError: not such latents, NaN or infinite values, or latents smaller than a patch.
    """
    check_patch(patch)
    shape = check_floats("latents", latents, expected="latents (N, h, w, c)")
    if len(shape) != 4 or 0 in shape:
        raise InputError(f"latents: found shape {shape}, expected latents (N, h, w, c)")
    if min(shape[1:3]) < patch:
        raise InputError(f"latents: found {shape[1]}×{shape[2]}, expected at least a patch, {patch}×{patch}")
    check_finite("latents", latents)
    if is_traced(latents):
        return Moments(*in_float64(lambda xp, z: _moments(xp, [z], shape[0], patch))(latents))
    latents, step = np.asarray(latents), max(1, _AT_ONCE // (shape[1] * shape[2]))
    parts = (np.asarray(latents[i : i + step], np.float64) for i in range(0, shape[0], step))
    return Moments(*_moments(np, parts, shape[0], patch))


def _moments(xp: ModuleType, parts: Iterable[Any], number: int, patch: int) -> tuple[Any, Any, Any]:
    """Of the latents of all parts, of which there are `number`."""
    parts = iter(parts)
    z = next(parts)
    # Of the first, which is near enough to all for products to keep their digits; by ones, faster than a sum over axes.
    points = z.reshape(-1, z.shape[3])
    centre = (xp.ones(points.shape[0], z.dtype) @ points) / points.shape[0]
    total, products = _sums(xp, z, centre, patch)
    for part in parts:
        found = _sums(xp, part, centre, patch)
        total, products = total + found[0], products + found[1]
    count = float(number * (z.shape[1] - patch + 1) * (z.shape[2] - patch + 1))
    mean = total / count
    scatter = products - count * xp.outer(mean, mean)
    return xp.asarray(count), mean + xp.tile(centre, patch * patch), (scatter + scatter.T) / 2


def _sums(xp: ModuleType, z: Any, centre: Any, patch: int) -> tuple[Any, Any]:
    """Of the patches of z less its centre, (d,), and of their outer products, (d, d)."""
    number, height, width, channels = z.shape
    z = xp.moveaxis(z - xp.tile(centre, width).reshape(1, 1, width, channels), 1, 0)
    summed = xp.ones(number, z.dtype) @ z.reshape(height, number, width * channels)
    rows, columns = height - patch + 1, width - patch + 1
    total = xp.stack([xp.sum(summed[i : i + rows], axis=0) for i in range(patch)]).reshape(patch, width, channels)
    total = xp.stack([xp.sum(total[:, j : j + columns], axis=1) for j in range(patch)], axis=1).reshape(-1)
    firsts = _spectral_windows(z, patch) if xp is np else _plain_windows(z, patch)
    return total, _all_windows(xp, z, firsts, patch)


def _all_windows(xp: ModuleType, z: Any, firsts: list[Any], patch: int) -> Any:
    """The sums of all products, (d, d), given those of the patches' first rows with each of their rows."""
    rows = z.shape[0] - patch + 1
    upper, lower = (_rows_of_patches(xp, part, patch) for part in (z[: patch - 1], z[rows:]))
    blocks: list[list[Any]] = [[None] * patch for _ in range(patch)]
    for lag, window in enumerate(firsts):
        if lag < patch - 1:  # each next window is without the first row of the last, and with one more
            steps = patch - 1 - lag
            left = xp.swapaxes(upper[:steps], 1, 2) @ upper[lag:]
            entered = xp.swapaxes(lower[:steps], 1, 2) @ lower[lag:]
            changes = entered - left
        for i in range(patch - lag):
            window = window + changes[i - 1] if i else window
            blocks[i][i + lag] = window
            blocks[i + lag][i] = window.T
    return xp.concatenate([xp.concatenate(row, axis=1) for row in blocks], axis=0)


def _rows_of_patches(xp: ModuleType, z: Any, patch: int) -> Any:
    """(h, N · columns, p c) of (h, N, w, c), so that rows of all latents are one matrix."""
    columns = z.shape[2] - patch + 1
    parts = xp.concatenate([z[:, :, i : i + columns] for i in range(patch)], axis=3)
    return parts.reshape(z.shape[0], z.shape[1] * columns, parts.shape[3])


def _plain_windows(z: Any, patch: int) -> list[Any]:
    """For each lag the sums of products of a row of a patch with the one that is so far below, (p c, p c)."""
    rows, parts = z.shape[0] - patch + 1, _rows_of_patches(jnp, z, patch)
    flat = [parts[lag : lag + rows].reshape(-1, parts.shape[2]) for lag in range(patch)]
    return [flat[0].T @ part for part in flat]


def _spectral_windows(z: np.ndarray, patch: int) -> list[np.ndarray]:
    """The same as `_plain_windows` with p times fewer products.

    Columns j and k of a patch meet wherever two columns of latents are k - j apart: in all such places, by the spectra
    of rows, but those before the first window's column and behind the last one's.
    """
    height, number, width, channels = z.shape
    rows, columns = height - patch + 1, width - patch + 1
    size = scipy.fft.next_fast_len(width + patch - 1, real=True)
    spectra = np.moveaxis(scipy.fft.rfft(z, size, axis=2), (2, 3), (0, 1)).reshape(-1, channels, height * number)
    cross = _with_rows_below(spectra.swapaxes(1, 2).conj(), spectra.swapaxes(1, 2), rows * number, number, patch)
    places = np.arange(patch)
    found = scipy.fft.irfft(cross, size, axis=1)[:, (places[None] - places[:, None]) % size]
    before, behind = (
        _with_rows_below(edge, edge, rows * number, number, patch)
        .reshape(patch, patch - 1, channels, patch - 1, channels)
        .swapaxes(2, 3)
        for edge in (z[:, :, part].reshape(height * number, -1) for part in (slice(patch - 1), slice(columns, None)))
    )
    # Sums along diagonals: the windows of columns j + 1 and k + 1 leave out what those of j and k do, and one more.
    missed = np.zeros_like(found)
    for j in range(1, patch):
        missed[:, j, 1:] = missed[:, j - 1, :-1] + before[:, j - 1]
    found -= missed
    missed[:] = 0
    for j in reversed(range(patch - 1)):
        missed[:, j, :-1] = missed[:, j + 1, 1:] + behind[:, j]
    found -= missed
    return list(found.swapaxes(2, 3).reshape(patch, patch * channels, patch * channels))


def _with_rows_below(first: np.ndarray, second: np.ndarray, count: int, step: int, patch: int) -> np.ndarray:
    """For each lag the sums of products of `count` rows with those that lie `lag · step` below, stacked."""
    above = first[..., :count, :].swapaxes(-1, -2)
    return np.stack([above @ second[..., lag * step : lag * step + count, :] for lag in range(patch)])
