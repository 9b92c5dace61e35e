"""What papers do to images before they measure distortion: cut off a border, and look at luma only.

Both are plain functions to be composed with `psnr` and `ssim`, so that a protocol is visible where it is applied.
"""

import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, Array, InputError, check_count, check_images

__all__ = ["crop_border", "luma"]

# ITU-R BT.601 for digital video: MATLAB's rgb2ycbcr.
_LUMA = np.array([65.481, 128.553, 24.966], np.float32) / 255
_BLACK = 16 / 255


def luma(images: Array) -> Array:
    """The Y channel of MATLAB's `rgb2ycbcr`, on which super-resolution papers measure PSNR and SSIM.

    Args:
        images: (N, H, W, 3) in [0, 1], overshoot allowed.

    Returns:
        (N, H, W, 1), from 16/255 (black) to 235/255 (white).

    Raises:
        InputError: not float NHWC with three channels, NaN, or another range.
    """
    check_images("images", images, channels=3, overshoot=1.0)
    weights = jnp.asarray(_LUMA, images.dtype)[:, None]
    return jnp.matmul(images, weights, precision=HIGHEST) + jnp.asarray(_BLACK, images.dtype)


def crop_border(images: Array, *, border: int) -> Array:
    """Images without their outermost `border` pixels on every side.

    Args:
        images: (N, H, W, C).
        border: pixels, >= 0. Static.

    Raises:
        InputError: not float NHWC, or nothing would be left.
    """
    check_images("images", images, data_range=None)
    check_count("border", border, at_least=0)
    height, width = images.shape[1:3]
    if 2 * border >= min(height, width):
        raise InputError(f"border: found {border} for images of {height}×{width}, expected less than half of a side")
    return images[:, border : height - border, border : width - border]
