"""Restorers: whatever maps measurements y to restorations x̂ on batches.

Functions here are plain ones, and fitting is a separate pure function; `Restorer` is the value that evaluations carry.
"""

from jaxpr.restorers.autoencoded import autoencoded
from jaxpr.restorers.consistent import consistent
from jaxpr.restorers.exemplar import Exemplars, exemplar, fit_exemplars
from jaxpr.restorers.host import from_host
from jaxpr.restorers.latent_transport import latent_transport
from jaxpr.restorers.latent_transport_encoders import (
    LatentEncoder,
    kl_encoder,
    pixel_encoder,
    plain_encoder,
    read_encoder,
)
from jaxpr.restorers.latent_transport_files import load_transport, save_transport
from jaxpr.restorers.latent_transport_fit import (
    LatentTransport,
    PatchStatistics,
    TransportWarning,
    fit_transport,
    patch_statistics,
)
from jaxpr.restorers.latent_transport_moments import patch_moments
from jaxpr.restorers.latent_transport_patches import PatchMap
from jaxpr.restorers.latent_transport_settings import TRANSPORT_PRESETS
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
    "LatentEncoder",
    "LatentTransport",
    "Lmmse",
    "PUBLISHED_RESTORERS",
    "PatchGrid",
    "PatchMap",
    "PatchStatistics",
    "Restorer",
    "StoredRestorer",
    "TRANSPORT_PRESETS",
    "Training",
    "TransportWarning",
    "as_restorer",
    "autoencoded",
    "bicubic",
    "build_restorers",
    "consistent",
    "default_restorers",
    "exemplar",
    "fit_exemplars",
    "fit_lmmse",
    "fit_transport",
    "from_folder",
    "from_host",
    "from_torch",
    "in_range",
    "kl_encoder",
    "lanczos",
    "latent_transport",
    "lmmse",
    "load_transport",
    "nearest",
    "nlm",
    "patch_moments",
    "patch_statistics",
    "pixel_encoder",
    "plain_encoder",
    "published_restorer",
    "read_encoder",
    "read_prior",
    "sampled_restorer",
    "save_transport",
    "tiled",
    "trained_degradation",
    "trained_restorer",
]
