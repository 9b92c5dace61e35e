"""Merging runs: one table from several records, and clear refusals."""

import json

import pytest

from jaxpr.core import InputError
from jaxpr.evaluation import compare

PROTOCOL = {"data": "photos", "alpha": 1 / 255, "examples": 4}


def write_run(root, name, restorers, protocol=PROTOCOL):
    folder = root / name
    folder.mkdir()
    record = {
        "protocol": protocol,
        "schema_version": 1,
        "provenance": {"jaxpr": "0"},
        "references": {},
        "restorers": [
            {"name": restorer, "metrics": {"psnr": {"value": value, "stderr": 0.1}}, "curves": {}, "labels": {}}
            for restorer, value in restorers.items()
        ],
    }
    (folder / "protocol.json").write_text("{}")
    (folder / "results.json").write_text(json.dumps(record))
    return folder


@pytest.mark.usefixtures("pages")
def test_runs_of_one_protocol_become_one_report(tmp_path):
    first = write_run(tmp_path, "first", {"bicubic": 28.0, "mine": 29.0})
    second = write_run(tmp_path, "second", {"bicubic": 28.0, "mine": 30.0, "other": 27.0})
    merged = compare([first, second / "results.json"], out=tmp_path / "both")
    values = {entry["name"]: entry["metrics"]["psnr"]["value"] for entry in merged["restorers"]}
    # Equal numbers appear once, unequal ones of one name say which run they come from.
    assert values == {"bicubic": 28.0, "mine": 29.0, "mine [second]": 30.0, "other": 27.0}
    assert [run["folder"] for run in merged["provenance"]["runs"]] == ["first", "second"]
    assert json.loads((tmp_path / "both" / "results.json").read_text()) == merged
    assert "mine [second]" in (tmp_path / "both" / "report.html").read_text()
    assert (tmp_path / "both" / "results.csv").read_text().count("\n") == 5
    # The same again replaces the report.
    assert compare([first, second], out=tmp_path / "both") == merged


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"alpha": 2 / 255},
            r"runs: found alpha = 0\.0039.* in .*first and 0\.0078.* in .*second, expected one protocol",
        ),
        ({"seed": 1}, r"runs: found seed = nothing in .*first and 1 in .*second"),
    ],
)
def test_other_protocols_are_refused_by_field(tmp_path, changes, message):
    first = write_run(tmp_path, "first", {"bicubic": 28.0})
    second = write_run(tmp_path, "second", {"mine": 28.0}, PROTOCOL | changes)
    with pytest.raises(InputError, match=message):
        compare([first, second], out=tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_careless_calls_are_one_clear_line(tmp_path):
    first = write_run(tmp_path, "first", {"bicubic": 28.0})
    (tmp_path / "empty").mkdir()
    broken = write_run(tmp_path, "broken", {"bicubic": 28.0})
    (broken / "results.json").write_text('{"protocol": {')
    for runs, out, message in (
        ([first], "both", "runs: found 1, expected at least two"),
        ([first, tmp_path / "empty"], "both", r"runs: found no results\.json in .*empty"),
        ([first, broken], "both", "runs: cannot read"),
        ([first, first], "first", "out: found the folder of a run"),
    ):
        with pytest.raises(InputError, match=message) as error:
            compare(runs, out=tmp_path / out)
        assert "\n" not in str(error.value)


def test_records_of_another_schema_are_refused(tmp_path):
    first, second = (write_run(tmp_path, name, {name: 28.0}) for name in ("first", "second"))
    record = json.loads((second / "results.json").read_text())
    for version in (None, 0, 2, "1"):
        (second / "results.json").write_text(json.dumps(record | {"schema_version": version}))
        with pytest.raises(InputError, match=r"found schema_version .* in .*second.*, expected 1; evaluate again"):
            compare([first, second], out=tmp_path / "both")
    assert not (tmp_path / "both").exists()
