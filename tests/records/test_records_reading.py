"""From a file to a checked record: the schema by our own reader and by jsonschema, versions, clear refusals."""

import copy
import json
from pathlib import Path

import jsonschema
import pytest

from jaxpr import records
from jaxpr.core import InputError
from jaxpr.records import read_record, reading
from jaxpr.records.schema import SCHEMA_WORDS, check_schema

SCHEMA = json.loads((Path(records.__file__).parent / "results.schema.json").read_text())
CELL = {"value": 20.0, "stderr": None, "note": "few", "left_out": [19.0, None]}
DIFFERENCE = {"value": 1, "stderr": 1.0, "low": 0.0, "high": 2.0, "p": 0.5, "p_holm": None, "needed": 7}
GOOD = {
    "schema_version": 1,
    "protocol": {"data": "d", "degradation": "x", "scale_factor": 2, "examples": 1, "attack": None, "data_range": 1.0},
    "provenance": {"command": "jaxpr evaluate", "presets": {"sr-benchmark": {"border": 4}}},
    "references": {
        "truth": {"niqe": CELL},
        "published": {
            "set": "Set5",
            "protocol": "sr-benchmark",
            "differs": ["border"],
            "networks": [{"network": "bicubic", "psnr": 28.4, "ssim": 0.8, "source": "a paper"}],
        },
    },
    "baseline": "a",
    "restorers": [
        {
            "name": "a",
            "label": "b",
            "family": None,
            "setting": 0.5,
            "variant": "v",
            "metrics": {"psnr": CELL},
            "curves": {"sweep": {"alpha": [1.0, None]}},
            "labels": {"region": "inside"},
            "differences": {"psnr": DIFFERENCE},
            "weights": {"file": "f"},
        }
    ],
}
ODD = (None, True, 1, 0, -1, 2.5, "", "text", [], [1], ["a"], {}, {"a": 1}, {"a": {"b": [0]}})


def places(value, path=()):
    """Every place in nested dicts and lists."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield from places(part, (*path, name))


def changed(path, odd):
    record = copy.deepcopy(GOOD)
    if not path:
        return odd
    *above, last = path
    at = record
    for name in above:
        at = at[name]
    if odd is KeyError:
        del at[last]
    else:
        at[last] = odd
    return record


def accepts(record):
    try:
        check_schema(record)
    except InputError:
        return False
    return True


def test_our_reader_agrees_with_jsonschema_about_every_place():
    jsonschema.validate(GOOD, SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    cases = [changed(path, odd) for path in places(GOOD) for odd in (*ODD, *([KeyError] if path else []))]
    agreed = [(accepts(case), validator.is_valid(case)) for case in cases]
    assert [case for case, (ours, theirs) in zip(cases, agreed, strict=True) if ours != theirs] == []
    assert 100 < sum(ours for ours, _ in agreed) < len(cases) - 100


def test_the_schema_uses_only_words_that_the_reader_knows():
    def words(schema):
        yield from schema
        for part in (*schema.get("properties", {}).values(), *schema.get("$defs", {}).values()):
            yield from words(part)
        for part in (schema.get("items"), schema.get("additionalProperties")):
            yield from words(part) if isinstance(part, dict) else ()

    assert set(words(SCHEMA)) <= SCHEMA_WORDS


def test_what_a_later_version_adds_is_let_through():
    later = copy.deepcopy(GOOD)
    later["restorers"][0]["metrics"]["psnr"]["median"] = later["more"] = later["restorers"][0]["more"] = [1]
    check_schema(later)


def write(folder, record):
    folder.mkdir(exist_ok=True)
    (folder / "results.json").write_text(json.dumps(record))
    return folder


def test_a_folder_or_its_file_is_read(tmp_path):
    run = write(tmp_path / "run", GOOD)
    assert read_record(run) == read_record(str(run / "results.json")) == GOOD


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "found schema_version 2 in .*, written by a newer jaxpr, expected at most 1; update"),
        ({"schema_version": 0}, "found schema_version 0 in .*, expected a number from 1"),
        ({"schema_version": None}, "found schema_version None"),
        ({"schema_version": True}, "found schema_version True"),
        ({"schema_version": "1"}, "found schema_version '1'"),
        ({"schema_version": ["x" * 500]}, r"found schema_version \['x{58} in"),
        ({"restorers": GOOD["restorers"] * 2}, "found two restorers named 'a'"),
        ({"restorers": []}, "found no restorers, expected at least 1"),
        ({"restorers": [{**GOOD["restorers"][0], "metrics": {"p": 3}}]}, r"found 3 as restorers\[0\]\.metrics\.p, exp"),
        ({"protocol": {"data": "d"}}, r"found no protocol\.degradation, expected it"),
    ],
)
def test_other_records_are_refused_with_one_line(tmp_path, change, message):
    run = write(tmp_path / "run", GOOD | change)
    with pytest.raises(InputError, match=f"^runs: .*{message}") as error:
        read_record(run, name="runs")
    assert "\n" not in str(error.value)
    assert "results.json" in str(error.value)


def test_older_records_are_migrated_step_by_step(tmp_path, monkeypatch):
    """There is no older version yet: two steps are made up, and the schema of today is what they lead to."""
    monkeypatch.setattr(reading, "SCHEMA_VERSION", 3)
    monkeypatch.setattr(reading, "check_schema", lambda record: None)
    steps = {
        1: lambda record: record | {"schema_version": 2, "first": True},
        2: lambda record: record | {"schema_version": 3, "second": record["first"]},
    }
    monkeypatch.setattr(reading, "_MIGRATIONS", steps)
    assert read_record(write(tmp_path / "run", GOOD)) == GOOD | {"schema_version": 3, "first": True, "second": True}


def test_every_older_version_has_a_step():
    assert sorted(reading._MIGRATIONS) == list(range(1, records.SCHEMA_VERSION))
    assert SCHEMA["properties"]["schema_version"]["const"] == records.SCHEMA_VERSION
