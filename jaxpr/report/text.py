"""Numbers with as many digits as their standard errors support, and the plain-text table for a terminal."""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from jaxpr.core import InputError
from jaxpr.records.differences import indistinct_names
from jaxpr.records.metric_table import MetricInfo, metric_info
from jaxpr.records.reading import best_names, check_record, measured, metric_names

__all__ = ["aligned", "elide", "format_value", "text_table"]

TABLE_WIDTH = 120
FINEST_DECIMALS = 6
NEGLIGIBLE = 1e-6
"""Errors below this share of the value are rounding of float32, not uncertainty."""


def format_value(value: float | None, stderr: float | None = None) -> str:
    """A number and its standard error, `25.9 ± 0.3`, with no more digits than the error supports.

    The error keeps one significant digit, or two if the first is a 1; the value is rounded to the same place. Without
    an error, or with one that is mere float32 rounding, the value has four significant digits.

    Args:
        value: the number; None and NaN (undefined) give `–`, infinity gives `∞`.
        stderr: its standard error; None, NaN or infinite if unknown.

    Returns:
        Text without unit.
    """
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if stderr is None or not math.isfinite(stderr) or stderr < 0:
        return _significant(value)
    if stderr < NEGLIGIBLE * abs(value) or stderr == 0:
        return f"{_significant(value)} ± 0"
    decimals = _decimals(stderr)
    largest = max(abs(value), stderr)
    if decimals > FINEST_DECIMALS or not 1e-4 <= largest < 1e6:  # by size, as without an error: alike in a column
        return _scientific(value, stderr)
    return f"{_rounded(value, decimals)} ± {_rounded(stderr, decimals)}"


def _decimals(stderr: float) -> int:
    """Decimals that show one significant digit of `stderr`, or two if the first is a 1; negative left of the point."""
    mantissa, exponent = f"{stderr:.0e}".split("e")
    leading = f"{stderr:.1e}"[0]
    return -int(exponent) + (1 if leading == "1" or mantissa == "1" else 0)


def _rounded(value: float, decimals: int) -> str:
    return f"{round(value, decimals) + 0.0:.{max(decimals, 0)}f}"


def _significant(value: float, digits: int = 4) -> str:
    if value == 0:
        return "0"
    exponent = _exponent(value)
    if exponent < -4 or exponent >= 6:
        return f"{value:.{digits - 1}e}"
    return _rounded(value, max(digits - 1 - exponent, 0))


def _scientific(value: float, stderr: float) -> str:
    last = _decimals(stderr)  # the place that both are rounded to
    value, stderr = round(value, last) + 0.0, round(stderr, last)
    return " ± ".join(f"{v:.{min(max(last + _exponent(v), 0), 15)}e}" if v else "0" for v in (value, stderr))


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0


def elide(name: str, limit: int) -> str:
    """`name` on one line and at most `limit` characters long, its middle replaced by `…` if needed."""
    flat = "".join(c if c.isprintable() else " " for c in name)
    if len(flat) <= limit:
        return flat
    head = (limit - 1 + 1) // 2
    return f"{flat[:head]}…{flat[len(flat) - (limit - 1 - head) :]}"


def text_table(record: Mapping[str, Any], *, columns: Sequence[str] | None = None) -> str:
    """An aligned plain-text table of a record, one restorer per line.

    `*` marks the best value of a column, `≈` those that the same photographs do not tell apart from it.

    Args:
        record: the dict of `results.json`.
        columns: metrics to show, as named in the record; None for the main ones that the record has. The standard
            errors are left out if the table is wider than 120 columns with them.

    Returns:
        Lines joined by newlines, without one at the end.

    Raises:
        InputError: no restorers, or a column that no restorer has.
    """
    check_record(record)
    known = metric_names(record)
    if columns is None:
        columns = [name for name in known if metric_info(name).column]
    for column in columns:
        if column not in known:
            raise InputError(f"columns: found {column!r}, expected one of {', '.join(known)}")
    for name_limit, errors in ((28, True), (18, True), (28, False), (18, False)):
        lines = _lines(record, columns, name_limit=name_limit, errors=errors)
        if max(_width(line) for line in lines) <= TABLE_WIDTH:
            break
    return "\n".join(lines)


def _lines(record: Mapping[str, Any], columns: Sequence[str], *, name_limit: int, errors: bool) -> list[str]:
    names = [elide(entry["name"], name_limit) for entry in record["restorers"]]
    table = [["restorer", "", *names]]
    for column in columns:
        info = metric_info(column)
        marks = dict.fromkeys(indistinct_names(record, column, direction=info.direction), "≈")
        marks |= dict.fromkeys(best_names(record, column, direction=info.direction), "*")
        cells = [_cell(entry, info, marks, errors=errors) for entry in record["restorers"]]
        name, detail = info.heading
        table.append([f"{name} ".replace("\N{NO-BREAK SPACE}", " "), f"{detail} ", *cells])
    return aligned(list(zip(*table, strict=True)), head=2)


def _cell(entry: Mapping[str, Any], info: MetricInfo, marks: Mapping[str, str], *, errors: bool) -> str:
    found = measured(entry, info.key)
    if found is None:
        return "– "
    text = format_value(found.value * info.scale, found.stderr * info.scale)
    if not errors:
        text = text.split(" ± ")[0]
    return text + marks.get(entry["name"], " ")


def aligned(rows: Sequence[Sequence[str]], *, left: int = 1, head: int = 0) -> list[str]:
    """A table's lines in a terminal, its columns two spaces apart.

    Args:
        rows: of equally many cells.
        left: so many first columns begin at one place, the others end at one.
        head: so many rows stand above a rule; 0 for none.
    """
    padded = [_pad(column, left=position < left) for position, column in enumerate(zip(*rows, strict=True))]
    lines = ["  ".join(row).rstrip() for row in zip(*padded, strict=True)]
    rule = ["─" * max(_width(line) for line in lines)] if head else []
    return [*lines[:head], *rule, *lines[head:]]


def _pad(cells: Sequence[str], *, left: bool) -> list[str]:
    width = max(_width(cell) for cell in cells)
    return [cell + " " * (width - _width(cell)) if left else " " * (width - _width(cell)) + cell for cell in cells]


def _width(text: str) -> int:
    """Columns that `text` takes in a terminal: combining marks take none, wide East Asian characters two."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)
