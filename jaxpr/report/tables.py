"""A record's numbers as tables of the page: shown text, what sorts it, remarks, and marks of the best."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxpr.records.differences import indistinct_names
from jaxpr.records.metric_table import GROUPS, MetricInfo, metric_info
from jaxpr.records.reading import best_names, measured, metric_names
from jaxpr.report.text import format_value

__all__ = ["flattened", "metric_rows", "metric_tables"]


def metric_tables(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The table of each group of metrics that the record has, with its title, columns and rows.

    Args:
        record: the dict of `results.json`.
    """
    columns = [metric_info(name) for name in metric_names(record)]
    tables = []
    for group in GROUPS:
        shown = [info for info in columns if info.group == group]
        if shown:
            tables.append({"title": group, "columns": shown, "rows": metric_rows(record, shown)})
    return tables


def metric_rows(record: Mapping[str, Any], columns: Sequence[MetricInfo]) -> list[dict[str, Any]]:
    """Rows of a table: references first; each of those that have any of the columns."""
    marks = {info.key: _marks(record, info) for info in columns}
    references = record.get("references") or {}
    beside = [{"name": "the truth", "metrics": references.get("truth") or {}}]
    beside += [*references.get("ceilings", ()), *([references["restorer"]] if "restorer" in references else [])]
    rows = [(entry, True) for entry in beside] + [(entry, False) for entry in record["restorers"]]
    return [
        {
            "name": entry["name"],
            "cells": [_cell(entry, info, {} if reference else marks[info.key]) for info in columns],
            "reference": reference,
        }
        for entry, reference in rows
        if any(info.key in entry["metrics"] for info in columns)
    ]


def _marks(record: Mapping[str, Any], info: MetricInfo) -> dict[str, str]:
    """Of a column: the best values, and those that are not told apart from them, by restorer."""
    near = indistinct_names(record, info.key, direction=info.direction)
    best = best_names(record, info.key, direction=info.direction)
    return dict.fromkeys(near, "near") | dict.fromkeys(best, "best")


def _cell(entry: Mapping[str, Any], info: MetricInfo, marks: Mapping[str, str]) -> dict[str, Any]:
    found = measured(entry, info.key)
    if found is None:
        return {"value": "–", "stderr": "", "sort": "", "note": "not measured", "mark": "", "needed": ""}
    shown, _, stderr = format_value(found.value * info.scale, found.stderr * info.scale).partition(" ± ")
    return {
        "value": shown,
        "stderr": stderr,
        "sort": "" if math.isnan(found.value) else _sortable(found.value),
        "note": found.note or ("undefined" if math.isnan(found.value) else ""),
        "mark": marks.get(entry["name"], ""),
        "needed": "",
    }


def _sortable(value: float) -> str:
    """A number as JavaScript reads it."""
    return ("Infinity" if value > 0 else "-Infinity") if math.isinf(value) else repr(value)


def flattened(tree: Any, *, path: str = "") -> list[tuple[str, str]]:
    """Nested dicts and lists as (dotted path, text) pairs in the given order."""
    if isinstance(tree, Mapping) and tree:
        return [
            pair for key, part in tree.items() for pair in flattened(part, path=f"{path}.{key}" if path else str(key))
        ]
    if isinstance(tree, Sequence) and not isinstance(tree, str) and any(isinstance(part, Mapping) for part in tree):
        return [pair for index, part in enumerate(tree) for pair in flattened(part, path=f"{path}[{index}]")]
    if isinstance(tree, Sequence) and not isinstance(tree, str):
        return [(path, ", ".join(str(part) for part in tree) or "–")]
    if isinstance(tree, Mapping):
        return [(path, "–")] if path else []
    if isinstance(tree, float | np.floating):
        return [(path, f"{tree:.8g}")]
    return [(path, "–" if tree is None else str(tree))]
