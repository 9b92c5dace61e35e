"""The table of docs/samplers.md is what the code refuses and takes."""

import importlib
import inspect
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr import samplers
from jaxpr.core import InputError
from jaxpr.degradations import (
    AverageDownsample,
    BicubicDownsample,
    Blur,
    Grayscale,
    Identity,
    Inpainting,
    Separable,
    gaussian_kernel,
    jpeg_surrogate,
)
from jaxpr.diffusion import from_eps, linear_schedule
from jaxpr.samplers import network_calls

PAGE = (Path(__file__).parents[2] / "docs" / "samplers.md").read_text(encoding="utf-8")
SHAPE, SCHEDULE = (8, 12, 3), linear_schedule()
OPERATORS = {
    "`Inpainting`": Inpainting(np.arange(96).reshape(SHAPE[:2]) % 2),
    "`AverageDownsample`": AverageDownsample(SHAPE, 2),
    "`BicubicDownsample`": BicubicDownsample(SHAPE, 2),
    "`Separable`": Separable(SHAPE, np.eye(8)[:5], np.eye(12)),
    "`Grayscale`": Grayscale(SHAPE),
    "`Blur`": Blur(SHAPE, gaussian_kernel(1.0)),
    "`Identity`": Identity(SHAPE),
    "any differentiable function": lambda x: jpeg_surrogate(x, quality=50),
}


def table(heading: str) -> dict[tuple[str, str], str]:
    """Cells by the names of row and column, of the table whose first column has this heading."""
    lines = PAGE[PAGE.index(f"| {heading} |") :].split("\n\n")[0].splitlines()
    header, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line]
    return {(row[0], column): cell for row in rows for column, cell in zip(header[1:], row[1:], strict=True)}


def taken(sampler: str, operator, noise_std: float) -> bool:
    """Whether a call gets as far as to sample."""
    shape = {"shape": SHAPE} if sampler == "dps" else {}
    denoiser = from_eps(lambda x, t: x, schedule=SCHEDULE)

    def call(key, x):
        settings = {"schedule": SCHEDULE, "samples": 2, "steps": 2, "noise_std": noise_std, **shape}
        return getattr(samplers, sampler)(key, denoiser, operator(x), operator, **settings)

    try:
        jax.eval_shape(call, jax.random.key(0), jax.ShapeDtypeStruct((1, *SHAPE), jnp.float32))
    except InputError:
        return False
    return True


@pytest.mark.parametrize("row", OPERATORS)
def test_what_works_with_what(row, monkeypatch):
    for sampler in ("ddrm", "ddnm", "dps", "repaint"):
        module = importlib.import_module(f"jaxpr.samplers.{sampler}")
        monkeypatch.setattr(module, "sample_sets", lambda *args, **options: jnp.zeros(()))
    cells = {column: cell for (name, column), cell in table("operator").items() if name == row}
    found = {
        column: "yes" if taken(column.split(",")[0], OPERATORS[row], 0.05 if "noise" in column else 0.0) else "no"
        for column in cells
    }
    assert found == cells
    assert {name for name, _ in table("operator")} == set(OPERATORS)


def test_published_costs():
    said = {
        name.strip("`"): int(re.match(r"\d+", cell)[0]) for (name, c), cell in table("name").items() if "calls" in c
    }
    repaint = inspect.signature(samplers.repaint).parameters
    jumps = {"length": repaint["jump_length"].default, "repeats": repaint["jump_repeat"].default}
    assert said == {"ddrm": 20, "ddnm": 100, "dps": 1000, "repaint": network_calls(250, **jumps)}
