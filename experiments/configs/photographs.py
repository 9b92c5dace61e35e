r"""Restorers of photographs, bicubic ×4: one RRDBNet at several adversarial weights, and one that is robust.

    jaxpr train photographs --out runs/photographs [--scale smoke|small|paper] [--only photos-l1 photos-gan-0.01 ...]

All members are one network, consistent by construction; all but the first go on from the first, whose only loss is the
mean absolute error. Their critic sees no y: what is consistent and looks like x has the right joint distribution. It is
Real-ESRGAN's U-Net, which in few steps taught more texture than ESRGAN's VGG-style critic. Far above 0.1 so few steps
give patterns instead of texture.

smoke: 6 steps, nothing worth keeping. small: minutes each on two CPU cores, on the packaged photographs, which are six
and of which three are no everyday scenes. paper: the networks and the data of ESRGAN; DIV2K is given as a folder.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024, Section 4.2. ESRGAN, Wang et al., ECCV Workshops 2018.
"""

from dataclasses import replace

from jaxpr.models.discriminators import UNetCriticConfig
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.training import (
    Adam,
    AdversarialLoss,
    Crops,
    NetworkSettings,
    RestorerLosses,
    RestorerRecipe,
    RobustnessLoss,
)

PAPER_DATA = "data/DIV2K_train_HR"
FIRST = "photos-l1"
ADVERSARIAL = (0.001, 0.003, 0.01, 0.03, 0.1)
ROBUST = 0.03, 0.01
"""Adversarial weight and λ_R of the robust member."""

SMALL = RestorerRecipe(
    name=FIRST,
    data=Crops(source="photos", size=64, symmetries=8, candidates=2, degradation="bicubic-x4"),
    network=NetworkSettings(sizes=RRDBNetConfig(num_feat=32, num_block=2, num_grow_ch=16)),
    losses=RestorerLosses(pixel=1.0),
    optimizer=Adam(steps=4000, batch=8, rate=1e-3, betas=(0.9, 0.99), milestones=(0.5, 0.75, 0.9), factor=0.5),
)
SMALL_ADAM = replace(SMALL.optimizer, steps=1000, rate=2e-4, critic_rate=5e-4, betas=(0.5, 0.99))
PAPER = replace(
    SMALL,
    data=replace(SMALL.data, source=PAPER_DATA, size=128),
    network=NetworkSettings(sizes=RRDBNetConfig()),
    optimizer=replace(SMALL.optimizer, steps=1_000_000, batch=16, rate=2e-4, milestones=(0.2, 0.4, 0.6, 0.8)),
)
PAPER_ADAM = replace(
    SMALL_ADAM, steps=400_000, batch=16, rate=1e-4, critic_rate=1e-4, milestones=(0.125, 0.25, 0.5, 0.75)
)


def recipes(scale: str) -> list[RestorerRecipe]:
    """The pixel loss alone, five adversarial weights, and a robust member."""
    pixel, adam, width, attacked = (PAPER, PAPER_ADAM, 64, None) if scale == "paper" else (SMALL, SMALL_ADAM, 16, 4)
    if scale == "smoke":
        pixel = replace(pixel, optimizer=replace(pixel.optimizer, steps=6, batch=2))
        adam = replace(adam, steps=6, batch=2)
    critic = UNetCriticConfig(channels=3, width=width)

    def gan(name: str, weight: float, robustness: RobustnessLoss | None = None) -> RestorerRecipe:
        adversarial = AdversarialLoss(weight=weight, critic=critic, penalty=0.1)
        losses = replace(pixel.losses, adversarial=adversarial, robustness=robustness)
        return replace(pixel, name=name, losses=losses, optimizer=adam, begin_with=FIRST)

    weight, share = ROBUST
    robustness = RobustnessLoss(weight=share, examples=attacked, psnr=48.13)
    family = [gan(f"photos-gan-{weight}", weight) for weight in ADVERSARIAL]
    return [pixel, *family, gan(f"photos-gan-{weight}-robust", weight, robustness)]
