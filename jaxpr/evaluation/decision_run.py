"""`evaluate_decisions`: the stream of an evaluation with attacks on decisions alone; and their part in `evaluate`."""

import contextlib
import dataclasses
import functools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxpr import report
from jaxpr.core import Estimator, InputError, Key, Sampler, check_count, given_path
from jaxpr.data import ImageSource, PairedSource
from jaxpr.degradations import Degradation, LinearOperator, as_degradation
from jaxpr.evaluation.arrays import DecisionArrays, read_arrays
from jaxpr.evaluation.compiled import REFERENCE, Entered, claimed, entered, named_restorers
from jaxpr.evaluation.decision_results import decision_results
from jaxpr.evaluation.decisions import AttackedDecisions, DecisionWork, check_decisions
from jaxpr.evaluation.devices import main_first
from jaxpr.evaluation.examples import examples_of
from jaxpr.evaluation.protocol import Patches, Probes, Protocol
from jaxpr.evaluation.provenance import data_record, provenance_record
from jaxpr.evaluation.state import BatchStore, check_unclaimed, keeping_what_cannot_be_written
from jaxpr.evaluation.stream import Part, computed
from jaxpr.records.decisions import DecisionResults, decisions_record

__all__ = ["Judged", "evaluate_decisions"]

_EXPECTED = "expected a deterministic y -> x̂ that JAX can differentiate"
# Whole images, and none of the other measures.
_WHOLE = Protocol(crop=None, patches=Patches(size=1), attack=None, probes=Probes(count=0))


def evaluate_decisions(
    key: Key,
    restorers: Mapping[str, Estimator | Sampler],
    images: ImageSource | PairedSource | Sequence[np.ndarray],
    degradation: Degradation | LinearOperator | str,
    decisions: AttackedDecisions,
    *,
    out: Path | str | None = None,
    batch_size: int = 64,
    limit: int | None = None,
    measurement_bits: int | None = 8,
    progress: bool = False,
    accept_other_code: bool = False,
) -> tuple[DecisionResults, ...]:
    """Attack decisions behind each restorer and let a classifier judge that the attack never saw.

    `evaluate` measures the same beside everything else; here it is asked for alone, on the same stream, with batches
    that are stored and resumed in the same way.

    Args:
        key: decides noise and starts, for each example by its position in the data; the same for every restorer.
        restorers: names to deterministic restorers, or plain callables y -> x̂, that JAX can differentiate.
        images: clean images (H, W, C) in [0, 1], with the classes that they have, or pairs.
        degradation: makes y, which is clipped to [0, 1] and rounded to `measurement_bits`, as in an image file.
        decisions: the classifiers and the attacks.
        out: folder for `decisions.json`, `decisions.txt`, `decisions.png` (`decisions-0.json` and so on where there are
            several attacks) and for the state of the run; None keeps nothing.
        batch_size: examples attacked together; changes speed and memory only, up to the rounding of sums.
        limit: use only so many images, spread evenly; None for all.
        measurement_bits: bits per channel of y, or None for no clipping and rounding.
        progress: show progress bars on stderr.
        accept_other_code: go on with a run that another version of this code began.

    Returns:
        One result for each attack.

    Raises:
        InputError: no restorers, labels or a target that do not fit, classifiers of different classes, or a restorer
            that fails, is stochastic, cannot be differentiated, or returns another shape or NaN.
    """
    check_count("batch_size", batch_size)
    degradation, known = as_degradation(degradation), named_restorers(restorers)
    for name, restorer in known.items():
        if restorer.stochastic:
            raise InputError(f"restorer {name}: found a stochastic one, {_EXPECTED}")
    protocol = dataclasses.replace(_WHOLE, limit=limit, measurement_bits=measurement_bits)
    with _folder(out) as folder:
        check_unclaimed(folder)
        examples = examples_of(images, degradation, protocol)
        ready = entered(
            key, known, examples, degradation, protocol, batch_size=batch_size, progress=progress, together=batch_size
        )
        for name, trial in ready.trials.items():
            if not trial.differentiable:
                raise InputError(f"restorer {name}: found one that JAX cannot differentiate, {_EXPECTED}")
        judged = Judged(ready, decisions)
        record = data_record(key, examples, degradation, protocol)
        state = claimed(folder, record | judged.record, ready.trials, accept_other_code=accept_other_code)
        found = judged.results(record, computed(ready.run, state, judged.parts(state)))
        main_first(lambda: _write(found, folder))
        return found


