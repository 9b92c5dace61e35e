r"""The restorer of faces beside GFPGAN: RRDB with the pixel loss alone, on GFPGAN's degradation.

    jaxpr train faces --out runs/faces [--scale smoke|small|paper]

[ohayon2024] attacks decisions behind GFPGAN and behind RRDB, which it trains with the mean absolute error in everything
else as GFPGAN v1 (Section 4.3 and Appendix F). y has the size of x, so RRDB has its form for ×1: pixels go to channels
by four, and two doublings bring them back.

smoke: 2 steps, nothing worth keeping. small: a narrow network on crops of the packaged photographs, minutes on two CPU
cores. paper: the 70,000 images of FFHQ as a folder, resized to 512×512 where they are larger, Adam with rate 2e-4,
β = (0.9, 0.99), batches of 16, a million steps, reflections. The rate is halved every 200,000 steps, as the paper on
ESRGAN says for RRDB; BasicSR's options have cosines instead. The images lie on the device: 55 GB.

Not as in the paper: images are in [0, 1] inside the network too, the average of weights is kept and not the checkpoint
of the highest PSNR, and JPEG in training is the differentiable surrogate. GFPGAN's changes of colour, which are not in
the degradation's equation, are left out.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024. GFPGAN, Wang et al., CVPR 2021. ESRGAN, Wang et al., ECCV Workshops 2018.
"""

from dataclasses import replace

from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.training import Adam, Crops, NetworkSettings, RestorerLosses, RestorerRecipe

PAPER_DATA = "data/ffhq512"

SMALL = RestorerRecipe(
    name="faces-l1",
    data=Crops(source="photos", size=64, symmetries=2, candidates=2, degradation="blindface"),
    network=NetworkSettings(
        sizes=RRDBNetConfig(num_feat=32, num_block=2, num_grow_ch=16, unshuffle=4), consistent=False
    ),
    losses=RestorerLosses(pixel=1.0),
    optimizer=Adam(steps=2000, batch=8, rate=1e-3, betas=(0.9, 0.99), milestones=(0.5, 0.75, 0.9), factor=0.5),
)
PAPER = replace(
    SMALL,
    data=Crops(source=PAPER_DATA, size=512, resize=(512, 512), symmetries=2, degradation="blindface"),
    network=replace(SMALL.network, sizes=RRDBNetConfig(unshuffle=4)),
    optimizer=replace(SMALL.optimizer, steps=1_000_000, batch=16, rate=2e-4, milestones=(0.2, 0.4, 0.6, 0.8)),
)


def recipes(scale: str) -> list[RestorerRecipe]:
    """The one restorer."""
    if scale == "smoke":
        return [replace(SMALL, optimizer=replace(SMALL.optimizer, steps=2, batch=2))]
    return [PAPER if scale == "paper" else SMALL]
