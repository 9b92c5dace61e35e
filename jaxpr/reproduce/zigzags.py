"""Appendix C of [ohayon2023]: points of a square, a zigzag through it, and the map K_f from one to the other."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.report.experiments import Cell, Table
from jaxpr.report.style import COLOURS, INK, MUTED
from jaxpr.reproduce.statistics import deviation, mean_std
from jaxpr.toys import uniform_square, zigzag, zigzag_transport, zigzag_w2_bound
from jaxpr.transport import emd

__all__ = ["ZigzagDistances", "draw_transport", "draw_zigzag_distances", "zigzag_distances", "zigzag_table"]


class ZigzagDistances(NamedTuple):
    """How far the zigzag's outputs are from the square.

    Attributes:
        frequencies: f, (F,).
        w2: between samples of outputs and of the square, (seeds, F).
        moved: root mean square of |x - T₀(x)| on samples, (seeds, F); T₀ moves x₁ to K_f(x₁, x₂).
        floor: W2 between two samples of the square, (seeds,).
    """

    frequencies: tuple[int, ...]
    w2: np.ndarray
    moved: np.ndarray
    floor: np.ndarray

    @property
    def bound(self) -> np.ndarray:
        """Of the laws' W2, (F,): what T₀ costs."""
        return np.array([float(zigzag_w2_bound(frequency=f)) for f in self.frequencies])


def zigzag_distances(frequencies: Sequence[int], *, seeds: int, points: int) -> ZigzagDistances:
    """Distances on `points` draws of the square against the outputs for as many others, for every seed."""
    law, w2, moved, floor = uniform_square(), [], [], []
    for seed in range(seeds):
        k_real, k_fake = jax.random.split(jax.random.fold_in(jax.random.key(3), seed))
        real, fake = law.sample(k_real, points).x, law.sample(k_fake, points)
        outputs = [zigzag(fake.y, frequency=f) for f in frequencies]
        *each, between = (np.sqrt(emd(real, x, cost="squared_l2").value) for x in (*outputs, fake.x))
        steps = [real - zigzag_transport(real, frequency=f) for f in frequencies]
        w2.append(each)
        moved.append([float(jnp.sqrt(jnp.mean(jnp.sum(step**2, axis=1)))) for step in steps])
        floor.append(between)
    return ZigzagDistances(tuple(frequencies), np.array(w2), np.array(moved), np.array(floor))


def zigzag_table(found: ZigzagDistances, *, title: str) -> Table:
    """A row for each frequency, and the distance of two samples."""
    rows: list[list[Cell]] = [
        [f"f = {f}", mean_std(w2), mean_std(moved), float(bound)]
        for f, w2, moved, bound in zip(found.frequencies, found.w2.T, found.moved.T, found.bound, strict=True)
    ]
    rows.append(["another sample of the square", mean_std(found.floor), None, 0.0])
    return Table(title, ["", "W2", "√E|x - T₀(x)|²", "bound for the laws"], rows)


def draw_transport(ax: Any, *, frequency: int, columns: int = 3, rows: int = 9) -> None:
    """Figure 6: the zigzag, and arrows from points of the square to where K_f moves them, along horizontals.

    Args:
        ax: axes.
        frequency: f.
        columns: points across each of the 2f pieces of the zigzag.
        rows: points across x₂.
    """
    turns = np.arange(2 * frequency + 1) / (2 * frequency)
    ax.plot(turns, np.arange(2 * frequency + 1) % 2, color=COLOURS[1], lw=1.8, label=f"outputs, f = {frequency}")
    across = (np.arange(2 * frequency * columns) + 0.5) / (2 * frequency * columns)
    start = np.stack(np.meshgrid(across, (np.arange(rows) + 0.5) / rows), axis=-1).reshape(-1, 2)
    end = np.asarray(zigzag_transport(jnp.asarray(start, jnp.float32), frequency=frequency))
    ax.plot(*start.T, ".", ms=3.5, color=MUTED, label="points of the square")
    exact: dict[str, Any] = {"angles": "xy", "scale_units": "xy", "scale": 1}
    look: dict[str, Any] = {"width": 0.0028, "headwidth": 5.5, "headlength": 6, "headaxislength": 5.5, "zorder": 3}
    ax.quiver(*start.T, *(end - start).T, color=COLOURS[0], label="K_f", **exact, **look)
    ax.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], color=INK, lw=0.8)
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    ax.set(xlabel="x₁ = y", ylabel="x₂")
    ax.grid(visible=False)


def draw_zigzag_distances(ax: Any, found: ZigzagDistances) -> None:
    """W2 over f, with its bound and the distance of two samples."""
    bars, floor = deviation(found.w2, axis=0), found.floor.mean()
    ax.errorbar(
        found.frequencies, found.w2.mean(0), yerr=bars, fmt="o", ms=5, color=COLOURS[0], label="between samples"
    )
    ax.plot(found.frequencies, found.bound, "--", color=COLOURS[1], label="bound 1 / (√24 f) for the laws")
    ax.axhline(floor, color=MUTED, lw=0.9, ls=":", label="two samples of the square")
    ax.set(xscale="log", yscale="log", xlabel="frequency f of the zigzag", ylabel="W2")
    ax.set_xticks(found.frequencies, [str(f) for f in found.frequencies])
    ax.minorticks_off()
    ax.legend(frameon=False)
