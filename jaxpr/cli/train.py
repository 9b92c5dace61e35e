"""`jaxpr train`: networks from recipes, with checkpoints, a log, sample pictures, and weights with their history."""

from dataclasses import dataclass, replace
from pathlib import Path

import tyro

from jaxpr.core import InputError, Scale, check_count, claim_folder, did_you_mean, given_path
from jaxpr.doctor import warn_of_idle_accelerator
from jaxpr.reproduce import use_all_cores
from jaxpr.training import drive, load_recipes, task_of

__all__ = ["Train"]


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train the networks of a config: checkpoints, log.csv, samples and weights.safetensors in a folder of each."""

    config: tyro.conf.Positional[str]
    """A Python file with recipes, or the name of one in experiments/configs, such as digits or classifiers."""

    out: Path
    """Folder of the runs. The same command in the same folder resumes what was interrupted and skips what is done."""

    scale: Scale = "small"
    """smoke: seconds each; small: minutes each on two CPU cores; paper: the papers' sizes and data."""

    only: tuple[str, ...] = ()
    """Names of the recipes to train; by default all."""

    steps: int | None = None
    """So many steps instead of the recipe's, to try whether all starts; the same folder goes on with the same steps."""

    checkpoint_every: int = 500
    """Steps between checkpoints; each also renews the log and adds a picture of samples."""

    progress: bool = True
    """Show progress bars with the loss and the time left."""

    def run(self) -> None:
        """Train one recipe after the other."""
        check_count("checkpoint_every", self.checkpoint_every)
        use_all_cores()
        out = given_path(self.out)
        recipes, shorter = load_recipes(self.config, self.scale), ""
        if self.steps is not None:
            shorter = f" --steps {self.steps}"
            recipes = {
                name: replace(recipe, optimizer=replace(recipe.optimizer, steps=self.steps))
                for name, recipe in recipes.items()
            }
        unknown = sorted(set(self.only) - set(recipes))
        if unknown:
            likely = did_you_mean(unknown[0], recipes)
            raise InputError(f"only: found {unknown[0]!r}, expected some of {', '.join(recipes)}{likely}")
        claim_folder("out", out)
        warn_of_idle_accelerator()
        for name in self.only or recipes:
            done = drive(
                task_of(recipes[name]),
                out,
                command=f"jaxpr train {Path(self.config).stem} --scale {self.scale} --only {name}{shorter}",
                checkpoint_every=self.checkpoint_every,
                progress=self.progress,
            )
            how = f"{done.steps} steps in {done.seconds:.0f} s" if done.steps else "finished before"
            print(f"{name}: {how}; {done.weights}, {done.size:,} bytes", flush=True)
