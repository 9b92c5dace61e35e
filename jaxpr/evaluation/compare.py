"""Several finished runs of one protocol as one table and one set of figures."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxpr import report
from jaxpr.core import InputError, claim_folder, given_path, printable, write_atomically
from jaxpr.evaluation.finished import FinishedRun, check_own_folder, finished_runs, merged_runs, samples_of
from jaxpr.records.along import usual_baseline
from jaxpr.records.differences import compared
from jaxpr.records.results import record_csv, record_json, to_record

__all__ = ["compare"]


def compare(runs: Sequence[Path | str], *, out: Path | str, baseline: str | None = None) -> dict[str, Any]:
    """Merge runs and write `results.json`, `results.csv`, `report.html` and figures into `out`.

    Restorers keep their names; one that several runs have under the same name with the same numbers appears once, with
    other numbers under `name [run folder]`.

    Args:
        runs: folders of finished runs, or their `results.json` files; at least two.
        out: folder for the merged report; not the folder of a run.
        baseline: name, in the merged record, of the restorer that the others' differences are from; None as of
            `evaluate`.

    Returns:
        The merged record, as in `results.json`.

    Raises:
        InputError: fewer than two runs, a folder without results, a damaged record, `out` is a run's folder, or
            protocols differ; the message names the field and both values.
    """
    out = given_path(out)
    check_own_folder(out, runs)
    found = finished_runs(runs, at_least=2)
    for other in found[1:]:
        _check_comparable(found[0], other)
    merged = merged_runs(found)
    if differing := merged.results.provenance.get("versions_that_differ"):
        shown = "; ".join(f"{name} {', '.join(str(v)[:12] for v in by.values())}" for name, by in differing.items())
        warnings.warn(f"runs: computed by different versions ({shown}); their numbers may differ by that", stacklevel=2)
    usual = usual_baseline(merged.results) if baseline is None else baseline
    record = to_record(compared(merged.results, baseline=usual))
    claim_folder("out", out)
    write_atomically(out / "results.csv", record_csv(record))
    write_atomically(out / "results.json", record_json(record))
    report.write_report(record, samples_of(found, merged.names), out=out)
    return record


def _check_comparable(first: FinishedRun, second: FinishedRun) -> None:
    missing, (one, other) = object(), (run.record["protocol"] for run in (first, second))
    for field in [*one, *other]:
        a, b = one.get(field, missing), other.get(field, missing)
        if a != b:
            shown = ["nothing" if value is missing else repr(value) for value in (a, b)]
            raise InputError(
                f"runs: found {field} = {shown[0]} in {printable(first.folder)} and {shown[1]} in "
                f"{printable(second.folder)}, expected one protocol; --leaderboard lists several apart"
            )
