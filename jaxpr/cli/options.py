"""The settings of an evaluation as options: made from the protocol's own fields, so that each is written once.

And images that options name.
"""

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
import typing
from typing import Any, Literal

from jaxpr.core import InputError, first_line
from jaxpr.data import ImageSource
from jaxpr.data.words import named_images
from jaxpr.evaluation.ascents import ATTACKS
from jaxpr.evaluation.protocol import Protocol, is_radius, setting_name

__all__ = ["ProtocolOptions", "changes_of", "option_images"]

_LEVELS = 255
_ATTACK = "attack"


def _option(part: dataclasses.Field[Any]) -> str:
    """Radii are given in grey levels, and say so."""
    return setting_name(part) + ("_levels" if is_radius(part) else "")


def _parts(kind: Any) -> dict[str, tuple[type, dataclasses.Field[Any]]]:
    """Option to (class, field) of all settings of a protocol, or of a part of one, in the order of the tree."""
    found: dict[str, tuple[type, dataclasses.Field[Any]]] = {}
    types = typing.get_type_hints(kind)
    for part in dataclasses.fields(kind):
        if part.name == _ATTACK:
            found[_ATTACK] = (kind, part)
            for attack in ATTACKS.values():
                found = found | {name: of for name, of in _parts(attack).items() if name not in found}
        elif dataclasses.is_dataclass(types[part.name]):
            found |= _parts(types[part.name])
        else:
            found[_option(part)] = (kind, part)
    return found


def _type(kind: type, part: dataclasses.Field[Any]) -> Any:
    """What an option takes; None, its default, leaves the setting as the scale has it."""
    if part.name == _ATTACK:
        return Literal[(*ATTACKS, "none")] | None
    found = typing.get_type_hints(kind)[part.name]
    optional = type(None) in typing.get_args(found)
    return found | Literal["none"] if optional else found | None


def _described(kind: type) -> dict[str, str]:
    """The sentences below the fields of a class."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef))
    return {
        above.target.id: inspect.cleandoc(str(below.value.value))
        for above, below in itertools.pairwise(body)
        if isinstance(above, ast.AnnAssign)
        and isinstance(above.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }


def _help(kind: type, part: dataclasses.Field[Any]) -> str:
    text = " ".join(_described(kind)[part.name].split())
    return text.replace("in intensity units", "in grey levels of 255") if is_radius(part) else text


_PARTS = _parts(Protocol)
_MADE = dataclasses.make_dataclass(
    "ProtocolOptions",
    [(name, _type(kind, part), dataclasses.field(default=None)) for name, (kind, part) in _PARTS.items()],
    kw_only=True,
    frozen=True,
)
_MADE.__doc__ = "Settings of an evaluation.\n\nAttributes:\n" + "\n".join(
    f"    {name}: {_help(kind, part)}" for name, (kind, part) in _PARTS.items()
)

ProtocolOptions: Any = _MADE
"""A dataclass with an option for each setting of a protocol, None where it was not given; radii in grey levels."""


def changes_of(options: Any) -> dict[str, Any]:
    """The settings that were given, by name, as `Protocol.replace` takes them.

    Raises:
        InputError: a radius that is no number of grey levels.
    """
    found: dict[str, Any] = {}
    for name, (_, part) in _PARTS.items():
        given = getattr(options, name)
        if given is None:
            continue
        if is_radius(part):
            levels = given if isinstance(given, tuple) else (given,)
            for level in levels:
                if not 0 < level <= _LEVELS:
                    raise InputError(f"{name}: found {level:g}, expected more than 0 and at most {_LEVELS}")
            given = tuple(level / _LEVELS for level in levels) if isinstance(given, tuple) else given / _LEVELS
        found[setting_name(part)] = None if given == "none" else given
    return found


def option_images(option: str, spec: str, split: Literal["train", "test"], *, skip_bad: bool) -> ImageSource:
    """The images that an option names; messages are about that option.

    Args:
        option: its name.
        spec: as of `named_images`.
        split: likewise.
        skip_bad: likewise.

    Raises:
        InputError: as `named_images`.
    """
    try:
        return named_images(spec, split, skip_bad=skip_bad)
    except InputError as error:
        raise InputError(re.sub(r"^(data|path|digits28):", f"{option}:", first_line(error))) from error
