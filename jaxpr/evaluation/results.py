"""From per-example values to the record: means with standard errors, Fréchet distances, JSON and CSV."""

import csv
import functools
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxpr.metrics import Moments, frechet_distance, joint_features
from jaxpr.numerics.statistics import grouped_mean, jackknife

__all__ = [
    "Metric",
    "RestorerResult",
    "Results",
    "frechet_metric",
    "mean_metrics",
    "moments_by_block",
    "to_csv",
    "to_json",
    "to_record",
]

# Delete-one jackknife groups for the Fréchet distances: each costs an eigenproblem.
_MOST_GROUPS = 10


class Metric(NamedTuple):
    """One number of one restorer.

    Attributes:
        value: the number; inf or NaN where it is infinite or undefined.
        stderr: its standard error; NaN where it cannot be estimated.
        note: why the value is not finite, or "".
    """

    value: float
    stderr: float
    note: str = ""


class RestorerResult(NamedTuple):
    """All numbers of one restorer, by metric name."""

    name: str
    metrics: dict[str, Metric]


class Results(NamedTuple):
    """What an evaluation found.

    Attributes:
        protocol: everything that decides the numbers.
        provenance: versions, devices, times: what does not.
        restorers: in the order in which they were given.
    """

    protocol: dict[str, Any]
    provenance: dict[str, Any]
    restorers: tuple[RestorerResult, ...]


def mean_metrics(values: Mapping[str, np.ndarray], groups: np.ndarray) -> dict[str, Metric]:
    """Mean over examples of each metric, with standard errors over groups (photographs).

    Args:
        values: metric name to per-example values, (N,).
        groups: (N,), the photograph that each example comes from.
    """
    return {name: _mean_metric(array, groups) for name, array in values.items()}


def _mean_metric(values: np.ndarray, groups: np.ndarray) -> Metric:
    estimate, count = grouped_mean(values, groups), len(values)
    if math.isinf(estimate.value):
        return Metric(*estimate, f"infinite for {int(np.isinf(values).sum())} of {count} examples")
    if math.isnan(estimate.value):
        return Metric(*estimate, f"undefined for {int(np.isnan(values).sum())} of {count} examples")
    return Metric(*estimate)


def moments_by_block(
    x_features: Iterable[np.ndarray], y_features: Iterable[np.ndarray], groups: np.ndarray
) -> list[Moments]:
    """Moments of joint features, for each block of photographs, from features that stream example by example.

    Args:
        x_features: for each example the features (P, d_x) of its patches of x, or of x̂.
        y_features: for each example the features (P, d_y) of its patches of y.
        groups: (N,), the photograph that each example comes from.

    Returns:
        One `Moments` of dimension d_x + d_y per photograph, or per block of neighbouring ones where there are many.
    """
    blocks: dict[int, Moments] = {}
    for label, x, y in zip(_merged_groups(groups), x_features, y_features, strict=True):
        joint = np.asarray(joint_features(x, y))
        blocks[label] = blocks.get(label, Moments.zero(joint.shape[1])).update(joint)
    return list(blocks.values())


def frechet_metric(real: Sequence[Moments], fake: Sequence[Moments], *, width: int | None = None) -> Metric:
    """Fréchet distance of restorations from natural images, with its jackknife standard error over blocks.

    Args:
        real: from `moments_by_block` of x and y.
        fake: from `moments_by_block` of x̂ and y, same blocks.
        width: compare only so many leading features: the width of x's features leaves y out.
    """

    def distance(pairs: Sequence[tuple[Moments, Moments]]) -> float:
        merged = [functools.reduce(Moments.merge, side) for side in zip(*pairs, strict=True)]
        return float(frechet_distance(*(_leading(moments, width) for moments in merged)))

    pairs, counts = list(zip(real, fake, strict=True)), [float(moments.count) for moments in real]
    if sum(counts) < 2:
        return Metric(math.nan, math.nan, "undefined for fewer than two patches")
    if sum(counts) - max(counts) < 2:
        return Metric(distance(pairs), math.nan)
    return Metric(*jackknife(distance, pairs))


def _leading(moments: Moments, width: int | None) -> Moments:
    """Moments of the first `width` coordinates."""
    return Moments(moments.count, moments.mean[:width], moments.scatter[:width, :width])


def _merged_groups(groups: np.ndarray) -> np.ndarray:
    """At most `_MOST_GROUPS` labels: neighbouring photographs share one if there are more."""
    _, index = np.unique(groups, return_inverse=True)
    count = int(index.max()) + 1
    return index if count <= _MOST_GROUPS else index * _MOST_GROUPS // count


def to_record(results: Results) -> dict[str, Any]:
    """The dict of `results.json`; numbers that JSON cannot hold become null with a note."""
    return {
        "protocol": results.protocol,
        "provenance": results.provenance,
        "restorers": [
            {"name": restorer.name, "metrics": {name: _cell(metric) for name, metric in restorer.metrics.items()}}
            for restorer in results.restorers
        ],
    }


def _cell(metric: Metric) -> dict[str, Any]:
    cell: dict[str, Any] = {"value": _finite(metric.value), "stderr": _finite(metric.stderr)}
    return {**cell, "note": metric.note} if metric.note else cell


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def to_json(results: Results) -> bytes:
    """`results.json`: the same results give the same bytes."""
    return (json.dumps(to_record(results), indent=2, allow_nan=False, ensure_ascii=False) + "\n").encode()


def to_csv(results: Results) -> bytes:
    """`results.csv`: one row per restorer, each metric followed by its standard error; empty where undefined."""
    names = list(dict.fromkeys(name for restorer in results.restorers for name in restorer.metrics))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["restorer", *(column for name in names for column in (name, f"{name}_stderr"))])
    for restorer in results.restorers:
        row: list[Any] = [restorer.name]
        for name in names:
            cell = _cell(restorer.metrics.get(name, Metric(math.nan, math.nan)))
            row += [cell["value"], cell["stderr"]]
        writer.writerow(row)
    return text.getvalue().encode()
