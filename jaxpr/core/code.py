"""Where the code lies that makes a result, and its hashes, stored beside the result."""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

import jaxpr

__all__ = ["code_sha256", "experiments_folder", "script_sha256"]

_SCRIPTS = "_experiments"  # where a wheel has the folder experiments/


def experiments_folder() -> Path:
    """The scripts and configs, of a checkout, or else of an installed wheel."""
    package = Path(jaxpr.__file__).parent
    beside = package.parent / "experiments"
    return beside if beside.is_dir() else package / _SCRIPTS


@functools.cache
def code_sha256() -> str:
    """Hash of the package's source files: the same in a checkout and in the wheel made from it.

    Scripts of `experiments/`, which a wheel carries along, have a hash of their own: `script_sha256`.
    """
    folder = Path(jaxpr.__file__).parent
    return _sha256(folder, [path for path in folder.rglob("*.py") if _SCRIPTS not in path.relative_to(folder).parts])


def script_sha256(script: Path) -> str:
    """Hash of a script and of the modules beside it that it imports, and that those import."""
    found: set[Path] = set()
    waiting = [script]
    while waiting:
        path = waiting.pop()
        if path.is_file() and path not in found:
            found.add(path)
            waiting += [script.parent / f"{name}.py" for name in _imported(path)]
    return _sha256(script.parent, found)


def _imported(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports."""
    nodes = list(ast.walk(ast.parse(path.read_bytes())))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names}


def _sha256(folder: Path, paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(folder).as_posix(), path) for path in paths):
        digest.update(name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
