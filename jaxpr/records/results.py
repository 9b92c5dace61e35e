"""From values to the record: means with standard errors, jackknife, JSON and CSV."""

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

from jaxpr.core import utf8
from jaxpr.numerics.statistics import (
    grouped_mean,
    jackknife_error,
    means_without_each,
    merged_labels,
    without_each,
)

__all__ = [
    "SCHEMA_VERSION",
    "Described",
    "Difference",
    "Metric",
    "RestorerResult",
    "Results",
    "from_record",
    "leave_one_out",
    "mean_metric",
    "mean_metrics",
    "metric_cell",
    "record_csv",
    "record_json",
    "to_csv",
    "to_json",
    "to_record",
]

T = TypeVar("T")

_MOST_LEFT_OUT = 100  # blocks of photographs, of means
SCHEMA_VERSION = 1
"""Of `results.json`, as `results.schema.json` beside this file describes it; it grows when a reader must change."""


class Metric(NamedTuple):
    """One number of one restorer.

    Attributes:
        value: the number; inf or NaN where it is infinite or undefined.
        stderr: its standard error; NaN where it cannot be estimated.
        note: why the value is not finite, or what to know about it (how small samples bias it, for example), or "".
        left_out: the value without each photograph, or block of photographs, in turn, from which errors of differences
            between restorers follow; empty where it is not known.
    """

    value: float
    stderr: float
    note: str = ""
    left_out: tuple[float, ...] = ()


class Difference(NamedTuple):
    """Of a metric of two restorers on the same photographs.

    Attributes:
        value: the restorer's less the baseline's.
        stderr: its standard error.
        low: lower end of the 95 % interval.
        high: upper end.
        p: of no difference, two-sided.
        p_holm: the same, corrected for the number of restorers that are compared by this metric.
        needed: photographs that would show such a difference with a probability of 80 %; None where there is none.
    """

    value: float
    stderr: float
    low: float
    high: float
    p: float
    p_holm: float = math.nan
    needed: int | None = None


class Described(NamedTuple):
    """What a restorer says of itself, by which figures choose colours, lines and markers.

    Attributes:
        label: what it calls itself, such as the word that made it; "" for nothing.
        family: what it is drawn with, in one colour; None for nothing but itself.
        setting: what varies along a family's line, finite; None where nothing does.
        variant: what else distinguishes it from the usual member of its family and setting, which is drawn hollow; None
            for the usual one.
    """

    label: str = ""
    family: str | None = None
    setting: float | None = None
    variant: str | None = None


class RestorerResult(NamedTuple):
    """All numbers of one restorer.

    Attributes:
        name: of the restorer.
        metrics: by metric name.
        curves: curve name to columns of equal length; an empty dict if none was measured.
        labels: verdicts in words, such as the region of the uncertainty-perception plane.
        weights: which file the restorer's weights are from, its hash, and how it is used; None where nothing is known.
        described_as: what the restorer says of itself.
        differences: by metric name, from the baseline of the results; empty for the baseline itself.
    """

    name: str
    metrics: dict[str, Metric]
    curves: dict[str, dict[str, list[float]]]
    labels: dict[str, str]
    weights: dict[str, Any] | None = None
    described_as: Described = Described()
    differences: dict[str, Difference] = {}  # noqa: RUF012 (never changed)


class Results(NamedTuple):
    """What an evaluation found.

    Attributes:
        protocol: everything that decides the numbers.
        provenance: versions, devices, times: what does not.
        restorers: in the order in which they were given.
        references: numbers that belong to the problem, not to a restorer, such as its inherent uncertainty.
        baseline: name of the restorer that the others' differences are from; None for none.
    """

    protocol: dict[str, Any]
    provenance: dict[str, Any]
    restorers: tuple[RestorerResult, ...]
    references: dict[str, Any]
    baseline: str | None = None


def mean_metrics(values: Mapping[str, np.ndarray], groups: np.ndarray) -> dict[str, Metric]:
    """Mean over examples of each metric, with standard errors over groups (photographs).

    Args:
        values: metric name to per-example values, (N,).
        groups: (N,), the photograph that each example comes from.
    """
    return {name: mean_metric(array, groups) for name, array in values.items()}


def mean_metric(values: np.ndarray, groups: np.ndarray) -> Metric:
    """The mean over examples of one metric; arguments as of `mean_metrics`."""
    estimate, count = grouped_mean(values, groups), len(values)
    if math.isinf(estimate.value):
        return Metric(*estimate, f"infinite for {int(np.isinf(values).sum())} of {count} examples")
    if math.isnan(estimate.value):
        return Metric(*estimate, f"undefined for {int(np.isnan(values).sum())} of {count} examples")
    return Metric(*estimate, left_out=means_without_each(values, merged_labels(groups, most=_MOST_LEFT_OUT)))


