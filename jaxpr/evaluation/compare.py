"""Several finished runs of one protocol as one table and one set of figures."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxpr.core import InputError, claim_folder, given_path, printable, read_json, write_atomically
from jaxpr.evaluation.pictures import load_strips
from jaxpr.evaluation.state import BatchStore
from jaxpr.records import check_record
from jaxpr.records.differences import compared
from jaxpr.records.results import SCHEMA_VERSION, from_record, record_csv, record_json, to_record
from jaxpr.report import Strip, write_report

__all__ = ["compare"]

_RECORD = "results.json"


def compare(runs: Sequence[Path | str], *, out: Path | str, baseline: str | None = None) -> dict[str, Any]:
    """Merge runs and write `results.json`, `results.csv`, `report.html` and figures into `out`.

    Restorers keep their names; one that several runs have under the same name with the same numbers appears once, with
    other numbers under `name [run folder]`.

    Args:
        runs: folders of finished runs, or their `results.json` files; at least two.
        out: folder for the merged report; not the folder of a run.
        baseline: name, in the merged record, of the restorer that the others' differences are from; None for the first.

    Returns:
        The merged record, as in `results.json`.

    Raises:
        InputError: fewer than two runs, a folder without results, a damaged record, `out` is a run's folder, or
            protocols differ; the message names the field and both values.
    """
    out = given_path(out)
    if len(runs) < 2:
        raise InputError(f"runs: found {len(runs)}, expected at least two folders of finished runs")
    given = [given_path(run) for run in runs]
    folders = [run.parent if run.name == _RECORD else run for run in given]
    if (out / "protocol.json").exists() or out.resolve() in {folder.resolve() for folder in folders}:
        raise InputError(f"out: found the folder of a run at {out}, expected another folder")
    records = [_read(folder) for folder in folders]
    for folder, record in zip(folders[1:], records[1:], strict=True):
        _check_comparable(folders[0], records[0], folder, record)
    names, differing = _names(folders, records), _differing_versions(folders, records)
    if differing:
        shown = "; ".join(f"{name} {', '.join(str(v)[:12] for v in by.values())}" for name, by in differing.items())
        warnings.warn(f"runs: computed by different versions ({shown}); their numbers may differ by that", stacklevel=2)
    merged = {
        "schema_version": SCHEMA_VERSION,
        "protocol": records[0]["protocol"],
        "provenance": {
            "runs": [
                {"folder": folder.name, **record.get("provenance", {})}
                for folder, record in zip(folders, records, strict=True)
            ],
            **({"versions_that_differ": differing} if differing else {}),
        },
        "references": records[0].get("references", {}),
        "restorers": [
            {**entry, "name": names[position, entry["name"]]}
            for position, record in enumerate(records)
            for entry in record["restorers"]
            if (position, entry["name"]) in names
        ],
    }
    merged = to_record(compared(from_record(merged), baseline=baseline))
    claim_folder("out", out)
    write_atomically(out / "results.csv", record_csv(merged))
    write_atomically(out / _RECORD, record_json(merged))
    write_report(merged, _strips(folders, records, names), out=out)
    return merged


def _read(folder: Path) -> dict[str, Any]:
    path = folder / _RECORD
    if not path.exists():
        raise InputError(f"runs: found no {_RECORD} in {printable(folder)}, expected the folder of a finished run")
    record = read_json("runs", path, expected="the record of a finished run")
    if (found := record.get("schema_version")) != SCHEMA_VERSION:
        raise InputError(
            f"runs: found schema_version {found!r} in {printable(path)}, expected {SCHEMA_VERSION}; evaluate again, or "
            "compare with the version of jaxpr that wrote it"
        )
    for part in ("protocol", "provenance"):
        if not isinstance(record.setdefault(part, {}), dict) or not (record["protocol"] or part != "protocol"):
            raise InputError(f"runs: found no {part} in {printable(path)}, expected the record of a finished run")
    try:
        check_record(record)
    except InputError as error:
        raise InputError(f"runs: {printable(path)}: {error}") from error
    return record


def _differing_versions(folders: Sequence[Path], records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of jaxpr, its code and the libraries: those that are not the same in all runs, by run."""
    versions = [_versions(record["provenance"]) for record in records]
    names = dict.fromkeys(name for found in versions for name in found)
    runs = [f"{number}: {printable(folder.name)}" for number, folder in enumerate(folders, 1)]
    return {
        name: {run: found.get(name, "unknown") for run, found in zip(runs, versions, strict=True)}
        for name in names
        if len({str(found.get(name)) for found in versions}) > 1
    }


def _versions(provenance: Mapping[str, Any]) -> dict[str, Any]:
    libraries = provenance.get("libraries")
    own = {name: provenance[name] for name in ("jaxpr", "code_sha256", "earlier_code_sha256") if name in provenance}
    return own | (dict(libraries) if isinstance(libraries, Mapping) else {})


def _check_comparable(first: Path, one: Mapping[str, Any], second: Path, other: Mapping[str, Any]) -> None:
    missing = object()
    for field in [*one["protocol"], *other["protocol"]]:
        a, b = one["protocol"].get(field, missing), other["protocol"].get(field, missing)
        if a != b:
            shown = ["nothing" if value is missing else repr(value) for value in (a, b)]
            raise InputError(
                f"runs: found {field} = {shown[0]} in {first} and {shown[1]} in {second}, expected one protocol"
            )


def _names(folders: Sequence[Path], records: Sequence[Mapping[str, Any]]) -> dict[tuple[int, str], str]:
    """For each (run, restorer) that is shown its name in the merged record."""
    seen: dict[str, Mapping[str, Any]] = {}
    names: dict[tuple[int, str], str] = {}
    for position, (folder, record) in enumerate(zip(folders, records, strict=True)):
        for entry in record["restorers"]:
            name = entry["name"]
            if name in seen and seen[name]["metrics"] == entry["metrics"]:
                continue
            shown = f"{name} [{folder.name}]" if name in seen else name
            if shown in seen:
                shown = f"{name} [{folder.name} {position + 1}]"
            seen[shown] = entry
            names[position, name] = shown
    return names


def _are_strips(shown: object) -> bool:
    return isinstance(shown, Mapping) and bool(shown) and all(str(number).isdecimal() for number in shown)


def _strips(
    folders: Sequence[Path], records: Sequence[Mapping[str, Any]], names: Mapping[tuple[int, str], str]
) -> list[Strip]:
    """The sample images of the runs whose state is still there, side by side."""
    strips: dict[str, Strip] = {}
    for position, (folder, record) in enumerate(zip(folders, records, strict=True)):
        shown = record.get("provenance", {}).get("strips", {})
        if not (folder / "state").is_dir() or not _are_strips(shown):
            continue
        kept = {names[position, e["name"]]: e["name"] for e in record["restorers"] if (position, e["name"]) in names}
        stores = {name: BatchStore(folder / "state", original) for name, original in kept.items()}
        reference = BatchStore(folder / "state", "reference images")
        numbers, count = {int(number): title for number, title in shown.items()}, record["protocol"].get("examples")
        if not isinstance(count, int) or not all(store.done(range(count)) for store in (reference, *stores.values())):
            continue
        for strip in load_strips(numbers, stores, reference, count=count):
            known = strips.get(strip.name)
            outputs = {**known.outputs, **strip.outputs} if known else strip.outputs
            strips[strip.name] = strip._replace(outputs=outputs)
    return list(strips.values())
