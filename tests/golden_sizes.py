"""Small sizes of all networks with golden outputs, at which their behaviour is tested. See `golden_cases.py`."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from golden_cases import CASES, abstract_of, authors_critic, model_of, whole
from golden_networks import BFLOAT16, drawn, fills

from jaxpr.models.adm_classifier import ADMClassifierConfig
from jaxpr.models.adm_unet import ADMUNetConfig
from jaxpr.models.ddpm_unet import DDPMUNetConfig
from jaxpr.models.functional import Model
from jaxpr.models.gfpgan import GFPGANConfig
from jaxpr.models.inception import InceptionConfig
from jaxpr.models.layers import Compute
from jaxpr.models.naming import Naming, convert, torch_shapes
from jaxpr.models.restormer import RestormerConfig
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.srvggnet import SRVGGNetConfig
from jaxpr.models.vit import ViTConfig

ADM = ADMUNetConfig(
    model_channels=32, num_res_blocks=1, attention_resolutions=(2,), channel_mult=(1, 2), num_head_channels=16
)
ADM_LABELLED = ADM._replace(num_classes=3)
CLASSIFIER = ADMClassifierConfig(
    image_size=4,
    model_channels=32,
    out_channels=5,
    num_res_blocks=1,
    attention_resolutions=(2,),
    channel_mult=(1, 2),
    num_head_channels=16,
)
AUTOENCODER_REDUCED = CASES["sd_vae-reduced"].config
AUTOENCODER = AUTOENCODER_REDUCED._replace(block_out_channels=(8, 16))
DDPM = DDPMUNetConfig(ch=32, ch_mult=(1, 2), num_res_blocks=1, attention_levels=(1,))
FACES = GFPGANConfig(
    out_size=8,
    num_style_feat=8,
    num_mlp=2,
    input_is_latent=False,
    different_w=False,
    narrow=1 / 64,
    sft_half=False,
)
RESTORMER = RestormerConfig(dim=4, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, heads=(1, 1, 2, 2))
SHALLOW = RESTORMER._replace(num_blocks=(0, 0, 0, 1))  # all resolutions, little to compile
RRDBNET = RRDBNetConfig(num_feat=8, num_block=2, num_grow_ch=4)
SWINIR = CASES["swinir-classical_x4_pad"].config
SWIN2SR = CASES["swin2sr-compressed_x4_pad"].config._replace(depths=(1,), num_heads=(2,), upscale=2)
VIT = CASES["vit-no_qkv_bias"].config  # the bias of keys has no influence
CRITIC = authors_critic(8, 2, 4, channels=2)


class Small(NamedTuple):
    """A small network to run forwards and backwards.

    Attributes:
        config: its sizes.
        shape: of an image, (H, W).
        others: what the network takes beside images, the same for all.
        drawn: the golden case whose parameters to take; None to draw them.
        repeats: it has repeated blocks, whose activations can be recomputed.
        bfloat16: how near outputs in bfloat16 are.
    """

    config: Any
    shape: tuple[int, int]
    others: tuple = ()
    drawn: str | None = None
    repeats: bool = False
    bfloat16: float = BFLOAT16

    def parameters(self) -> dict:
        return CASES[self.drawn].parameters() if self.drawn else drawn_parameters(self.config)

    def images(self) -> np.ndarray:
        channels = getattr(self.config, "channels", 3)
        return np.random.default_rng(0).random((2, *self.shape, channels), np.float32)

    def build(self, compute: Compute) -> Model:
        """Images to all outputs as one array, (N, any), because some parameters change only one of them."""
        # The autoencoder from end to end; without the second output of Swin2SR, which is part of its first.
        make = whole if isinstance(self.config, GFPGANConfig) else model_of
        model = make(self.config, compute)

        def apply(params, x):
            out = jax.tree.leaves(model.apply(params, x, *self.others))
            return jnp.concatenate([leaf.reshape(len(x), -1) for leaf in out], axis=1)

        return Model(model.init, apply)


def drawn_parameters(config) -> dict:
    tensors = drawn(fills(torch_shapes(abstract_of(config))), 1.0)
    return convert(abstract_of(config), tensors, (Naming(),), source="drawn")


SMALL = {
    "adm_unet": Small(ADM_LABELLED, (4, 4), (37.5, 2), repeats=True),
    "adm_unet, resampled": Small(ADM._replace(resblock_updown=False), (4, 4), (37.5,), repeats=True),
    "adm_classifier": Small(CLASSIFIER, (4, 4), (37.5,), repeats=True),
    **{
        f"adm_classifier, {pool}": Small(CLASSIFIER._replace(pool=pool), (4, 4), (37.5,))
        for pool in ("adaptive", "spatial", "spatial_v2")
    },
    # The decoder amplifies the encoder's rounding: 0.015 of the latents, 0.030 of the decoder alone, 0.058 of both.
    "autoencoder_kl": Small(AUTOENCODER, (5, 6), repeats=True, bfloat16=2 * BFLOAT16),
    "ddpm_unet": Small(DDPM, (4, 6), (37.5,), repeats=True),
    "ddpm_unet, resampled": Small(DDPM._replace(resamp_with_conv=False), (4, 6), (37.5,), repeats=True),
    "gfpgan": Small(FACES, (8, 8), repeats=True),
    "inception": Small(InceptionConfig(), (75, 76), drawn="fid_inception-tf", repeats=True),
    "resnet_critic": Small(CRITIC, (8, 8), repeats=True),
    "restormer": Small(SHALLOW._replace(num_blocks=(0, 0, 2, 1)), (13, 11), repeats=True),
    "restormer, biased": Small(SHALLOW._replace(LayerNorm_type="WithBias"), (13, 11)),
    "rrdbnet": Small(RRDBNET, (5, 3), repeats=True),
    "srvggnet": Small(SRVGGNetConfig(num_feat=6, num_conv=2), (5, 3)),
    "swinir": Small(SWINIR._replace(num_heads=(2, 2)), (7, 5), repeats=True),
    "swin2sr": Small(SWIN2SR._replace(depths=(2,), upsampler="pixelshuffledirect"), (7, 5), repeats=True),
    "swin2sr, auxiliary": Small(SWIN2SR, (7, 5)),
    "vit": Small(VIT, (24, 40), drawn="vit-no_qkv_bias", repeats=True),
}
# How often each loop over equal blocks, or over groups that differ in nothing but parameters, runs.
LOOPS = [
    (RESTORMER._replace(num_blocks=(2, 3, 1, 4)), (8, 8), [2, 3, 4, 3, 2]),
    (SWINIR._replace(num_heads=(2, 2)), (8, 8), [2]),
    (InceptionConfig(), (75, 75), [2]),
    (ViTConfig(), (224, 224), [12]),
]
# Golden cases whose attention is computed in blocks if that many logits are allowed.
BLOCKS = {
    "adm_unet-uncond": 1000,  # of 2 × 8 × 96²
    "ddpm_unet-reduced": 100,  # of 2 × 64²
    "sd_vae-reduced": 100,  # of 2 × 12²
    "swinir-classical_x4_pad": 3000,  # of 2 × 12 windows × 3 heads × 16²
    "swin2sr-lightweight_x2": 3000,
    "vit-reduced": 500,  # of 2 × 3 × 17²
}
