"""SSIM of 64 images of 256×256×3 against scikit-image, piq and dm_pix.

Command:   .venv/bin/python -m benchmarks.ssim [--scale smoke|small|paper]

All use the Gaussian window of 11×11 with deviation 1.5; scikit-image and dm_pix also crop to windows inside the image.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import compare_sizes, declare_torchvision_operators

SIZES = {
    "smoke": {"4x64x64": (4, 64)},
    "small": {"64x256x256": (64, 256)},
    "paper": {"256x512x512": (256, 512)},
}


def images(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Smooth images and noisy copies, (N, H, W, 3)."""
    rng = np.random.default_rng(0)
    coarse = rng.random((count, size // 8, size // 8, 3), np.float32)
    clean = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)
    return clean, np.clip(clean + 0.1 * rng.standard_normal(clean.shape, np.float32), 0, 1)


def ours(count: int, size: int) -> Callable[[], Any]:
    """jaxpr.metrics.ssim, compiled."""
    import jax

    from jaxpr.metrics import ssim

    a, b = (jax.numpy.asarray(part) for part in images(count, size))
    run = jax.jit(functools.partial(ssim, data_range=1.0))
    return lambda: np.asarray(run(a, b)).mean()


def scikit_image(count: int, size: int) -> Callable[[], Any]:
    """The usual choice, image by image."""
    from skimage.metrics import structural_similarity

    options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    a, b = images(count, size)
    return lambda: np.mean(
        [structural_similarity(x, y, channel_axis=-1, data_range=1.0, **options) for x, y in zip(a, b, strict=True)]
    )


def piq(count: int, size: int) -> Callable[[], Any]:
    """PyTorch."""
    import torch

    declare_torchvision_operators()
    from piq import ssim

    a, b = (torch.from_numpy(np.ascontiguousarray(np.moveaxis(part, -1, 1))) for part in images(count, size))
    return lambda: float(ssim(a, b, data_range=1.0, downsample=False))


def dm_pix(count: int, size: int) -> Callable[[], Any]:
    """JAX, compiled."""
    import jax
    from dm_pix import ssim

    a, b = (jax.numpy.asarray(part) for part in images(count, size))
    run = jax.jit(functools.partial(ssim, max_val=1.0))
    return lambda: np.asarray(run(a, b)).mean()


CONTENDERS: dict[str, Callable[..., Callable[[], Any]]] = {
    "jaxpr": ours,
    "scikit-image": scikit_image,
    "piq": piq,
    "dm_pix": dm_pix,
}

if __name__ == "__main__":
    compare_sizes(__doc__, SIZES, CONTENDERS, baseline="scikit-image")
