"""The papers' experiments run at the smallest scale and say what a reader needs; the command line runs them."""

import json
import re

import pytest

from jaxpr.cli.commands import main
from jaxpr.reproduce import experiment_names, load_experiment

QUICK = ("cohen2024up/toy",)
# What no sample size decides: closed forms, exact transport, formulas drawn by hand.
SURE = {
    "ohayon2024/toy_denoising": ("conditional errors",),
    "ohayon2024/noise_separation": ("have not, whatever the laws",),
    "ohayon2023/toy_disk": ("Drawn by hand", "Ring: what avoids", "K_f moves"),
    "adrai2023/mixture": ("least MSE", "better W2 than x*"),
    "adrai2023/transport_ablations": (),
    "adrai2023/transport_beyond": ("explains y worse",),
    "adrai2023/traversals": (),
    "cohen2024up/toy": ("η lies", "Gaussian given y", "D(P) ≥ U(P)"),
    "cohen2024md/toy_selection": ("cover all modes", "between", "redundant"),
    "cohen2024md/sampler_exactness": ("have one law",),
    "cohen2024md/guided_sets": (),
    "cohen2024md/guidance_ablation": (),
    "cohen2024md/many_answers": (),
    "ohayon2024/superresolution": ("smaller K̄",),
    "ohayon2024/decisions28": (),
    "ohayon2024/pipeline_attack": (),
    "ohayon2024/posterior_exploration": (),
    "ohayon2023/restoration_gans": ("All are consistent",),
    "ohayon2023/stochastic_attack": (),
    "beyond/smoothing": ("consistency is lost",),
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.thorough if n in QUICK else pytest.mark.slow) for n in experiment_names()],
)
def test_smoke(name, tmp_path, capsys):
    main(["reproduce", name, "--scale", "smoke", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert f"Page: {tmp_path / 'index.html'}" in printed
    record = json.loads((tmp_path / name / "record.json").read_text("utf-8"))
    assert (record["name"], record["scale"]) == (name, "smoke")
    assert all((tmp_path / name / picture["file"]).stat().st_size > 10_000 for picture in record["pictures"])
    for table in record["tables"]:
        assert table["title"] in printed
    for words in SURE[name]:
        (claim,) = (claim for claim in record["claims"] if words in claim["text"])
        assert claim["holds"], claim


@pytest.mark.parametrize("name", experiment_names())
def test_headers_say_the_command_and_what_it_printed(name):
    text = load_experiment(name).__doc__ or ""
    assert f"python experiments/{name}.py" in text
    assert re.search(r"[Ss]mall\b.*, two .*CPU cores, \d", text)


def test_unknown_names_stop_with_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["reproduce", "nope", "--out", str(tmp_path)])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: names: found 'nope', expected some of all, ")
    assert all(name in error for name in experiment_names())
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["all"], experiment_names()),
        (["cohen2024up", "beyond", "cohen2024up/toy"], ("cohen2024up/toy", "beyond/smoothing")),
    ],
)
def test_papers_stand_for_their_experiments(words, names, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("jaxpr.cli.reproduce.reproduce", lambda names, *_: asked.append(names) or tmp_path)
    main(["reproduce", *words, "--scale", "smoke", "--out", str(tmp_path)])
    assert asked == [names]


def test_help_lists_what_lies_in_the_folder(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["reproduce", "--help"])
    printed = "".join(character for character in capsys.readouterr().out if character not in "│ \n")
    assert all(name in printed for name in experiment_names())
