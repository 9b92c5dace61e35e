r"""The two packaged classifiers of 8×8 digits that attack and judge decisions behind a restorer.

    jaxpr train classifiers --out runs/classifiers [--scale smoke|small]

Both learn on digits("train"), 1,438 digits of scikit-learn; of digits("test"), 359 others, both know 99.44%. They
differ in architecture, seed, augmentation and label smoothing. `tools/pack_weights.py` packs them.

smoke: 20 steps, nothing worth keeping. small: half a minute each on two CPU cores. There are no others at scale paper.
"""

from jaxpr.training import AdamW, ClassifierRecipe, CrossEntropy, LabelledImages


def recipes(scale: str) -> list[ClassifierRecipe]:
    """The attacker and the judge."""
    steps = 20 if scale == "smoke" else 2000
    return [
        ClassifierRecipe(
            name="digits-attacker",
            data=LabelledImages(source="digits", shift=1, noise_std=0.05),
            network="attacker",
            optimizer=AdamW(steps=steps, batch=128, rate=2e-3),
            seed=1,
        ),
        ClassifierRecipe(
            name="digits-judge",
            data=LabelledImages(source="digits", shift=1, noise_std=0.1),
            network="judge",
            losses=CrossEntropy(smoothing=0.05),
            optimizer=AdamW(steps=steps, batch=128, rate=3e-3),
            seed=2,
        ),
    ]
