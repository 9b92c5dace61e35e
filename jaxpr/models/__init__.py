"""Networks; the only package that imports Flax, and only to declare them."""

from jaxpr.models.adm_classifier import ADMClassifierConfig, adm_classifier
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet
from jaxpr.models.autoencoder_kl import AutoencoderKL, AutoencoderKLConfig, Posterior, autoencoder_kl
from jaxpr.models.classifier import ClassifierConfig, classifier_model
from jaxpr.models.ddpm_unet import DDPMUNetConfig, ddpm_unet
from jaxpr.models.functional import Model, functional
from jaxpr.models.gfpgan import GFPGANConfig, GFPGANOutput, gfpgan, gfpgan_noises
from jaxpr.models.inception import InceptionConfig, InceptionOutputs, half_pixel_input, inception, tf1_input
from jaxpr.models.layers import Compute, Conv
from jaxpr.models.mlp import Layer, Layers, init_mlp, input_gradient, mlp, mlp_with_pattern
from jaxpr.models.naming import WeightsError
from jaxpr.models.restormer import RestormerConfig, restormer
from jaxpr.models.rrdbnet import RRDBNetConfig, rrdbnet
from jaxpr.models.srvggnet import SRVGGNetConfig, srvggnet
from jaxpr.models.swin2sr import Swin2SRConfig, Swin2SROutput, swin2sr
from jaxpr.models.swinir import SwinIRConfig, swinir
from jaxpr.models.trunks import ALEXNET, VGG16, ConvTrunk, TrunkSpec
from jaxpr.models.vit import ViTConfig, vit

__all__ = [
    "ADMClassifierConfig",
    "ADMUNetConfig",
    "ALEXNET",
    "AutoencoderKL",
    "AutoencoderKLConfig",
    "ClassifierConfig",
    "Compute",
    "Conv",
    "ConvTrunk",
    "DDPMUNetConfig",
    "GFPGANConfig",
    "GFPGANOutput",
    "InceptionConfig",
    "InceptionOutputs",
    "Layer",
    "Layers",
    "Model",
    "Posterior",
    "RRDBNetConfig",
    "RestormerConfig",
    "SRVGGNetConfig",
    "Swin2SRConfig",
    "Swin2SROutput",
    "SwinIRConfig",
    "TrunkSpec",
    "VGG16",
    "ViTConfig",
    "WeightsError",
    "adm_classifier",
    "adm_unet",
    "autoencoder_kl",
    "classifier_model",
    "ddpm_unet",
    "functional",
    "gfpgan",
    "gfpgan_noises",
    "half_pixel_input",
    "inception",
    "init_mlp",
    "input_gradient",
    "mlp",
    "mlp_with_pattern",
    "restormer",
    "rrdbnet",
    "srvggnet",
    "swin2sr",
    "swinir",
    "tf1_input",
    "vit",
]
