"""Finished runs: read, merged under names that tell them apart, and the sample images that they keep."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxpr.core import InputError, given_path, printable
from jaxpr.evaluation.pictures import load_strips
from jaxpr.evaluation.state import BatchStore
from jaxpr.records.reading import read_record
from jaxpr.records.results import Results, from_record
from jaxpr.report.samples import Strip

__all__ = ["FinishedRun", "Merged", "check_own_folder", "finished_runs", "merged_runs", "samples_of"]

_RECORD = "results.json"


class FinishedRun(NamedTuple):
    """A run that has ended.

    Attributes:
        folder: where it lies.
        record: its checked `results.json`.
    """

    folder: Path
    record: dict[str, Any]

    @property
    def name(self) -> str:
        """The folder's, also where it was given as `.`."""
        return self.folder.resolve().name


class Merged(NamedTuple):
    """Several runs of one protocol as one.

    Attributes:
        results: without differences; their provenance holds those of the runs.
        names: for each (number of a run, restorer) that is shown its name in the results.
    """

    results: Results
    names: dict[tuple[int, str], str]


def finished_runs(runs: Sequence[Path | str], *, at_least: int) -> list[FinishedRun]:
    """Read and check the records of runs.

    Args:
        runs: their folders, or their `results.json` files.
        at_least: so many are expected.

    Raises:
        InputError: too few, a folder without results, or a record that `read_record` refuses.
    """
    if len(runs) < at_least:
        words = {1: "one folder of a finished run", 2: "two folders of finished runs"}[at_least]
        raise InputError(f"runs: found {len(runs)}, expected at least {words}")
    return [FinishedRun(folder, read_record(folder, name="runs")) for folder in map(_folder, runs)]


def check_own_folder(out: Path, runs: Sequence[Path | str]) -> None:
    """Raise if `out` is the folder of a run, which nothing else may be written to."""
    if (out / "protocol.json").exists() or out.resolve() in {_folder(run).resolve() for run in runs}:
        raise InputError(f"out: found the folder of a run at {printable(out)}, expected another folder")


def _folder(run: Path | str) -> Path:
    path = given_path(run)
    return path.parent if path.name == _RECORD else path


def merged_runs(runs: Sequence[FinishedRun]) -> Merged:
    """Runs of one protocol as one.

    Restorers keep their names; one that several runs have under the same name with the same numbers appears once, with
    other numbers under `name [run folder]`.
    """
    names, differing = _names(runs), _differing_versions(runs)
    provenance = {
        "runs": [{"folder": None} | run.record["provenance"] | {"folder": run.name} for run in runs],
        **({"versions_that_differ": differing} if differing else {}),
    }
    found = [from_record(run.record) for run in runs]
    restorers = tuple(
        restorer._replace(name=names[position, restorer.name], differences={})
        for position, results in enumerate(found)
        for restorer in results.restorers
        if (position, restorer.name) in names
    )
    return Merged(Results(found[0].protocol, provenance, restorers, found[0].references), names)


def _names(runs: Sequence[FinishedRun]) -> dict[tuple[int, str], str]:
    """For each (run, restorer) that is shown its name in the merged record."""
    seen: dict[str, Mapping[str, Any]] = {}
    names: dict[tuple[int, str], str] = {}
    for position, run in enumerate(runs):
        for entry in run.record["restorers"]:
            name = entry["name"]
            if name in seen and seen[name]["metrics"] == entry["metrics"]:
                continue
            shown = f"{name} [{run.name}]" if name in seen else name
            if shown in seen:
                shown = f"{name} [{run.name} {position + 1}]"
            seen[shown] = entry
            names[position, name] = shown
    return names


def _differing_versions(runs: Sequence[FinishedRun]) -> dict[str, dict[str, Any]]:
    """Of jaxpr, its code and the libraries: those that are not the same in all runs, by run."""
    versions = [_versions(run.record["provenance"]) for run in runs]
    names = dict.fromkeys(name for found in versions for name in found)
    shown = [f"{number}: {printable(run.name)}" for number, run in enumerate(runs, 1)]
    return {
        name: {run: found.get(name, "unknown") for run, found in zip(shown, versions, strict=True)}
        for name in names
        if len({str(found.get(name)) for found in versions}) > 1
    }


def _versions(provenance: Mapping[str, Any]) -> dict[str, Any]:
    libraries = provenance.get("libraries")
    own = {name: provenance[name] for name in ("jaxpr", "code_sha256", "earlier_code_sha256") if name in provenance}
    return own | (dict(libraries) if isinstance(libraries, Mapping) else {})


def samples_of(runs: Sequence[FinishedRun], names: Mapping[tuple[int, str], str]) -> list[Strip]:
    """The sample images of the runs whose state is still there, side by side.

    Args:
        runs: of one protocol.
        names: of `merged_runs`.
    """
    strips: dict[str, Strip] = {}
    for position, (folder, record) in enumerate(runs):
        shown = record["provenance"].get("strips", {})
        if not (folder / "state").is_dir() or not _are_strips(shown):
            continue
        kept = {names[position, e["name"]]: e["name"] for e in record["restorers"] if (position, e["name"]) in names}
        stores = {name: BatchStore(folder / "state", original) for name, original in kept.items()}
        reference = BatchStore(folder / "state", "reference images")
        numbers, count = {int(number): title for number, title in shown.items()}, record["protocol"]["examples"]
        if not all(store.done(range(count)) for store in (reference, *stores.values())):
            continue
        for strip in load_strips(numbers, stores, reference, count=count):
            known = strips.get(strip.name)
            outputs = {**known.outputs, **strip.outputs} if known else strip.outputs
            strips[strip.name] = strip._replace(outputs=outputs)
    return list(strips.values())


def _are_strips(shown: object) -> bool:
    return isinstance(shown, Mapping) and bool(shown) and all(str(number).isdecimal() for number in shown)
