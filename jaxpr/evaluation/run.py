"""`evaluate`: stream images through restorers, attack and metrics; resume; write the record and the report."""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxpr import report
from jaxpr.core import (
    Estimator,
    InputError,
    Key,
    Sampler,
    check_count,
    code_sha256,
    given_path,
    printable,
    write_atomically,
)
from jaxpr.data import ImageSource, PairedSource
from jaxpr.degradations import Degradation, LinearOperator, as_degradation
from jaxpr.evaluation.budget import fitting, foretell, keep_steps
from jaxpr.evaluation.compiled import REFERENCE, Entered, claimed, entered, named_restorers
from jaxpr.evaluation.decision_results import decision_metrics
from jaxpr.evaluation.decision_run import Judged
from jaxpr.evaluation.decisions import AttackedDecisions
from jaxpr.evaluation.devices import main_first
from jaxpr.evaluation.examples import examples_of
from jaxpr.evaluation.finish import finish
from jaxpr.evaluation.pictures import load_strips
from jaxpr.evaluation.presets import presets_met, published_record
from jaxpr.evaluation.protocol import Protocol
from jaxpr.evaluation.provenance import protocol_record
from jaxpr.evaluation.state import (
    BatchStore,
    check_unclaimed,
    codes_of,
    keeping_what_cannot_be_written,
)
from jaxpr.evaluation.stream import Run, computed
from jaxpr.evaluation.work import ceilings_of, parts_of, probed_restorers, probes_of
from jaxpr.records.along import usual_baseline
from jaxpr.records.decisions import DecisionResults, decisions_record
from jaxpr.records.differences import compared
from jaxpr.records.metric_table import in_order
from jaxpr.records.reading import read_record
from jaxpr.records.results import (
    RestorerResult,
    Results,
    from_record,
    metric_cell,
    to_csv,
    to_json,
    to_record,
)
from jaxpr.restorers import Restorer, StoredRestorer

__all__ = ["evaluate"]

_LARGER = 4


def evaluate(
    key: Key,
    restorers: Mapping[str, Estimator | Sampler],
    images: ImageSource | PairedSource | Sequence[np.ndarray],
    degradation: Degradation | LinearOperator | str,
    *,
    protocol: Protocol,
    out: Path | str,
    batch_size: int = 8,
    progress: bool = True,
    decisions: AttackedDecisions | None = None,
    baseline: str | None = None,
    reference: str | None = None,
    accept_other_code: bool = False,
    command: str | None = None,
    budget: float | None = None,
) -> Results:
    """Measure restorers on degraded images: distortion, perception, consistency, robustness, uncertainty, diversity.

    Every image is degraded, restored, attacked and restored again. `out` gets `results.json`, `results.csv`,
    `report.html`, `figures/*.png`, and `state/`, from which the same call resumes after any interruption with identical
    numbers; further restorers can be added to a finished run. Numbers depend on `key` and `protocol`; on a CPU they are
    the same for every batch size and number of devices, on an accelerator they agree to float32 rounding, which an
    attack can amplify. All local devices work; under `jax.distributed` all processes call this with the same arguments
    and a folder that they share, each computes its part, and the first writes the report.

    Args:
        key: from `jax.random.key`; decides noise, the attack's start, draws and the choice of subsets.
        restorers: name to `Restorer`; those with one `apply` are compiled once. Or to a plain callable. One required
            argument: a deterministic `y -> x̂` on batches. Two: a stochastic `(key, y) -> x̂`, which is called for each
            example on its own. JAX must be able to trace them; one that it cannot differentiate is measured without
            attack, as the record says. `restorers.from_host` wraps what it cannot trace, `from_folder` finished images.
        images: an `ImageSource` (from `jaxpr.data`), a sequence of float images (H, W, C) in [0, 1], or a
            `PairedSource`, whose measurements are then taken as they are.
        degradation: a `Degradation`, a linear operator, or a string such as "bicubic-x4"; with pairs "given", or what
            is believed to have made them, which decides consistency only.
        protocol: settings that decide the numbers; `SCALES["small"]` suits the packaged photographs.
        out: folder of the run.
        batch_size: examples computed and saved together; on an accelerator also compiled together.
        progress: show progress bars on stderr.
        decisions: classifiers whose decisions are attacked, once, behind every deterministic restorer that JAX can
            differentiate; `out` then has `decisions.json`, `decisions.txt` and `decisions.png`, too.
        baseline: name of the restorer that differences are from; None for the first, or its x* if it is along alpha.
        reference: name of one that is only there to compare with: not attacked, not ranked, a reference of the record.
        accept_other_code: go on with a run that another version of this code began; the record lists both.
        command: the command line that makes this run, for the provenance of the record; None where there is none.
        budget: most seconds for all answers of each sampler; lowers steps that nobody asked for, see `within_budget`.

    Returns:
        Everything that `results.json` holds.

    Raises:
        InputError: unusable protocol, images, restorer (not traceable, wrong shape, NaN), classifiers or folder.
            Nothing is written unless every restorer passes on a first batch.
    """
    out, degradation = given_path(out), as_degradation(degradation)
    check_unclaimed(out)
    check_count("batch_size", batch_size)
    known = _with_roles(named_restorers(restorers), baseline, reference)
    if degradation.is_unknown and not isinstance(images, PairedSource):
        protocol = _without_measurements(known, images, protocol)
    examples = examples_of(images, degradation, protocol)
    fit = functools.partial(fitting, seconds=budget, out=out)
    ready = entered(key, known, examples, degradation, protocol, batch_size=batch_size, progress=progress, chosen=fit)
    judged = None if decisions is None else _judged(ready, decisions)
    record = protocol_record(key, examples, degradation, protocol) | ({} if judged is None else judged.record)
    state = claimed(out, record, ready.trials, accept_other_code=accept_other_code)
    _announce(ready, out, state, budgeted=budget is not None)
    parts = [*parts_of(ready, degradation), *([] if judged is None else judged.parts(state))]
    stores = computed(ready.run, state, parts)

    def conclude() -> Results:
        found = _beside(_finished(key, ready, record, stores), reference)
        behind = None if judged is None else judged.results(record, stores)[0]
        found = _with_differences(found if behind is None else _with_decisions(found, behind), baseline)
        results = _with_origin(_beside_papers(found, ready, degradation), out, command)
        _write(out, ready.run, results, stores, behind, kept=_kept(ready))
        return results

    return main_first(conclude) or from_record(read_record(out, name="out"))


