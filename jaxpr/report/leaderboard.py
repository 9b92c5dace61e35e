"""The page of many runs: for each protocol a table that a click sorts, and a card for each restorer."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxpr.core import claim_folder, utf8, write_atomically
from jaxpr.records.metric_table import MetricInfo, metric_info
from jaxpr.records.reading import measured, metric_names
from jaxpr.report.samples import Strip
from jaxpr.report.tables import flattened, metric_rows, metric_tables
from jaxpr.report.templates import render
from jaxpr.report.text import elide
from jaxpr.report.thumbnails import LARGEST_SIDE, thumbnails
from jaxpr.report.words import resizing_words, strength

__all__ = ["Board", "leading_first", "protocol_titles", "write_leaderboard"]

_FIRST = "joint_fd_"
"""What tables are sorted by at first. It alone among the main measures asks for outputs that look natural and belong
to their inputs: by PSNR averages lead, by FD one that ignores its input could, by K̄ one that does next to nothing."""
_LONGEST = 40
_MOST_FIELDS = 3
_CODE = {"code_sha256": "jaxpr's code", "earlier_code_sha256": "the code that began them"}


class Board(NamedTuple):
    """Runs of one protocol.

    Attributes:
        title: of the protocol.
        record: of all of them, as in `results.json`; its provenance holds those of the runs.
        run_of: by restorer the position of its run among `record["provenance"]["runs"]`.
        strips: sample images, as far as runs keep them.
    """

    title: str
    record: Mapping[str, Any]
    run_of: Mapping[str, int]
    strips: Sequence[Strip] = ()


def write_leaderboard(boards: Sequence[Board], *, out: Path) -> Path:
    """Write `out/leaderboard.html`, one page that loads nothing; the same input gives the same bytes.

    Args:
        boards: at least one; of different protocols, which are never ranked together.
        out: folder, made if it does not exist.

    Raises:
        InputError: a strip's images do not fit together, or a file is in the way of `out`.
    """
    claim_folder("out", out)
    shown = [_shown(f"p{number}", board) for number, board in enumerate(boards, 1)]
    columns = {info.key: info for part in shown for info in part["columns"]}
    counts = {"restorers": sum(len(part["cards"]) for part in shown), "runs": sum(len(part["runs"]) for part in shown)}
    page = render(
        "leaderboard.html",
        {"boards": shown, "columns": list(columns.values()), "counts": counts, "largest": LARGEST_SIDE},
    )
    write_atomically(out / "leaderboard.html", utf8(page))
    return out / "leaderboard.html"


def leading_first(record: Mapping[str, Any]) -> tuple[MetricInfo | None, list[Mapping[str, Any]]]:
    """By what a table is sorted at first, and the restorers in this order, those without a value last.

    Args:
        record: of one protocol.

    Returns:
        The joint Fréchet distance where the record has it, else its first main measure, else None; and its entries.
    """
    main = [info for info in map(metric_info, metric_names(record)) if info.column and info.direction]
    info = next((info for info in main if info.key.startswith(_FIRST)), main[0] if main else None)
    entries: list[Mapping[str, Any]] = list(record["restorers"])
    if info is None:
        return None, entries

    def place(entry: Mapping[str, Any]) -> float:
        found = measured(entry, info.key)
        return math.inf if found is None or math.isnan(found.value) else -info.direction * found.value

    return info, sorted(entries, key=place)


def protocol_titles(protocols: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of each protocol degradation and data; where others have the same, also the fields that differ among them.

    Args:
        protocols: different ones, as in records.
    """
    short = [f"{protocol.get('degradation')} on {protocol.get('data')}" for protocol in protocols]
    titles = []
    for protocol, title in zip(protocols, short, strict=True):
        alike = [other for other, found in zip(protocols, short, strict=True) if found == title]
        fields = dict.fromkeys(name for other in alike for name in other)
        differing = [name for name in fields if any(other.get(name) != protocol.get(name) for other in alike)]
        parts = [f"{name} {_field(protocol.get(name))}" for name in differing[:_MOST_FIELDS]]
        more = len(differing) - len(parts)
        titles.append(", ".join([title, *parts, *([f"and {more} more fields"] if more else [])]))
    return titles


