"""The comparison of records finds what differs, and only that."""

import json
from pathlib import Path

import pytest

from jaxpr.core import load_python

compare = load_python("tool", Path(__file__).parents[2] / "tools" / "compare_records.py", module="jaxpr_tools").main
RECORD = {
    "name": "old",
    "restorers": [{"name": "a", "metrics": {"psnr": {"value": 25.0, "stderr": None}}}],
    "claims": [{"holds": True}],
    "protocol": {"features_sha256": "1", "limit": 1},
    "provenance": {"seconds": 1.0},
}


def write(path, **changes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(RECORD | changes))
    return str(path)


@pytest.mark.parametrize(
    ("changes", "code", "says"),
    [
        ({}, 0, "1 records: no difference"),
        ({"provenance": {"seconds": 9.0}, "protocol": {"features_sha256": "2", "limit": 1}}, 0, "no difference"),
        ({"protocol": {"features_sha256": "1", "limit": 1.0000001}}, 0, "no difference"),  # float32 rounding
        ({"protocol": {"features_sha256": "1", "limit": 1.00001}}, 1, "protocol.limit: 1 before, 1.00001 after"),
        ({"protocol": {"features_sha256": "1", "limit": True}}, 1, "protocol.limit: 1 before, true after"),
        ({"protocol": {"features_sha256": "1"}}, 1, "protocol.limit: only in before"),
        ({"more": 1}, 1, "more: only in after"),
        ({"claims": [{"holds": False}]}, 1, "claims[0].holds: true before, false after"),
        ({"claims": []}, 1, "claims: "),
        ({"name": "new"}, 1, 'name: "old" before, "new" after'),
    ],
)
def test_what_differs_is_said(changes, code, says, tmp_path, capsys):
    files = write(tmp_path / "a.json"), write(tmp_path / "b.json", **changes)
    assert compare(list(files)) == code
    assert says in capsys.readouterr().out


def test_tolerances_and_new_names(tmp_path, capsys):
    write(tmp_path / "before" / "old" / "record.json", numbers=[1.0])
    write(tmp_path / "after" / "new" / "record.json", numbers=[1.01], name="new")
    folders = [str(tmp_path / "before"), str(tmp_path / "after")]
    assert compare(folders) == 1
    assert "old: only in before" in capsys.readouterr().out
    assert compare([*folders, "--rename", "old=new"]) == 1
    assert capsys.readouterr().out == "new.numbers[0]: 1.0 before, 1.01 after\n"
    assert compare([*folders, "--rename", "old=new", "--rtol", "0.1"]) == 0


def test_nothing_to_compare(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        compare([str(tmp_path), str(tmp_path)])
    assert "found no record" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        compare([str(tmp_path), str(tmp_path), "--rename", "old"])
    assert "expected OLD=NEW" in capsys.readouterr().err
