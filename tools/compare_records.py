"""Compare the numbers of two records, or of two folders of them, as before and after a change of the code.

    python tools/compare_records.py BEFORE AFTER [--rtol 1e-6] [--rename OLD=NEW ...]

Records are results.json or record.json; in folders they are found by their places. Times, versions, paths and hashes
are not compared. Prints each value that differs; exit code 1 if one does, 2 if there is nothing to compare.
"""

import argparse
import json
import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

NAMES = ("results.json", "record.json")
IGNORED = ("provenance", "seconds", "time", "version", "path", "file", "folder")
ROUNDING = 2e-7  # of float32, relative


def differences(before: Any, after: Any, *, rtol: float, place: str = "") -> Iterator[str]:
    """A line for each value that differs, with its place.

    Args:
        before: JSON-able.
        after: likewise.
        rtol: relative tolerance of numbers.
        place: of both, for the lines.
    """
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in [*before, *(key for key in after if key not in before)]:
            if key in IGNORED or key.endswith(("sha256", "fingerprint")):
                continue
            here = f"{place}.{key}".lstrip(".")
            if key not in before or key not in after:
                yield f"{here}: only in {'before' if key in before else 'after'}"
            else:
                yield from differences(before[key], after[key], rtol=rtol, place=here)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, pair in enumerate(zip(before, after, strict=True)):
            yield from differences(*pair, rtol=rtol, place=f"{place}[{i}]")
    elif not _same(before, after, rtol):
        yield f"{place}: {_shown(before)} before, {_shown(after)} after"


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Keys and texts that are names of the mapping, by their new names."""
    if isinstance(value, Mapping):
        return {names.get(key, key): renamed(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [renamed(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value


def records(path: Path, names: Mapping[str, str]) -> dict[str, Any]:
    """The record of a file, or those in a folder by their places, with new names."""
    paths = [path] if path.is_file() else sorted(p for name in NAMES for p in path.rglob(name))
    places = ["" if path.is_file() else p.relative_to(path).parent.as_posix() for p in paths]
    found = (json.loads(p.read_text(encoding="utf-8")) for p in paths)
    return {names.get(place, place): renamed(record, names) for place, record in zip(places, found, strict=True)}


def main(arguments: list[str] | None = None) -> int:
    """Compare, print, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--rtol", type=float, default=ROUNDING, help="relative tolerance; default: float32 rounding")
    parser.add_argument("--rename", nargs="+", default=[], metavar="OLD=NEW", help="names that changed")
    options = parser.parse_args(arguments)
    wrong = [word for word in options.rename if "=" not in word]
    if wrong:
        parser.error(f"--rename: found {wrong[0]!r}, expected OLD=NEW")
    before = records(options.before, dict(word.split("=", 1) for word in options.rename))
    after = records(options.after, {})
    for path, found in ((options.before, before), (options.after, after)):
        if not found:
            parser.error(f"{path}: found no record, expected {' or '.join(NAMES)}")
    differing = list(differences(before, after, rtol=options.rtol))
    print("\n".join(differing) if differing else f"{len(before)} records: no difference")
    return 1 if differing else 0


def _same(before: Any, after: Any, rtol: float) -> bool:
    numbers = [isinstance(value, int | float) and not isinstance(value, bool) for value in (before, after)]
    if not all(numbers):
        return type(before) is type(after) and bool(before == after)
    return math.isclose(before, after, rel_tol=rtol) or (math.isnan(before) and math.isnan(after))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 100 else text[:99] + "…"


if __name__ == "__main__":
    sys.exit(main())
