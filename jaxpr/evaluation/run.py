"""`evaluate`: stream images through restorers, attack and metrics; resume; write the record and the report."""

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    AnyArray,
    Array,
    Estimator,
    InputError,
    Key,
    Sampler,
    check_count,
    code_sha256,
    given_path,
    printable,
    users_code,
    write_atomically,
)
from jaxpr.data import ImageSource, PairedSource
from jaxpr.degradations import Degradation, LinearOperator, as_degradation
from jaxpr.evaluation.arrays import ProbeArrays, ReferenceArrays, RestorerArrays, stored
from jaxpr.evaluation.budget import foretell, keep_steps, within_budget
from jaxpr.evaluation.compiled import REFERENCE, Entered, claimed, entered, named_restorers
from jaxpr.evaluation.decision_results import decision_metrics
from jaxpr.evaluation.decision_run import Judged
from jaxpr.evaluation.decisions import AttackedDecisions
from jaxpr.evaluation.devices import main_first
from jaxpr.evaluation.examples import examples_of
from jaxpr.evaluation.finish import finish
from jaxpr.evaluation.measure import (
    Programs,
    attack_scorer,
    natural_blocks,
    patch_classes,
    patch_features,
    scorer,
)
from jaxpr.evaluation.outputs import StoredOutputs, diversity_scorer
from jaxpr.evaluation.pictures import load_strips, packed_pictures
from jaxpr.evaluation.planes import block_extractor
from jaxpr.evaluation.presets import presets_met, published_record
from jaxpr.evaluation.protocol import Protocol
from jaxpr.evaluation.provenance import protocol_record
from jaxpr.evaluation.state import (
    BatchStore,
    check_unclaimed,
    codes_of,
    keeping_what_cannot_be_written,
)
from jaxpr.evaluation.stream import Compute, Part, Run, computed
from jaxpr.evaluation.trial import check_restored
from jaxpr.records.decisions import DecisionResults, decisions_record
from jaxpr.records.differences import compared
from jaxpr.records.metric_info import ATTACK
from jaxpr.records.metric_table import in_order, of_source
from jaxpr.records.reading import read_record
from jaxpr.records.results import RestorerResult, Results, from_record, to_csv, to_json, to_record
from jaxpr.report import write_report
from jaxpr.report.decisions import write_decisions
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
        baseline: name of the restorer that the others' differences are from; None for the first. It decides no number.
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
    known = _with_baseline(named_restorers(restorers), baseline)
    if degradation.is_unknown and not isinstance(images, PairedSource):
        protocol = _without_measurements(known, images, protocol)
    examples = examples_of(images, degradation, protocol)
    fit = None if budget is None else functools.partial(within_budget, seconds=budget, out=out)
    ready = entered(key, known, examples, degradation, protocol, batch_size=batch_size, progress=progress, chosen=fit)
    judged = None if decisions is None else _judged(ready, decisions)
    record = protocol_record(key, examples, degradation, protocol) | ({} if judged is None else judged.record)
    state = claimed(out, record, ready.trials, accept_other_code=accept_other_code)
    _announce(ready, out, state, budgeted=budget is not None)
    probed = [name for name, trial in ready.trials.items() if ready.run.probes and trial.differentiable]
    parts = _parts(ready, _Work(ready.run, degradation), probed)
    stores = computed(ready.run, state, parts if judged is None else [*parts, *judged.parts()])

    def conclude() -> Results:
        found = _finished(key, ready, record, stores, probed)
        behind = None if judged is None else judged.results(record, stores)[0]
        found = compared(found if behind is None else _with_decisions(found, behind), baseline=baseline)
        results = _with_origin(_beside_papers(found, ready, degradation), out, command)
        _write(out, ready.run, results, stores, behind)
        return results

    return main_first(conclude) or from_record(read_record(out, name="out"))


def _finished(
    key: Key, ready: Entered, record: dict[str, Any], stores: Mapping[str, BatchStore], probed: Sequence[str]
) -> Results:
    return finish(
        key,
        ready.run,
        record,
        reference=stores[REFERENCE],
        stores={name: stores[name] for name in ready.restorers},
        probe_stores={name: stores[_probes(name)] for name in probed},
        restorers=ready.restorers,
        attack_notes={name: trial.attack_note for name, trial in ready.trials.items()},
    )


def _with_baseline(restorers: dict[str, Restorer], baseline: str | None) -> dict[str, Restorer]:
    if baseline is not None and baseline not in restorers:
        raise InputError(f"baseline: found {baseline!r}, expected one of the restorers {', '.join(restorers)}")
    return restorers


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


def _probes(name: str) -> str:
    """Of the store of a restorer's costly measures."""
    return f"{name} (probes)"


def _parts(ready: Entered, work: "_Work", probed: Sequence[str]) -> list[Part]:
    """The work on each restorer, in order, and last on the natural images, so that a first number is there soon."""
    parts = []
    for name, trial in ready.trials.items():
        compute = work.restorer(name, trial.programs) if trial.outputs is None else work.outputs(name, trial.outputs)
        parts.append(Part(name, compute))
        if name in probed:
            parts.append(Part(_probes(name), work.probe(name, ready.compiled.probe(name)), ready.run.probes))
    return [*parts, Part(REFERENCE, work.reference())]


