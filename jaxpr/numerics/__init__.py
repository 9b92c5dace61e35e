"""Floor 1: numerical tools shared by the whole package."""

from jaxpr.numerics.balls import example_norms, project_l2, project_linf, sample_l2, sample_linf
from jaxpr.numerics.guards import safe_sqrt
from jaxpr.numerics.moments import Moments
from jaxpr.numerics.neighbours import nearest_distances, squared_distances
from jaxpr.numerics.psd import bures_term, psd_sqrt
from jaxpr.numerics.resampling import BOX, CUBIC, LANCZOS3, LINEAR, Kernel, resize, resize_matrix
from jaxpr.numerics.statistics import Estimate, grouped_mean, jackknife

__all__ = [
    "BOX",
    "CUBIC",
    "LANCZOS3",
    "LINEAR",
    "Kernel",
    "Estimate",
    "Moments",
    "bures_term",
    "example_norms",
    "grouped_mean",
    "jackknife",
    "nearest_distances",
    "project_l2",
    "project_linf",
    "psd_sqrt",
    "resize",
    "resize_matrix",
    "safe_sqrt",
    "sample_l2",
    "sample_linf",
    "squared_distances",
]
