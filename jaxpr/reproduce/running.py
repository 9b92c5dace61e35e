"""Run the scripts of `experiments/`: from themselves, and from `jaxpr reproduce`.

A script reproduces figures or tables of a paper. It has `run(scale: str) -> Experiment` and calls `main(run)`. Where it
takes trained restorers, `run` has further parameters: `runs`, a folder of `jaxpr train` or None for those that come
with jaxpr, and perhaps `given`, further restorers as `jaxpr evaluate` names them.
"""

import argparse
import functools
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import jax

import jaxpr
from jaxpr.core import Scale, claim_folder, code_sha256, experiments_folder, given_path, script_sha256
from jaxpr.endings import one_line_endings
from jaxpr.report.experiments import Experiment, experiment_text, write_experiment, write_experiments_page
from jaxpr.reproduce.devices import use_all_cores
from jaxpr.reproduce.finding import load_experiment

__all__ = ["main", "reproduce"]


_OPTIONS: dict[str, dict[str, Any]] = {
    "runs": {"type": Path, "metavar": "FOLDER", "help": "trained by `jaxpr train`, instead of what comes with jaxpr"},
    "given": {"nargs": "+", "default": (), "metavar": "RESTORER", "help": "more, as `jaxpr evaluate` names them"},
}


def main(run: Callable[..., Experiment], arguments: Sequence[str] | None = None) -> None:
    """The command line of a script: run it at a scale, write its record and pictures, print its tables."""
    use_all_cores()
    name = _name_of(Path(inspect.getfile(run)).resolve())
    description = (sys.modules[run.__module__].__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(description=description[0] if description else None)
    parser.add_argument("--scale", choices=get_args(Scale), default="small")
    parser.add_argument("--out", type=Path, default=Path("runs") / name)
    taken = set(_OPTIONS) & set(inspect.signature(run).parameters)
    for option in sorted(taken):
        parser.add_argument(f"--{option}", **_OPTIONS[option])
    options = vars(parser.parse_args(arguments))
    chosen = functools.partial(run, **{option: options[option] for option in taken})
    with one_line_endings():
        record = _run(chosen, options["scale"], given_path(options["out"]))
    print(experiment_text(record))
    print(f"\nRecord and figures: {options['out']}")


def reproduce(names: Sequence[str], scale: Scale, out: Path, *, report: Callable[[str], None] = print) -> Path:
    """Run scripts one after the other and write one page with everything.

    Args:
        names: of `experiment_names`.
        scale: for all of them.
        out: folder; each script writes into a folder of its name in it.
        report: what to do with each script's tables as text.

    Returns:
        The HTML page.

    Raises:
        InputError: an unknown name, or the scripts are not there.
    """
    scripts = {name: load_experiment(name) for name in names}
    claim_folder("out", out)
    records = []
    for name, script in scripts.items():
        record = _run(script.run, scale, out / name)
        report(experiment_text(record) + "\n")
        records.append((record, out / name))
    return write_experiments_page(records, out)


def _name_of(script: Path) -> str:
    """The place of an experiment; of a script that lies elsewhere its stem."""
    folder = experiments_folder().resolve()
    return script.relative_to(folder).with_suffix("").as_posix() if script.is_relative_to(folder) else script.stem


def _run(run: Callable[..., Experiment], scale: str, out: Path) -> dict[str, Any]:
    claim_folder("out", out)
    started = time.perf_counter()
    found = run(scale)
    device = jax.devices()[0]
    provenance = {
        "jaxpr": jaxpr.__version__,
        "code_sha256": code_sha256(),
        "script_sha256": script_sha256(Path(inspect.getfile(getattr(run, "func", run)))),
        "jax": jax.__version__,
        "device": f"{len(jax.devices())} × {device.device_kind}",
        "seconds": round(time.perf_counter() - started, 1),
    }
    return write_experiment(found, out, provenance)
