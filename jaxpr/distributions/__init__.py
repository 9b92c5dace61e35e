"""Toy joint laws of x and its measurement y, with densities, posterior means, posterior samples and scores.

Every law is a pytree with `sample(key, n) -> (x, y)`, `posterior_mean(y)` (an estimator), `posterior_sample(key, y)` (a
sampler), `posterior_covariance(y)` and log densities; Gaussian laws and mixtures have scores too.

[ohayon2023]: Ohayon, Adrai, Elad and Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023. [ohayon2024]: Ohayon, Michaeli and Elad, "The Perception-Robustness Tradeoff in
Deterministic Image Restoration", ICML 2024. [adrai2023]: Adrai, Ohayon, Elad and Michaeli, "Deep Optimal Transport",
NeurIPS 2023. [cohen2024md]: Cohen et al., "From Posterior Sampling to Meaningful Diversity in Image Restoration",
ICLR 2024.
"""

from jaxpr.distributions.gaussian import JointGaussian, denoising_gaussian, joint_gaussian, linear_gaussian
from jaxpr.distributions.mixture import JointMixture, imbalanced_mixture, linear_mixture, planar_mixture
from jaxpr.distributions.normal import Normal, Pairs, normal
from jaxpr.distributions.planar import (
    EllipticRing,
    Slice,
    UniformSquare,
    elliptic_ring,
    uniform_disk,
    uniform_square,
)

__all__ = [
    "EllipticRing",
    "JointGaussian",
    "JointMixture",
    "Normal",
    "Pairs",
    "Slice",
    "UniformSquare",
    "denoising_gaussian",
    "elliptic_ring",
    "imbalanced_mixture",
    "joint_gaussian",
    "linear_gaussian",
    "linear_mixture",
    "normal",
    "planar_mixture",
    "uniform_disk",
    "uniform_square",
]
