"""Estimators: plain callables y -> x̂ on batches.

Fitting is a separate pure function; bind parameters with `functools.partial`.
"""

from jaxpr.estimators.consistent import consistent
from jaxpr.estimators.exemplar import Exemplars, exemplar, fit_exemplars
from jaxpr.estimators.lmmse import Lmmse, fit_lmmse, lmmse
from jaxpr.estimators.nlm import nlm
from jaxpr.estimators.patches import PatchGrid
from jaxpr.estimators.published import PUBLISHED_RESTORERS, published_restorer
from jaxpr.estimators.ranges import in_range
from jaxpr.estimators.specs import Training, build_restorers, default_restorers
from jaxpr.estimators.tiled import tiled
from jaxpr.estimators.torch_bridge import from_torch
from jaxpr.estimators.toy_denoising import (
    ResidualNoise,
    denoising_dmax,
    denoising_mmse,
    denoising_posterior,
    dmax_conditional_mse,
    dmax_residual_noise,
    independent_conditional_mse,
    mmse_conditional_mse,
    mmse_residual_noise,
    posterior_conditional_mse,
    posterior_residual_noise,
    posterior_second_moment,
)
from jaxpr.estimators.toy_dmax import interpolated, monotone_dmax, planar_dmax
from jaxpr.estimators.toy_gaussian import (
    AffineEstimator,
    Tradeoff,
    gaussian_conditional_mse,
    gaussian_dmax,
    gaussian_interpolation,
    gaussian_mmse,
    gaussian_mse,
    gaussian_output_law,
    gaussian_posterior,
    gaussian_residual_law,
    gaussian_tradeoff,
)
from jaxpr.estimators.toy_planar import (
    disk_wave,
    ring_avoiding,
    ring_crossing,
    zigzag,
    zigzag_transport,
    zigzag_transport_cost,
    zigzag_w2_bound,
)
from jaxpr.estimators.trained import trained_degradation, trained_restorer, weights_of, with_weights
from jaxpr.estimators.upscaling import bicubic, lanczos, nearest

__all__ = [
    "AffineEstimator",
    "Exemplars",
    "Lmmse",
    "PatchGrid",
    "ResidualNoise",
    "Tradeoff",
    "Training",
    "bicubic",
    "from_torch",
    "nlm",
    "tiled",
    "PUBLISHED_RESTORERS",
    "build_restorers",
    "default_restorers",
    "published_restorer",
    "trained_degradation",
    "trained_restorer",
    "weights_of",
    "with_weights",
    "consistent",
    "denoising_dmax",
    "denoising_mmse",
    "denoising_posterior",
    "disk_wave",
    "dmax_conditional_mse",
    "dmax_residual_noise",
    "exemplar",
    "fit_exemplars",
    "fit_lmmse",
    "gaussian_conditional_mse",
    "gaussian_dmax",
    "gaussian_interpolation",
    "gaussian_mmse",
    "gaussian_mse",
    "gaussian_output_law",
    "gaussian_posterior",
    "gaussian_residual_law",
    "gaussian_tradeoff",
    "independent_conditional_mse",
    "in_range",
    "interpolated",
    "lanczos",
    "lmmse",
    "mmse_conditional_mse",
    "mmse_residual_noise",
    "monotone_dmax",
    "nearest",
    "planar_dmax",
    "posterior_conditional_mse",
    "posterior_residual_noise",
    "posterior_second_moment",
    "ring_avoiding",
    "ring_crossing",
    "zigzag",
    "zigzag_transport",
    "zigzag_transport_cost",
    "zigzag_w2_bound",
]
