r"""Autoencoders with a normal posterior: latent spaces for transport.

    jaxpr train autoencoders --out runs/autoencoders [--scale smoke|small|paper]

`photos-kl4` learns crops of the six packaged training photographs, mirrored at random, with 4 latent channels at a
quarter of the height and width, `photos-kl8` the same at an eighth with 8. smoke: 20 steps, nothing worth keeping. At
scale paper LPIPS is that of VGG16 and the network is wider.
"""

from jaxpr.models.autoencoder_kl import AutoencoderKLConfig
from jaxpr.models.discriminators import PatchCriticConfig
from jaxpr.training import Adam, AutoencoderLosses, AutoencoderRecipe, DenoiserCrops, PatchLoss

_STEPS = {"smoke": 20, "small": 4_000, "paper": 200_000}
_BATCH = {"smoke": 2, "small": 6, "paper": 32}
_CRITIC = {"smoke": 8, "small": 24, "paper": 64}
_CRITIC_FROM = 0.5  # of the steps
_WIDTHS = {"small": (24, 48, 64), "paper": (40, 80, 80)}


def recipes(scale: str) -> list[AutoencoderRecipe]:
    """Photographs, at two strides."""
    steps, whole = _STEPS[scale], scale == "paper"
    widths, layers = _WIDTHS["paper" if whole else "small"], 2 if whole else 1
    critic = PatchCriticConfig(channels=3, width=_CRITIC[scale], halvings=2)
    losses = AutoencoderLosses(
        perceptual=1.0,
        perceptual_network="vgg16" if whole else "alexnet",
        kl=1e-5,
        adversarial=PatchLoss(weight=0.5, critic=critic, critic_from=round(_CRITIC_FROM * steps)),
    )
    rate = 2e-4 if whole else 1e-3
    optimizer = Adam(
        steps=steps,
        batch=_BATCH[scale],
        rate=rate,
        critic_rate=2e-4,
        milestones=(1 / 2, 3 / 4, 7 / 8),
        factor=0.5,
        average=0.9998 if whole else 0.998,
    )
    return [
        AutoencoderRecipe(
            name=name,
            data=DenoiserCrops(source="photos", size=64, symmetries=2),
            network=AutoencoderKLConfig(
                block_out_channels=sizes, layers_per_block=layers, latent_channels=channels, norm_num_groups=8
            ),
            losses=losses,
            optimizer=optimizer,
        )
        for name, sizes, channels in (
            ("photos-kl4", widths, 4),
            ("photos-kl8", (*widths, widths[-1]), 8),
        )
    ]