def _with_roles(restorers: dict[str, Restorer], baseline: str | None, reference: str | None) -> dict[str, Restorer]:
    """The restorers, that which is only there to compare with one that is not attacked.

    Raises:
        InputError: there is none of such a name, or one for both.
    """
    if reference is not None and reference not in restorers:
        raise InputError(f"reference: found {reference!r}, expected one of the restorers {', '.join(restorers)}")
    ranked = [name for name in restorers if name != reference]
    if baseline is not None and baseline not in ranked:
        raise InputError(f"baseline: found {baseline!r}, expected one of the restorers {', '.join(ranked)}")
    if not ranked:
        raise InputError(f"reference: found {reference!r}, the only restorer, expected others beside it")
    return {n: dataclasses.replace(r, differentiable=False) if n == reference else r for n, r in restorers.items()}


def _finished(key: Key, ready: Entered, record: dict[str, Any], stores: Mapping[str, BatchStore]) -> Results:
    return finish(
        key,
        ready.run,
        record,
        reference=stores[REFERENCE],
        stores={name: stores[name] for name in ready.restorers},
        probe_stores={name: stores[probes_of(name)] for name in probed_restorers(ready)},
        ceilings={stores[name]: dict(c.weights or {}) for name, c in ceilings_of(ready.restorers).items()},
        restorers=ready.restorers,
        attack_notes={name: trial.attack_note for name, trial in ready.trials.items()},
    )


def _announce(ready: Entered, out: Path, state: Path, *, budgeted: bool) -> None:
    """Keep what a budget chose, or say how long samplers will take for the examples that are left."""
    run, restorers = ready.run, ready.restorers
    if budgeted:
        keep_steps(out, restorers)
    elif run.progress and jax.process_index() == 0:
        stores, numbers = {name: BatchStore(state, name) for name in restorers}, range(len(run.examples))
        foretell(restorers, run, {name: sum(not store.done([i]) for i in numbers) for name, store in stores.items()})


