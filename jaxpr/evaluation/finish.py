"""From the stored batches of a run to its results. Reads one example at a time; nothing here runs a restorer."""

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxpr.core import Key
from jaxpr.evaluation.arrays import ProbeArrays, ReferenceArrays, RestorerArrays, read_arrays
from jaxpr.evaluation.attack_checks import doubt
from jaxpr.evaluation.naturalness import naturalness, niqe_model
from jaxpr.evaluation.planes import PlaneReference, plane_metrics, plane_reference
from jaxpr.evaluation.probes import SPECTRAL, SWEEP
from jaxpr.evaluation.provenance import provenance_record
from jaxpr.evaluation.sets import PatchSets, classes_score, half_against_half, patch_sets, set_metrics
from jaxpr.evaluation.state import BatchStore
from jaxpr.evaluation.stream import Run
from jaxpr.metrics import NiqeParameters
from jaxpr.numerics.statistics import grouped_mean
from jaxpr.records.metric_info import ATTACK
from jaxpr.records.metric_table import in_order, of_source
from jaxpr.records.results import Metric, RestorerResult, Results, mean_metrics, metric_cell
from jaxpr.restorers.restorer import Restorer

__all__ = ["finish"]

_CONSISTENT = 10 ** (-45 / 20)  # [cohen2024md] asks for an LR-PSNR of 45 dB where y has no noise
_NO_SECOND_DERIVATIVE = "undefined: JAX cannot differentiate the restorer's backward rule, which this measure needs"


def finish(
    key: Key,
    run: Run,
    record: dict[str, Any],
    *,
    reference: BatchStore,
    stores: Mapping[str, BatchStore],
    probe_stores: Mapping[str, BatchStore],
    ceilings: Mapping[BatchStore, Mapping[str, Any]],
    restorers: Mapping[str, Restorer],
    attack_notes: Mapping[str, str],
) -> Results:
    """All numbers of a run.

    Args:
        key: of the run; decides the choice of patches.
        run: examples and settings.
        record: the protocol, as recorded.
        reference: stored batches of the natural images.
        stores: stored batches of each restorer.
        probe_stores: stored batches of the probes, for the restorers that have any.
        ceilings: stored batches of what autoencoders make of the truth, with their records.
        restorers: what they say of themselves is recorded beside their numbers.
        attack_notes: what to know about the measures of an attack on each; "" for nothing.
    """
    protocol, groups = run.protocol, run.examples.groups
    k_sets, k_planes = jax.random.split(jax.random.fold_in(key, 3))
    most = protocol.patches.most
    sets = patch_sets(k_sets, reference, groups, most=most, neighbours=protocol.patches.neighbours)
    plane = plane_reference(k_planes, reference, groups, most=most)
    model = niqe_model(protocol.niqe_parameters)
    measure = functools.partial(_restorer, run, reference=reference, sets=sets, plane=plane, model=model)
    results, seconds = [], {}
    for name, store in stores.items():
        result, took = measure(name, store, probes=probe_stores.get(name))
        if protocol.attack is not None and attack_notes.get(name):
            result = _with_note(result, attack_notes[name])
        results.append(_described(result, restorers[name]))
        seconds[name] = round(took, 2)
    references: dict[str, Any] = {} if plane is None else {"uncertainty": plane.record}
    natural = read_arrays(ReferenceArrays, reference, len(run.examples))
    if (score := classes_score(sets, natural)) is not None:
        references["inception_score"] = {"value": score.value, "stderr": score.stderr, "note": score.note}
    references["truth"] = _of_truth(run, model, reference, sets)
    if ceilings:
        references["ceilings"] = [_ceiling(measure("", store, probes=None)[0], of) for store, of in ceilings.items()]
    strips = {number: run.examples.name(number) for number in run.strips}
    return Results(record, provenance_record(run.batch_size, seconds, strips=strips), tuple(results), references)


def _ceiling(found: RestorerResult, record: Mapping[str, Any]) -> dict[str, Any]:
    """What an autoencoder makes of the truth, as a record has it: nothing that passes through it should do better."""
    encoder = record["autoencoder"]
    defined = {name: metric_cell(metric) for name, metric in found.metrics.items() if not math.isnan(metric.value)}
    return {"name": f"D(E(x)), {encoder['name']}", "encoder": encoder, "metrics": defined}


def _naturalness(run: Run, model: NiqeParameters, blocks: Iterable[Any]) -> dict[str, Metric]:
    found = naturalness(blocks, run.examples.groups, parameters=model)
    return {} if found is None else {"niqe": found}


def _of_truth(run: Run, model: NiqeParameters, reference: BatchStore, sets: PatchSets) -> dict[str, Any]:
    """What measures say of the true images: how natural they are, and how far one half of them is from the other."""
    count = len(run.examples)
    found = _naturalness(run, model, (at.natural for at in read_arrays(ReferenceArrays, reference, count)))
    found |= half_against_half(sets, reference, features=run.protocol.patches.features_name)
    return {name: metric_cell(found[name]) for name in in_order(found)}


