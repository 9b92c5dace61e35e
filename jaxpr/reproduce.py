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
from types import ModuleType
from typing import Any, get_args

import jax

import jaxpr
from jaxpr.core import (
    InputError,
    Scale,
    claim_folder,
    code_sha256,
    did_you_mean,
    given_path,
    load_python,
    script_sha256,
)
from jaxpr.endings import one_line_endings
from jaxpr.report.experiments import (
    Claim,
    Experiment,
    Picture,
    Table,
    experiment_text,
    write_experiment,
    write_experiments_page,
)

__all__ = [
    "GROUPS",
    "NAMES",
    "Claim",
    "Experiment",
    "Picture",
    "Table",
    "load_script",
    "main",
    "reproduce",
    "use_all_cores",
]

GROUPS = {
    "toys": ("pr_toy_denoising", "so_toy_disk", "dot_mixture", "up_toy", "md_toy_selection"),
    "restorers": (
        *("pr_superresolution", "pr_pipeline_attack", "pr_posterior_exploration"),
        *("so_restoration_gans", "so_stochastic_attack", "so_smoothing"),
    ),
}
"""Scripts on laws whose answers are known, and scripts on trained restorers."""

NAMES = tuple(name for names in GROUPS.values() for name in names)
"""Scripts that `jaxpr reproduce all` runs, in this order."""


_OPTIONS: dict[str, dict[str, Any]] = {
    "runs": {"type": Path, "metavar": "FOLDER", "help": "trained by `jaxpr train`, instead of what comes with jaxpr"},
    "given": {"nargs": "+", "default": (), "metavar": "RESTORER", "help": "more, as `jaxpr evaluate` names them"},
}


def use_all_cores() -> None:
    """Make each core of a CPU a device, so that independent members of an ensemble train side by side.

    For programs, before they use JAX first; without effect afterwards.
    """
    try:
        jax.config.update("jax_num_cpu_devices", len(_cores()))
    except RuntimeError:  # JAX is in use already
        return


def main(run: Callable[..., Experiment], arguments: Sequence[str] | None = None) -> None:
    """The command line of a script: run it at a scale, write its record and pictures, print its tables."""
    use_all_cores()
    name = Path(sys.modules[run.__module__].__file__ or run.__module__).stem
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
        names: of `NAMES`.
        scale: for all of them.
        out: folder; each script writes into a folder of its name in it.
        report: what to do with each script's tables as text.

    Returns:
        The HTML page.

    Raises:
        InputError: an unknown name, or the scripts are not there.
    """
    scripts = {name: load_script(name) for name in names}
    claim_folder("out", out)
    records = []
    for name, script in scripts.items():
        record = _run(script.run, scale, out / name)
        report(experiment_text(record) + "\n")
        records.append((record, out / name))
    return write_experiments_page(records, out)


def load_script(name: str) -> ModuleType:
    """The module of a script; what lies beside it can be imported from then on, as when it is started.

    Raises:
        InputError: there is none of this name, or the folder of scripts was not installed.
    """
    if name not in NAMES:
        likely = did_you_mean(name, NAMES)
        raise InputError(f"names: found {name!r}, expected one of {', '.join(NAMES)}{likely}")
    package = Path(jaxpr.__file__).parent
    folders = (package.parent / "experiments", package / "_experiments")  # of a checkout, of an installed wheel
    for folder in folders:
        path = folder / f"{name}.py"
        if path.exists():
            if str(folder) not in sys.path:
                sys.path.append(str(folder))
            return load_python("names", path, module="jaxpr_experiments")
    raise InputError(f"names: found no script {name}.py in {folders[0]}, expected the experiments beside the package")


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


def _cores() -> Sequence[int]:
    import os

    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
