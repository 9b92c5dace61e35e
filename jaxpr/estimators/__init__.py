"""Estimators: plain callables y -> x̂ on batches.

Fitting is a separate pure function; bind parameters with `functools.partial`.
"""

from jaxpr.estimators.consistent import consistent
from jaxpr.estimators.exemplar import Exemplars, exemplar, fit_exemplars
from jaxpr.estimators.lmmse import Lmmse, fit_lmmse, lmmse
from jaxpr.estimators.patches import PatchGrid
from jaxpr.estimators.specs import Training, build_restorers
from jaxpr.estimators.upscaling import bicubic, lanczos, nearest

__all__ = [
    "Exemplars",
    "Lmmse",
    "PatchGrid",
    "Training",
    "bicubic",
    "build_restorers",
    "consistent",
    "exemplar",
    "fit_exemplars",
    "fit_lmmse",
    "lanczos",
    "lmmse",
    "nearest",
]
