"""Networks and feature extractors; the only subpackage that imports Flax, and only to declare networks."""

from jaxpr.models.adm_classifier import ADMClassifierConfig, adm_classifier
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet
from jaxpr.models.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig, Posterior, autoencoder_kl
from jaxpr.models.classifier import digit_classifier
from jaxpr.models.ddpm_unet import DDPMUNetConfig, ddpm_unet
from jaxpr.models.features import FEATURES, FeatureExtractor, feature_extractor, perceptual_network
from jaxpr.models.fetch import fetch_weights, weights_folder
from jaxpr.models.functional import Model, functional
from jaxpr.models.gfpgan import GFPGANConfig, GFPGANOutput, gfpgan, gfpgan_noises
from jaxpr.models.inception import InceptionConfig, InceptionOutputs, half_pixel_input, inception, tf1_input
from jaxpr.models.layers import Compute, Conv
from jaxpr.models.lpips_weights import PerceptualFiles, perceptual_network_from
from jaxpr.models.mlp import Layer, Layers, init_mlp, input_gradient, mlp, mlp_with_pattern
from jaxpr.models.networks import NETWORKS, LoadedNetwork, load_network, recognise
from jaxpr.models.official import OFFICIAL_FILES, OfficialFile
from jaxpr.models.packaged import PackagedWeights, packaged_weights
from jaxpr.models.restormer import RestormerConfig, restormer
from jaxpr.models.rrdbnet import RRDBNetConfig, rrdbnet
from jaxpr.models.swin2sr import Swin2SRConfig, Swin2SROutput, swin2sr
from jaxpr.models.swinir import SwinIRConfig, swinir
from jaxpr.models.torch_files import read_checkpoint
from jaxpr.models.torch_weights import WeightsError
from jaxpr.models.trained import PACKAGED_RESTORERS
from jaxpr.models.trunks import ALEXNET, VGG16, ConvTrunk, TrunkSpec
from jaxpr.models.vit import ViTConfig, vit

__all__ = [
    "ALEXNET",
    "Compute",
    "Conv",
    "ConvTrunk",
    "FEATURES",
    "FeatureExtractor",
    "Layer",
    "Layers",
    "LoadedNetwork",
    "Model",
    "NETWORKS",
    "OFFICIAL_FILES",
    "PACKAGED_RESTORERS",
    "OfficialFile",
    "PackagedWeights",
    "RRDBNetConfig",
    "SwinIRConfig",
    "TrunkSpec",
    "VGG16",
    "WeightsError",
    "digit_classifier",
    "feature_extractor",
    "fetch_weights",
    "functional",
    "init_mlp",
    "input_gradient",
    "load_network",
    "mlp",
    "mlp_with_pattern",
    "packaged_weights",
    "perceptual_network",
    "read_checkpoint",
    "recognise",
    "rrdbnet",
    "swinir",
    "weights_folder",
    "ADMClassifierConfig",
    "adm_classifier",
    "ADMUNetConfig",
    "adm_unet",
    "AutoencoderKL",
    "AutoencoderKLConfig",
    "Posterior",
    "autoencoder_kl",
    "DDPMUNetConfig",
    "ddpm_unet",
    "GFPGANConfig",
    "GFPGANOutput",
    "gfpgan",
    "gfpgan_noises",
    "InceptionConfig",
    "InceptionOutputs",
    "half_pixel_input",
    "inception",
    "tf1_input",
    "PerceptualFiles",
    "perceptual_network_from",
    "RestormerConfig",
    "restormer",
    "Swin2SRConfig",
    "Swin2SROutput",
    "swin2sr",
    "ViTConfig",
    "vit",
]
