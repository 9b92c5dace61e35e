"""From per-example values to the record: means with standard errors, Fréchet distances, JSON and CSV."""

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxpr.metrics import Moments, frechet_distance, joint_features
from jaxpr.numerics.statistics import Estimate, grouped_mean, jackknife

__all__ = ["Metric", "Results", "RestorerResult", "frechet_estimates", "mean_metrics", "to_csv", "to_json", "to_record"]

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


def frechet_estimates(
    real_x: Iterable[np.ndarray], real_y: Iterable[np.ndarray], fake_x: Iterable[np.ndarray], groups: np.ndarray
) -> tuple[Metric, Metric]:
    """Fréchet distance of the features of x̂ against x and of (x̂, y) against (x, y), with jackknife standard errors.

    Features stream example by example in order, so the numbers do not depend on how examples were batched.

    Args:
        real_x: for each example the features (P, d) of the patches of x.
        real_y: likewise of y.
        fake_x: likewise of x̂.
        groups: (N,), the photograph that each example comes from; consecutive examples of one photograph.
    """
    labels = _merged_groups(groups)
    pairs: dict[int, _Pair] = {}
    for label, x, y, x_hat in zip(labels, real_x, real_y, fake_x, strict=True):
        pairs[label] = pairs.get(label, _Pair.zero(x.shape[1], y.shape[1])).update(x, y, x_hat)
    blocks = list(pairs.values())
    return _frechet_metric(blocks, joint=False), _frechet_metric(blocks, joint=True)


class _Pair(NamedTuple):
    """Moments of joint features of natural images and of restorations; x comes first in both."""

    real: Moments
    fake: Moments
    width: int

    @classmethod
    def zero(cls, x_width: int, y_width: int) -> "_Pair":
        return cls(Moments.zero(x_width + y_width), Moments.zero(x_width + y_width), x_width)

    def update(self, x: np.ndarray, y: np.ndarray, x_hat: np.ndarray) -> "_Pair":
        return self._replace(
            real=self.real.update(np.asarray(joint_features(x, y))),
            fake=self.fake.update(np.asarray(joint_features(x_hat, y))),
        )


def _frechet_metric(blocks: Sequence[_Pair], *, joint: bool) -> Metric:
    def distance(chosen: Sequence[_Pair]) -> float:
        real, fake = chosen[0].real, chosen[0].fake
        for block in chosen[1:]:
            real, fake = real.merge(block.real), fake.merge(block.fake)
        if not joint:
            real, fake = _leading(real, chosen[0].width), _leading(fake, chosen[0].width)
        return float(frechet_distance(real, fake))

    if sum(float(block.real.count) for block in blocks) < 2:
        return Metric(math.nan, math.nan, "undefined for fewer than two patches")
    smallest_rest = sum(float(b.real.count) for b in blocks) - max(float(b.real.count) for b in blocks)
    if smallest_rest < 2:
        return Metric(distance(blocks), math.nan)
    estimate: Estimate = jackknife(distance, blocks)
    return Metric(*estimate)


def _leading(moments: Moments, width: int) -> Moments:
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
