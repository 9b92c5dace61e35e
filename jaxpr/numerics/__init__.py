"""Numerical tools that all share: psd roots, moments, neighbours, statistics with errors, norm balls, convolutions."""

from jaxpr.numerics.balls import example_norms, project_l2, project_linf, sample_l2, sample_linf
from jaxpr.numerics.convolution import canonical_convolutions, conv
from jaxpr.numerics.extrapolation import Line, fit_line
from jaxpr.numerics.guards import safe_sqrt
from jaxpr.numerics.kernels import KernelSums, kernel_sums
from jaxpr.numerics.moments import Moments
from jaxpr.numerics.neighbours import nearest_distances, squared_distances
from jaxpr.numerics.overlap import BallCounts, count_balls, neighbour_radii
from jaxpr.numerics.psd import bures_term, psd_sqrt
from jaxpr.numerics.resampling import (
    BOX,
    CUBIC,
    CUBIC_SHARP,
    LANCZOS3,
    LINEAR,
    Kernel,
    clamp,
    mirror,
    resize,
    resize_matrix,
)
from jaxpr.numerics.statistics import Bootstrap, Estimate, bootstrap, grouped_mean, jackknife

__all__ = [
    "BOX",
    "CUBIC",
    "CUBIC_SHARP",
    "LANCZOS3",
    "LINEAR",
    "BallCounts",
    "Bootstrap",
    "Kernel",
    "KernelSums",
    "Estimate",
    "Line",
    "Moments",
    "bootstrap",
    "bures_term",
    "canonical_convolutions",
    "clamp",
    "conv",
    "count_balls",
    "example_norms",
    "fit_line",
    "grouped_mean",
    "jackknife",
    "kernel_sums",
    "mirror",
    "nearest_distances",
    "neighbour_radii",
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
