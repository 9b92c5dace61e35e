"""Toy joint laws of x and its measurement y, with densities, posterior means, posterior samples and scores.

Every law is a pytree with `sample(key, n) -> (x, y)`, `posterior_mean(y)` (an estimator), `posterior_sample(key, y)` (a
sampler), `posterior_covariance(y)` and log densities; Gaussian laws and mixtures have scores too.

[ohayon2023]: Ohayon, Adrai, Elad and Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023. [ohayon2024]: Ohayon, Michaeli and Elad, "The Perception-Robustness Tradeoff in
Deterministic Image Restoration", ICML 2024. [adrai2023]: Adrai, Ohayon, Elad and Michaeli, "Deep Optimal Transport",
NeurIPS 2023. [cohen2024md]: Cohen et al., "From Posterior Sampling to Meaningful Diversity in Image Restoration",
ICLR 2024.
"""

from jaxpr.toys.denoising import (
    ResidualMoments,
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
from jaxpr.toys.dmax import interpolated, monotone_dmax, planar_dmax
from jaxpr.toys.gans import (
    DENOISER_STEPS,
    denoiser_losses,
    denoiser_optimizers,
    plain_denoiser_losses,
    planar_losses,
    planar_optimizers,
    start_denoiser,
    start_planar,
    toy_denoiser,
    toy_restorer,
)
from jaxpr.toys.gaussian import JointGaussian, denoising_gaussian, joint_gaussian, linear_gaussian
from jaxpr.toys.gaussian_estimators import (
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
from jaxpr.toys.laws import JointLaw, Pairs
from jaxpr.toys.mixture import JointMixture, imbalanced_mixture, linear_mixture, planar_mixture
from jaxpr.toys.normal import Normal, normal
from jaxpr.toys.planar import EllipticRing, Slice, UniformSquare, elliptic_ring, uniform_disk, uniform_square
from jaxpr.toys.planar_estimators import (
    disk_wave,
    ring_avoiding,
    ring_crossing,
    zigzag,
    zigzag_transport,
    zigzag_transport_cost,
    zigzag_w2_bound,
)

__all__ = [
    "AffineEstimator",
    "DENOISER_STEPS",
    "EllipticRing",
    "JointGaussian",
    "JointLaw",
    "JointMixture",
    "Normal",
    "Pairs",
    "ResidualMoments",
    "Slice",
    "Tradeoff",
    "UniformSquare",
    "denoiser_losses",
    "denoiser_optimizers",
    "denoising_dmax",
    "denoising_gaussian",
    "denoising_mmse",
    "denoising_posterior",
    "disk_wave",
    "dmax_conditional_mse",
    "dmax_residual_noise",
    "elliptic_ring",
    "gaussian_conditional_mse",
    "gaussian_dmax",
    "gaussian_interpolation",
    "gaussian_mmse",
    "gaussian_mse",
    "gaussian_output_law",
    "gaussian_posterior",
    "gaussian_residual_law",
    "gaussian_tradeoff",
    "imbalanced_mixture",
    "independent_conditional_mse",
    "interpolated",
    "joint_gaussian",
    "linear_gaussian",
    "linear_mixture",
    "mmse_conditional_mse",
    "mmse_residual_noise",
    "monotone_dmax",
    "normal",
    "plain_denoiser_losses",
    "planar_dmax",
    "planar_losses",
    "planar_mixture",
    "planar_optimizers",
    "posterior_conditional_mse",
    "posterior_residual_noise",
    "posterior_second_moment",
    "ring_avoiding",
    "ring_crossing",
    "start_denoiser",
    "start_planar",
    "toy_denoiser",
    "toy_restorer",
    "uniform_disk",
    "uniform_square",
    "zigzag",
    "zigzag_transport",
    "zigzag_transport_cost",
    "zigzag_w2_bound",
]
