"""Networks and feature extractors; the only subpackage that imports Flax, and only to declare networks."""

from jaxpr.models.features import FEATURES, FeatureExtractor, feature_extractor, perceptual_network
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Conv
from jaxpr.models.packaged import PackagedWeights, packaged_weights
from jaxpr.models.trunks import ALEXNET, VGG16, ConvTrunk, TrunkSpec

__all__ = [
    "ALEXNET",
    "FEATURES",
    "VGG16",
    "Conv",
    "ConvTrunk",
    "FeatureExtractor",
    "Model",
    "PackagedWeights",
    "TrunkSpec",
    "feature_extractor",
    "functional",
    "packaged_weights",
    "perceptual_network",
]
