"""Reading the record of an evaluation run: the dict of `results.json`.

`read_record` is the one way from a file to a record: it checks version and structure. Figures and tables read values
here, so that null, infinite and missing ones mean the same in all of them: undefined is NaN, infinite is `inf`, and a
metric that a restorer lacks is `None`.
"""

import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxpr.core import InputError, given_path, printable, read_json
from jaxpr.records.metric_table import in_order
from jaxpr.records.results import SCHEMA_VERSION
from jaxpr.records.schema import check_schema

__all__ = [
    "Measured",
    "MissingMetricError",
    "best_names",
    "check_record",
    "feature_names",
    "measured",
    "metric_names",
    "read_record",
    "restorer_names",
]

_FILE = "results.json"
_LONGEST = 60
_MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""From a schema version to the next one; version 1 is the first."""


class MissingMetricError(InputError):
    """The record lacks the metrics that a figure needs. The page then says so in the figure's place."""


class Measured(NamedTuple):
    """One recorded number.

    Attributes:
        value: the number, NaN if undefined, `inf` if infinite.
        stderr: its standard error, NaN if unknown.
        note: the record's remark on it, or "".
    """

    value: float
    stderr: float
    note: str


def read_record(run: Path | str, *, name: str = "run") -> dict[str, Any]:
    """The record of a finished run, in the present version, checked against `results.schema.json`.

    Args:
        run: the run's folder, or its `results.json`.
        name: of the argument, for messages.

    Raises:
        InputError: no such file, no JSON, a version that this jaxpr does not know, or another structure; one line that
            names the file and the place in it.
    """
    path = given_path(run)
    path = path if path.name == _FILE else path / _FILE
    if not path.exists():
        raise InputError(f"{name}: found no {_FILE} in {printable(path.parent)}, expected the folder of a finished run")
    record = read_json(name, path, expected="the record of a finished run")
    version = record.get("schema_version")
    if type(version) is not int or version < 1:
        found = printable(repr(version))[:_LONGEST]
        raise InputError(f"{name}: found schema_version {found} in {printable(path)}, expected a number from 1")
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{name}: found schema_version {version} in {printable(path)}, written by a newer jaxpr, expected at most "
            f"{SCHEMA_VERSION}; update jaxpr"
        )
    for older in range(version, SCHEMA_VERSION):
        record = _MIGRATIONS[older](record)
    try:
        check_schema(record)
        check_record(record)
    except InputError as error:
        raise InputError(f"{name}: {printable(path)}: {error}") from error
    return record


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def check_record(record: Mapping[str, Any]) -> None:
    """Raise unless `record` has at least one restorer, each with a name of its own and a dict of metrics.

    Args:
        record: the dict of `results.json`.

    Raises:
        InputError: no restorers, a restorer without name or metrics, a name used twice, a value that is no number.
    """
    restorers = record.get("restorers") if isinstance(record, Mapping) else None
    if not isinstance(restorers, Sequence) or isinstance(restorers, str) or not restorers:
        raise InputError("record: found no restorers, expected at least one under 'restorers'")
    seen: set[str] = set()
    for entry in restorers:
        if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str) or not entry["name"]:
            raise InputError("record: found a restorer without a name, expected {'name': ..., 'metrics': {...}}")
        if entry["name"] in seen:
            raise InputError(f"record: found two restorers named {entry['name']!r}, expected different names")
        seen.add(entry["name"])
        if not isinstance(entry.get("metrics"), Mapping):
            raise InputError(f"record: found no metrics for restorer {entry['name']!r}, expected a dict")
        for metric, cell in entry["metrics"].items():
            _check_cell(f"{entry['name']}.{metric}", cell)
        for part in ("curves", "labels"):
            if not isinstance(entry.get(part, {}), Mapping):
                raise InputError(f"record: found no dict under {part} of restorer {entry['name']!r}, expected one")
        for name, curve in entry.get("curves", {}).items():
            columns = curve.values() if isinstance(curve, Mapping) else [None]
            if not all(isinstance(column, Sequence) and not isinstance(column, str) for column in columns):
                raise InputError(f"record: found no columns of numbers in curve {entry['name']}.{name}, expected them")


def _check_cell(where: str, cell: object) -> None:
    if not isinstance(cell, Mapping):
        raise InputError(f"record: found {cell!r} for {where}, expected {{'value': ..., 'stderr': ...}}")
    for field in ("value", "stderr"):
        number = cell.get(field)
        if number is not None and not _is_number(number):
            raise InputError(f"record: found {field} {number!r} for {where}, expected a number or null")


def restorer_names(record: Mapping[str, Any]) -> list[str]:
    """Names of the restorers, in the order of the record."""
    return [entry["name"] for entry in record["restorers"]]


def metric_names(record: Mapping[str, Any]) -> list[str]:
    """All metrics of the record: known ones in the order of `METRICS`, then unknown ones as they come."""
    return in_order(name for entry in record["restorers"] for name in entry["metrics"])


def feature_names(record: Mapping[str, Any], prefix: str) -> list[str]:
    """Feature networks for which `prefix` (for example `joint_fd_`) was recorded, in the record's order."""
    names = [name for entry in record["restorers"] for name in entry["metrics"]]
    return list(dict.fromkeys(name.removeprefix(prefix) for name in names if name.startswith(prefix)))


def measured(entry: Mapping[str, Any], metric: str) -> Measured | None:
    """What a restorer's entry says about `metric`, or None if it says nothing.

    A null value whose note speaks of infinity is `inf` (a PSNR of two equal images), every other null is NaN.
    """
    cell = entry["metrics"].get(metric)
    if cell is None:
        return None
    note = str(cell.get("note") or "")
    value, stderr = cell.get("value"), cell.get("stderr")
    if value is None:
        value = math.inf if "infin" in note.lower() or "∞" in note else math.nan
    known = stderr is not None and math.isfinite(stderr) and stderr >= 0 and math.isfinite(value)
    return Measured(float(value), float(stderr) if known and stderr is not None else math.nan, note)


def best_names(record: Mapping[str, Any], metric: str, *, direction: int) -> set[str]:
    """Restorers with the best value of `metric`; several if equal, none if there is nothing to compare.

    Args:
        record: the dict of `results.json`.
        metric: its name in the record.
        direction: +1 if higher is better, -1 if lower is better, 0 if neither.
    """
    values = {}
    for entry in record["restorers"]:
        found = measured(entry, metric)
        if found is not None and not math.isnan(found.value):
            values[entry["name"]] = direction * found.value
    if direction == 0 or len(values) < 2:
        return set()
    return {name for name, value in values.items() if value == max(values.values())}
