"""Numbers of the restorers of digits, as Table 1 of [ohayon2023] has them.

Sets are compared by pixels if images are 8×8 (64 numbers, joint ones with those of y), otherwise by AlexNet features.
Real images are those of training, restored ones those of the test split, as in E.2.5 of [ohayon2023].

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr import metrics
from jaxpr.core import Array
from jaxpr.numerics.errors import peak_ratio
from jaxpr.reproduce.digits import DigitProgram, DigitTask, Probed
from jaxpr.weights import digit_classifier

NEIGHBOURS = 3  # of precision and recall, as in the paper


class Scores(NamedTuple):
    """Numbers of one restorer; intensities are in [0, 1]."""

    psnr: float
    rmse: float
    inconsistency: float
    fd: float
    joint_fd: float
    fd_judge: float
    precision: float
    recall: float
    spread: float
    sensitivity: float
    output_psnr: float
    input_psnr: float


ROWS = {
    "psnr": "PSNR, dB",
    "rmse": "RMSE",
    "inconsistency": "A x̂ - y, largest RMSE",
    "fd": "FD, pixels",
    "joint_fd": "joint FD, pixels",
    "fd_judge": "FD, classifier's logits",
    "precision": "precision",
    "recall": "recall",
    "spread": "per-pixel std",
    "sensitivity": "√R̃, eq. (7)",
    "output_psnr": "attacked output PSNR, dB, eq. (9)",
    "input_psnr": "attacked input PSNR, dB",
}
"""Fields of `Scores` as tables show them."""


def score(task: DigitTask, restored: Array, probed: Probed) -> Scores:
    """Numbers of a restorer by what it answered."""
    return _scores(
        task,
        restored,
        psnr=float(jnp.mean(peak_ratio(restored, task.x, data_range=1.0))),  # of any values, far outside [0, 1] too
        rmse=float(jnp.sqrt(jnp.mean(metrics.mse(restored, task.x)))),
        inconsistency=float(jnp.max(metrics.measurement_rmse(task.operator, restored, task.y))),
        spread=float(jnp.mean(probed.spread)),
        sensitivity=math.sqrt(float(jnp.mean(probed.shift))),
        output_psnr=float(jnp.mean(probed.output_psnr)),
        input_psnr=float(jnp.mean(probed.input_psnr)),
    )


def all_scores(
    program: DigitProgram, params: Sequence[Any], seeds: Sequence[int], probes: int
) -> dict[str, np.ndarray]:
    """Fields of `Scores` with one entry per seed; noise and attacks of a seed begin alike for all restorers."""
    found = []
    for seed, tree in zip(seeds, params, strict=True):
        k_restore, k_probe = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))
        found.append(score(program.task, program.restore(k_restore, tree), program.probe(k_probe, tree, probes)))
    return {name: np.array([getattr(scores, name) for scores in found]) for name in Scores._fields}


def natural_scores(task: DigitTask) -> Scores:
    """Of the natural test images themselves, what no restorer can be expected to exceed in quality."""
    names = ("psnr", "rmse", "inconsistency", "spread", "sensitivity", "output_psnr", "input_psnr")
    return _scores(task, task.x, **dict.fromkeys(names, math.nan))


def _scores(task: DigitTask, restored: Array, **others: float) -> Scores:
    real, fake = task.features(task.real), task.features(restored)
    joint = task.joint(task.real, task.operator(task.real)), task.joint(restored, task.y)
    manifold = metrics.precision_recall(real, fake, k=NEIGHBOURS)
    logits = [digit_classifier("judge")(images) for images in (task.real, restored)] if task.on_digits else None
    return Scores(
        fd=float(metrics.frechet_distance_from_features(real, fake)),
        joint_fd=float(metrics.frechet_distance_from_features(*joint)),
        fd_judge=float(metrics.frechet_distance_from_features(*logits)) if logits else math.nan,
        precision=float(manifold.precision),
        recall=float(manifold.recall),
        **others,
    )
