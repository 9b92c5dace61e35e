"""What attacks on decisions found, as plain values and as files."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxpr.core import claim_folder, utf8, write_atomically
from jaxpr.numerics.statistics import Estimate
from jaxpr.records.results import Described
from jaxpr.report.decisions import DecisionSample, decisions_table, figure_decisions
from jaxpr.report.style import png_bytes

__all__ = ["DecisionResults", "Judgement", "RestorerDecisions", "decisions_record", "write_decisions"]


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
    """

    before: np.ndarray
    after: np.ndarray
    shares_before: np.ndarray
    shares_after: np.ndarray
    changed: Estimate
    target_success: Estimate | None
    accuracy_before: Estimate | None
    accuracy_after: Estimate | None


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
    """

    name: str
    judge: Judgement
    attacker: Judgement
    input_psnr: Estimate
    blind: float
    described_as: Described = Described()


class DecisionResults(NamedTuple):
    """What `evaluate_decisions` found.

    Attributes:
        protocol: what decides the numbers, JSON-able.
        provenance: versions, devices and times, which do not.
        source: decisions on the clean images by "judge" and "attacker", shares (classes,) and accuracy.
        restorers: in the caller's order.
        samples: a few examples to look at, spread evenly over all.
    """

    protocol: dict[str, Any]
    provenance: dict[str, Any]
    source: dict[str, tuple[np.ndarray, Estimate | None]]
    restorers: tuple[RestorerDecisions, ...]
    samples: tuple[DecisionSample, ...]


def decisions_record(results: DecisionResults) -> dict[str, Any]:
    """The results as plain JSON-able values, as `decisions.json` holds them; undefined numbers are null."""
    source = {name: {"shares": found[0], "accuracy": found[1]} for name, found in results.source.items()}
    # What a restorer says of itself stands beside its numbers, as in the record of an evaluation.
    restorers = [found._asdict() | found.described_as._asdict() for found in results.restorers]
    for entry in restorers:
        del entry["described_as"]
    record = results._asdict() | {"source": source, "restorers": restorers}
    return {name: _plain(record[name]) for name in ("protocol", "provenance", "source", "restorers")}


def _plain(value: Any) -> Any:
    """Nested results as JSON-able values, without the decisions on single examples."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items() if name not in ("before", "after")}
    if isinstance(value, Mapping):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(part) for part in value]
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return value


def write_decisions(results: DecisionResults, out: Path) -> None:
    """Write `decisions.json`, the table `decisions.txt` and the figure `decisions.png`; earlier ones are replaced.

    Raises:
        InputError: `out` is a file.
        OSError: it cannot be written.
    """
    claim_folder("out", out)
    record = decisions_record(results)
    write_atomically(out / "decisions.json", utf8(json.dumps(record, indent=2, allow_nan=False) + "\n"))
    write_atomically(out / "decisions.txt", utf8(decisions_table(record) + "\n"))
    write_atomically(out / "decisions.png", png_bytes(figure_decisions(record, results.samples)))
