"""What runs the scripts: the command line, one page of several, members spread over devices."""

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

import jaxpr
from jaxpr.core import InputError
from jaxpr.report.style import new_figure
from jaxpr.reproduce import Claim, Experiment, Picture, Table, main, reproduce, running

jax.devices()  # in use before a script would change their number


def tiny(name, scale, **changes):
    table = Table("Numbers", ["", "value"], [["mean", (1.5, 0.1)]])
    pictures = {"curve": Picture(new_figure(2, 2), "Nothing to see")}
    claims = [Claim("It runs", True, "it ran")]
    return Experiment(name, f"Title of {name}", "[key]", scale, {}, [table], claims, pictures)._replace(**changes)


def run(scale):
    return tiny("tiny", scale)


def test_main_writes_the_record_and_prints_it(tmp_path, capsys):
    main(run, ["--scale", "smoke", "--out", str(tmp_path / "out")])
    record = json.loads((tmp_path / "out" / "record.json").read_text("utf-8"))
    assert record["scale"] == "smoke"
    assert record["tables"][0]["rows"] == [["mean", [1.5, 0.1]]]
    assert (tmp_path / "out" / "curve.png").exists()
    provenance = record["provenance"]
    assert provenance["jaxpr"] == jaxpr.__version__
    assert provenance["jax"] == jax.__version__
    assert re.fullmatch("[0-9a-f]{64}", provenance["code_sha256"])
    assert provenance["device"].startswith("8 × ")
    assert 0 <= provenance["seconds"] < 60
    printed = capsys.readouterr().out
    assert printed.startswith("Title of tiny ([key]); scale smoke\n")
    assert "yes It runs: it ran" in printed
    assert printed.endswith(f"Record and figures: {tmp_path / 'out'}\n")


def test_main_runs_small_into_a_folder_of_its_name_by_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    main(run, [])
    record = json.loads((tmp_path / "runs" / "test_reproduce_running" / "record.json").read_text("utf-8"))
    assert record["scale"] == "small"


@pytest.mark.parametrize("arguments", [["--scale", "huge"], ["--speed"], ["--scale"]])
def test_main_refuses_unknown_arguments(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(run, arguments)
    assert "error:" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_scripts_on_trained_restorers_take_other_ones(tmp_path, capsys):
    seen = []

    def run(scale, runs=None, given=()):
        seen.append((runs, tuple(given)))
        return tiny("script", scale)

    out = ["--scale", "smoke", "--out", str(tmp_path / "out")]
    main(run, out)
    main(run, [*out, "--runs", "here", "--given", "bicubic", "network:file.pth"])
    assert seen == [(None, ()), (Path("here"), ("bicubic", "network:file.pth"))]


def test_what_a_script_cannot_use_is_said_in_one_line(tmp_path, capsys):
    def run(scale):
        raise InputError("runs: found no folder")

    with pytest.raises(SystemExit) as stop:
        main(run, ["--out", str(tmp_path)])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "error: runs: found no folder\n"


@pytest.mark.thorough
def test_a_script_makes_each_core_a_device(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        '"""First line.\n\nMore."""\n'
        "import os, jax\n"
        "from jaxpr.reproduce import Experiment, main\n"
        "def run(scale):\n"
        "    assert len(jax.devices()) == len(os.sched_getaffinity(0))\n"
        '    return Experiment("script", "T", "S", scale, {}, [], [], {})\n'
        'if __name__ == "__main__":\n'
        "    main(run)\n"
    )
    command = [sys.executable, str(script), "--scale", "smoke"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "runs" / "script" / "record.json").read_text("utf-8"))["name"] == "script"


@pytest.fixture
def scripts(monkeypatch):
    """Stubs in place of the scripts; the scales that they were run at, by name."""
    ran = {}

    def load(name):
        if name == "missing":
            raise InputError("name: found 'missing'")

        def run(scale):
            ran[name] = scale
            return tiny(name, scale)

        return SimpleNamespace(run=run)

    monkeypatch.setattr(running, "load_experiment", load)
    return ran


def test_reproduce_runs_scripts_and_writes_one_page(scripts, tmp_path):
    said = []
    page = reproduce(["second", "first"], "smoke", tmp_path / "all", report=said.append)
    assert list(scripts.items()) == [("second", "smoke"), ("first", "smoke")]
    assert page == tmp_path / "all" / "index.html"
    text = page.read_text("utf-8")
    assert text.index("Title of second") < text.index("Title of first")
    assert text.count("data:image/png;base64,") == 2
    for name, words in zip(("second", "first"), said, strict=True):
        assert f"Title of {name}" in words
        assert json.loads((tmp_path / "all" / name / "record.json").read_text("utf-8"))["name"] == name


def test_reproduce_looks_up_all_names_before_it_runs_one(scripts, tmp_path):
    with pytest.raises(InputError, match="name: found 'missing'"):
        reproduce(["first", "missing"], "smoke", tmp_path)
    assert scripts == {}
    assert list(tmp_path.iterdir()) == []


def test_reproduce_into_a_file(scripts, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="out: found a file"):
        reproduce(["first"], "smoke", tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
