"""The command line as a user meets it: one line and exit code 2 for bad input, a table and a report for good."""

import json
import re
import shlex
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image
from stopping import stopped

from jaxpr.cli.commands import main

FAST = ["--scale", "smoke", "--crop", "48", "--patch-size", "8", "--features", "pixels", "--no-progress"]


@pytest.fixture
def folder(tmp_path):
    random, images = np.random.default_rng(0), tmp_path / "images"
    images.mkdir()
    for index in range(2):
        blocks = random.integers(0, 256, (13, 13, 3), np.uint8)
        Image.fromarray(blocks).resize((100, 100), Image.Resampling.BICUBIC).save(images / f"{index}.png")
    return images


@pytest.mark.slow
def test_evaluate_a_folder_with_a_function_of_the_users_own(folder, tmp_path, capsys):
    script = tmp_path / "mine.py"
    script.write_text("import jax.numpy as jnp\ndef double(y):\n    return jnp.repeat(jnp.repeat(y, 2, 1), 2, 2)\n")
    restorers = ["nearest", f"{script}:double", "lanczos+project"]
    out = tmp_path / "run"
    options = ["--data", str(folder), "--degradation", "average-x2", "--alpha-levels", "2", "--out", str(out)]
    main(["evaluate", *options, *FAST, "--restorers", *restorers])
    printed = capsys.readouterr().out
    assert f"Report: {out / 'report.html'}" in printed
    record = json.loads((out / "results.json").read_text())
    assert [r["name"] for r in record["restorers"]] == restorers
    nearest, mine, projected = (r["metrics"] for r in record["restorers"])
    # Two programs for one function: their rounding may differ.
    assert nearest.keys() == mine.keys()
    for name, cell in nearest.items():
        assert mine[name]["value"] == (pytest.approx(cell["value"], rel=1e-5) if cell["value"] is not None else None)
    assert projected["lr_psnr"]["value"] > 100
    assert record["protocol"]["alpha"] == pytest.approx(2 / 255)
    assert record["protocol"]["images"] == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--restorers", "magic"], "restorers: found 'magic', expected one of nearest"),
        (["--restorers", "exemplar:-1"], "restorers: found temperature -1"),
        (
            ["--restorers", "nowhere.py:f"],
            "restorers: cannot open nowhere.py (No such file or directory)",
        ),
        (["--restorers", "no.such.module:f"], "restorers: cannot import 'no.such.module'"),
        (["--restorers", "numpy:no_such_function"], "restorers: found no function 'no_such_function' in numpy"),
        (["--restorers", "math:sin"], "restorer math:sin: measurements of shape (8, 12, 12, 3): failed (TypeError"),
        (["--restorers", "nearest", "nearest"], "restorers: found nearest more than once"),
        (["--degradation", "bicubic-x5"], "--degradation: found 'bicubic-x5'"),
        (["--data", "no/such/folder"], "data: found no folder 'no/such/folder'"),
        (["--data", "tfds:mnist"], "data: found 'tfds:mnist', expected tfds:NAME:SPLIT"),
        (["--patch-size", "40"], "--data: found a measurement of only 12 pixels"),
        (["--crop", "400"], "found 300×451 pixels, expected at least size 400"),
        (["--attack-steps", "0"], "--attack-steps: found 0"),
        (["--batch-size", "0"], "--batch-size: found 0"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(tmp_path, capsys, changes, message):
    out = tmp_path / "run"
    arguments = ["evaluate", "--restorers", "nearest", *FAST, "--out", str(out), *changes]
    assert message in stopped(capsys, arguments)
    assert not out.exists()


@pytest.mark.thorough
def test_corrupt_image_is_named_or_left_out(folder, tmp_path, capsys):
    (folder / "broken.png").write_bytes(b"\x89PNG not really")
    arguments = ["evaluate", "--data", str(folder), "--restorers", "nearest", *FAST, "--out", str(tmp_path / "run")]
    assert "broken.png" in stopped(capsys, arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        main([*arguments, "--skip-bad"])
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    assert shlex.split(record["provenance"]["command"]) == ["jaxpr", *arguments, "--skip-bad"]
    assert re.search(r"warning: .*left out 1 of 3 files.*broken\.png", capsys.readouterr().err)
    assert record["protocol"]["images"] == 2


@pytest.mark.thorough
def test_output_folder_of_another_protocol(folder, tmp_path, capsys):
    arguments = ["evaluate", "--data", str(folder), "--restorers", "nearest", *FAST, "--out", str(tmp_path / "run")]
    main(arguments)
    capsys.readouterr()
    assert "found a run with attack_steps = 2" in stopped(capsys, [*arguments, "--attack-steps", "3"])


def test_unknown_option_exits_with_code_2(tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--out", str(tmp_path / "run"), "--no-such-option", "1"])
    assert stop.value.code == 2


def test_the_installed_command_answers():
    found = subprocess.run([sys.executable, "-m", "jaxpr", "evaluate", "--help"], capture_output=True, text=True)
    assert found.returncode == 0
    assert "--restorers" in found.stdout


@pytest.mark.slow
def test_the_main_job_shows_the_tradeoff_on_real_photographs(tmp_path):
    main(["evaluate", "--out", str(tmp_path / "run"), "--no-progress"])
    record = json.loads((tmp_path / "run" / "results.json").read_text())
    found = {r["name"]: {k: v["value"] for k, v in r["metrics"].items()} for r in record["restorers"]}
    assert len(found) == 12
    family = [found["photos-l1"], *(found[f"photos-gan-{w}"] for w in ("0.001", "0.003", "0.01", "0.03", "0.1"))]
    lipschitz = [m["lipschitz_mean"] for m in family]
    joint = [m["joint_fd_alexnet"] for m in family]
    assert lipschitz == sorted(lipschitz)
    assert joint[:5] == sorted(joint[:5], reverse=True)  # the strongest weight gains nothing more
    # Over all twelve restorers: the rank correlation of K̄ and joint FD is strongly negative.
    ranks = np.argsort(
        np.argsort([[m["lipschitz_mean"], m["joint_fd_alexnet"]] for m in found.values()], axis=0), axis=0
    )
    assert np.corrcoef(ranks.T)[0, 1] < -0.7
    assert all(m["lr_psnr"] > 100 for name, m in found.items() if name.startswith("photos"))
