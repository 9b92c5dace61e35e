"""Networks and feature extractors; the only subpackage that imports Flax, and only to declare networks."""

from jaxpr.models.classifier import digit_classifier
from jaxpr.models.features import FEATURES, FeatureExtractor, feature_extractor, perceptual_network
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Conv
from jaxpr.models.mlp import Layer, Layers, init_mlp, input_gradient, mlp, mlp_with_pattern
from jaxpr.models.packaged import PackagedWeights, packaged_weights
from jaxpr.models.trunks import ALEXNET, VGG16, ConvTrunk, TrunkSpec

__all__ = [
    "ALEXNET",
    "Conv",
    "ConvTrunk",
    "FEATURES",
    "FeatureExtractor",
    "Layer",
    "Layers",
    "Model",
    "PackagedWeights",
    "TrunkSpec",
    "VGG16",
    "digit_classifier",
    "feature_extractor",
    "functional",
    "init_mlp",
    "input_gradient",
    "mlp",
    "mlp_with_pattern",
    "packaged_weights",
    "perceptual_network",
]
