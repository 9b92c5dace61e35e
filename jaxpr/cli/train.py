"""`jaxpr train`: restorers from recipes, with checkpoints, a log, sample pictures, and weights with their history.

A config is a Python file with `recipes(scale: str) -> Sequence[Recipe]`, such as those in `experiments/configs/`.
"""

import functools
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

import jaxpr
from jaxpr.attacks import l2_adam
from jaxpr.attacks.budget import epsilon_for_psnr
from jaxpr.core import (
    Array,
    InputError,
    check_count,
    claim_folder,
    did_you_mean,
    given_path,
    load_python,
    printable,
    seed_key,
    users_code,
    write_atomically,
)
from jaxpr.data import ImageSource
from jaxpr.data.words import PACKAGED, named_images
from jaxpr.doctor import warn_of_idle_accelerator
from jaxpr.evaluation.provenance import code_sha256
from jaxpr.reproduce import Scale, sharded, use_all_cores
from jaxpr.training.checkpoints import Checkpoints
from jaxpr.training.images import Procedure, RestorerState, fit_restorer, start_restorer
from jaxpr.training.log import history_csv, sample_picture
from jaxpr.training.pool import draw_crops, image_pool
from jaxpr.training.recipes import Recipe, build_procedure, check_recipe_name, measurement_shape, recipe_record
from jaxpr.weights.native import pack_restorer, unpack_restorer

__all__ = ["Train", "Trained", "load_recipes", "train_recipe"]

WEIGHTS = "weights.safetensors"
_SHOWN, _DRAWS, _CANDIDATES = 8, 3, 8
_LOGGED = 50


class Trained(NamedTuple):
    """A restorer that `train_recipe` made.

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


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train the restorers of a config: checkpoints, log.csv, samples and weights.safetensors in a folder of each."""

    config: tyro.conf.Positional[str]
    """A Python file with recipes, or the name of one in experiments/configs, such as digits or photographs."""

    out: Path
    """Folder of the runs. The same command in the same folder resumes what was interrupted and skips what is done."""

    scale: Scale = "small"
    """smoke: seconds each; small: minutes each on two CPU cores; paper: the papers' sizes and data."""

    only: tuple[str, ...] = ()
    """Names of the recipes to train; by default all."""

    checkpoint_every: int = 500
    """Steps between checkpoints; each also renews the log and adds a picture of samples."""

    progress: bool = True
    """Show progress bars with the loss and the time left."""

    def run(self) -> None:
        """Train one recipe after the other."""
        check_count("checkpoint_every", self.checkpoint_every)
        use_all_cores()
        out = given_path(self.out)
        recipes = load_recipes(self.config, self.scale)
        unknown = sorted(set(self.only) - set(recipes))
        if unknown:
            likely = did_you_mean(unknown[0], recipes)
            raise InputError(f"only: found {unknown[0]!r}, expected some of {', '.join(recipes)}{likely}")
        claim_folder("out", out)
        warn_of_idle_accelerator()
        for name in self.only or recipes:
            done = train_recipe(
                recipes[name],
                out,
                command=f"jaxpr train {Path(self.config).stem} --scale {self.scale} --only {name}",
                checkpoint_every=self.checkpoint_every,
                progress=self.progress,
            )
            how = f"{done.steps} steps in {done.seconds:.0f} s" if done.steps else "finished before"
            print(f"{name}: {how}; {done.weights}, {done.size:,} bytes", flush=True)


def load_recipes(config: str, scale: Scale) -> dict[str, Recipe]:
    """The recipes of a config by their names.

    Args:
        config: a Python file, or the name of one in `experiments/configs`.
        scale: passed to its `recipes`.

    Raises:
        InputError: no such file, no `recipes` in it, no such scale, or two recipes of one name.
    """
    path = _config_path(config)
    module = load_python("config", path, module="jaxpr_configs")
    make: Callable[[str], Sequence[Recipe]] | None = getattr(module, "recipes", None)
    if not callable(make):
        raise InputError(f"config: found no function recipes(scale) in {printable(path)}")
    with users_code(f"config: recipes({scale!r}) of {printable(path)}", expected="it to return recipes"):
        made = list(make(scale))
    for recipe in made:
        if not isinstance(recipe, Recipe):
            raise InputError(f"config: found {type(recipe).__name__} among the recipes of {printable(path)}")
        check_recipe_name(recipe.name)
    names = [recipe.name for recipe in made]
    if len(set(names)) != len(names) or not names:
        raise InputError(f"config: found names {', '.join(names) or 'of none'}, expected each once")
    return {recipe.name: recipe for recipe in made}


