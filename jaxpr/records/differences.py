"""Differences between restorers that saw the same photographs: far more certain than each one's own number.

Every metric keeps its values without each photograph (or block of them). The difference of two restorers without each
in turn gives the jackknife error of their difference, of means and of measures of whole sets alike.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import special

from jaxpr.core import InputError
from jaxpr.numerics.statistics import jackknife_error
from jaxpr.records.reading import best_names, measured
from jaxpr.records.results import Difference, Metric, RestorerResult, Results

__all__ = ["LEVEL", "compared", "holm", "indistinct_names", "paired_difference"]

LEVEL = 0.95
"""Of the intervals."""
_POWER = 0.8  # with which the photographs that are said to be needed would show a difference


def paired_difference(metric: Metric, baseline: Metric, *, photographs: int | None = None) -> Difference | None:
    """Of a metric of two restorers on the same photographs; None where one is not finite or has no error.

    The error is the delete-one jackknife of the difference, the interval and p-value are Student's with one degree of
    freedom less than there are blocks of photographs (Tukey 1958).

    Args:
        metric: of a restorer.
        baseline: of the one that it is compared with.
        photographs: how many there are, for how many would be needed; None for as many as values are left out.
    """
    ours, theirs = np.array(metric.left_out), np.array(baseline.left_out)
    value = metric.value - baseline.value
    if len(ours) < 2 or len(ours) != len(theirs) or not math.isfinite(value):
        return None
    with np.errstate(all="ignore"):  # outputs may be as wild as they like
        stderr, freedom = jackknife_error(ours - theirs), len(ours) - 1
    if not math.isfinite(stderr):
        return None
    if stderr == 0:
        return Difference(value, 0.0, value, value, 1.0 if value == 0 else 0.0)
    half = float(special.stdtrit(freedom, (1 + LEVEL) / 2)) * stderr
    p = float(2 * special.stdtr(freedom, -abs(value) / stderr))
    return Difference(
        value, stderr, value - half, value + half, p, needed=_needed(value, stderr, photographs or len(ours))
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of several questions, corrected so that any wrong rejection is as rare as one (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    corrected = np.minimum(1, np.maximum.accumulate(np.asarray(p_values)[order] * factors))
    found = np.empty(len(p_values))
    found[order] = corrected
    return [float(p) for p in found]


def compared(results: Results, *, baseline: str | None = None) -> Results:
    """The results with each restorer's differences from one of them.

    Args:
        results: of an evaluation, or of several on the same images.
        baseline: name of the restorer that the others are compared with; None for the first.

    Raises:
        InputError: there is no such restorer.
    """
    names = [restorer.name for restorer in results.restorers]
    baseline = names[0] if baseline is None else baseline
    if baseline not in names:
        raise InputError(f"baseline: found {baseline!r}, expected one of the restorers {', '.join(names)}")
    base = results.restorers[names.index(baseline)]
    images = results.protocol.get("images")
    photographs = images if isinstance(images, int) and images > 0 else None
    found = {r.name: _from(r, base, photographs) for r in results.restorers if r is not base}
    for metric in base.metrics:
        asked = [name for name, differences in found.items() if metric in differences]
        for name, p in zip(asked, holm([found[name][metric].p for name in asked]), strict=True):
            found[name][metric] = found[name][metric]._replace(p_holm=p)
    restorers = tuple(restorer._replace(differences=found.get(restorer.name, {})) for restorer in results.restorers)
    return results._replace(restorers=restorers, baseline=baseline)


def indistinct_names(record: Mapping[str, Any], metric: str, *, direction: int) -> set[str]:
    """Restorers that cannot be told apart from the best by a metric: the interval of the difference holds zero.

    Args:
        record: the dict of `results.json`.
        metric: its name in the record.
        direction: +1 if higher is better, -1 if lower is better, 0 if neither.
    """
    best = best_names(record, metric, direction=direction)
    cells = {entry["name"]: _metric(entry, metric) for entry in record["restorers"] if metric in entry["metrics"]}
    if not best:
        return set()
    first = cells[min(best)]
    found = {name: paired_difference(cell, first) for name, cell in cells.items() if name not in best}
    return {name for name, apart in found.items() if apart is not None and apart.low <= 0 <= apart.high}


def _metric(entry: Mapping[str, Any], name: str) -> Metric:
    found = measured(entry, name)
    left_out = entry["metrics"][name].get("left_out") or ()
    if found is None or not all(isinstance(value, int | float) for value in left_out):
        return Metric(math.nan, math.nan)
    return Metric(found.value, found.stderr, found.note, tuple(left_out))


def _from(restorer: RestorerResult, base: RestorerResult, photographs: int | None) -> dict[str, Difference]:
    shared = [name for name in restorer.metrics if name in base.metrics]
    found = {
        name: paired_difference(restorer.metrics[name], base.metrics[name], photographs=photographs) for name in shared
    }
    return {name: apart for name, apart in found.items() if apart is not None}


def _needed(value: float, stderr: float, count: int) -> int | None:
    """Photographs that would show this difference with the wanted power; None for no difference."""
    if value == 0:
        return None
    factor = float(special.ndtri((1 + LEVEL) / 2) + special.ndtri(_POWER))
    return max(2, math.ceil(count * (factor * stderr / value) ** 2))
