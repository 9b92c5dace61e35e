"""A record as model hubs read evaluation results: the `model-index` block of a model card, as YAML.

Fields as in the metadata of model cards on the Hugging Face Hub: a result has a task, a data set and metrics; type of
each, name of the data set and value are required, everything else is free. Only finite numbers are written.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from jaxpr.core import InputError, printable, utf8
from jaxpr.records.metric_table import metric_info
from jaxpr.records.reading import measured, metric_names

__all__ = ["hub_yaml", "model_index"]

_PLAIN = re.compile(r"[a-z][a-z0-9_-]*")
_WORDS = ("y", "n", "yes", "no", "on", "off", "true", "false", "null")  # which YAML 1.1 takes for something else


def model_index(record: Mapping[str, Any], *, restorer: str, url: str | None = None) -> dict[str, Any]:
    """The results of one restorer as nested dicts and lists.

    Metrics have their names and units of the report, so a RMSE is in grey levels; their `args` hold the standard error.
    Those that are neither better high nor low are left out. `args` of the data set hold the whole protocol, because
    only numbers of equal protocols may be compared.

    Args:
        record: the dict of `results.json`.
        restorer: its name in the record.
        url: where the report can be read; None for nowhere.

    Raises:
        InputError: no such restorer.
    """
    entry = next((entry for entry in record["restorers"] if entry["name"] == restorer), None)
    if entry is None:
        raise InputError(f"restorer: found {restorer!r}, expected one of the record")
    protocol, version = record["protocol"], record["provenance"].get("jaxpr", "of unknown version")
    result = {
        "task": {"type": "image-to-image", "name": f"Image restoration ({protocol['degradation']})"},
        "dataset": {"type": protocol["data"], "name": protocol["data"], "args": protocol},
        "metrics": [metric for metric in (_metric(entry, name) for name in metric_names(record)) if metric is not None],
        **({"source": {"name": f"jaxpr {version}", "url": url}} if url is not None else {}),
    }
    return {"model-index": [{"name": restorer, "results": [result]}]}


def _metric(entry: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    info, found = metric_info(name), measured(entry, name)
    if found is None or not info.direction or not math.isfinite(found.value):
        return None
    unit = f" ({info.unit})" if info.unit else ""
    shown = {"type": name, "name": f"{info.label}{unit}", "value": info.scale * found.value}
    return shown | ({} if math.isnan(found.stderr) else {"args": {"standard_error": info.scale * found.stderr}})


def hub_yaml(tree: Mapping[str, Any]) -> bytes:
    """Nested dicts, lists, text, numbers, booleans and None as YAML, which versions 1.1 and 1.2 read alike.

    Args:
        tree: no empty text as a key.

    Raises:
        InputError: another kind of value, or a number that is not finite.
    """
    return utf8("\n".join(_lines(tree)) + "\n")


def _lines(value: Any) -> list[str]:
    """Block style: a key or a dash, and what belongs to it indented below."""
    if isinstance(value, Mapping) and value:
        return [line for name, part in value.items() for line in _under(f"{_key(name)}:", part)]
    if isinstance(value, list | tuple) and value:
        return [line for part in value for line in _item(part)]
    return [_scalar(value)]


def _under(key: str, value: Any) -> list[str]:
    lines = _lines(value)
    if isinstance(value, Mapping | list | tuple) and value:
        return [key, *(f"  {line}" for line in lines)]
    return [f"{key} {lines[0]}"]


def _item(value: Any) -> list[str]:
    first, *others = _lines(value)
    return [f"- {first}", *(f"  {line}" for line in others)]


def _key(name: str) -> str:
    return name if _PLAIN.fullmatch(name) and name not in _WORDS else _scalar(name)


def _scalar(value: Any) -> str:
    """One value; text as in JSON, which is YAML, too, and without what YAML forbids in it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(printable(value), ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        # YAML 1.1 takes 1e-05 for text.
        return re.sub(r"^(-?\d+)e", r"\1.0e", repr(value))
    if isinstance(value, Mapping | list | tuple) and not value:
        return "{}" if isinstance(value, Mapping) else "[]"
    raise InputError(f"tree: found {printable(repr(value))}, expected text, a finite number, a boolean or None")
