"""From the stored batches of a run to its results. Reads one example at a time; nothing here runs a restorer."""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxpr.core import Key
from jaxpr.evaluation.planes import PlaneReference, plane_metrics, plane_reference
from jaxpr.evaluation.probes import ONE_DERIVATIVE, SWEEP
from jaxpr.evaluation.provenance import provenance_record
from jaxpr.evaluation.sets import PatchSets, classes_score, patch_sets, set_metrics
from jaxpr.evaluation.state import BatchStore
from jaxpr.evaluation.stream import Run
from jaxpr.numerics.statistics import grouped_mean
from jaxpr.records.metric_info import ATTACK
from jaxpr.records.metric_table import in_order, of_source
from jaxpr.records.results import Metric, RestorerResult, Results, mean_metrics
from jaxpr.restorers.restorer import Restorer

__all__ = ["METRIC_PREFIX", "finish"]

METRIC_PREFIX = "metric_"
_NO_SECOND_DERIVATIVE = "undefined: JAX cannot differentiate the restorer's backward rule, which this measure needs"


def finish(
    key: Key,
    run: Run,
    record: dict[str, Any],
    *,
    reference: BatchStore,
    stores: Mapping[str, BatchStore],
    probe_stores: Mapping[str, BatchStore],
    restorers: Mapping[str, Restorer],
) -> Results:
    """All numbers of a run.

    Args:
        key: of the run; decides the choice of patches.
        run: examples and settings.
        record: the protocol, as recorded.
        reference: stored batches of the natural images.
        stores: stored batches of each restorer.
        probe_stores: stored batches of the probes, for the restorers that have any.
        restorers: what they say of themselves is recorded beside their numbers.
    """
    protocol, groups = run.protocol, run.examples.groups
    k_sets, k_planes = jax.random.split(jax.random.fold_in(key, 3))
    most = protocol.patches.most
    sets = patch_sets(k_sets, reference, groups, most=most, neighbours=protocol.patches.neighbours)
    plane = plane_reference(k_planes, reference, groups, most=most)
    results, seconds = [], {}
    for name, store in stores.items():
        result, took = _restorer(run, name, store, probe_stores.get(name), reference, sets, plane)
        results.append(_described(result, restorers[name]))
        seconds[name] = round(took, 2)
    references: dict[str, Any] = {} if plane is None else {"uncertainty": plane.record}
    if (score := classes_score(sets, reference, "classes_x")) is not None:
        references["inception_score"] = score._asdict()
    strips = {number: run.examples.name(number) for number in run.strips}
    return Results(record, provenance_record(run.batch_size, seconds, strips=strips), tuple(results), references)


def _described(result: RestorerResult, restorer: Restorer) -> RestorerResult:
    """A result with what its restorer says of itself."""
    return result._replace(
        label=restorer.label,
        family=restorer.family,
        setting=restorer.setting,
        variant=restorer.variant,
        weights=None if restorer.weights is None else dict(restorer.weights),
    )


def _restorer(
    run: Run,
    name: str,
    store: BatchStore,
    probes: BatchStore | None,
    reference: BatchStore,
    sets: PatchSets,
    plane: PlaneReference | None,
) -> tuple[RestorerResult, float]:
    count, groups, features = len(run.examples), run.examples.groups, run.protocol.patches.features_name
    columns = _columns(store, count)
    seconds = float(columns.pop("seconds").sum())
    metrics = _seen_by_the_attack(columns, groups)
    metrics |= set_metrics(sets, store, reference, features=features)
    if (score := classes_score(sets, store, "classes")) is not None:
        metrics["inception_score"] = score
    curves: dict[str, dict[str, list[float]]] = {}
    if probes is not None:
        probed = _columns(probes, len(run.probes))
        seconds += float(probed.pop("seconds").sum())
        found, curves = _probe_results(run, probed)
        metrics |= found
    labels: dict[str, str] = {}
    if plane is not None:
        found, labels = plane_metrics(plane, store)
        metrics |= found
    ordered = {metric: metrics[metric] for metric in in_order(metrics)}
    return RestorerResult(name, ordered, curves, labels), seconds


def _columns(store: BatchStore, count: int) -> dict[str, np.ndarray]:
    """The per-example numbers of a store: metrics without their prefix, and what is no image and no features."""
    columns: dict[str, list[np.ndarray]] = {}
    for arrays in store.load(count):
        for name, value in arrays.items():
            if value.ndim == 0 or name.startswith("sweep_"):
                columns.setdefault(name.removeprefix(METRIC_PREFIX), []).append(value)
    return {name: np.array(values) for name, values in columns.items()}


def _seen_by_the_attack(columns: dict[str, np.ndarray], groups: np.ndarray) -> dict[str, Metric]:
    """Mean metrics; those of the attack are undefined, with the reason, where it had no gradient to follow."""
    note = _blindness(columns.pop("gradient"))
    metrics = mean_metrics(columns, groups)
    blind = set(of_source(ATTACK)) & set(metrics) if note else ()
    return metrics | {name: Metric(math.nan, math.nan, note) for name in blind}


def _blindness(gradient: np.ndarray) -> str:
    """Why an attack cannot judge a restorer with these sizes of its gradient, or ""."""
    blind = ~(gradient > 0)
    if not blind.any():
        return ""
    what = "zero" if (gradient[blind] == 0).all() else "undefined, or JAX cannot compute it,"
    return f"undefined: the gradient is {what} for {int(blind.sum())} of {len(blind)} examples; no attack can follow it"


def _probe_results(
    run: Run, columns: dict[str, np.ndarray]
) -> tuple[dict[str, Metric], dict[str, dict[str, list[float]]]]:
    groups = run.examples.groups[list(run.probes)]
    note, once_only = _blindness(columns.pop("gradient")), columns.pop(ONE_DERIVATIVE, None) is not None
    sweep = {name: columns.pop(f"sweep_{name}") for name in SWEEP if f"sweep_{name}" in columns}
    metrics = mean_metrics(columns, groups)
    if note:
        return {name: Metric(math.nan, math.nan, note) for name in metrics}, {}
    if once_only:
        metrics["local_lipschitz"] = Metric(math.nan, math.nan, _NO_SECOND_DERIVATIVE)
    if not sweep:
        return metrics, {}
    curve: dict[str, list[float]] = {"alpha": list(run.protocol.sweep)}
    for name, values in sweep.items():
        found = [grouped_mean(values[:, position], groups) for position in range(values.shape[1])]
        curve[name] = [estimate.value for estimate in found]
        curve[f"{name}_stderr"] = [estimate.stderr for estimate in found]
    return metrics, {"attack_sweep": curve}
