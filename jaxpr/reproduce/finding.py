"""Where experiments lie, what they are called, and how they are loaded.

An experiment is a file of a folder of `experiments/` with a function `run(scale: str, ...)`; its name is its place, as
`ohayon2024/superresolution`.
"""

import functools
import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from jaxpr.core import InputError, did_you_mean, experiments_folder, load_python, printable

__all__ = ["chosen_experiments", "experiment_names", "load_experiment"]

_RUN = re.compile(r"^def run\(", re.MULTILINE)


def experiment_names() -> tuple[str, ...]:
    """All of them, in alphabetical order; none where the folder was not installed."""
    return _names_in(experiments_folder())


@functools.cache
def _names_in(folder: Path) -> tuple[str, ...]:
    files = (path for path in folder.glob("*/*.py") if _RUN.search(path.read_text(encoding="utf-8")))
    return tuple(sorted(path.relative_to(folder).with_suffix("").as_posix() for path in files))


def chosen_experiments(words: Sequence[str]) -> tuple[str, ...]:
    """The names that words stand for, each once: "all", a paper's key for its experiments, or a name.

    Raises:
        InputError: no words, a word that is none of these, or the experiments are not there.
    """
    names = experiment_names()
    if not names:
        raise InputError(f"names: found no experiments in {experiments_folder()}, expected them beside the package")
    papers = dict.fromkeys(name.split("/")[0] for name in names)
    known = ("all", *papers, *names)
    if not words:
        raise InputError(f"names: found none, expected some of {', '.join(known)}")
    for word in words:
        if word not in known:
            likely = did_you_mean(word, known)
            raise InputError(f"names: found {printable(word)!r}, expected some of {', '.join(known)}{likely}")
    stand_for = {"all": names} | {paper: [n for n in names if n.startswith(f"{paper}/")] for paper in papers}
    return tuple(dict.fromkeys(name for word in words for name in stand_for.get(word, (word,))))


def load_experiment(name: str) -> ModuleType:
    """The module of an experiment.

    Raises:
        InputError: there is none of this name, or the folder was not installed.
    """
    if name not in experiment_names():
        chosen_experiments([name])  # says what there is
        raise InputError(f"names: found {name!r}, expected one experiment, such as {experiment_names()[0]}")
    paper = name.split("/")[0]
    return load_python("names", experiments_folder() / f"{name}.py", module=f"jaxpr_experiments.{paper}")