@contextlib.contextmanager
def _folder(out: Path | str | None) -> Iterator[Path]:
    """The user's folder, or one that is gone afterwards."""
    if out is not None:
        yield given_path(out)
    elif jax.process_count() > 1:
        raise InputError("out: found None in one of several processes, expected a folder that they share")
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)


class Judged:
    """Attacks on decisions as a part of a run, behind each deterministic restorer that JAX can differentiate.

    Args:
        ready: the run and its restorers.
        decisions: classifiers and attacks.

    Raises:
        InputError: no such restorer, or classifiers, targets or labels that do not fit.
    """

    def __init__(self, ready: Entered, decisions: AttackedDecisions) -> None:
        self.run, self.decisions, self._compiled = ready.run, decisions, ready.compiled
        self.restorers = {
            name: restorer
            for name, restorer in ready.restorers.items()
            if not restorer.stochastic and ready.trials[name].differentiable
        }
        if not self.restorers:
            raise InputError("decisions: found no deterministic restorer that JAX can differentiate, expected some")
        self.classes, self._first = check_decisions(decisions, ready.run)
        self._work = DecisionWork(ready.run, decisions)

    @property
    def record(self) -> dict[str, Any]:
        """What decides the numbers, for the protocol of the run."""
        return {
            "decisions_alpha": [float(attack.alpha) for attack in self.decisions.attacks],
            "decisions_target": [attack.target for attack in self.decisions.attacks],
            "decisions_attack_steps": self.decisions.steps,
            "decisions_classes": list(self.classes),
            **({} if self.decisions.score is None else {"decisions_score": True}),
        }

    def _check_earlier(self, state: Path) -> None:
        """Raise if an earlier run in this folder had other classifiers: batches of two kinds would be mixed."""
        for name, outputs in self._first.items():
            first = np.atleast_1d(outputs[0]).astype(np.float64)
            # Without what differs between devices: large logits differ by more than small ones.
            first = first / (1 + np.abs(first).max())
            try:
                BatchStore(state, f"{name} (classifier)").check_probe(name, first)
            except InputError as error:
                words = "found other outputs than in the earlier run in this folder, expected the same; use another"
                raise InputError(f"{name}: {words} folder") from error

    def parts(self, state: Path) -> list[Part]:
        """The work: classes of the natural images, and attacks behind each restorer.

        Args:
            state: folder of the run's state.

        Raises:
            InputError: an earlier run in this folder had other classifiers.
        """
        main_first(functools.partial(self._check_earlier, state))
        parts = [Part(_store(REFERENCE), self._work.reference())]
        for name in self.restorers:
            program = self._compiled.made(self._work.program, name)
            parts.append(Part(_store(name), self._work.restorer(name, program)))
        return parts

    def results(self, record: Mapping[str, Any], stores: Mapping[str, BatchStore]) -> tuple[DecisionResults, ...]:
        """What each attack found.

        Args:
            record: of data and degradation.
            stores: of all parts of the run.
        """
        behind = {name: stores[_store(name)] for name in self.restorers}
        seconds = {name: _seconds(store, len(self.run.examples)) for name, store in behind.items()}
        return decision_results(
            self.run,
            self.decisions,
            record,
            provenance_record(self.run.batch_size, seconds),
            classes=self.classes,
            reference=stores[_store(REFERENCE)],
            stores=behind,
            restorers=self.restorers,
        )


def _store(name: str) -> str:
    return f"{name} (decisions)"


def _seconds(store: BatchStore, count: int) -> float:
    return round(float(np.sum([at.seconds for at in read_arrays(DecisionArrays, store, count)])), 2)


def _write(found: Sequence[DecisionResults], out: Path) -> None:
    with keeping_what_cannot_be_written(out, "decisions.json" if len(found) == 1 else "decisions-0.json"):
        for number, results in enumerate(found):
            name = "decisions" if len(found) == 1 else f"decisions-{number}"
            report.write_decisions(decisions_record(results), results.samples, out, name=name)
