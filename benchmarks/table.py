"""Make the table of the README of what `--write` kept.

Command:   .venv/bin/python -m benchmarks.table
"""

import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import RESULTS

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- made by benchmarks.table -->", "<!-- end -->"
HEAD = "| work | contender | median | first call | ratio | peak memory, GiB | device |\n|---|---|---|---|---|---|---|"


def rows(script: str, results: dict[str, Any]) -> Iterator[str]:
    """A row for each contender; ratios above one say that it is faster than the usual choice."""
    for size, found in results.items():
        usual = found["contenders"].get(found["baseline"])
        for position, (name, run) in enumerate(found["contenders"].items()):
            median = statistics.median(run["seconds"])
            ratio = f"{statistics.median(usual['seconds']) / median:.2f}" if usual else ""
            work = f"`{script}` {size}" if position == 0 else ""
            yield (
                f"| {work} | {name} | {median:.3g} s | {run['first_seconds']:.3g} s | {ratio} | "
                f"{run['peak_gib']:.2f} | {run['device']} |"
            )


def table() -> str:
    """Of all scripts, and where they ran."""
    lines, places = [HEAD], set()
    for path in sorted(RESULTS.glob("*.json")):
        results = json.loads(path.read_text(encoding="utf-8"))
        lines += rows(path.stem, results)
        for found in results.values():
            versions = ", ".join(f"{package} {version}" for package, version in found["versions"].items())
            places.add(f"{found['date']}, {found['machine']}, Python {found['python']}, {versions}")
    return "\n".join([*lines, "", *(f"Seen on {place}.\n" for place in sorted(places))])


def main() -> None:
    """Replace what stands between the marks."""
    text = README.read_text(encoding="utf-8")
    before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    README.write_text(f"{before}\n{table()}\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