def _field(value: Any) -> str:
    return elide(" ".join(text for _, text in flattened({"": value})), _LONGEST)


def _shown(place: str, board: Board) -> dict[str, Any]:
    """What the template needs of one protocol."""
    record = board.record
    first, entries = leading_first(record)
    columns = [info for info in map(metric_info, metric_names(record)) if info.column]
    sorted_record = {**record, "references": {}, "restorers": entries}
    runs = record["provenance"]["runs"]
    cards = [_card(f"{place}-{number}", entry, board) for number, entry in enumerate(entries, 1)]
    by_name = {card["name"]: card for card in cards}
    rows = [
        row | {"card": by_name[row["name"]]["place"], "run": by_name[row["name"]]["run"] if len(runs) > 1 else ""}
        for row in metric_rows(sorted_record, columns)
    ]
    return {
        "place": place,
        "title": board.title,
        "about": _about(record["protocol"], runs[0].get("presets") or {}),
        "first": first,
        "columns": columns,
        "rows": rows,
        "tables": metric_tables({**record, "restorers": entries}),
        "cards": cards,
        "protocol": flattened(record["protocol"]),
        "runs": [{"folder": run["folder"], "facts": flattened(run)} for run in runs],
        "differing": [_CODE.get(name, name) for name in record["provenance"].get("versions_that_differ", {})],
    }


def _about(protocol: Mapping[str, Any], presets: Mapping[str, Any]) -> str:
    """What was measured on, and how it was attacked."""
    examples, images, crop = (protocol.get(name) for name in ("examples", "images", "crop"))
    parts = [f"{examples} examples" + (f" of {images} images" if images else "")]
    parts += [words] if (words := resizing_words(protocol)) else []
    parts += [f"crops of {crop} × {crop} pixels" if crop else "whole images"]
    parts += [f"features of {protocol['features']}"] if protocol.get("features") else []
    alpha = protocol.get("alpha")
    attack = "no attack" if protocol.get("attack") is None else f"attack {protocol['attack']}"
    parts += [attack + (f", α = {strength(alpha)}" if alpha is not None else "")]
    parts += [f"protocol {' and '.join(presets)}"] if presets else []
    return "; ".join(parts)


def _card(place: str, entry: Mapping[str, Any], board: Board) -> dict[str, Any]:
    """What is said of one restorer."""
    name = entry["name"]
    run = board.record["provenance"]["runs"][board.run_of[name]]
    facts = [("run", run["folder"])]
    facts += [("made from", entry["label"])] if entry.get("label") not in ("", None, name) else []
    weights = flattened({"weights": entry.get("weights") or "none recorded"})
    facts += [(path.replace(".", " "), text) for path, text in weights]
    facts += [(what, text) for what, text in _of_run(run) if text]
    return {
        "place": place,
        "name": name,
        "run": run["folder"],
        "facts": facts,
        "commands": _commands(run),
        "strips": [(strip.name, thumbnails(strip, name)) for strip in board.strips if name in strip.outputs],
    }


def _of_run(run: Mapping[str, Any]) -> list[tuple[str, str]]:
    libraries = run.get("libraries")
    jax = libraries.get("jax") if isinstance(libraries, Mapping) else None
    versions = [f"{what} {found}" for what, found in (("jaxpr", run.get("jaxpr")), ("jax", jax)) if found]
    devices = run.get("devices")
    return [
        ("versions", ", ".join(versions)),
        ("code", str(run.get("code_sha256") or "")),
        ("devices", ", ".join(map(str, devices)) if isinstance(devices, list) else ""),
        ("finished", str(run.get("finished") or "")),
    ]


def _commands(run: Mapping[str, Any]) -> list[str]:
    """The command of a run, or those of the runs that were merged into it."""
    if isinstance(run.get("command"), str):
        return [run["command"]]
    runs = run.get("runs")
    merged = runs if isinstance(runs, list) else []
    return [command for part in merged if isinstance(part, Mapping) for command in _commands(part)]