def _judged(ready: Entered, decisions: AttackedDecisions) -> Judged:
    """The attack on decisions, of which an evaluation has one."""
    if len(decisions.attacks) > 1:
        found = f"found {len(decisions.attacks)}, expected one"
        raise InputError(f"attacks: {found}; `evaluate_decisions` takes several")
    return Judged(ready, decisions)


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


def _write(
    out: Path, run: Run, results: Results, stores: Mapping[str, BatchStore], decisions: DecisionResults | None
) -> None:
    shown = {number: run.examples.name(number) for number in run.strips}
    outputs = {restorer.name: stores[restorer.name] for restorer in results.restorers}
    strips = load_strips(shown, outputs, stores[REFERENCE], count=len(run.examples))
    with keeping_what_cannot_be_written(out, "report.html"):
        # Numbers first: no picture may cost them.
        write_atomically(out / "results.csv", to_csv(results))
        write_atomically(out / "results.json", to_json(results))
        if decisions is not None:
            write_decisions(decisions_record(decisions), decisions.samples, out, name="decisions")
        write_report(to_record(results), strips, out=out, decisions=decisions)


class _Work:
    """What is computed for a batch of examples: for the natural images, for a restorer, for a restorer's probes."""

    def __init__(self, run: Run, degradation: Degradation) -> None:
        protocol, factor = run.protocol, run.examples.factor
        size, stride, features = protocol.patches.size, protocol.patches.stride, protocol.patches.features
        self.run = run
        self.score, self.score_attack = scorer(degradation, protocol), attack_scorer()
        self.score_diversity = diversity_scorer(protocol)
        self.measured = not degradation.is_unknown or run.examples.low is not None
        self.features_y = patch_features(features, size=size, stride=stride)
        self.classes_x = patch_classes(features, size=factor * size, stride=factor * stride)
        self.blocks = block_extractor(protocol, factor)

    def reference(self) -> Compute:
        """Features, blocks and pictures of x and y."""

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = self.run.inputs(numbers)
            seen = self.classes_x(x)
            pictures = packed_pictures({"x": x, "y": y})
            blocks, natural = self.blocks(x, y), natural_blocks(x)
            # Where nothing is known of y, its features have no width, and measures of pairs are left out.
            of_y = self.features_y(y) if self.measured else np.zeros((*seen.features.shape[:-1], 0), np.float32)
            return stored(ReferenceArrays(seen.features, of_y, *blocks, seen.classes, natural, pictures))

        return compute

    def restorer(self, name: str, found: Programs) -> Compute:
        """Metrics, features, blocks and pictures of a restorer's outputs."""
        run = self.run

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = run.inputs(numbers)
            draw_keys, attack_keys = run.draw_keys[np.array(numbers)], run.attack_keys[np.array(numbers)]
            with users_code(f"restorer {name}"):
                draws = found.draws and jax.block_until_ready(found.draws(draw_keys, y))
                if draws is not None and found.sets:
                    restored = draws[:, 0]
                else:
                    restored = jax.block_until_ready(found.restore(draw_keys, y))
            for answers in (restored,) if draws is None else (restored, draws):
                check_restored(run, name, numbers, np.asarray(answers))
            with users_code(f"restorer {name}"):
                y_adv, gradient = found.attack(attack_keys, y)
                responses = found.respond and jax.block_until_ready(found.respond(draw_keys, y, y_adv))
            metrics: dict[str, AnyArray] = dict(self.score(x, y, restored))
            pictures = {"restored": restored}
            if responses is not None:
                metrics |= self.score_attack(y, y_adv, responses)
                pictures |= {"restored_adv": responses.restored_adv, "y_adv": y_adv}
            elif run.protocol.attack is not None:  # what cannot be attacked: the record says why there is nothing
                metrics |= dict.fromkeys(of_source(ATTACK), np.full(len(numbers), np.nan, np.float32))
                pictures |= {"restored_adv": restored, "y_adv": y}
            metrics |= {} if draws is None else self.score_diversity(draws)
            return self._restored(metrics, gradient, y, pictures)

        return compute

    def outputs(self, name: str, found: StoredOutputs) -> Compute:
        """The same of outputs from a folder, without an attack."""
        run, count = self.run, min(len(found.draws), self.run.protocol.samples)

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = run.inputs(numbers)
            restored = jnp.asarray(found.images(numbers))
            check_restored(run, name, numbers, np.asarray(restored))
            metrics: dict[str, AnyArray] = dict(self.score(x, y, restored))
            if count > 1:
                draws = np.stack([found.images(numbers, draw=draw) for draw in range(count)], axis=1)
                metrics |= self.score_diversity(jnp.asarray(draws))
            return self._restored(metrics, np.full(len(numbers), np.nan, np.float32), y, {"restored": restored})

        return compute

    def _restored(
        self, metrics: dict[str, AnyArray], gradient: AnyArray, y: Array, pictures: dict[str, Array]
    ) -> dict[str, np.ndarray]:
        restored = pictures["restored"]
        seen, (blocks, _) = self.classes_x(restored), self.blocks(restored, y)
        natural, shown = natural_blocks(restored), packed_pictures(pictures)
        return stored(RestorerArrays(metrics, gradient, seen.features, blocks, seen.classes, natural, shown))

    def probe(self, name: str, program: Callable[..., ProbeArrays]) -> Compute:
        """The costly measures of a restorer."""
        run = self.run

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = run.inputs(numbers)
            keys = run.attack_keys[np.array(numbers)]
            with users_code(f"restorer {name}"):
                return stored(program(keys, x, y))

        return compute
