"""Print pip constraints that take every dependency, extras included, at its lower bound in pyproject.toml.

A bound of two numbers stands for the last release of that series (`numpy>=2.0` is 2.0.2), one of three for itself.

    python tools/lowest_versions.py > lowest.txt && pip install --constraint lowest.txt --editable ".[dev]"
"""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def lowest(requirements: list[str]) -> Iterator[str]:
    """A constraint for each requirement that has a lower bound: `name>=1.2,<2` gives `name==1.2.*`."""
    for requirement in requirements:
        if match := re.match(r"([\w.-]+)(?:\[.*\])?>=([\d.]+)", requirement.replace(" ", "")):
            name, version = match.groups()
            yield f"{name}=={version}" if version.count(".") > 1 else f"{name}=={version}.*"


def main() -> None:
    """Print them, one a line."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    bench = set(extras["bench"])  # peers to compare with, not what jaxpr runs on
    listed = [*project["dependencies"], *(line for lines in extras.values() for line in lines if line not in bench)]
    print("\n".join(lowest(listed)))


if __name__ == "__main__":
    main()