def _with_note(result: RestorerResult, note: str) -> RestorerResult:
    """A result with what to know about its measures of an attack, also where it has none."""
    nothing = Metric(math.nan, math.nan)
    noted = {name: result.metrics.get(name, nothing)._replace(note=note) for name in of_source(ATTACK)}
    metrics = result.metrics | noted
    return result._replace(metrics={name: metrics[name] for name in in_order(metrics)})


def _described(result: RestorerResult, restorer: Restorer) -> RestorerResult:
    """A result with what its restorer says of itself, and whether a sampler's answers agree with y."""
    weights = None if restorer.weights is None else dict(restorer.weights)
    metrics = dict(result.metrics)
    residual, noise_std = metrics.get("measurement_rmse"), (weights or {}).get("noise_std")
    if residual is not None and noise_std is not None and residual.value > max(_CONSISTENT, 2 * noise_std):
        words = f"far beyond the noise of {noise_std:g} that the sampler was told of"
        metrics["measurement_rmse"] = residual._replace(note=words)
    return result._replace(metrics=metrics, described_as=restorer.described_as, weights=weights)


def _restorer(
    run: Run,
    name: str,
    store: BatchStore,
    *,
    probes: BatchStore | None,
    reference: BatchStore,
    sets: PatchSets,
    plane: PlaneReference | None,
    model: NiqeParameters,
) -> tuple[RestorerResult, float]:
    count, groups, features = len(run.examples), run.examples.groups, run.protocol.patches.features_name
    numbers = _numbers(read_arrays(RestorerArrays, store, count))
    seconds = float(numbers.seconds.sum())
    metrics = _seen_by_the_attack(numbers, groups)
    metrics |= set_metrics(sets, store, reference, features=features)
    metrics |= _naturalness(run, model, (at.natural for at in read_arrays(RestorerArrays, store, count)))
    if (score := classes_score(sets, read_arrays(RestorerArrays, store, count))) is not None:
        metrics["inception_score"] = score
    curves: dict[str, dict[str, list[float]]] = {}
    if probes is not None:
        probed = list(read_arrays(ProbeArrays, probes, len(run.probes)))
        seconds += float(_numbers(probed).seconds.sum())
        found, curves = _probe_results(run, probed)
        metrics |= found
        if "lipschitz_mean" in metrics and (words := doubt(found, metrics["lipschitz_mean"])):
            metrics["lipschitz_mean"] = metrics["lipschitz_mean"]._replace(note=words)
    labels: dict[str, str] = {}
    if plane is not None:
        found, labels = plane_metrics(plane, store)
        metrics |= found
    ordered = {metric: metrics[metric] for metric in in_order(metrics)}
    return RestorerResult(name, ordered, curves, labels), seconds


class _Numbers(NamedTuple):
    """What is one number for each example; (N,) each."""

    metrics: dict[str, np.ndarray]
    gradient: np.ndarray
    seconds: np.ndarray


def _numbers(stored: Iterable[RestorerArrays] | Iterable[ProbeArrays]) -> _Numbers:
    columns: dict[str, list[Any]] = {}
    rest: list[tuple[Any, Any]] = []
    for at in stored:
        for name, value in at.metrics.items():
            columns.setdefault(name, []).append(value)
        rest.append((at.gradient, at.seconds))
    gradient, seconds = (np.array(part) for part in zip(*rest, strict=True))
    return _Numbers({name: np.array(values) for name, values in columns.items()}, gradient, seconds)


def _seen_by_the_attack(numbers: _Numbers, groups: np.ndarray) -> dict[str, Metric]:
    """Mean metrics; those of the attack are undefined, with the reason, where it had no gradient to follow."""
    note = _blindness(numbers.gradient)
    metrics = mean_metrics(numbers.metrics, groups)
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
    run: Run, probed: Sequence[ProbeArrays]
) -> tuple[dict[str, Metric], dict[str, dict[str, list[float]]]]:
    groups, numbers = run.examples.groups[list(run.probes)], _numbers(probed)
    metrics = mean_metrics(numbers.metrics, groups)
    if note := _blindness(numbers.gradient):
        return {name: Metric(math.nan, math.nan, note) for name in metrics}, {}
    if any(at.differentiable_once is not None for at in probed):
        metrics |= dict.fromkeys(SPECTRAL, Metric(math.nan, math.nan, _NO_SECOND_DERIVATIVE))
    if not probed[0].sweep:
        return metrics, {}
    curve: dict[str, list[float]] = {"alpha": list(run.protocol.sweep)}
    for name in SWEEP:
        values = np.array([at.sweep[name] for at in probed])
        found = [grouped_mean(values[:, position], groups) for position in range(values.shape[1])]
        curve[name] = [estimate.value for estimate in found]
        curve[f"{name}_stderr"] = [estimate.stderr for estimate in found]
    return metrics, {"attack_sweep": curve}
