"""`evaluate`: stream images through restorers, attack and metrics; resume; write the record and the report."""

import errno
import functools
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from jaxpr.core import (
    AnyArray,
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
from jaxpr.evaluation.devices import barrier, main_first, replicated
from jaxpr.evaluation.draws import computation_of
from jaxpr.evaluation.examples import examples_of
from jaxpr.evaluation.finish import finish
from jaxpr.evaluation.measure import (
    Programs,
    attack_scorer,
    degrader,
    naturalness,
    patch_classes,
    patch_features,
    programs,
    scorer,
)
from jaxpr.evaluation.pictures import load_strips, packed_pictures
from jaxpr.evaluation.planes import block_extractor
from jaxpr.evaluation.probes import probe_program
from jaxpr.evaluation.protocol import Protocol
from jaxpr.evaluation.provenance import protocol_record
from jaxpr.evaluation.state import BatchStore, check_unclaimed, codes_of, open_run
from jaxpr.evaluation.stream import Compute, Run, prepare, stream
from jaxpr.evaluation.trial import Trial, check_restored, try_restorer
from jaxpr.records.results import Results, from_record, to_csv, to_json, to_record
from jaxpr.report import write_report
from jaxpr.restorers import Restorer, as_restorer

__all__ = ["evaluate"]

_REFERENCE = "reference images"


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
    accept_other_code: bool = False,
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
            attack, and the record says so.
        images: an `ImageSource` (from `jaxpr.data`), a sequence of float images (H, W, C) in [0, 1], or a
            `PairedSource`, whose measurements are then taken as they are.
        degradation: a `Degradation`, a linear operator, or a string such as "bicubic-x4"; with pairs "given", or what
            is believed to have made them, which decides consistency only.
        protocol: settings that decide the numbers; `SCALES["small"]` suits the packaged photographs.
        out: folder of the run.
        batch_size: examples computed and saved together; on an accelerator also compiled together.
        progress: show progress bars on stderr.
        accept_other_code: go on with a run that another version of this code began; the record lists both.

    Returns:
        Everything that `results.json` holds.

    Raises:
        InputError: unusable protocol, images, restorer (not traceable, wrong shape, NaN) or folder. Nothing is written
            unless every restorer passes on a first batch.
    """
    out, degradation = given_path(out), as_degradation(degradation)
    check_unclaimed(out)
    check_count("batch_size", batch_size)
    known = _named(restorers)
    examples = examples_of(images, degradation, protocol)
    degrade = degrader(degradation, bits=protocol.measurement_bits)
    run = prepare(key, examples, degrade, protocol=protocol)._replace(batch_size=batch_size, progress=progress)
    compiled = _Compiled(known, protocol)
    trials = {
        name: try_restorer(run, name, compiled.programs(name), differentiable=restorer.differentiable)
        for name, restorer in known.items()
    }
    record = protocol_record(key, examples, degradation, protocol)

    claim = functools.partial(open_run, code=code_sha256(), accept_other_code=accept_other_code)
    state = main_first(lambda: _checked(claim(out, record), trials)) or out / "state"
    stores = _computed(run, state, _Work(run, degradation), trials, compiled)

    def conclude() -> Results:
        found = finish(
            key,
            run,
            record,
            reference=stores.reference,
            stores=stores.restorers,
            probe_stores=stores.probes,
            restorers=known,
        )
        results = _with_earlier_code(found, out)
        _write(out, run, results, stores)
        return results

    return main_first(conclude) or from_record(json.loads((out / "results.json").read_text()))


class _Stores(NamedTuple):
    """The batches of a run.

    Attributes:
        reference: of the natural images.
        restorers: of each restorer.
        probes: of the costly measures, for restorers that have any.
    """

    reference: BatchStore
    restorers: dict[str, BatchStore]
    probes: dict[str, BatchStore]


def _computed(run: Run, state: Path, work: "_Work", trials: Mapping[str, Trial], compiled: "_Compiled") -> _Stores:
    """Compute what is not stored yet, and wait for what other processes compute."""
    probed = [name for name, trial in trials.items() if run.probes and trial.differentiable]
    stores = _Stores(
        BatchStore(state, _REFERENCE),
        {name: BatchStore(state, name) for name in trials},
        {name: BatchStore(state, f"{name} (probes)") for name in probed},
    )
    stream(run, stores.reference, _REFERENCE, work.reference())
    for name, trial in trials.items():
        stream(run, stores.restorers[name], name, work.restorer(name, trial.programs))
        if name in stores.probes:
            compute = work.probe(name, compiled.probe(name))
            stream(run, stores.probes[name], f"{name} (probes)", compute, numbers=run.probes)
    barrier("all batches")
    for store in (stores.reference, *stores.restorers.values(), *stores.probes.values()):
        store.refresh()
    return stores


def _with_earlier_code(results: Results, out: Path) -> Results:
    earlier = [code for code in codes_of(out) if code != code_sha256()]
    return results._replace(provenance=results.provenance | {"earlier_code_sha256": earlier}) if earlier else results


def _named(restorers: Mapping[str, Estimator | Sampler]) -> dict[str, Restorer]:
    """The restorers, plain callables as such, under names that every file, page and terminal can hold."""
    if not isinstance(restorers, Mapping) or not restorers:
        found = "none" if isinstance(restorers, Mapping) else type(restorers).__name__
        raise InputError(f"restorers: found {found}, expected a dict with at least one name and callable")
    for name in restorers:
        if not isinstance(name, str) or not name.strip() or name == _REFERENCE:
            raise InputError(f"restorers: found one named {name!r}, expected another name")
    named = {printable(name): function for name, function in restorers.items()}
    if len(named) < len(restorers):
        raise InputError("restorers: found names that differ in unprintable characters only, expected others")
    return {name: as_restorer(name, function) for name, function in named.items()}


def _checked(state: Path, trials: Mapping[str, Trial]) -> Path:
    """The state folder, after a look at whether its restorers are these."""
    for name, trial in trials.items():
        BatchStore(state, name).check_probe(name, trial.output)
    return state


def _write(out: Path, run: Run, results: Results, stores: _Stores) -> None:
    shown = {number: run.examples.name(number) for number in run.strips}
    strips = load_strips(shown, stores.restorers, stores.reference, count=len(run.examples))
    # Numbers first: no picture may cost them.
    try:
        write_atomically(out / "results.csv", to_csv(results))
        write_atomically(out / "results.json", to_json(results))
        write_report(to_record(results), strips, out=out)
    except OSError as error:
        if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM) or not (out / "report.html").exists():
            raise
        warnings.warn(f"out: {printable(out)} cannot be written; what is there stays as it is", stacklevel=2)


class _Compiled:
    """The programs of one evaluation, made once for all restorers that differ in parameters only."""

    def __init__(self, restorers: Mapping[str, Restorer], protocol: Protocol) -> None:
        self._computations = {name: computation_of(restorer) for name, restorer in restorers.items()}
        self._params = {name: replicated(restorer.params) for name, restorer in restorers.items()}
        self._programs = functools.cache(functools.partial(programs, protocol=protocol))
        self._probe = functools.cache(functools.partial(probe_program, protocol=protocol))

    def programs(self, name: str) -> Programs:
        """Those of a restorer."""
        return self._programs(self._computations[name]).of(self._params[name])

    def probe(self, name: str) -> Callable[..., ProbeArrays]:
        """That of a restorer's probes."""
        return functools.partial(self._probe(self._computations[name]), self._params[name])


class _Work:
    """What is computed for a batch of examples: for the natural images, for a restorer, for a restorer's probes."""

    def __init__(self, run: Run, degradation: Degradation) -> None:
        protocol, factor = run.protocol, run.examples.factor
        size, stride, features = protocol.patches.size, protocol.patches.stride, protocol.patches.features
        self.run = run
        self.score, self.score_attack = scorer(degradation, protocol), attack_scorer()
        self.features_y = patch_features(features, size=size, stride=stride)
        self.classes_x = patch_classes(features, size=factor * size, stride=factor * stride)
        self.blocks = block_extractor(protocol, factor)

    def reference(self) -> Compute:
        """Features, blocks and pictures of x and y."""

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = self.run.inputs(numbers)
            seen = self.classes_x(x)
            pictures = packed_pictures({"x": x, "y": y})
            return stored(
                ReferenceArrays(seen.features, self.features_y(y), *self.blocks(x, y), seen.classes, pictures)
            )

        return compute

    def restorer(self, name: str, found: Programs) -> Compute:
        """Metrics, features, blocks and pictures of a restorer's outputs."""
        run = self.run

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = run.inputs(numbers)
            draw_keys, attack_keys = run.draw_keys[np.array(numbers)], run.attack_keys[np.array(numbers)]
            with users_code(f"restorer {name}"):
                restored = jax.block_until_ready(found.restore(draw_keys, y))
            check_restored(run, name, numbers, np.asarray(restored))
            with users_code(f"restorer {name}"):
                y_adv, gradient = found.attack(attack_keys, y)
                responses = found.respond and jax.block_until_ready(found.respond(draw_keys, y, y_adv))
            metrics: dict[str, AnyArray] = dict(self.score(x, y, restored))
            pictures = {"restored": restored}
            if responses is not None:
                metrics |= self.score_attack(y, y_adv, responses)
                pictures["restored_adv"] = responses.restored_adv
            metrics |= found.diversity(draw_keys, y) if found.diversity is not None else {}
            metrics |= naturalness(restored)
            seen, (blocks, _) = self.classes_x(restored), self.blocks(restored, y)
            shown = packed_pictures(pictures)
            return stored(RestorerArrays(metrics, gradient, seen.features, blocks, seen.classes, shown))

        return compute

    def probe(self, name: str, program: Callable[..., ProbeArrays]) -> Compute:
        """The costly measures of a restorer."""
        run = self.run

        def compute(numbers: list[int]) -> dict[str, np.ndarray]:
            x, y = run.inputs(numbers)
            keys = run.attack_keys[np.array(numbers)]
            with users_code(f"restorer {name}"):
                return stored(program(keys, x, y))

        return compute
