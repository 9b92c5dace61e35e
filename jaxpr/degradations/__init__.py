"""Linear operators (A, its adjoint, pseudo-inverse, SVD), noise, JPEG; the words of --degradation."""

from jaxpr.degradations.blind_face import BlindFaceRanges, blind_face, blind_face_surrogate
from jaxpr.degradations.blur import Blur, gaussian_kernel
from jaxpr.degradations.degradation import Degradation, as_degradation, parse_degradation
from jaxpr.degradations.jpeg import jpeg, jpeg_surrogate
from jaxpr.degradations.linear import CUTOFF, SVD, LinearOperator
from jaxpr.degradations.noise import gaussian_noise
from jaxpr.degradations.pixelwise import Grayscale, Identity, Inpainting
from jaxpr.degradations.real_world import RealWorldRanges, real_world
from jaxpr.degradations.separable import AverageDownsample, BicubicDownsample, Separable

__all__ = [
    "CUTOFF",
    "SVD",
    "AverageDownsample",
    "BicubicDownsample",
    "BlindFaceRanges",
    "Blur",
    "Degradation",
    "Grayscale",
    "Identity",
    "Inpainting",
    "LinearOperator",
    "RealWorldRanges",
    "Separable",
    "as_degradation",
    "blind_face",
    "blind_face_surrogate",
    "gaussian_kernel",
    "gaussian_noise",
    "jpeg",
    "jpeg_surrogate",
    "parse_degradation",
    "real_world",
]
