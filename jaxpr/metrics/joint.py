"""Patches and joint features: how (x̂, y) is compared with (x, y)."""

import jax.numpy as jnp
import numpy as np

from jaxpr.core import AnyArray, Array, InputError, check_count, check_images, check_points

__all__ = ["extract_patches", "joint_features"]


def extract_patches(images: Array, *, size: int, stride: int) -> Array:
    """All square patches on a regular grid that starts in the upper left corner.

    Patches of y and of x correspond when size and stride of x are the scale factor times those of y
    ([ohayon2024], Section 4.2: 32 and 16 on y, 128 and 64 on x for ×4).

    Args:
        images: (N, H, W, C).
        size: side of a patch in pixels. Static.
        stride: step between patches in pixels. Static.

    Returns:
        (N · P, size, size, C) with P = (⌊(H-size)/stride⌋+1) · (⌊(W-size)/stride⌋+1), ordered by image, row, column.

    Raises:
        InputError: not float NHWC, an image smaller than a patch, or size or stride < 1.
    """
    check_images("images", images, data_range=None)
    check_count("size", size)
    check_count("stride", stride)
    count, height, width, channels = images.shape
    if min(height, width) < size:
        raise InputError(f"images: found {height}×{width} pixels, expected at least the patch size {size}×{size}")
    rows = np.arange(0, height - size + 1, stride)[:, None] + np.arange(size)
    columns = np.arange(0, width - size + 1, stride)[:, None] + np.arange(size)
    patches = images[:, rows[:, None, :, None], columns[None, :, None, :], :]
    return patches.reshape(count * rows.shape[0] * columns.shape[0], size, size, channels)


def joint_features(x_features: AnyArray, y_features: AnyArray) -> Array:
    """Concatenate the features of each image with those of its measurement ([ohayon2024], eq. (6)).

    Args:
        x_features: (N, d_x), of natural or restored images.
        y_features: (N, d_y), of the corresponding measurements, in the same order.

    Returns:
        (N, d_x + d_y).

    Raises:
        InputError: not points, or the counts differ.
    """
    check_points("x_features", x_features)
    check_points("y_features", y_features)
    if x_features.shape[0] != y_features.shape[0]:
        raise InputError(f"y_features: found {y_features.shape[0]} rows, expected {x_features.shape[0]} as x_features")
    return jnp.concatenate([x_features, y_features], axis=1)
