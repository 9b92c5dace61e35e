"""From the stored batches of attacks on decisions to their results."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxpr.core import AnyArray
from jaxpr.evaluation.arrays import ClassArrays, DecisionArrays, read_arrays
from jaxpr.evaluation.decisions import AttackedDecisions, DecisionAttack
from jaxpr.evaluation.pictures import unpacked_picture
from jaxpr.evaluation.state import BatchStore
from jaxpr.evaluation.stream import Run
from jaxpr.numerics.statistics import Estimate, grouped_mean
from jaxpr.records.decisions import (
    DecisionResults,
    DecisionSample,
    Judgement,
    RestorerDecisions,
    ScoreColumn,
    ScoresSeen,
)
from jaxpr.records.results import Metric
from jaxpr.restorers import Restorer

__all__ = ["decision_metrics", "decision_results"]


class _Seen(NamedTuple):
    """What is the same for all restorers."""

    groups: np.ndarray
    labels: np.ndarray | None
    classes: Sequence[str]
    natural: Mapping[str, np.ndarray]

    def shares(self, predicted: np.ndarray) -> np.ndarray:
        return np.bincount(predicted, minlength=len(self.classes)) / len(predicted)

    def accuracy(self, predicted: np.ndarray) -> Estimate | None:
        return None if self.labels is None else grouped_mean(predicted == self.labels, self.groups)

    def scores(self, values: np.ndarray) -> ScoreColumn:
        deviation = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        return ScoreColumn(values, grouped_mean(values, self.groups), deviation, float(values.max()))


class _Columns(NamedTuple):
    """One attack behind one restorer, (N,) each, and pictures by number of the example."""

    values: dict[str, np.ndarray]
    pictures: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]


def decision_results(
    run: Run,
    decisions: AttackedDecisions,
    record: Mapping[str, Any],
    provenance: dict[str, Any],
    *,
    classes: Sequence[str],
    reference: BatchStore,
    stores: Mapping[str, BatchStore],
    restorers: Mapping[str, Restorer],
) -> tuple[DecisionResults, ...]:
    """What each attack found.

    Args:
        run: examples and settings.
        decisions: classifiers and attacks.
        record: what a record says about data and degradation.
        provenance: what does not decide the numbers.
        classes: names of the classes.
        reference: stored classes of the natural images.
        stores: stored attacks behind each restorer.
        restorers: what they say of themselves is recorded beside their numbers.
    """
    clean = list(read_arrays(ClassArrays, reference, len(run.examples)))
    natural = {network: np.array([getattr(at, network) for at in clean]) for network in ("judge", "attacker")}
    seen = _Seen(run.examples.groups, run.examples.labels, classes, natural)
    source = {name: (seen.shares(predicted), seen.accuracy(predicted)) for name, predicted in natural.items()}
    scores = None if decisions.score is None else seen.scores(np.array([at.score for at in clean], float))
    results = []
    found = {name: _columns(run, store, len(decisions.attacks)) for name, store in stores.items()}
    for number, attack in enumerate(decisions.attacks):
        columns = {name: attacks[number] for name, attacks in found.items()}
        results.append(
            DecisionResults(
                protocol={**record, **decisions.record(attack, classes)},
                provenance=provenance,
                source=source,
                restorers=tuple(_summary(n, restorers[n], c.values, attack, seen) for n, c in columns.items()),
                samples=_samples(run, clean, columns, seen),
                source_scores=scores,
            )
        )
    return tuple(results)


def decision_metrics(found: RestorerDecisions) -> dict[str, Metric]:
    """The numbers of one restorer as metrics of an evaluation, as `records/metric_table.py` knows them."""
    judge, note = found.judge, ""
    if found.blind:
        note = f"the gradient is zero or not finite for {100 * found.blind:.3g} % of examples; no attack can follow it"
    metrics = {"decisions_changed": Metric(*judge.changed, note)}
    if judge.target_success is not None:
        metrics["decisions_reached"] = Metric(*judge.target_success, note)
    if judge.accuracy_before is not None and judge.accuracy_after is not None:
        metrics["decisions_right"] = Metric(*judge.accuracy_before)
        metrics["decisions_right_attacked"] = Metric(*judge.accuracy_after, note)
    infinite = "infinite for some examples: their measurements stay as they were"
    psnr = found.input_psnr
    return metrics | {"decisions_input_psnr": Metric(*psnr, "" if np.isfinite(psnr.value) else infinite)}


def _columns(run: Run, store: BatchStore, attacks: int) -> list[_Columns]:
    """What is stored of a restorer, for each attack."""
    rows: dict[str, list[AnyArray]] = {}
    pictures: list[dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]]] = [{} for _ in range(attacks)]
    for example, at in enumerate(read_arrays(DecisionArrays, store, len(run.examples))):
        for name, value in at._asdict().items():
            if name not in ("pictures", "seconds") and value is not None:
                rows.setdefault(name, []).append(value)
        if example in run.strips:
            kept = {name: unpacked_picture(picture) for name, picture in at.pictures.items()}
            for number, of_attack in enumerate(pictures):
                of_attack[example] = kept["y_adv"][number], kept["restored"], kept["restored_adv"][number]
    values = {name: np.array(column) for name, column in rows.items()}
    return [
        _Columns({name: column if column.ndim == 1 else column[:, i] for name, column in values.items()}, pictures[i])
        for i in range(attacks)
    ]


def _summary(
    name: str, restorer: Restorer, values: Mapping[str, np.ndarray], attack: DecisionAttack, seen: _Seen
) -> RestorerDecisions:
    def judgement(network: str) -> Judgement:
        before, after = values[f"{network}_before"], values[f"{network}_after"]
        elsewhere = np.zeros(len(before), bool) if attack.target is None else before != attack.target
        reached = None
        if elsewhere.any():
            reached = grouped_mean(after[elsewhere] == attack.target, seen.groups[elsewhere])
        return Judgement(
            before=before,
            after=after,
            shares_before=seen.shares(before),
            shares_after=seen.shares(after),
            changed=grouped_mean(before != after, seen.groups),
            target_success=reached,
            accuracy_before=seen.accuracy(before),
            accuracy_after=seen.accuracy(after),
            kept=grouped_mean(before == seen.natural[network], seen.groups),
        )

    scores = None
    if "score_before" in values:
        first, last = values["score_before"].astype(float), values["score_after"].astype(float)
        scores = ScoresSeen(seen.scores(first), seen.scores(last), grouped_mean(last - first, seen.groups))
    psnr, blind = grouped_mean(values["psnr"], seen.groups), float(values["blind"].mean())
    judges = judgement("judge"), judgement("attacker")
    return RestorerDecisions(name, *judges, psnr, blind, restorer.described_as, scores)


def _samples(
    run: Run, clean: Sequence[ClassArrays], columns: Mapping[str, _Columns], seen: _Seen
) -> tuple[DecisionSample, ...]:
    """The examples whose pictures are kept: spread evenly, not picked by what they show."""

    def decided(values: Mapping[str, np.ndarray], example: int) -> tuple[str, str]:
        before, after = (seen.classes[int(values[f"judge_{when}"][example])] for when in ("before", "after"))
        return before, after

    return tuple(
        DecisionSample(
            name=run.examples.name(example),
            x=unpacked_picture(clean[example].pictures["x"]),
            y=unpacked_picture(clean[example].pictures["y"]),
            label=None if seen.labels is None else seen.classes[int(seen.labels[example])],
            outputs={name: found.pictures[example] for name, found in columns.items()},
            decisions={name: decided(found.values, example) for name, found in columns.items()},
        )
        for example in run.strips
    )
