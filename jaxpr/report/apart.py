"""What the page says about differences: how large they are on the same photographs, and how many would decide."""

from collections.abc import Mapping
from typing import Any

from jaxpr.records.metric_table import MetricInfo, metric_info
from jaxpr.records.reading import metric_names
from jaxpr.report.text import format_value

__all__ = ["differences_shown"]

_MOST = 100_000  # photographs; more are no advice


def differences_shown(record: Mapping[str, Any]) -> dict[str, Any] | None:
    """The table of differences from the baseline in the metrics of the short table; None where the record has none.

    Args:
        record: the dict of `results.json`.
    """
    baseline = record.get("baseline")
    entries = [entry for entry in record["restorers"] if entry.get("differences")]
    columns = [info for info in map(metric_info, metric_names(record)) if info.column and _asked(info, entries)]
    if baseline is None or not entries or not columns:
        return None
    return {
        "lead": _lead(record, baseline),
        "columns": columns,
        "rows": [
            {"name": entry["name"], "cells": [_cell(entry, info) for info in columns], "reference": False}
            for entry in entries
        ],
    }


def _asked(info: MetricInfo, entries: list[Mapping[str, Any]]) -> bool:
    return any(info.key in entry["differences"] for entry in entries)


def _lead(record: Mapping[str, Any], baseline: str) -> str:
    count = (record.get("protocol") or {}).get("images")
    photographs = f" {count} photographs" if isinstance(count, int) else " photographs"
    return (
        f"Differences from {baseline}. All restorers saw the same{photographs}, so a difference is far more certain "
        "than two numbers with their own errors. ± is its error over photographs, both sides left out together. "
        "Grey ones are not told apart (95 % interval); below them is how many photographs would do in four of five "
        "cases. Point at a number for its interval and p-values; after Holm, p is corrected for the column."
    )


def _cell(entry: Mapping[str, Any], info: MetricInfo) -> dict[str, Any]:
    found = entry["differences"].get(info.key)
    if found is None:
        return {"value": "–", "stderr": "", "sort": "", "note": "not known", "mark": "", "needed": ""}
    value, error, low, high = (found[part] * info.scale for part in ("value", "stderr", "low", "high"))
    shown, _, stderr = format_value(value, error).partition(" ± ")
    apart = not low <= 0 <= high
    return {
        "value": shown if shown.startswith("-") else f"+{shown}",
        "stderr": stderr,
        "sort": repr(value),
        "note": f"95 %: {low:.4g} to {high:.4g}; p = {found['p']:.2g}, after Holm {found['p_holm']:.2g}",
        "mark": "apart" if apart else "unclear",
        "needed": "" if apart else _needed(found["needed"]),
    }


def _needed(count: int | None) -> str:
    if count is None:
        return "no difference"
    return f"{count:,} would do" if count <= _MOST else f"over {_MOST:,} needed"
