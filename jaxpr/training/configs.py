"""Configs: Python files with `recipes(scale: str) -> Sequence[Recipe]`, such as those in `experiments/configs/`."""

from collections.abc import Callable, Sequence
from pathlib import Path

from jaxpr.core import (
    InputError,
    Scale,
    did_you_mean,
    experiments_folder,
    given_path,
    load_python,
    printable,
    users_code,
)
from jaxpr.training.autoencoder import AutoencoderRecipe, autoencoder_task
from jaxpr.training.classifier import ClassifierRecipe, classifier_task
from jaxpr.training.denoiser import DenoiserRecipe, denoiser_task
from jaxpr.training.recipes import Recipe
from jaxpr.training.restorer_recipe import RestorerRecipe
from jaxpr.training.restorer_task import restorer_task
from jaxpr.training.tasks import Task

__all__ = ["load_recipes", "task_of"]


def task_of(recipe: Recipe) -> Task:
    """What `drive` needs to train what a recipe of any kind describes.

    Raises:
        InputError: it cannot be trained.
    """
    with users_code(f"recipe {recipe.name}"):  # its values may be of any type
        if isinstance(recipe, RestorerRecipe):
            return restorer_task(recipe)
        if isinstance(recipe, ClassifierRecipe):
            return classifier_task(recipe)
        if isinstance(recipe, DenoiserRecipe):
            return denoiser_task(recipe)
        if isinstance(recipe, AutoencoderRecipe):
            return autoencoder_task(recipe)
    kinds = "a restorer, classifier, denoiser, autoencoder"
    raise InputError(f"recipe {recipe.name}: found a {type(recipe).__name__}, expected one of {kinds}")


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
    names = [recipe.name for recipe in made]
    if len(set(names)) != len(names) or not names:
        raise InputError(f"config: found names {', '.join(names) or 'of none'}, expected each once")
    return {recipe.name: recipe for recipe in made}


def _config_path(config: str) -> Path:
    folder = experiments_folder() / "configs"
    for path in (given_path(config), folder / f"{config}.py"):
        if path.is_file():
            return path
    known = sorted(path.stem for path in folder.glob("*.py"))
    likely = did_you_mean(config, known)
    raise InputError(f"config: found no file {printable(config)}, expected one, or one of {', '.join(known)}{likely}")
