"""Pages of the documentation that the code's own tables make: rooms, metrics, words of restorers, options.

    python tools/docs_pages.py FOLDER

`make docs` calls it. One page for each room has what `__all__` names there, in the order of the code.
"""

import argparse
import functools
import importlib
import inspect
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jaxpr
from jaxpr.cli.commands import COMMANDS
from jaxpr.records import METRICS

PARTS = {
    "transport": ("transport fit", "transport apply"),
    "weights": ("weights inspect", "weights convert", "weights fetch"),
}
"""Of commands whose own help names commands only."""


@functools.cache
def public() -> dict[str, dict[str, Any]]:
    """Functions and classes that any `__all__` names, by the module that has them and by name, in order."""
    found: dict[str, dict[str, Any]] = {}
    names = [module.name for module in pkgutil.walk_packages(jaxpr.__path__, "jaxpr.")]
    for module in (importlib.import_module(name) for name in names if "._" not in name):
        for value in (getattr(module, name) for name in getattr(module, "__all__", ())):
            if (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__.startswith("jaxpr."):
                found.setdefault(value.__module__, {})[value.__qualname__] = value
    return found


def rooms() -> dict[str, list[str]]:
    """Modules with public names, by their room."""
    found: dict[str, list[str]] = {}
    for module in sorted(public()):
        found.setdefault(module.split(".")[1], []).append(module)
    return found


def members(value: Any) -> list[str]:
    """Public methods and properties with a docstring that a class adds."""
    found = []
    for name, member in vars(value).items():
        plain = member.__func__ if isinstance(member, classmethod | staticmethod) else member
        if not name.startswith("_") and (inspect.isfunction(plain) or isinstance(plain, property)) and plain.__doc__:
            found.append(name)
    return found


def missing_names(known: Iterable[str]) -> set[str]:
    """Public names that are not among those of the pages."""
    return {f"{module}.{name}" for module, names in public().items() for name in names} - set(known)


def first_line(value: Any) -> str:
    """Of a docstring, as text for a table."""
    return (inspect.getdoc(value) or "").partition("\n")[0].replace("|", "\\|")


def room_page(room: str, modules: list[str]) -> str:
    """All public names of a room, module by module."""
    package = importlib.import_module(f"jaxpr.{room}")
    parts = [f"# `jaxpr.{room}`", first_line(package)]
    for module in modules:
        loaded, names = importlib.import_module(module), public()[module]
        if module != package.__name__:
            short = [name for name in names if getattr(package, name, None) is names[name]]
            also = f"Also as names of `jaxpr.{room}`: {', '.join(short)}." if short else ""
            parts += [f"## `{module.removeprefix('jaxpr.')}`", first_line(loaded), also]
        parts.append("```{eval-rst}")
        for name, value in names.items():
            kind = "autoclass" if inspect.isclass(value) else "autofunction"
            parts.append(f".. {kind}:: {module}.{name}")
            if inspect.isclass(value) and members(value):
                parts.append(f"   :members: {', '.join(members(value))}\n")
        parts.append("```")
    return "\n\n".join(part for part in parts if part).replace("\n\n   :members", "\n   :members") + "\n"


def metrics_page() -> str:
    """The table of metrics."""
    arrows = {1: "higher", -1: "lower", 0: ""}
    head = (
        "# Every metric\n\nOne row of `jaxpr.records.METRICS` each, in the order of all tables. A name that ends in "
        "`_` goes on with that of a feature network; numbers are shown in the unit and recorded before scaling.\n\n"
        "| name in `results.json` | shown as | unit | better | what it is | source |\n|---|---|---|---|---|---|\n"
    )
    rows = ((f"`{m.key}`", m.label, m.unit, arrows[m.direction], m.explanation, m.equation) for m in METRICS)
    return head + "".join("| " + " | ".join(c.replace("|", "\\|") for c in row) + " |\n" for row in rows)


def output(*words: str) -> str:
    """Of a command, as it is printed in 100 columns."""
    environment = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1", "JAX_PLATFORMS": "cpu", "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-m", "jaxpr", *words], capture_output=True, text=True, env=environment, check=True
    )
    return "\n".join(line.rstrip() for line in done.stdout.splitlines())


def options_page() -> str:
    """The help of every command."""
    parts = ["# Options of every command\n"]
    for command in [word for name in COMMANDS for word in (name, *PARTS.get(name, ()))]:
        parts.append(f"## jaxpr {command}\n\n```text\n{output(*command.split(), '--help')}\n```\n")
    return "\n".join(parts)


def words_page() -> str:
    """The words of `--restorers`."""
    return f"# Words of `--restorers`\n\nAs `jaxpr restorers` lists them.\n\n```text\n{output('restorers')}\n```\n"


def write_pages(folder: Path) -> None:
    """Write all of them; a page that would not change is left alone, so that nothing is built twice."""
    pages = {f"api/{room}.md": room_page(room, modules) for room, modules in rooms().items()}
    pages["api/index.md"] = _index(rooms())
    pages |= {"metrics.md": metrics_page(), "options.md": options_page(), "words.md": words_page()}
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.md"):
        if str(path.relative_to(folder)) not in pages:
            path.unlink()


def _index(found: dict[str, list[str]]) -> str:
    rows = "".join(
        f"| [`jaxpr.{room}`]({room}.md) | {first_line(importlib.import_module(f'jaxpr.{room}'))} |\n" for room in found
    )
    tree = "\n".join(found)
    return f"# Every public name\n\n| room | what |\n|---|---|\n{rows}\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    write_pages(parser.parse_args().folder)
