"""Finished runs merged, on a leaderboard, and exported; and clear refusals."""

import functools
import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from jaxpr import records
from jaxpr.core import InputError
from jaxpr.evaluation import compare, export_results, leaderboard

PROTOCOL = {
    "data": "photos",
    "degradation": "bicubic-x4",
    "scale_factor": 4,
    "attack": "I-FGSM",
    "alpha": 1 / 255,
    "examples": 4,
}


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


def test_what_is_not_a_record_of_today_is_refused(tmp_path):
    first, second = (write_run(tmp_path, name, {name: 28.0}) for name in ("first", "second"))
    record = json.loads((second / "results.json").read_text())
    for change, message in (
        ({"schema_version": None}, "found schema_version None in .*second"),
        ({"schema_version": 2}, "second.*written by a newer jaxpr"),
        ({"references": 3}, "second.*found 3 as references, expected object"),
    ):
        (second / "results.json").write_text(json.dumps(record | change))
        for call in (compare, leaderboard):
            with pytest.raises(InputError, match=f"^runs: .*{message}"):
                call([first, second], out=tmp_path / "both")
    assert not (tmp_path / "both").exists()


def test_a_leaderboard_keeps_protocols_apart(tmp_path):
    runs = [
        write_run(tmp_path, "first", {"bicubic": 28.0, "mine": 29.0}),
        write_run(tmp_path, "other", {"bicubic": 99.0}, PROTOCOL | {"alpha": 2 / 255}),
        write_run(tmp_path, "second", {"bicubic": 28.0, "mine": 30.0}),
    ]
    found = leaderboard([*runs[:2], runs[2] / "results.json"], out=tmp_path / "board")
    assert json.loads((tmp_path / "board" / "leaderboard.json").read_text()) == found
    alike, other = found["protocols"]
    schema = json.loads((Path(records.__file__).parent / "results.schema.json").read_text())
    for part in (alike, other):
        jsonschema.validate(part["record"], schema)
        assert set(part["run_of"]) == {entry["name"] for entry in part["record"]["restorers"]}
    # Named as compare does; the same numbers appear once.
    assert alike["run_of"] == {"bicubic": 0, "mine": 0, "mine [second]": 1}
    assert [run["folder"] for run in alike["record"]["provenance"]["runs"]] == ["first", "second"]
    assert other["run_of"] == {"bicubic": 0}
    assert (alike["title"], other["title"]) == tuple(f"bicubic-x4 on photos, alpha {n / 255:.8g}" for n in (1, 2))
    text = (tmp_path / "board" / "leaderboard.html").read_text("utf-8")
    assert text.count('<section class="board"') == 2
    assert "mine [second]" in text
    # One run is enough, and a merged one is as good as any.
    compare([runs[0], runs[2]], out=tmp_path / "merged")
    (merged,) = leaderboard([tmp_path / "merged"], out=tmp_path / "board")["protocols"]
    assert list(merged["run_of"]) == list(alike["run_of"])


def test_careless_leaderboards_and_exports_are_one_clear_line(tmp_path):
    run = write_run(tmp_path, "run", {"bicubic": 28.0, "mine": 29.0})
    (tmp_path / "folder.yaml").mkdir()
    export = functools.partial(export_results, run)
    for call, message in (
        (lambda: leaderboard([], out=tmp_path / "x"), "runs: found 0, expected at least one folder"),
        (lambda: leaderboard([run], out=run), "out: found the folder of a run"),
        (lambda: leaderboard([tmp_path], out=tmp_path / "x"), r"runs: found no results\.json"),
        (lambda: export_results(tmp_path, out=tmp_path / "x.yaml"), r"run: found no results\.json"),
        (lambda: export(out=tmp_path / "x.yaml"), "restorer: found none for a run of 2, expected one of bicubic, mine"),
        (lambda: export(out=tmp_path / "x.yaml", restorer="bicubik"), "expected one of .*did you mean bicubic"),
        (lambda: export(out=run / "results.json", restorer="mine"), r"out: .*expected a file ending in \.yaml"),
        (lambda: export(out=tmp_path / "folder.yaml", restorer="mine"), "out: found a folder"),
        (lambda: export(out=tmp_path / "x.yaml", restorer="mine", url="example.org"), "url: found 'example.org'"),
    ):
        with pytest.raises(InputError, match=message) as error:
            call()
        assert "\n" not in str(error.value)
    assert not (tmp_path / "x").exists()
    assert not (tmp_path / "x.yaml").exists()


def test_an_export_is_read_as_yaml(tmp_path):
    run = write_run(tmp_path, "run", {"bicubic": 28.0})
    out = export_results(run, out=str(tmp_path / "new" / "card.yaml"))
    assert out == tmp_path / "new" / "card.yaml"
    (model,) = yaml.safe_load(out.read_bytes())["model-index"]
    assert model["name"] == "bicubic"
    assert model["results"][0]["metrics"] == [
        {"type": "psnr", "name": "PSNR (dB)", "value": 28.0, "args": {"standard_error": 0.1}}
    ]
