"""Linear minimum-mean-square-error restoration of overlapping patches."""

from collections.abc import Iterable
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, AnyArray, Array, InputError, check_images, check_positive, in_float64
from jaxpr.numerics.moments import Moments
from jaxpr.restorers.patches import PatchGrid
from jaxpr.restorers.training_patches import training_patches

__all__ = ["Lmmse", "fit_lmmse", "lmmse"]


class Lmmse(NamedTuple):
    """A fitted linear restorer of patches.

    Attributes:
        matrix: (context entries of y, core entries of x).
        offset: (core entries of x,).
    """

    matrix: Array
    offset: Array


def fit_lmmse(pairs: Iterable[tuple[AnyArray, AnyArray]], *, grid: PatchGrid, ridge: float = 1e-5) -> Lmmse:
    r"""Fit $\hat x = \mu_x + C_{xy} (C_{yy} + \lambda I)^{-1} (y - \mu_y)$ to all patches of training images.

    The moments stream in float64, one image at a time, so any number of images can be used.

    Args:
        pairs: (x, y) image pairs, (H, W, C) and (h, w, c) with H = factor · h.
        grid: geometry of the patches.
        ridge: λ, relative to the mean variance of the entries of y.

    Returns:
        Parameters for `lmmse`.

    Raises:
        InputError: no pairs, sizes that do not fit the factor, or ridge < 0.
    """
    check_positive("ridge", ridge, or_zero=True)
    moments, width = None, 0
    for x, y in pairs:
        contexts, targets = training_patches(x, y, grid=grid)
        width = contexts.shape[1]
        stacked = np.concatenate([contexts, targets], axis=1)
        moments = (Moments.zero(stacked.shape[1]) if moments is None else moments).update(stacked)
    if moments is None:
        raise InputError("pairs: found none, expected at least one training pair (x, y)")
    covariance, mean = np.asarray(moments.covariance), np.asarray(moments.mean)
    matrix = in_float64(_solve)(covariance[:width, :width], covariance[:width, width:], np.float64(ridge))
    offset = mean[width:] - mean[:width] @ matrix
    return Lmmse(jnp.asarray(matrix, jnp.float32), jnp.asarray(offset, jnp.float32))


def lmmse(params: Lmmse, y: Array, *, grid: PatchGrid) -> Array:
    """Restore every patch linearly and average where patches overlap: smooth, robust, close to the least error.

    Args:
        params: from `fit_lmmse` with the same grid.
        y: measurements (N, h, w, c).
        grid: geometry. Static.

    Returns:
        (N, factor · h, factor · w, C).

    Raises:
        InputError: not float NHWC, or channels other than those of the training measurements.
    """
    check_images("y", y, data_range=None)
    contexts = grid.contexts(y)
    if contexts.shape[-1] != params.matrix.shape[0]:
        raise InputError(
            f"y: found {y.shape[-1]} channels, expected {params.matrix.shape[0] // grid.context**2} as in training"
        )
    predictions = jnp.matmul(contexts, params.matrix, precision=HIGHEST) + params.offset[None, None, None]
    return grid.assemble(predictions, (y.shape[1], y.shape[2]))


def _solve(xp: ModuleType, cov_yy: Any, cov_yx: Any, ridge: Any) -> Any:
    scale = xp.trace(cov_yy) / cov_yy.shape[0]
    return xp.linalg.solve(cov_yy + ridge * scale * xp.eye(cov_yy.shape[0]), cov_yx)
