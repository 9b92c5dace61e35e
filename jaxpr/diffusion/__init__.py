"""Noise schedules, denoisers in one form, adapters from networks, exact denoisers of Gaussian and mixture priors."""

from jaxpr.diffusion.cached import CachedDenoiser, cached_denoiser
from jaxpr.diffusion.denoiser import Denoiser, LearnedVariance, Prediction, from_eps, from_v, from_x0
from jaxpr.diffusion.priors import PIXELS, Basis, cosine_transform, gaussian_denoiser, mixture_denoiser
from jaxpr.diffusion.schedule import (
    ReverseCoefficients,
    Schedule,
    cosine_schedule,
    linear_schedule,
    respaced,
    strided,
)

__all__ = [
    "PIXELS",
    "Basis",
    "CachedDenoiser",
    "Denoiser",
    "LearnedVariance",
    "Prediction",
    "ReverseCoefficients",
    "Schedule",
    "cached_denoiser",
    "cosine_schedule",
    "cosine_transform",
    "from_eps",
    "from_v",
    "from_x0",
    "gaussian_denoiser",
    "linear_schedule",
    "mixture_denoiser",
    "respaced",
    "strided",
]
