"""A page of many runs: what was measured in the same way is ranked together, and nothing else is."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jaxpr import report
from jaxpr.core import claim_folder, given_path, utf8, write_atomically
from jaxpr.evaluation.finished import FinishedRun, check_own_folder, finished_runs, merged_runs, samples_of
from jaxpr.records import to_record

__all__ = ["leaderboard"]

_VERSION = 1


def leaderboard(runs: Sequence[Path | str], *, out: Path | str) -> dict[str, Any]:
    """Write `leaderboard.html`, one page that loads nothing, and `leaderboard.json` into `out`.

    Runs of one protocol share a table that a click sorts; those of another one have their own. Restorers are named as
    `compare` names them, and each has a card: sample images, where the run's state is still there, file and hash of its
    weights, versions, and the command that makes the run again.

    Args:
        runs: folders of finished runs, or their `results.json` files; at least one.
        out: folder of the page; not the folder of a run.

    Returns:
        What `leaderboard.json` holds: `leaderboard_version` (1) and `protocols`, for each `title`, `record`, which is
        a `results.json` of the merged runs, and `run_of`, by restorer the position of its run among
        `record["provenance"]["runs"]`.

    Raises:
        InputError: no runs, a folder without results, a damaged record, or `out` is a run's folder.
    """
    out = given_path(out)
    check_own_folder(out, runs)
    groups = _by_protocol(finished_runs(runs, at_least=1))
    titles = report.protocol_titles([alike[0].record["protocol"] for alike in groups])
    boards = [_board(title, alike) for title, alike in zip(titles, groups, strict=True)]
    found = {
        "leaderboard_version": _VERSION,
        "protocols": [{"title": b.title, "record": dict(b.record), "run_of": dict(b.run_of)} for b in boards],
    }
    claim_folder("out", out)
    text = json.dumps(found, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_atomically(out / "leaderboard.json", utf8(text))
    report.write_leaderboard(boards, out=out)
    return found


def _by_protocol(runs: Sequence[FinishedRun]) -> list[list[FinishedRun]]:
    """Runs of equal protocols together, in the order in which the protocols come first."""
    groups: list[list[FinishedRun]] = []
    for run in runs:
        for group in groups:
            if group[0].record["protocol"] == run.record["protocol"]:
                group.append(run)
                break
        else:
            groups.append([run])
    return groups


def _board(title: str, runs: Sequence[FinishedRun]) -> "report.Board":
    merged = merged_runs(runs)
    run_of = {shown: position for (position, _), shown in merged.names.items()}
    return report.Board(title, to_record(merged.results), run_of, tuple(samples_of(runs, merged.names)))
