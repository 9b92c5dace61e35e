"""Measures of distortion, perceptual quality and joint perceptual quality, consistency and diversity.

Images are float NHWC in [0, 1]; per-image measures return (N,), the caller reduces. Arguments are ordered
`(restored, reference)` for image pairs and `(real, fake)` for sets.
"""

from jaxpr.metrics.conditional import conditional_frechet_distance
from jaxpr.metrics.consistency import (
    ResidualNoise,
    measurement_deviation,
    measurement_psnr,
    measurement_rmse,
    residual_noise,
)
from jaxpr.metrics.distortion import mse, psnr, rmse, ssim
from jaxpr.metrics.diversity import (
    KURTOSIS_DRAWS,
    first_component_kurtosis,
    pairwise_diversity,
    per_pixel_std,
    per_pixel_std_map,
)
from jaxpr.metrics.frechet import (
    FrechetExtrapolation,
    SmallSampleWarning,
    frechet_bias_note,
    frechet_distance,
    frechet_distance_from_features,
    frechet_extrapolated,
)
from jaxpr.metrics.inception import InceptionScore, inception_score
from jaxpr.metrics.joint import extract_patches, joint_features
from jaxpr.metrics.kernel import (
    KernelDistance,
    SmallSubsetWarning,
    kernel_distance,
    kernel_distance_full,
    kernel_distance_grouped,
    kernel_distance_subsets,
)
from jaxpr.metrics.manifold import (
    DensityCoverage,
    ManifoldScores,
    PrecisionRecall,
    density_coverage,
    manifold_scores,
    precision_recall,
)
from jaxpr.metrics.niqe import (
    NIQE_SMALLEST,
    NiqeParameters,
    fit_niqe,
    load_niqe_parameters,
    niqe,
    packaged_niqe_parameters,
)
from jaxpr.metrics.perceptual import lpips, lpips_map
from jaxpr.metrics.protocol import crop_border, luma
from jaxpr.numerics.moments import Moments

__all__ = [
    "DensityCoverage",
    "FrechetExtrapolation",
    "InceptionScore",
    "KURTOSIS_DRAWS",
    "KernelDistance",
    "ManifoldScores",
    "Moments",
    "NIQE_SMALLEST",
    "NiqeParameters",
    "PrecisionRecall",
    "ResidualNoise",
    "SmallSampleWarning",
    "SmallSubsetWarning",
    "conditional_frechet_distance",
    "crop_border",
    "density_coverage",
    "extract_patches",
    "first_component_kurtosis",
    "fit_niqe",
    "frechet_bias_note",
    "frechet_distance",
    "frechet_distance_from_features",
    "frechet_extrapolated",
    "inception_score",
    "joint_features",
    "kernel_distance",
    "kernel_distance_full",
    "kernel_distance_grouped",
    "kernel_distance_subsets",
    "load_niqe_parameters",
    "lpips",
    "lpips_map",
    "luma",
    "manifold_scores",
    "measurement_deviation",
    "measurement_psnr",
    "measurement_rmse",
    "mse",
    "niqe",
    "packaged_niqe_parameters",
    "pairwise_diversity",
    "per_pixel_std",
    "per_pixel_std_map",
    "precision_recall",
    "psnr",
    "residual_noise",
    "rmse",
    "ssim",
]
