"""Is a record what `results.schema.json` describes? The words of JSON Schema that this file uses, and no others."""

import functools
import importlib.resources
import json
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jaxpr.core import InputError, printable

__all__ = ["SCHEMA_WORDS", "check_schema"]

_LONGEST = 60
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, Sequence) and not isinstance(value, str),
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, numbers.Real) and not isinstance(value, bool),
    "integer": lambda value: isinstance(value, numbers.Integral) and not isinstance(value, bool),
    "null": lambda value: value is None,
}
_ALONE = ("$schema", "$defs", "title", "description")  # say nothing about a value
_OF_VALUES = ("type", "const", "minimum", "minLength", "minItems", "required", "properties", "additionalProperties")
SCHEMA_WORDS = frozenset((*_ALONE, *_OF_VALUES, "items", "$ref"))
"""The schema may use these; a test holds it to them."""


@functools.cache
def _schema() -> dict[str, Any]:
    folder = importlib.resources.files("jaxpr.records")
    schema: dict[str, Any] = json.loads(folder.joinpath("results.schema.json").read_text(encoding="utf-8"))
    return schema


def check_schema(record: object) -> None:
    """Raise unless `record` is as `results.schema.json` says.

    What the schema does not know is let through: a later version may have added it, and readers do not look at it.

    Args:
        record: the dict of `results.json`.

    Raises:
        InputError: the message names the first place that is different.
    """
    _check(record, _schema(), "")


def _check(value: Any, schema: Mapping[str, Any], where: str) -> None:
    if "$ref" in schema:
        return _check(value, _schema()["$defs"][schema["$ref"].rpartition("/")[2]], where)
    if "const" in schema and value != schema["const"]:
        raise _other(where, value, repr(schema["const"]))
    kinds = schema.get("type", list(_TYPES))
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if not any(_TYPES[kind](value) for kind in kinds):
        raise _other(where, value, " or ".join(kinds))
    if _TYPES["number"](value) and value < schema.get("minimum", value):
        raise _other(where, value, f"at least {schema['minimum']}")
    if isinstance(value, str) and len(value) < schema.get("minLength", 0):
        raise _other(where, value, "text")
    if isinstance(value, Mapping):
        _check_object(value, schema, where)
    elif _TYPES["array"](value):
        if len(value) < schema.get("minItems", 0):
            raise InputError(f"record: found no {where or 'items'}, expected at least {schema['minItems']}")
        for index, item in enumerate(value):
            _check(item, schema.get("items", {}), f"{where}[{index}]")


def _check_object(value: Mapping[str, Any], schema: Mapping[str, Any], where: str) -> None:
    for name in schema.get("required", ()):
        if name not in value:
            raise InputError(f"record: found no {_under(where, name)}, expected it")
    others = schema.get("additionalProperties", True)
    for name, part in value.items():
        expected = schema.get("properties", {}).get(name, others)
        if isinstance(expected, Mapping):
            _check(part, expected, _under(where, name))


def _under(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _other(where: str, value: Any, expected: str) -> InputError:
    found = repr(value)
    found = found if len(found) <= _LONGEST else f"{found[:_LONGEST]} ..."
    return InputError(f"record: found {found} as {printable(where or 'the whole')}, expected {expected}")
