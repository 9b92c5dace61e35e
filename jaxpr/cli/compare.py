"""`jaxpr compare` and `jaxpr export`: finished runs side by side, and their numbers for other programs."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from jaxpr.cli.evaluate import print_report
from jaxpr.core import InputError, given_path
from jaxpr.evaluation import compare, export_results, leaderboard
from jaxpr.report import text_table

__all__ = ["Compare", "Export"]


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Merge finished runs of one protocol into one table and one set of figures, or list many on a leaderboard."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Folders of finished runs."""

    out: Path
    """Folder for the merged report."""

    baseline: str | None = None
    """As of `jaxpr evaluate`, among the names of the merged report."""

    leaderboard: bool = False
    """Write leaderboard.html instead, of one run or many: for each protocol a table that a click sorts, and a card for
    each restorer. Runs of other protocols stand apart and are never ranked together."""

    def run(self) -> None:
        """Merge and print the tables."""
        out = given_path(self.out)
        if not self.leaderboard:
            return print_report(compare(self.runs, out=out, baseline=self.baseline), out)
        if self.baseline is not None:
            raise InputError(f"baseline: found {self.baseline!r} with --leaderboard, expected one of the two")
        for part in leaderboard(self.runs, out=out)["protocols"]:
            print(f"{part['title']}\n{text_table(part['record'])}\n")
        print(f"Leaderboard: {out / 'leaderboard.html'}")


@dataclass(frozen=True, kw_only=True)
class Export:
    """Write the numbers of one restorer as YAML that model hubs read as evaluation results (model-index)."""

    folder: tyro.conf.Positional[Path]
    """Folder of a finished run."""

    out: Path
    """File to write, .yaml or .yml."""

    restorer: str | None = None
    """Which one, by its name in the run; needed where the run has several."""

    url: str | None = None
    """Where the report can be read, http:// or https://, as the source of the numbers."""

    def run(self) -> None:
        """Write the file and say where it is."""
        out = export_results(self.folder, out=self.out, restorer=self.restorer, url=self.url)
        print(f"Evaluation results: {out}")