def leave_one_out(statistics: Callable[[Sequence[T]], dict[str, float]], blocks: Sequence[T]) -> dict[str, Metric]:
    """Several statistics of blocks of data, each with its delete-one-block jackknife standard error.

    Args:
        statistics: maps blocks to named numbers; computed together because they share work.
        blocks: for instance the moments of each photograph.
    """
    values = statistics(blocks)
    if len(blocks) < 2:
        return {name: Metric(value, math.nan) for name, value in values.items()}
    left_out = list(map(statistics, without_each(blocks)))
    each = {name: tuple(found[name] for found in left_out) for name in values}
    return {name: Metric(value, jackknife_error(each[name]), left_out=each[name]) for name, value in values.items()}


def to_record(results: Results) -> dict[str, Any]:
    """The dict of `results.json`; numbers that JSON cannot hold become null with a note."""
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": results.protocol,
        "provenance": results.provenance,
        "references": results.references,
        **({"baseline": results.baseline} if results.baseline is not None else {}),
        "restorers": [_restorer_record(restorer) for restorer in results.restorers],
    }


def from_record(record: Mapping[str, Any]) -> Results:
    """The results that a record holds; numbers that JSON could not hold come back as NaN, or as inf by their note."""
    restorers = tuple(
        RestorerResult(
            entry["name"],
            {name: _metric(cell) for name, cell in entry["metrics"].items()},
            {
                name: {c: [_number(v) for v in values] for c, values in curve.items()}
                for name, curve in entry["curves"].items()
            },
            dict(entry["labels"]),
            entry.get("weights"),
            Described(**{part: entry[part] for part in Described._fields if part in entry}),
            {name: _read_difference(found) for name, found in entry.get("differences", {}).items()},
        )
        for entry in record["restorers"]
    )
    return Results(record["protocol"], record["provenance"], restorers, record["references"], record.get("baseline"))


def _metric(cell: Mapping[str, Any]) -> Metric:
    note = cell.get("note", "")
    value = math.inf if cell["value"] is None and note.startswith("infinite") else _number(cell["value"])
    return Metric(value, _number(cell["stderr"]), note, tuple(map(_number, cell.get("left_out", ()))))


def _read_difference(found: Mapping[str, Any]) -> Difference:
    numbers = {part: _number(value) for part, value in found.items() if part != "needed"}
    return Difference(**numbers, needed=found["needed"])


def _curve(columns: Mapping[str, Sequence[float | None]]) -> dict[str, list[float]]:
    return {name: [_number(value) for value in values] for name, values in columns.items()}


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _restorer_record(restorer: RestorerResult) -> dict[str, Any]:
    record = {
        "name": restorer.name,
        **restorer.described_as._asdict(),
        "metrics": {name: metric_cell(metric) for name, metric in restorer.metrics.items()},
        "curves": {
            name: {column: [_finite(value) for value in values] for column, values in curve.items()}
            for name, curve in restorer.curves.items()
        },
        "labels": restorer.labels,
    }
    if restorer.differences:
        record["differences"] = {name: _difference(found) for name, found in restorer.differences.items()}
    return record if restorer.weights is None else {**record, "weights": restorer.weights}


def _difference(found: Difference) -> dict[str, Any]:
    return {part: _finite(value) if isinstance(value, float) else value for part, value in found._asdict().items()}


def metric_cell(metric: Metric) -> dict[str, Any]:
    """A metric as a record has it; numbers that JSON cannot hold are null."""
    cell: dict[str, Any] = {"value": _finite(metric.value), "stderr": _finite(metric.stderr)}
    if metric.note:
        cell["note"] = metric.note
    if metric.left_out:
        cell["left_out"] = [_finite(value) for value in metric.left_out]
    return cell


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def to_json(results: Results) -> bytes:
    """`results.json`: the same results give the same bytes."""
    return record_json(to_record(results))


def record_json(record: Mapping[str, Any]) -> bytes:
    """A record as the bytes of `results.json`."""
    return utf8(json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def record_csv(record: Mapping[str, Any]) -> bytes:
    """`results.csv`: one row per restorer, each metric followed by its standard error; empty where undefined."""
    restorers = record["restorers"]
    names = list(dict.fromkeys(name for restorer in restorers for name in restorer["metrics"]))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["restorer", *(column for name in names for column in (name, f"{name}_stderr"))])
    for restorer in restorers:
        cells = [restorer["metrics"].get(name, {"value": None, "stderr": None}) for name in names]
        writer.writerow([restorer["name"], *(cell[field] for cell in cells for field in ("value", "stderr"))])
    return utf8(text.getvalue())


def to_csv(results: Results) -> bytes:
    """`results.csv` of these results; see `record_csv`."""
    return record_csv(to_record(results))