def _without_measurements(
    restorers: Mapping[str, Restorer], images: ImageSource | Sequence[np.ndarray], protocol: Protocol
) -> Protocol:
    """The protocol less what needs y, for outputs from folders; patches are as large as behind a reduction by four."""
    for name, restorer in restorers.items():
        if not isinstance(restorer, StoredRestorer):
            raise InputError(
                f"degradation: found 'unknown' with restorer {name}, which needs measurements; expected outputs:FOLDER "
                "(restorers.from_folder) alone, or a degradation"
            )
    shapes = [images.shape(i) if isinstance(images, ImageSource) else np.shape(images[i]) for i in range(len(images))]
    side = protocol.crop or min(min(shape[:2]) for shape in shapes)
    size, stride = (_LARGER * of for of in (protocol.patches.size, protocol.patches.stride))
    larger = {"patch_size": size, "patch_stride": stride} if size <= side else {}
    return protocol.replace(attack=None, probes=0, uncertainty_block=0, **larger)


def _judged(ready: Entered, decisions: AttackedDecisions) -> Judged:
    """The attack on decisions, of which an evaluation has one."""
    if len(decisions.attacks) > 1:
        found = f"found {len(decisions.attacks)}, expected one"
        raise InputError(f"attacks: {found}; `evaluate_decisions` takes several")
    return Judged(ready, decisions)


def _beside(results: Results, reference: str | None) -> Results:
    """The results with what is only there to compare with among the references."""
    if reference is None:
        return results
    (found,) = (result for result in results.restorers if result.name == reference)
    defined = {name: metric_cell(metric) for name, metric in found.metrics.items() if not math.isnan(metric.value)}
    return results._replace(
        restorers=tuple(result for result in results.restorers if result is not found),
        references=results.references | {"restorer": {"name": reference, "metrics": defined}},
    )


def _with_differences(results: Results, baseline: str | None) -> Results:
    return compared(results, baseline=usual_baseline(results) if baseline is None else baseline)


def _with_decisions(results: Results, behind: DecisionResults) -> Results:
    """The results with what became of decisions among the metrics."""
    added = {found.name: decision_metrics(found) for found in behind.restorers}

    def more(result: RestorerResult) -> RestorerResult:
        metrics = result.metrics | added.get(result.name, {})
        return result._replace(metrics={name: metrics[name] for name in in_order(metrics)})

    return results._replace(restorers=tuple(map(more, results.restorers)))


def _beside_papers(results: Results, ready: Entered, degradation: Degradation) -> Results:
    """The results with the protocols of the field that the run meets, and what papers report on the same images."""
    examples, protocol = ready.run.examples, ready.run.protocol
    met = {"presets": presets_met(examples, degradation, protocol)}
    published = published_record(examples, degradation, protocol)
    known = {} if published is None else {"published": published}
    return results._replace(provenance=results.provenance | met, references=results.references | known)


def _with_origin(results: Results, out: Path, command: str | None) -> Results:
    """The results with the command, and with other code that computed for the run."""
    earlier = [code for code in codes_of(out) if code != code_sha256()]
    typed = {} if command is None else {"command": printable(command)}
    began = {"earlier_code_sha256": earlier} if earlier else {}
    return results._replace(provenance={**typed, **results.provenance, **began})


def _kept(ready: Entered) -> dict[str, bytes]:
    """Files of restorers that a run keeps."""
    return {name: content for found in ready.restorers.values() for name, content in (found.kept or {}).items()}


def _write(
    out: Path,
    run: Run,
    results: Results,
    stores: Mapping[str, BatchStore],
    decisions: DecisionResults | None,
    *,
    kept: Mapping[str, bytes],
) -> None:
    shown = {number: run.examples.name(number) for number in run.strips}
    outputs = {restorer.name: stores[restorer.name] for restorer in results.restorers}
    strips = load_strips(shown, outputs, stores[REFERENCE], count=len(run.examples))
    with keeping_what_cannot_be_written(out, "report.html"):
        for name, content in kept.items():
            write_atomically(out / name, content)
        # Numbers first: no picture may cost them.
        write_atomically(out / "results.csv", to_csv(results))
        write_atomically(out / "results.json", to_json(results))
        if decisions is not None:
            report.write_decisions(decisions_record(decisions), decisions.samples, out, name="decisions")
        report.write_report(to_record(results), strips, out=out, decisions=decisions)
