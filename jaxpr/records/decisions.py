"""What attacks on decisions found, as plain values and as the record `decisions.json`.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxpr.numerics.statistics import Estimate
from jaxpr.records.results import Described

__all__ = [
    "DecisionResults",
    "DecisionSample",
    "Judgement",
    "RestorerDecisions",
    "ScoreColumn",
    "ScoresSeen",
    "decisions_record",
]


class Judgement(NamedTuple):
    """What one classifier decides behind one restorer.

    Attributes:
        before: class that it predicts for each restoration of y, (N,).
        after: the same for the attacked y, (N,).
        shares_before: share of each class among `before`, (classes,).
        shares_after: share of each class among `after`.
        changed: share of examples whose class is another one after the attack.
        target_success: share that moves to the target among those that were elsewhere before; None without a target
            or where all were there already.
        accuracy_before: share of right classes; None where labels are unknown.
        accuracy_after: the same after the attack.
        kept: share of restorations of y that are seen as the class that the same classifier sees in the natural image.
    """

    before: np.ndarray
    after: np.ndarray
    shares_before: np.ndarray
    shares_after: np.ndarray
    changed: Estimate
    target_success: Estimate | None
    accuracy_before: Estimate | None
    accuracy_after: Estimate | None
    kept: Estimate | None = None


class ScoreColumn(NamedTuple):
    """Numbers of a judge that gives each image one, such as an age: a column of Table 1 of [ohayon2024].

    Attributes:
        values: one of each image, (N,).
        mean: over images.
        deviation: sample standard deviation over images; NaN for one.
        largest: over images.
    """

    values: np.ndarray
    mean: Estimate
    deviation: float
    largest: float


class ScoresSeen(NamedTuple):
    """Such numbers behind one restorer.

    Attributes:
        before: of the restorations of y.
        after: of those of the attacked y.
        shift: mean of after minus before, paired by image.
    """

    before: ScoreColumn
    after: ScoreColumn
    shift: Estimate


class RestorerDecisions(NamedTuple):
    """Decisions behind one restorer.

    Attributes:
        name: of the restorer.
        judge: decisions of the classifier that the attack did not see.
        attacker: those of the classifier that it went through.
        input_psnr: PSNR between y and y_adv, decibels.
        blind: share of examples at which the attack's gradient is zero or not finite: there it cannot do anything,
            and an unchanged decision says nothing about robustness.
        described_as: what the restorer says of itself.
        scores: of a judge of one number; None where there is none.
    """

    name: str
    judge: Judgement
    attacker: Judgement
    input_psnr: Estimate
    blind: float
    described_as: Described = Described()
    scores: ScoresSeen | None = None


class DecisionSample(NamedTuple):
    """One example to be looked at.

    Attributes:
        name: the example's name.
        x: the clean image, (H, W, C), floats in [0, 1].
        y: the measurement, (h, w, c).
        label: name of its true class, or None.
        outputs: for each restorer's name the attacked measurement and the restorations of y and of it.
        decisions: for each restorer's name the names of the judge's classes for these two restorations.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    label: str | None
    outputs: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    decisions: Mapping[str, tuple[str, str]]


class DecisionResults(NamedTuple):
    """What one attack on decisions found.

    Attributes:
        protocol: what decides the numbers, JSON-able.
        provenance: versions, devices and times, which do not.
        source: decisions on the clean images by "judge" and "attacker", shares (classes,) and accuracy.
        restorers: in the caller's order.
        samples: a few examples to look at, spread evenly over all.
        source_scores: of a judge of one number, on the clean images; None where there is none.
    """

    protocol: dict[str, Any]
    provenance: dict[str, Any]
    source: dict[str, tuple[np.ndarray, Estimate | None]]
    restorers: tuple[RestorerDecisions, ...]
    samples: tuple[DecisionSample, ...]
    source_scores: ScoreColumn | None = None


def decisions_record(results: DecisionResults) -> dict[str, Any]:
    """The results as plain JSON-able values, as `decisions.json` holds them; undefined numbers are null."""
    source: dict[str, Any] = {n: {"shares": found[0], "accuracy": found[1]} for n, found in results.source.items()}
    if results.source_scores is not None:
        source["scores"] = results.source_scores
    # What a restorer says of itself stands beside its numbers, as in the record of an evaluation.
    restorers = [found._asdict() | found.described_as._asdict() for found in results.restorers]
    for entry in restorers:
        del entry["described_as"]
    record = results._asdict() | {"source": source, "restorers": restorers}
    return {name: _plain(record[name]) for name in ("protocol", "provenance", "source", "restorers")}


def _plain(value: Any) -> Any:
    """Nested results as JSON-able values, without the decisions on single examples."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        single = ("before", "after") if isinstance(value, Judgement) else ("values",)
        return {name: _plain(part) for name, part in value._asdict().items() if name not in single}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value
