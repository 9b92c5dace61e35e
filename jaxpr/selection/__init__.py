"""Small, meaningfully diverse subsets of many restorations of one measurement, and trees to browse them [cohen2024md].

Inputs are feature vectors (N, d), one row per restoration, whose distances stand for perceptual dissimilarity, or where
there are no features, distances (N, N).
Results are NamedTuples whose `indices` (count,) point into the rows. Every function has static shapes: it jits, and
`jax.vmap` over a leading axis of keys and features treats many measurements at once.
"""

from jaxpr.selection.components import PrincipalComponents, principal_components
from jaxpr.selection.distances import (
    farthest_points_in_distances,
    hierarchy_in_distances,
    uniformization_hierarchy_in_distances,
    uniformization_in_distances,
)
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
from jaxpr.selection.kmedoids import KMedoids, kmedoids_representatives
from jaxpr.selection.overlap import OverlappingTree, overlapping_tree
from jaxpr.selection.set_report import SetReport, set_report
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
    "KMedoids",
    "OverlappingTree",
    "PrincipalComponents",
    "SetReport",
    "Uniformization",
    "children",
    "farthest_from_start",
    "farthest_in_distances",
    "farthest_points",
    "farthest_points_in_distances",
    "farthest_tree",
    "hierarchy",
    "hierarchy_in_distances",
    "kmeans_from_centroids",
    "kmeans_representatives",
    "kmedoids_representatives",
    "nearest_to_centroids",
    "neighbour_distance",
    "overlapping_tree",
    "principal_components",
    "priority_tree",
    "set_report",
    "to_newick",
    "uniformization",
    "uniformization_from_gumbel",
    "uniformization_hierarchy",
    "uniformization_hierarchy_in_distances",
    "uniformization_in_distances",
    "uniformization_log_probabilities",
]
