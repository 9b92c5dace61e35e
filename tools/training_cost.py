"""What it costs to train the recipes at the papers' scale: arithmetic, hours and memory, by analysis of their steps.

    python tools/training_cost.py [digits faces ...] [--write] [--no-memory]

Traces one step of each recipe of a config at scale paper, without running it, counts the multiplications and additions
of its convolutions and matrix products, and multiplies by the steps. Classifiers are left out. `--write` puts the table
into the README of experiments.

Hours assume `REACHED` of the peak of `DEVICES`. Memory is what XLA:CPU plans for the costliest step: arguments, results
and what it holds in between, in float32 without rematerialisation; the images are on the device besides.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from jaxpr.core import experiments_folder
from jaxpr.training import load_recipes, task_of
from jaxpr.training.recipes import Recipe

README = experiments_folder() / "README.md"
BEGIN, END = "<!-- made by tools/training_cost.py -->", "<!-- end -->"
CONFIGS = ("digits", "photographs", "faces", "digits28", "denoisers", "autoencoders")
# FLOP per second: TF32 without sparsity, and eight times bfloat16, which float32 is multiplied in by default.
DEVICES = {"H200": 495e12, "TPU v5e-8": 8 * 197e12}
REACHED = 0.3
HEAD = f"| `jaxpr train … --scale paper` | data | networks | FLOP | {' | '.join(DEVICES)} | memory of a step |"


class Cost(NamedTuple):
    """Of all recipes of a config.

    Attributes:
        config: its name.
        data: sources, in the words of `--data`.
        recipes: how many networks.
        flop: of all steps of all of them.
        memory: bytes of the costliest step; None where it was not asked for.
    """

    config: str
    data: tuple[str, ...]
    recipes: int
    flop: float
    memory: int | None


def operations(jaxpr: Any, *, often: float = 1.0) -> float:
    """Multiplications and additions of convolutions and matrix products in a program.

    Args:
        jaxpr: of `jax.make_jaxpr`; the body of a `scan` counts as often as it runs, that of a `while` once.
        often: share of the runs in which the costliest branch of a `cond` is taken; in the others it is the cheapest.
    """
    return sum(_operations(equation, often) for equation in jaxpr.eqns)


def _operations(equation: Any, often: float) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)
    if "dimension_numbers" in params and hasattr(params["dimension_numbers"], "rhs_spec"):
        kernel = equation.invars[1].aval.shape
        outputs = kernel[params["dimension_numbers"].rhs_spec[0]]
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(kernel) / outputs
    inner = [operations(program, often=often) for program in _programs(params)]
    if name == "cond":
        return often * max(inner) + (1 - often) * min(inner)
    return params.get("length", 1) * sum(inner) if name == "scan" else sum(inner)


def _programs(params: dict[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            part = getattr(part, "jaxpr", part)  # of a closed one
            if hasattr(part, "eqns"):
                yield part


def step_of(recipe: Recipe, folder: Path) -> tuple[Any, tuple[Any, ...]]:
    """One step and its arguments, on two random images of the recipe's size in place of its data."""
    size = recipe.data.size  # type: ignore[attr-defined]  # classifiers have none, and are left out
    source = _gray(folder, size) if recipe.data.source.startswith("digits") else _colour(folder, size)
    recipe = replace(recipe, data=replace(recipe.data, source=source, resize=(), centre=None))
    task = task_of(recipe)
    state, data = task.start(recipe.data.read("train"), None)
    return task.step, (np.int32(0), state, data)


def _gray(folder: Path, size: int) -> str:
    path = folder / f"{size}.idx"
    header = b"\0\0\x08\x03" + np.array([2, size, size], ">u4").tobytes()
    path.write_bytes(header + np.random.default_rng(0).integers(0, 256, 2 * size**2, np.uint8).tobytes())
    return f"idx:{path}"


def _colour(folder: Path, size: int) -> str:
    source = folder / str(size)
    source.mkdir(exist_ok=True)
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(source / f"{number}.png")
    return str(source)


def cost(config: str, *, memory: bool) -> Cost:
    """The cost of a config."""
    recipes = [recipe for recipe in load_recipes(config, "paper").values() if hasattr(recipe.data, "size")]
    flop, costliest = 0.0, (0.0, recipes[0])
    with tempfile.TemporaryDirectory() as name:
        for recipe in recipes:
            step, arguments = step_of(recipe, Path(name))
            robustness = getattr(getattr(recipe, "losses", None), "robustness", None)
            often = 1.0 if robustness is None else 1 / robustness.every
            each = operations(jax.make_jaxpr(step)(*arguments), often=often)
            flop += each * recipe.optimizer.steps
            costliest = max(costliest, (each, recipe), key=lambda pair: pair[0])
        planned = None
        if memory:
            step, arguments = step_of(costliest[1], Path(name))
            found: Any = jax.jit(step).lower(*arguments).compile().memory_analysis()
            planned = found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes
    return Cost(config, tuple(sorted({recipe.data.source for recipe in recipes})), len(recipes), flop, planned)


def table(costs: list[Cost]) -> str:
    """Rows of Markdown."""
    lines = [HEAD, "|" + "---|" * (HEAD.count("|") - 1)]
    for found in costs:
        hours = (f"{found.flop / (REACHED * peak) / 3600:,.2g} h" for peak in DEVICES.values())
        memory = "–" if found.memory is None else f"{found.memory / 2**30:.2g} GiB"
        data = ", ".join(f"`{source}`" for source in found.data)
        cells = (f"`{found.config}`", data, str(found.recipes), f"{found.flop:.1e}", *hours, memory)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="*", default=CONFIGS)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--no-memory", action="store_true")
    options = parser.parse_args()
    rows = table([cost(config, memory=not options.no_memory) for config in options.configs])
    print(rows)
    if options.write:
        text = README.read_text(encoding="utf-8")
        before, after = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
        README.write_text(f"{before}\n{rows}\n{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
