"""How unsure one must be: entropies, Rényi divergences, and the uncertainty-perception plane.

Entropies and divergences are in nats. [cohen2024up]: Cohen, Kligvasser, Rivlin and Freedman, "Looks Too Good To Be
True: An Information-Theoretic Analysis of Hallucinations in Generative Restoration Models", NeurIPS 2024.
"""

from jaxpr.uncertainty.blocks import local_blocks
from jaxpr.uncertainty.bounds import Region, UncertaintyBounds, eta, region, uncertainty_bounds
from jaxpr.uncertainty.conditional import (
    ConditionalGaussian,
    conditional_gaussian,
    conditional_knn_entropy,
    conditional_renyi,
)
from jaxpr.uncertainty.divergence import renyi_gaussian
from jaxpr.uncertainty.entropy import entropy_power, gaussian_entropy, knn_entropy
from jaxpr.uncertainty.plane import PlanePoint, plane_point

__all__ = [
    "ConditionalGaussian",
    "PlanePoint",
    "Region",
    "UncertaintyBounds",
    "conditional_gaussian",
    "conditional_knn_entropy",
    "conditional_renyi",
    "entropy_power",
    "eta",
    "gaussian_entropy",
    "knn_entropy",
    "local_blocks",
    "plane_point",
    "region",
    "renyi_gaussian",
    "uncertainty_bounds",
]