def train_recipe(
    recipe: Recipe, out: Path, *, command: str, checkpoint_every: int = 500, progress: bool = True
) -> Trained:
    """Train one restorer in `out / recipe.name`, or go on, or find it done.

    Writes `recipe.json`, `checkpoints/`, `log.csv`, `samples/step-*.png`, and at last `weights.safetensors`: the
    averaged weights with the recipe, the command, the data and the code that made them. Batches are spread over all
    devices whose number divides them.

    Args:
        recipe: what to train, and how.
        out: folder of all runs of a config; weights to begin with are looked for there.
        command: that trains it; stored with the weights.
        checkpoint_every: steps between checkpoints.
        progress: show a progress bar.

    Raises:
        InputError: the recipe cannot be trained, or the folder holds a run of another recipe.
        DivergenceError: a loss is not finite; the message names the step.
        OSError: the folder cannot be written.
    """
    check_count("checkpoint_every", checkpoint_every)
    for name in (recipe.name, recipe.begin_with):
        if name is not None:
            check_recipe_name(name)
    started, folder = time.perf_counter(), out / recipe.name
    with users_code(f"recipe {recipe.name}"):  # its values may be of any type
        procedure = build_procedure(recipe, attack=_attack(recipe))
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    _claim(folder / "recipe.json", recipe)
    weights = folder / WEIGHTS
    if weights.exists():
        return Trained(weights, weights.stat().st_size, 0, time.perf_counter() - started)
    source = named_images(recipe.data, "train")
    slots = sharded(jnp.arange(recipe.batch))
    everywhere = jax.sharding.NamedSharding(slots.sharding.mesh, jax.P())
    k_start, k_fit, k_samples = jax.random.split(seed_key("seed", recipe.seed), 3)
    first = None if recipe.begin_with is None else _weights_of(out / recipe.begin_with / WEIGHTS, recipe)
    state, key, pool = jax.device_put(
        (start_restorer(k_start, procedure, params=first), k_fit, image_pool(source, smallest=recipe.size)), everywhere
    )
    shown = _samples(k_samples, recipe, procedure)

    def watch(step: int, state: RestorerState, history: dict[str, np.ndarray]) -> None:
        text = history_csv(history, every=_LOGGED, sparse={"robustness": recipe.robustness_every})
        write_atomically(folder / "log.csv", text.encode())
        sample_picture(shown(jax.device_get(state.average))).save(folder / "samples" / f"step-{step:07d}.png")

    checkpoints = Checkpoints(folder / "checkpoints", checkpoint_every)
    found = checkpoints.latest(state)
    run = fit_restorer(
        key,
        state,
        pool,
        slots,
        procedure=procedure,
        size=recipe.size,
        symmetries=recipe.symmetries,
        candidates=recipe.candidates,
        steps=recipe.steps,
        progress=progress,
        title=recipe.name,
        checkpoints=checkpoints,
        watch=watch,
    )
    metadata = _metadata(recipe, source, command)
    content = pack_restorer(recipe.restorer_config(), run.state.average, metadata)
    write_atomically(weights, content)
    done = recipe.steps - (0 if found is None else found.step)
    return Trained(weights, len(content), done, time.perf_counter() - started)


def _config_path(config: str) -> Path:
    package = Path(jaxpr.__file__).parent
    folders = (package.parent / "experiments", package / "_experiments")  # of a checkout, of an installed wheel
    places = [given_path(config), *(folder / "configs" / f"{config}.py" for folder in folders)]
    for path in places:
        if path.is_file():
            return path
    known = sorted(path.stem for folder in folders for path in (folder / "configs").glob("*.py"))
    likely = did_you_mean(config, known)
    raise InputError(f"config: found no file {printable(config)}, expected one, or one of {', '.join(known)}{likely}")


def _attack(recipe: Recipe) -> Any:
    epsilon = epsilon_for_psnr(recipe.attack_psnr, measurement_shape(recipe), data_range=1.0)
    return functools.partial(l2_adam, epsilon=epsilon, steps=recipe.attack_steps, learning_rate=recipe.attack_rate)


def _claim(path: Path, recipe: Recipe) -> None:
    """Store the recipe of a folder, or raise if it has another one."""
    text = json.dumps(recipe_record(recipe), indent=1, sort_keys=True) + "\n"
    if not path.exists():
        write_atomically(path, text.encode())
    elif path.read_text(encoding="utf-8", errors="replace") != text:
        raise InputError(
            f"out: found a run of another recipe in {path.parent}, expected the same; remove it to start anew"
        )


def _weights_of(path: Path, recipe: Recipe) -> dict[Any, Any]:
    try:
        packed = unpack_restorer(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"begin_with: found no {path}, expected the weights of {recipe.begin_with}; train it first"
        ) from error
    if packed.config.network != recipe.network:
        raise InputError(f"begin_with: found {packed.config.network}, expected {recipe.network}")
    return packed.params


def _samples(key: Array, recipe: Recipe, procedure: Procedure) -> Callable[[Any], list[np.ndarray]]:
    """Measurements as images, restorations, and truth, of images that do not train where the data have such."""
    k_crops, k_degrade, k_seeds = jax.random.split(key, 3)
    split = "test" if recipe.data in PACKAGED else "train"
    pool = image_pool(named_images(recipe.data, split), smallest=recipe.size)  # type: ignore[arg-type]
    x = draw_crops(jax.random.split(k_crops, _SHOWN), pool, size=recipe.size, symmetries=1, candidates=_CANDIDATES)
    y = procedure.degrade(jax.random.split(k_degrade, _SHOWN), x)
    measured = recipe.parsed().operator((recipe.size, recipe.size, x.shape[3])).pinv(y)

    @jax.jit
    def restored(params: Any) -> list[Array]:
        draws = _DRAWS if recipe.stochastic else 1
        seeds = [procedure.restorer.seeds(k, y) for k in jax.random.split(k_seeds, draws)]
        return [procedure.restorer.apply(params, y, z) for z in seeds]

    return lambda params: [np.asarray(row) for row in (measured, *restored(params), x)]


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
