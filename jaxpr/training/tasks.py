"""What is common to training anything: a folder, checkpoints, a log, pictures, averaged weights with their history."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

import jaxpr
from jaxpr.core import Array, InputError, check_count, code_sha256, write_atomically
from jaxpr.data import ImageSource
from jaxpr.training.checkpoints import Checkpoints
from jaxpr.training.log import history_csv, sample_picture
from jaxpr.training.recipes import Recipe, recipe_record
from jaxpr.training.runner import Step, run_steps

__all__ = ["WEIGHTS", "Averaged", "Task", "Trained", "average_weights", "drive", "with_average"]

Params: TypeAlias = Any

WEIGHTS = "weights.safetensors"
"""The file of a finished run."""

_LOGGED, _CHUNK = 50, 50


class Task(NamedTuple):
    """What `drive` trains.

    Attributes:
        recipe: what distinguishes it.
        start: maps the images and the weights to begin with, the bytes of a file or None, to the state before the first
            step and to what every step is given. What is kept in the end is the average of the state's `params`.
        step: see `Step`; measures a `loss` among others.
        export: maps (averaged parameters, what is to be known about them) to the bytes of a file of weights.
        show: maps averaged parameters to rows of images (N, H, W, C) of one shape; None for no pictures.
        sparse: see `history_csv`.
    """

    recipe: Recipe
    start: Callable[[ImageSource, bytes | None], tuple[Any, Any]]
    step: Step[Any]
    export: Callable[[Params, dict[str, Any]], bytes]
    show: Callable[[Params], list[np.ndarray]] | None = None
    sparse: Mapping[str, int] = {}


class Trained(NamedTuple):
    """What `drive` made.

    Attributes:
        weights: the file.
        size: its bytes.
        steps: done by this call; 0 if it was there already.
        seconds: of this call, compilation included.
    """

    weights: Path
    size: int
    steps: int
    seconds: float


class Averaged(NamedTuple):
    """A state with its average.

    Attributes:
        state: of a task.
        average: exponential moving average of its `params`.
    """

    state: Any
    average: Params


def drive(task: Task, out: Path, *, command: str, checkpoint_every: int = 500, progress: bool = True) -> Trained:
    """Train in `out / task.recipe.name`, or go on, or find it done.

    Writes `recipe.json`, `checkpoints/`, `log.csv`, `samples/step-*.png`, and at last `weights.safetensors`: the
    averaged weights with the recipe, the command, the data and the code that made them.

    Args:
        task: what to train, and how.
        out: folder of all runs of a config; weights to begin with are looked for there.
        command: that trains it; stored with the weights.
        checkpoint_every: steps between checkpoints.
        progress: show a progress bar.

    Raises:
        InputError: it cannot be trained, or the folder holds a run of another recipe or version.
        DivergenceError: a loss is not finite; the message names the step.
        OSError: the folder cannot be written.
    """
    check_count("checkpoint_every", checkpoint_every)
    started, recipe, folder = time.perf_counter(), task.recipe, out / task.recipe.name
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder / "recipe.json", recipe)
    weights = folder / WEIGHTS
    if weights.exists():
        return Trained(weights, weights.stat().st_size, 0, time.perf_counter() - started)
    source = recipe.data.read("train")
    state, data = task.start(source, None if recipe.begin_with is None else _first_weights(out, recipe.begin_with))

    def watch(step: int, state: Averaged, history: dict[str, np.ndarray]) -> None:
        write_atomically(folder / "log.csv", history_csv(history, every=_LOGGED, sparse=task.sparse).encode())
        if task.show is not None:
            (folder / "samples").mkdir(exist_ok=True)
            picture = sample_picture(task.show(jax.device_get(state.average)))
            picture.save(folder / "samples" / f"step-{step:07d}.png")

    first = Averaged(state, state.params)
    checkpoints = Checkpoints(folder / "checkpoints", checkpoint_every)
    before = checkpoints.last_step()
    run = run_steps(
        with_average(task.step, decay=recipe.optimizer.average),
        first,
        data,
        steps=recipe.optimizer.steps,
        chunk=_CHUNK,
        progress=progress,
        title=recipe.name,
        shown="loss",
        checkpoints=checkpoints,
        watch=watch,
    )
    content = task.export(run.state.average, _metadata(recipe, source, command))
    write_atomically(weights, content)
    return Trained(weights, len(content), recipe.optimizer.steps - before, time.perf_counter() - started)


def with_average(step: Step[Any], *, decay: float) -> Step[Averaged]:
    """A step that also renews the average of the state's `params`; a decay of 0 keeps the last ones."""

    def averaged(number: Array, state: Averaged, data: Any) -> tuple[Averaged, dict[str, Array]]:
        new, measured = step(number, state.state, data)
        return Averaged(new, average_weights(state.average, new.params, number, decay=decay)), measured

    return averaged


def average_weights(average: Params, params: Params, step: Array, *, decay: float) -> Params:
    """The exponential moving average after one more step.

    The decay grows as (1 + step) / (10 + step) until it reaches `decay`, so that the first weights are soon forgotten.
    """
    kept = jnp.minimum(decay, (1 + step) / (10 + step))
    return jax.tree.map(lambda old, new: kept * old + (1 - kept) * new, average, params)


def _claim(path: Path, recipe: Recipe) -> None:
    """Store the recipe of a folder, or raise if it has another one."""
    text = json.dumps(recipe_record(recipe), indent=1, sort_keys=True) + "\n"
    if not path.exists():
        write_atomically(path, text.encode())
        return
    found = path.read_text(encoding="utf-8", errors="replace")
    if found == text:
        return
    what = "another recipe" if '"kind": "' + type(recipe).__name__ in found else "an earlier version or another kind"
    raise InputError(f"out: found a run of {what} in {path.parent}, expected the same; remove it to start anew")


def _first_weights(out: Path, name: str) -> bytes:
    path = out / name / WEIGHTS
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"begin_with: found no {path}, expected the weights of {name}; train it first") from error


def _metadata(recipe: Recipe, source: ImageSource, command: str) -> dict[str, Any]:
    return {
        "command": command,
        "recipe": recipe_record(recipe),
        "seed": recipe.seed,
        "data": source.name,
        "data_fingerprint": source.fingerprint,
        "code_sha256": code_sha256(),
        "jaxpr": jaxpr.__version__,
        "jax": jax.__version__,
    }
