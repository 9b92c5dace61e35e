"""Experiments are what lies in the folder, of a checkout and of a wheel."""

import sys

import pytest

import jaxpr
from jaxpr.core import InputError
from jaxpr.reproduce import chosen_experiments, experiment_names, load_experiment

RUN = "def run(scale):\n    return scale + '!'\n"


@pytest.fixture(params=["experiments", "jaxpr/_experiments"])
def folder(request, tmp_path, monkeypatch):
    """Two papers, and files that are no experiments."""
    (tmp_path / "jaxpr").mkdir()
    found = tmp_path / request.param
    for name in ("zeta2024/toy", "alpha2023/toy", "alpha2023/gans"):
        (found / name).parent.mkdir(parents=True, exist_ok=True)
        (found / f"{name}.py").write_text(RUN)
    (found / "configs").mkdir()
    (found / "configs" / "digits.py").write_text("def recipes(scale):\n    return []\n")
    (found / "fit.py").write_text(RUN)
    monkeypatch.setattr(jaxpr, "__file__", str(tmp_path / "jaxpr" / "__init__.py"))
    return found


def test_names_are_places(folder):
    assert experiment_names() == ("alpha2023/gans", "alpha2023/toy", "zeta2024/toy")


def test_equal_stems_of_two_papers_are_two_modules(folder):
    before = set(sys.modules)
    first, second = load_experiment("alpha2023/toy"), load_experiment("zeta2024/toy")
    assert first.run("smoke") == second.run("smoke") == "smoke!"
    assert first.__name__ != second.__name__
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_words_stand_for_names_each_once(folder):
    assert chosen_experiments(["all"]) == experiment_names()
    assert chosen_experiments(["zeta2024", "alpha2023/toy", "all"]) == (
        "zeta2024/toy",
        "alpha2023/toy",
        "alpha2023/gans",
    )


@pytest.mark.parametrize("name", ["", "unknown", "../jaxpr/cli", "ALPHA2023/TOY", "alpha2023/toy.py", "configs/digits"])
def test_unknown_experiments(folder, name):
    with pytest.raises(InputError, match=r"names: found .*, expected some of all, alpha2023, zeta2024, alpha2023/gans"):
        load_experiment(name)


def test_a_paper_is_no_single_experiment(folder):
    with pytest.raises(InputError, match="names: found 'alpha2023', expected one experiment"):
        load_experiment("alpha2023")
    with pytest.raises(InputError, match="names: found none, expected some of all"):
        chosen_experiments([])


def test_experiments_that_are_not_there(tmp_path, monkeypatch):
    (tmp_path / "jaxpr").mkdir()
    monkeypatch.setattr(jaxpr, "__file__", str(tmp_path / "jaxpr" / "__init__.py"))
    with pytest.raises(InputError, match="expected them beside the package"):
        load_experiment("alpha2023/toy")
