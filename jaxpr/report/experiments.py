"""What a reproduced experiment found: tables with errors, claims that hold or not, figures; as JSON, text and HTML."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from jaxpr.core import InputError, claim_folder, utf8, write_atomically
from jaxpr.report.templates import render
from jaxpr.report.text import aligned, format_value

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Cell",
    "Claim",
    "Experiment",
    "Picture",
    "Table",
    "experiment_record",
    "experiment_text",
    "write_experiment",
    "write_experiments_page",
]

SMOKE = "smoke"
NOT_MEANINGFUL = "scale smoke shows that everything runs; whether its claims hold says nothing"
SCREEN_PIXELS_PER_INCH = 100

Cell = str | float | None | tuple[float, float]
"""Text, a number, nothing, or a number and its error (standard error, or deviation over seeds as the table says)."""


class Table(NamedTuple):
    """Numbers of an experiment.

    Attributes:
        title: what is in it, what the errors are.
        columns: headings, the first of the rows' names.
        rows: one cell for each column.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


class Claim(NamedTuple):
    """Something that a paper says, and whether these numbers say so too.

    Attributes:
        text: the claim, in one sentence.
        holds: whether it does here.
        found: the numbers behind the answer; where it does not hold, also why, as far as that is known.
    """

    text: str
    holds: bool
    found: str


class Picture(NamedTuple):
    """A figure and what to see in it."""

    figure: "Figure"
    caption: str


class Experiment(NamedTuple):
    """All that a script found.

    Attributes:
        name: of the script.
        title: for people.
        source: paper keys, sections, figures and tables that it reproduces.
        scale: smoke, small or paper.
        settings: what decides the numbers, JSON-able: sizes, seeds, steps.
        tables: numbers.
        claims: of the papers.
        pictures: by file name without suffix.
        remarks: sentences on what differs from the papers, and why.
    """

    name: str
    title: str
    source: str
    scale: str
    settings: Mapping[str, Any]
    tables: Sequence[Table]
    claims: Sequence[Claim]
    pictures: Mapping[str, Picture]
    remarks: Sequence[str] = ()


def experiment_record(found: Experiment, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Plain JSON-able values, as `record.json` holds them; numbers that are not finite are null.

    Raises:
        InputError: a row has not as many cells as its table has columns.
    """
    for table in found.tables:
        for row in table.rows:
            if len(row) != len(table.columns):
                raise InputError(
                    f"table {table.title!r}: found a row of {len(row)} cells, expected {len(table.columns)}"
                )
    return {
        "name": found.name,
        "title": found.title,
        "source": found.source,
        "scale": found.scale,
        "settings": _plain(found.settings),
        "tables": [_plain(table._asdict()) for table in found.tables],
        "claims": [_plain(claim._asdict()) for claim in found.claims],
        "pictures": [{"file": f"{name}.png", "caption": p.caption} for name, p in found.pictures.items()],
        "remarks": list(found.remarks),
        "provenance": _plain(provenance),
    }


def write_experiment(found: Experiment, out: Path, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Write `record.json` and the pictures into `out`, each whole or not at all; returns the record.

    Raises:
        InputError: `out` is a file, or a row has not as many cells as its table has columns.
    """
    record = experiment_record(found, provenance)
    from jaxpr.report.style import png_bytes  # brings matplotlib, which other commands need not wait for

    claim_folder("out", out)
    for picture, entry in zip(found.pictures.values(), record["pictures"], strict=True):
        entry["width"] = round(picture.figure.get_size_inches()[0] * SCREEN_PIXELS_PER_INCH)
    # Numbers first: no picture may cost them.
    text = json.dumps(record, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(out / "record.json", utf8(text))
    for name, picture in found.pictures.items():
        write_atomically(out / f"{name}.png", png_bytes(picture.figure))
    return record


def experiment_text(record: Mapping[str, Any]) -> str:
    """Tables and claims for a terminal."""
    parts = [f"{record['title']} ({record['source']}); scale {record['scale']}"]
    parts += [_text_table(table) for table in record["tables"]]
    parts += ["\n".join(f"{'yes' if c['holds'] else 'NO '} {c['text']}: {c['found']}" for c in record["claims"])]
    if record["scale"] == SMOKE and record["claims"]:
        parts.append(f"Note: {NOT_MEANINGFUL}")
    parts += [f"Note: {remark}" for remark in record["remarks"]]
    return "\n\n".join(part for part in parts if part)


def write_experiments_page(records: Sequence[tuple[Mapping[str, Any], Path]], out: Path) -> Path:
    """One HTML page, `out/index.html`, that holds everything, pictures included; it loads nothing from anywhere.

    Args:
        records: each with the folder where its pictures lie.
        out: folder of the page.

    Raises:
        InputError: `out` is a file.
    """
    shown = [
        {
            **record,
            "tables": [_shown(table) for table in record["tables"]],
            "settings": ", ".join(f"{name} = {_setting(value)}" for name, value in record["settings"].items()),
            "pictures": [
                picture | {"data": base64.b64encode((folder / picture["file"]).read_bytes()).decode("ascii")}
                for picture in record["pictures"]
            ],
        }
        for record, folder in records
    ]
    claims = [claim for record, _ in records if record["scale"] != SMOKE for claim in record["claims"]]
    held = sum(bool(claim["holds"]) for claim in claims)
    page = render(
        "experiments.html",
        {"experiments": shown, "held": held, "claims": len(claims), "smoke": SMOKE, "not_meaningful": NOT_MEANINGFUL},
    )
    claim_folder("out", out)
    write_atomically(out / "index.html", utf8(page))
    return out / "index.html"


def _shown(table: Mapping[str, Any]) -> dict[str, Any]:
    return {**table, "rows": [[_cell(cell) for cell in row] for row in table["rows"]]}


def _cell(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, list | tuple):
        return format_value(*cell)
    return format_value(cell)


def _setting(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(map(_setting, value)) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _text_table(table: Mapping[str, Any]) -> str:
    return "\n".join([table["title"], *aligned([table["columns"], *_shown(table)["rows"]])])


def _plain(value: Any) -> Any:
    """Nested values as JSON-able ones."""
    if isinstance(value, Mapping):
        return {str(name): _plain(part) for name, part in value.items()}
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value
