"""Measures of distortion, perceptual quality and joint perceptual quality.

Images are float NHWC in [0, 1]; per-image measures return (N,), the caller reduces. Arguments are ordered
`(restored, reference)` for image pairs and `(real, fake)` for sets.
"""

from jaxpr.metrics.distortion import mse, psnr, rmse, ssim
from jaxpr.metrics.frechet import frechet_distance
from jaxpr.metrics.joint import extract_patches, joint_features
from jaxpr.metrics.perceptual import lpips
from jaxpr.numerics.moments import Moments

__all__ = [
    "Moments",
    "extract_patches",
    "frechet_distance",
    "joint_features",
    "lpips",
    "mse",
    "psnr",
    "rmse",
    "ssim",
]
