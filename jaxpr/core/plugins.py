"""Code that users bring: loaded from their files, and called where it may raise anything."""

import contextlib
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxpr.core.checks import InputError, first_line
from jaxpr.core.paths import file_at
from jaxpr.core.versions import forget_failed_callbacks
from jaxpr.core.words import did_you_mean, printable

__all__ = ["load_named", "load_python", "users_code"]

_RAISED = re.compile(r"[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit|Warning): .*")


@contextlib.contextmanager
def users_code(what: str, *, expected: str = "") -> Iterator[None]:
    """Run code of the user's own: whatever it raises becomes one line that begins with `what`.

    A KeyboardInterrupt passes, since it may be the user's; it carries `what` as a note.

    Args:
        what: whose code it is and what it was doing.
        expected: what it should have done instead, for the end of the line.

    Raises:
        InputError: the code raised an exception or called `sys.exit`.
    """
    ending = f", expected {expected}" if expected else ""
    try:
        yield
    except KeyboardInterrupt as error:
        error.add_note(what)
        raise
    except InputError as error:
        raise InputError(f"{what}: {first_line(error)}") from error
    except SystemExit as error:
        raise InputError(f"{what}: called sys.exit({error.code!r}){ending or ', expected it to return'}") from error
    except Exception as error:
        forget_failed_callbacks()
        raise InputError(f"{what}: failed ({_reason(error)}){ending}") from error


def _reason(error: Exception) -> str:
    """Type and message; of an error behind a callback from a compiled program, that error's own."""
    lines = [line.strip() for line in str(error).splitlines()]
    if any(line.endswith("Traceback (most recent call last):") for line in lines):
        inner = [line for line in lines if _RAISED.fullmatch(line)]
        if inner:
            return printable(inner[-1])
    return printable(f"{type(error).__name__}: {first_line(error)}")


def load_python(name: str, path: Path | str, *, module: str) -> ModuleType:
    """The module that a Python file of the user's makes.

    Args:
        name: of the argument, for messages.
        path: of the file; see `file_at`.
        module: what the module is called, unique to the purpose.

    Raises:
        InputError: no such file, or it cannot be run.
    """
    file = file_at(name, path, expected="a Python file")
    description = importlib.util.spec_from_file_location(f"{module}.{file.stem}", file)
    if description is None or description.loader is None:
        raise InputError(f"{name}: found {printable(file)}, expected a Python file")
    made = importlib.util.module_from_spec(description)
    sys.modules[description.name] = made  # dataclasses look their module up there
    try:
        with users_code(f"{name}: cannot import {printable(file)}"):
            description.loader.exec_module(made)
    except BaseException:
        del sys.modules[description.name]
        raise
    return made


def load_named(name: str, spec: str, *, module: str, expected: str) -> Any:
    """The callable that `path/to/file.py:NAME` or `package.module:NAME` names.

    Args:
        name: of the argument, for messages.
        spec: with a colon before NAME.
        module: as of `load_python`.
        expected: what NAME should be, for messages.

    Raises:
        InputError: the file or module cannot be loaded, or has no callable of that name.
    """
    place, _, wanted = spec.rpartition(":")
    if place.endswith(".py"):
        loaded = load_python(name, place, module=module)
    else:
        with users_code(f"{name}: cannot import {place!r} of {spec!r}", expected="a file.py or an importable module"):
            loaded = importlib.import_module(place)
    found = getattr(loaded, wanted, None)
    if not callable(found):
        likely = did_you_mean(wanted, [known for known in vars(loaded) if not known.startswith("_")])
        raise InputError(f"{name}: found no function {wanted!r} in {place}, expected {expected}{likely}")
    return found
