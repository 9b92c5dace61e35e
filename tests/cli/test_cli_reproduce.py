"""The papers' experiments run at the smallest scale and say what a reader needs; the command line runs them."""

import json
import re

import pytest

from jaxpr.cli.commands import main
from jaxpr.reproduce import GROUPS, NAMES, load_script

QUICK = ("up_toy",)
# What no sample size decides: closed forms, exact transport, formulas drawn by hand.
SURE = {
    "pr_toy_denoising": ("conditional errors",),
    "so_toy_disk": ("Drawn by hand", "Ring: what avoids"),
    "dot_mixture": ("least MSE", "better W2 than x*"),
    "up_toy": ("η lies", "Gaussian given y", "D(P) ≥ U(P)"),
    "md_toy_selection": ("cover all modes", "between", "redundant"),
    "pr_superresolution": ("smaller K̄",),
    "pr_pipeline_attack": (),
    "pr_posterior_exploration": (),
    "so_restoration_gans": ("All are consistent",),
    "so_stochastic_attack": (),
    "so_smoothing": ("consistency is lost",),
}


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NAMES])
def test_smoke(name, tmp_path, capsys):
    main(["reproduce", name, "--scale", "smoke", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert f"Page: {tmp_path / 'index.html'}" in printed
    record = json.loads((tmp_path / name / "record.json").read_text("utf-8"))
    assert record["scale"] == "smoke"
    assert all((tmp_path / name / picture["file"]).stat().st_size > 10_000 for picture in record["pictures"])
    for table in record["tables"]:
        assert table["title"] in printed
    for words in SURE[name]:
        (claim,) = (claim for claim in record["claims"] if words in claim["text"])
        assert claim["holds"], claim


@pytest.mark.parametrize("name", NAMES)
def test_headers_say_the_command_and_what_it_printed(name):
    text = load_script(name).__doc__ or ""
    assert f"python experiments/{name}.py" in text
    assert re.search(r"[Ss]mall\b.*, two .*CPU cores, \d", text)


def test_unknown_names_stop_with_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "nope", "--out", str(tmp_path)])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: names: found 'nope', expected one of pr_toy_denoising")
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["all"], NAMES),
        (["toys"], GROUPS["toys"]),
        (["restorers", "up_toy", "so_smoothing"], (*GROUPS["restorers"], "up_toy")),
    ],
)
def test_groups_stand_for_their_scripts(words, names, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("jaxpr.cli.reproduce.reproduce", lambda names, *_: asked.append(names) or tmp_path)
    main(["reproduce", *words, "--scale", "smoke", "--out", str(tmp_path)])
    assert asked == [names]
