"""The restorers of a run: their names, their programs, their trial; and the folder that they claim."""

import functools
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from jaxpr.core import Estimator, InputError, Key, Sampler, code_sha256, printable
from jaxpr.degradations import Degradation
from jaxpr.evaluation.arrays import ProbeArrays
from jaxpr.evaluation.devices import main_first, replicated
from jaxpr.evaluation.draws import Computation, computation_of
from jaxpr.evaluation.examples import Examples
from jaxpr.evaluation.measure import Programs, degrader, programs
from jaxpr.evaluation.probes import probe_program
from jaxpr.evaluation.protocol import Protocol
from jaxpr.evaluation.state import BatchStore, open_run
from jaxpr.evaluation.stream import Run, prepare
from jaxpr.evaluation.trial import Trial, traceable, try_on_host, try_outputs, try_restorer
from jaxpr.restorers import Restorer, as_restorer
from jaxpr.restorers.stored import StoredRestorer

__all__ = ["REFERENCE", "Compiled", "Entered", "claimed", "entered", "most_telling", "named_restorers"]

REFERENCE = "reference images"
"""Name of the natural images among the stores of a run."""


def named_restorers(restorers: Mapping[str, Estimator | Sampler]) -> dict[str, Restorer]:
    """The restorers, plain callables as such, under names that every file, page and terminal can hold.

    Raises:
        InputError: none, or a name that is no text, is taken, or differs from another in unprintable characters only.
    """
    if not isinstance(restorers, Mapping) or not restorers:
        found = "none" if isinstance(restorers, Mapping) else type(restorers).__name__
        raise InputError(f"restorers: found {found}, expected a dict with at least one name and callable")
    for name in restorers:
        if not isinstance(name, str) or not name.strip() or name == REFERENCE:
            raise InputError(f"restorers: found one named {name!r}, expected another name")
    named = {printable(name): function for name, function in restorers.items()}
    if len(named) < len(restorers):
        raise InputError("restorers: found names that differ in unprintable characters only, expected others")
    return {name: as_restorer(name, function) for name, function in named.items()}


class Compiled:
    """The programs of one run, made once for all restorers that differ in parameters only.

    Args:
        restorers: by name.
        protocol: the settings.
    """

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

    def made(self, make: Callable[[Computation], Callable[..., Any]], name: str) -> Callable[..., Any]:
        """Another program of a restorer, `(...) -> ...`, which `make` gives for its computation with parameters first.

        Args:
            make: cached, so that members of a family share what it makes.
            name: of the restorer.
        """
        return functools.partial(make(self._computations[name]), self._params[name])


class Entered(NamedTuple):
    """A run, and the restorers that passed their trial.

    Attributes:
        run: examples and settings.
        restorers: by name.
        compiled: their programs.
        trials: what the first batch showed of them.
    """

    run: Run
    restorers: dict[str, Restorer]
    compiled: Compiled
    trials: dict[str, Trial]


def entered(
    key: Key,
    restorers: dict[str, Restorer],
    examples: Examples,
    degradation: Degradation,
    protocol: Protocol,
    *,
    batch_size: int,
    progress: bool,
    together: int | None = None,
    chosen: Callable[[dict[str, Restorer], Run], dict[str, Restorer]] | None = None,
) -> Entered:
    """Prepare a run and try the restorers; nothing is written.

    Args:
        key: of the run.
        restorers: of `named_restorers`.
        examples: what is evaluated.
        degradation: makes y.
        protocol: the settings that decide numbers.
        batch_size: as of `Run`.
        progress: as of `Run`.
        together: as of `Run`.
        chosen: changes restorers once the run is known, before they are tried.

    Raises:
        InputError: a restorer fails, or returns another shape, layout, dtype or range, or NaN.
    """
    degrade = degrader(degradation, bits=protocol.measurement_bits)
    run = prepare(key, examples, degrade, protocol=protocol)
    run = run._replace(batch_size=batch_size, progress=progress, together=together)
    restorers = restorers if chosen is None else chosen(restorers, run)
    compiled = Compiled(restorers, protocol)
    asked, restorers = restorers, {n: _placed(run, n, restorer, compiled) for n, restorer in restorers.items()}
    traced = {name: restorer for name, restorer in restorers.items() if not restorer.host}
    trials = {name: _tried(run, name, restorer, compiled) for name, restorer in traced.items()}
    transferred = most_telling(traced, trials)
    transfer = trials[transferred].programs.attack if transferred else None
    for name in restorers:
        if name not in trials:
            trials[name] = try_on_host(run, name, restorers[name], transfer, transferred=transferred)
            if asked[name].host is None:
                words = "JAX cannot trace it; it runs on the host, measured without a gradient's attack"
                warnings.warn(f"restorer {name}: {words}", stacklevel=3)
    trials = {name: trials[name] for name in restorers}
    return Entered(run, _with_records(restorers, trials), compiled, trials)


def _placed(run: Run, name: str, restorer: Restorer, compiled: Compiled) -> Restorer:
    """The restorer, which knows now whether it runs on the host."""
    if restorer.host is not None:
        return restorer
    return replace(restorer, host=not traceable(run, compiled.programs(name)))


def _tried(run: Run, name: str, restorer: Restorer, compiled: Compiled) -> Trial:
    if isinstance(restorer, StoredRestorer):
        return try_outputs(run, name, restorer, compiled.programs(name))
    return try_restorer(run, name, compiled.programs(name), differentiable=restorer.differentiable)


def most_telling(
    restorers: Mapping[str, Restorer], trials: Mapping[str, Trial], *, but: str | None = None
) -> str | None:
    """Of those that can be attacked the first network, or the first of all: others are tried with its attack.

    Args:
        restorers: by name.
        trials: what the first batch showed of them.
        but: one that is not asked for.
    """
    attacked = [name for name, trial in trials.items() if trial.differentiable and name != but]
    return next((name for name in attacked if restorers[name].cost), attacked[0] if attacked else None)


def _with_records(restorers: dict[str, Restorer], trials: Mapping[str, Trial]) -> dict[str, Restorer]:
    """The restorers, those from folders with what was found there."""
    found = {name: trial.outputs.record for name, trial in trials.items() if trial.outputs is not None}
    return {
        name: replace(restorer, weights=found[name]) if name in found else restorer
        for name, restorer in restorers.items()
    }


def claimed(out: Path, record: Mapping[str, Any], trials: Mapping[str, Trial], *, accept_other_code: bool) -> Path:
    """Claim a folder for a run with this record, and return the folder of its state.

    Raises:
        InputError: it belongs to another run, or to one that had another restorer under one of the names.
    """

    def claim() -> Path:
        state = open_run(out, record, code=code_sha256(), accept_other_code=accept_other_code)
        for name, trial in trials.items():
            BatchStore(state, name).check_probe(name, trial.output)
        return state

    return main_first(claim) or out / "state"
