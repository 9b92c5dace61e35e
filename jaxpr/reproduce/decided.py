"""Attacked decisions behind several restorers at equal PSNR of their inputs, with errors over seeds and images.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import AnyArray, Array, InputError
from jaxpr.evaluation.decisions import Classifier
from jaxpr.records.decisions import RestorerDecisions
from jaxpr.report.experiments import Table
from jaxpr.training import WEIGHTS
from jaxpr.weights import PACKAGED_CLASSIFIERS, PACKAGED_RESTORERS

__all__ = [
    "OUTCOMES",
    "Crossed",
    "at_psnr",
    "common_psnr",
    "crossed",
    "expected_class",
    "missing_table",
    "outcome",
    "summed_classes",
    "weights_exist",
]

OUTCOMES = ("grown", "moved", "lost", "changed", "scored")
"""What is counted of an image, see `outcome`."""


class Crossed(NamedTuple):
    """A mean over seeds and images.

    Attributes:
        value: the mean.
        stderr: root of the sum of two squared errors: of the mean over images, and of the mean over seeds, each as if
            the other did not vary. Images alone where there is one seed.
        seeds: mean over images for each seed, (S,).
    """

    value: float
    stderr: float
    seeds: np.ndarray

    @property
    def cell(self) -> tuple[float, float]:
        """For a table, in percent."""
        return 100 * self.value, 100 * self.stderr

    @property
    def points(self) -> str:
        """In a sentence, in percentage points."""
        return f"{100 * self.value:.2f} ± {100 * self.stderr:.2f} points"

    @property
    def plain(self) -> str:
        """In a sentence, as it is."""
        return f"{self.value:.3f} ± {self.stderr:.3f}"

    @property
    def positive(self) -> bool:
        """Whether it is above zero by two errors, and at each of two seeds or more."""
        return len(self.seeds) > 1 and self.value > 2 * self.stderr and bool((self.seeds > 0).all())


def crossed(values: AnyArray) -> Crossed:
    """The mean of (S, N) values of S seeds on the same N images, with an error for both.

    Raises:
        InputError: no such array.
    """
    values = np.asarray(values, float)
    if values.ndim != 2 or 0 in values.shape:
        raise InputError(f"values: found shape {values.shape}, expected (seeds, images)")
    seeds, images = values.mean(axis=1), values.mean(axis=0)
    squares = [each.var(ddof=1) / len(each) for each in (seeds, images) if len(each) > 1]
    return Crossed(float(values.mean()), math.sqrt(sum(squares)) if squares else math.nan, seeds)


def outcome(found: RestorerDecisions, what: str, *, target: int, network: str = "judge") -> np.ndarray:
    """What an aimed attack did to each image, (N,).

    Args:
        found: decisions behind a restorer.
        what: "moved" (to the target, from elsewhere), "lost" (from the target to elsewhere), "grown" (moved minus lost:
            its mean is how much the target's share grows), "changed" (to any class), or "scored" (change of the number
            of a judge of one number).
        target: class that the attack aimed for.
        network: "judge" or "attacker".

    Raises:
        InputError: none of these, or no judge of one number.
    """
    judged = getattr(found, network)
    before, after = judged.before, judged.after
    moved, lost = (before != target) & (after == target), (before == target) & (after != target)
    if what == "scored":
        if found.scores is None:
            raise InputError("what: found 'scored' without a judge of one number, expected one")
        return np.asarray(found.scores.after.values - found.scores.before.values, float)
    counted = {"moved": moved, "lost": lost, "changed": before != after}
    if what == "grown":
        return moved.astype(float) - lost.astype(float)
    if what not in counted:
        raise InputError(f"what: found {what!r}, expected one of {', '.join(OUTCOMES)}")
    return counted[what].astype(float)


def common_psnr(levels: Mapping[str, AnyArray]) -> float:
    """The PSNR nearest to the strongest attacks that inputs of all restorers reach, decibels.

    Args:
        levels: for each restorer mean PSNR of its inputs for each attack, (A,).
    """
    return max(float(np.min(each)) for each in levels.values())


def at_psnr(levels: AnyArray | Sequence[float], values: AnyArray, psnr: float) -> np.ndarray:
    """Values of each image at a PSNR of the inputs, linear in decibels between the two attacks around it; (N,).

    Args:
        levels: mean PSNR of the inputs for each attack, (A,), in any order.
        values: for each attack and image, (A, N).
        psnr: decibels; beyond all attacks the values of the nearest.

    Raises:
        InputError: shapes that do not belong together, or levels that are not finite.
    """
    levels, values = np.asarray(levels, float), np.asarray(values, float)
    if values.ndim != 2 or levels.shape != values.shape[:1] or not np.isfinite(levels).all():
        raise InputError(f"levels: found shape {levels.shape} for values {values.shape}, expected finite (A,), (A, N)")
    order = np.argsort(levels)
    shares = np.array([np.interp(psnr, levels[order], row) for row in np.eye(len(levels))[:, order]])
    return shares @ values


def summed_classes(classifier: Classifier, parts: Sequence[Sequence[int]], x: Array) -> Array:
    """Logits of groups of classes, whose probabilities are the sums of their members'; (N, groups).

    Args:
        classifier: of the members.
        parts: which classes belong to each group.
        x: images (N, H, W, C).
    """
    logits = jax.nn.log_softmax(classifier(x))
    return jnp.stack([jax.nn.logsumexp(logits[:, jnp.array(part)], axis=1) for part in parts], axis=1)


def expected_class(classifier: Classifier, x: Array) -> Array:
    """The mean class number under a classifier's probabilities, (N,), as networks of ages say the mean age."""
    shares = jax.nn.softmax(classifier(x))
    return shares @ jnp.arange(shares.shape[1], dtype=shares.dtype)


def weights_exist(name: str, runs: Path | None) -> bool:
    """Whether weights of a restorer or classifier lie in a folder of runs, or, without one, come with jaxpr."""
    if runs is None:
        return name in PACKAGED_CLASSIFIERS or name in PACKAGED_RESTORERS
    return (runs / name / WEIGHTS).is_file()


def missing_table(config: str, missing: Sequence[str]) -> Table:
    """What must be trained or installed before anything can be attacked, with the commands.

    Args:
        config: of `jaxpr train`, with which names of weights begin.
        missing: names of weights, or what else is missing, in words.
    """
    rows = [
        (
            name,
            f"jaxpr train {config} --out runs/{config} --only {name}" if name.startswith(f"{config}-") else "see there",
        )
        for name in missing
    ]
    return Table("Missing, so that nothing was attacked and nothing is claimed", ["what", "how to get it"], rows)
