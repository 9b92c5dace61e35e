"""Small, meaningfully diverse subsets of many restorations of one measurement, and trees to browse them [cohen2024md].

Inputs are feature vectors (N, d), one row per restoration; distances between rows stand for perceptual dissimilarity.
Results are NamedTuples whose `indices` (count,) point into the rows. Every function has static shapes: it jits, and
`jax.vmap` over a leading axis of keys and features treats many measurements at once.
"""

from jaxpr.selection.farthest import FarthestPoints, farthest_from_start, farthest_in_distances, farthest_points
from jaxpr.selection.hierarchy import (
    Hierarchy,
    children,
    farthest_tree,
    hierarchy,
    priority_tree,
    to_newick,
    uniformization_hierarchy,
)
from jaxpr.selection.kmeans import (
    KMeansRepresentatives,
    kmeans_from_centroids,
    kmeans_representatives,
    nearest_to_centroids,
)
from jaxpr.selection.uniformization import (
    Uniformization,
    neighbour_distance,
    uniformization,
    uniformization_from_gumbel,
    uniformization_log_probabilities,
)

__all__ = [
    "FarthestPoints",
    "Hierarchy",
    "KMeansRepresentatives",
    "Uniformization",
    "children",
    "farthest_from_start",
    "farthest_in_distances",
    "farthest_points",
    "farthest_tree",
    "hierarchy",
    "kmeans_from_centroids",
    "kmeans_representatives",
    "nearest_to_centroids",
    "neighbour_distance",
    "priority_tree",
    "to_newick",
    "uniformization",
    "uniformization_from_gumbel",
    "uniformization_hierarchy",
    "uniformization_log_probabilities",
]
