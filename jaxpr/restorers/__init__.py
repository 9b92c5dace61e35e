"""Restorers: whatever maps measurements y to restorations x̂ on batches.

Functions here are plain ones, and fitting is a separate pure function; `Restorer` is the value that evaluations carry.
"""

from jaxpr.restorers.consistent import consistent
from jaxpr.restorers.exemplar import Exemplars, exemplar, fit_exemplars
from jaxpr.restorers.host import from_host
from jaxpr.restorers.lmmse import Lmmse, fit_lmmse, lmmse
from jaxpr.restorers.nlm import nlm
from jaxpr.restorers.patches import PatchGrid
from jaxpr.restorers.priors import read_prior
from jaxpr.restorers.published import PUBLISHED_RESTORERS, published_restorer
from jaxpr.restorers.ranges import in_range
from jaxpr.restorers.restorer import Restorer, as_restorer
from jaxpr.restorers.sampled import sampled_restorer
from jaxpr.restorers.stored import StoredRestorer, from_folder
from jaxpr.restorers.tiled import tiled
from jaxpr.restorers.torch_bridge import from_torch
from jaxpr.restorers.trained import trained_degradation, trained_restorer
from jaxpr.restorers.upscaling import bicubic, lanczos, nearest
from jaxpr.restorers.words import Training, build_restorers, default_restorers

__all__ = [
    "Exemplars",
    "Lmmse",
    "PUBLISHED_RESTORERS",
    "PatchGrid",
    "Restorer",
    "StoredRestorer",
    "Training",
    "as_restorer",
    "bicubic",
    "build_restorers",
    "consistent",
    "default_restorers",
    "exemplar",
    "fit_exemplars",
    "fit_lmmse",
    "from_folder",
    "from_host",
    "from_torch",
    "in_range",
    "lanczos",
    "lmmse",
    "nearest",
    "nlm",
    "published_restorer",
    "read_prior",
    "sampled_restorer",
    "tiled",
    "trained_degradation",
    "trained_restorer",
]
