r"""Restorers of the packaged 8×8 digits: six degradations, deterministic and stochastic, erratic and robust.

    jaxpr train digits --out runs/digits [--scale smoke|small|paper] [--only digits-inpainting-stochastic-robust-0 ...]

The experiment of [ohayon2023], Section 6.1, in small: GANs that are consistent by construction, with and without the
robustness loss, on digits instead of faces. Stochastic and deterministic ones are one network, whose noise is zero in
the latter. "l1" is the deterministic network with the pixel loss alone. The number that ends a name is its seed.

average-x8 leaves one number of 64 pixels: what a restorer must do with an input that says next to nothing. The noisy
average-x4 are for attacks on decisions, with a GAN and an ℓ1 restorer only: averages and noise as in the degradation of
[ohayon2024], Section 4.3. Noise should not stay in a restoration, so outputs are not projected, and the critic sees A†y
beside the image instead.

smoke: 30 steps, nothing worth keeping. small: 15 to 114 s each on one CPU core. paper: networks, batch-free numbers and
steps of E.2 for 64×64 images, of a folder or TFDS, see `PAPER_DATA`, resized to 102×102 of which the centre is taken.

What differs from the paper at scale small: the critic is VGG-style and faster than the restorer, because the ResNet
critic, here and with the paper's rates, needs many times the steps; γ is smaller, as R₁ compares a slope with distances
between images, which have few pixels here; noise enters four times as large, without which so few steps do not teach
networks to use it; fewer seeds and measurements are attacked. λ_R weighs the sum over pixels: 500 per mean over 8×8
pixels would be 7.8, with which networks return means.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023. [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in
Deterministic Image Restoration", ICML 2024.
"""

import itertools
from dataclasses import replace

from jaxpr.models.discriminators import VggCriticConfig
from jaxpr.models.resnet_critic import table4
from jaxpr.models.unet import UNetConfig
from jaxpr.training import (
    Adam,
    AdversarialLoss,
    Crops,
    NetworkSettings,
    RestorerLosses,
    RestorerRecipe,
    RobustnessLoss,
)

PAPER_DATA = "tfds:celeb_a:train"
TASKS = {"inpainting": "inpaint-top-0.75", **{f"average-x{n}": f"average-x{n}" for n in (2, 4, 8)}}
NOISY_TASKS = {f"average-x4-noise-{std}": f"average-x4+noise-{std}" for std in ("0.1", "0.25")}
PAPER_TASKS = {"inpainting": "inpaint-top-0.75"} | {f"average-x{n}": f"average-x{n}" for n in (4, 8, 16)}
KINDS = {"deterministic": False, "stochastic": True}
PSNR = {"inpaint-top-0.75": 32.9}  # of attacked measurements; 34 dB for super-resolution

ADVERSARY = AdversarialLoss(weight=1.0, critic=VggCriticConfig(size=8, channels=1, width=32), penalty=0.01)
SMALL = RestorerRecipe(
    name="unnamed",
    data=Crops(source="digits", size=8, degradation="average-x2"),
    network=NetworkSettings(sizes=UNetConfig(channels=1, width=12, scales=2, noise_scale=4.0)),
    losses=RestorerLosses(adversarial=ADVERSARY),
    optimizer=Adam(steps=5000, batch=24, rate=5e-4, critic_rate=2e-3, milestones=(0.5, 0.7, 0.85, 0.95), factor=0.5),
)
PAPER = RestorerRecipe(
    name="unnamed",
    data=Crops(source=PAPER_DATA, resize=(102, 102), centre=64, size=64, degradation="average-x4"),
    network=NetworkSettings(sizes=UNetConfig(channels=3, width=24, scales=4)),
    losses=RestorerLosses(
        adversarial=AdversarialLoss(weight=1.0, critic=table4(size=64, channels=3, width=16)),
    ),
    optimizer=Adam(steps=1_200_000, batch=64),
)
ROBUSTNESS = {
    "smoke": RobustnessLoss(weight=0.4, draws=2, examples=4),
    "small": RobustnessLoss(weight=0.4, draws=2, examples=8),
    "paper": RobustnessLoss(weight=500 / (64 * 64 * 3)),
}
SEEDS = {"smoke": 1, "small": 3, "paper": 1}


def recipes(scale: str) -> list[RestorerRecipe]:
    """Five recipes for each degradation and seed; two, erratic GAN and pixel loss, where there is noise."""
    base, tasks, noisy = (PAPER, PAPER_TASKS, {}) if scale == "paper" else (SMALL, TASKS, NOISY_TASKS)
    if scale == "smoke":
        base = replace(base, optimizer=replace(base.optimizer, steps=30, batch=8))
    found = []
    for seed, (task, degradation) in itertools.product(range(SEEDS[scale]), tasks.items()):
        first = replace(base, data=replace(base.data, degradation=degradation), seed=seed)
        robust = replace(ROBUSTNESS[scale], psnr=PSNR.get(degradation, 34.0))
        for (kind, stochastic), (manner, robustness) in itertools.product(
            KINDS.items(), {"erratic": None, "robust": robust}.items()
        ):
            found.append(
                replace(
                    first,
                    name=f"digits-{task}-{kind}-{manner}-{seed}",
                    network=replace(first.network, stochastic=stochastic),
                    losses=replace(first.losses, robustness=robustness),
                )
            )
        found.append(pixel_twin(first, task))
    for seed, (task, degradation) in itertools.product(range(SEEDS[scale]), noisy.items()):
        critic = VggCriticConfig(size=8, channels=2, width=32)
        first = replace(
            base,
            name=f"digits-{task}-deterministic-erratic-{seed}",
            data=replace(base.data, degradation=degradation),
            network=replace(base.network, consistent=False),
            losses=replace(base.losses, adversarial=replace(ADVERSARY, conditional=True, critic=critic)),
            seed=seed,
        )
        found += [first, pixel_twin(first, task)]
    return found


def pixel_twin(first: RestorerRecipe, task: str) -> RestorerRecipe:
    """The same network with the pixel loss alone."""
    return replace(
        first,
        name=f"digits-{task}-deterministic-l1-{first.seed}",
        losses=RestorerLosses(pixel=1.0),
        optimizer=replace(first.optimizer, steps=first.optimizer.steps // 2),
    )
