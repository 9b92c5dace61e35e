"""Words of the command line: to a command, and errors back to the words that the user typed."""

import contextlib
import dataclasses
import io
import os
import re
import sys
import typing
from collections.abc import Iterator, Sequence
from typing import Any

import tyro

from jaxpr.core import InputError, did_you_mean, printable

__all__ = ["in_users_words", "parse"]

_RULE = re.compile(r"[─-]{3,}$")
_MOVED = {"spec": "degradation", "path": "data", "images": "data", "alpha": "alpha_levels", "pattern": "pair_pattern"}
"""What library functions call the options of a command."""


def parse(union: Any, commands: Sequence[str], words: Sequence[str] | None) -> Any:
    """The command that the words name, with its options.

    Args:
        union: of the commands' classes, as tyro takes it.
        commands: their names.
        words: after the program's name; None takes those of the terminal.

    Raises:
        InputError: words that make no command, in one line, with the nearest valid word.
        SystemExit: help was asked for, and printed.
    """
    words = list(sys.argv[1:] if words is None else words)
    if words and not words[0].startswith("-") and words[0] not in commands:
        likely = did_you_mean(words[0], commands)
        raise InputError(f"command: found {words[0]!r}, expected one of {', '.join(commands)}{likely}")
    box = io.StringIO()
    helping = {"-h", "--help"} & set(words)
    try:
        with contextlib.redirect_stderr(box), contextlib.nullcontext() if helping else _wide_terminal():
            return tyro.cli(union, prog="jaxpr", description=sys.modules["jaxpr"].__doc__, args=words)
    except SystemExit as error:
        if not error.code:
            raise
        raise InputError(_one_line(box.getvalue(), union, words)) from None


def _one_line(box: str, union: Any, words: Sequence[str]) -> str:
    """What a box of tyro's says, in one line of ours."""
    said = _said(box)
    text = " ".join(line.strip() for line in said)
    if match := re.match(r"[Ii]nvalid choice '(.*)' for argument '(.*?)'\. Expected one of \((.*?),?\)", text):
        choices = [choice.strip(" '") for choice in match[3].split(",")]
        found, option = match[1], match[2].split("/")[0]
        return f"{option}: found {found!r}, expected one of {', '.join(choices)}{did_you_mean(found, choices)}"
    if match := re.match(r"Error parsing (\S+?):? .*?instantiated from \[(.*?)\]\.", text):
        return f"{match[1].rstrip(':')}: found {match[2]}, expected {_kind(match[1], union, words)}"
    if match := re.match(r"Error parsing (\S+?):? (.*)", text):
        return f"{match[1].rstrip(':')}: {match[2].rstrip('.')}, expected {_kind(match[1], union, words)}"
    if match := re.match(r"Missing value for argument '(\S+?)'", text):
        return f"{match[1]}: found no value, expected {_kind(match[1], union, words)}"
    if match := re.match(r"Unrecognized (?:or misplaced )?options: (\S+?),?(?: |$)", text):
        word = match[1].lstrip("-")
        likely = did_you_mean(word, [field.name.replace("_", "-") for field in _fields(_command(union, words))])
        return f"{match[1]}: found an unknown word or option, expected those of --help{likely}"
    if match := re.match(r"Missing from (.*?): ", text):
        indented = [line for line in said[1:] if line.strip()]
        least = min(len(line) - len(line.lstrip()) for line in indented)
        missing = [line.strip() for line in indented if len(line) - len(line.lstrip()) == least]
        words_alone = [field.name.upper() for field in _fields(_command(union, words)) if _is_word(field)]
        named = [part if part.startswith("-") else next(iter(words_alone), part) for part in missing]
        return f"{match[1]}: found no {' and no '.join(named)}, expected every required option; see --help"
    if match := re.match(r"Expected one of \{(.*)\}", text):
        return f"command: found none, expected one of {match[1]}"
    return text.rstrip(".") or "command: cannot be read, expected the words of --help"


def _said(box: str) -> list[str]:
    """The lines of a box between its title and its next rule; frames are of line-drawing characters, or of dashes."""
    lines = [line.strip("\n").rstrip() for line in box.splitlines()]
    framed = any(line.startswith("╭") for line in lines)
    content = [line.strip("│").rstrip() for line in lines if line.startswith("│")] if framed else lines[2:]
    ends = (number for number, line in enumerate(content) if _RULE.match(line.strip()))
    return [printable(line) for line in content[: next(ends, None)] if line.strip()]


def _command(union: Any, words: Sequence[str]) -> Any:
    """The class of the command that the words begin with; None where there is none."""
    for member in typing.get_args(union):
        named = [part.name for part in getattr(member, "__metadata__", ()) if hasattr(part, "name")]
        if words and words[0] in named:
            return member.__origin__
    return None


_KINDS = {"int": "an integer", "float": "a number", "Path": "a path", "str": "text"}


def _kind(option: str, union: Any, words: Sequence[str]) -> str:
    """What an option takes, in words."""
    name = option.strip(":-").replace("-", "_")
    types = [str(field.type) for field in _fields(_command(union, words)) if field.name == name]
    found = re.search(rf"\b({'|'.join(_KINDS)})\b", types[0]) if types else None
    return _KINDS[found[1]] if found else "what --help says"


def _fields(command: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(command) if dataclasses.is_dataclass(command) else ()


def _is_word(field: dataclasses.Field[Any]) -> bool:
    """Whether it is typed alone, without an option's name."""
    return tyro.conf.Positional in getattr(field.type, "__metadata__", ())


@contextlib.contextmanager
def _wide_terminal() -> Iterator[None]:
    """So that no line of an error's box is broken."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "10000"
    try:
        yield
    finally:
        if before is None:
            del os.environ["COLUMNS"]
        else:
            os.environ["COLUMNS"] = before


def in_users_words(message: str, command: object) -> str:
    """A message about an argument of a function, with the option that the user typed: `--patch-size: found ...`."""
    match = re.match(r"(\w+)(?=[:\[ ])", message)
    command = getattr(command, "action", command)
    fields = {field.name: field for field in _fields(command)}
    if match is None or (message[match.end()] == " " and " and " not in message[: match.end() + 5]):
        return message
    name = match[1] if match[1] in fields else _MOVED.get(match[1], "")
    if name not in fields or _is_word(fields[name]):
        return message
    return f"--{name.replace('_', '-')}{message[match.end() :]}"
