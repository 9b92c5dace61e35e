"""Pieces of figures that show numbers over seeds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxpr.report.style import INK
from jaxpr.reproduce.statistics import deviation

__all__ = ["seed_band", "seed_bars"]


def seed_bars(ax: Any, values: Mapping[str, np.ndarray], *, colours: Sequence[str]) -> np.ndarray:
    """Bars of means over seeds, kinds side by side in each group, with the seeds as dots.

    Args:
        ax: axes.
        values: for each kind (groups, seeds).
        colours: of the kinds.

    Returns:
        Places of the bars, (kinds, groups).
    """
    kinds, (groups, seeds) = len(values), next(iter(values.values())).shape
    thick = 0.8 / kinds
    places = np.arange(groups) + thick * (np.arange(kinds)[:, None] - (kinds - 1) / 2)
    shifts = thick / 6 * (np.arange(seeds) - (seeds - 1) / 2)
    for place, (kind, each), colour in zip(places, values.items(), colours, strict=True):
        ax.bar(place, each.mean(axis=1), 0.9 * thick, color=colour, alpha=0.85, label=kind, zorder=2)
        dots = {"ms": 3.5, "mfc": "white", "mec": INK, "mew": 0.8, "zorder": 3}
        ax.plot((place[:, None] + shifts).ravel(), each.ravel(), "o", **dots)
    ax.grid(visible=False, axis="x")
    return places


def seed_band(ax: Any, x: np.ndarray, values: np.ndarray, *, colour: str, marker: str, label: str) -> None:
    """The mean over seeds along x (P,), in a band of one standard deviation; values (P, seeds)."""
    mean, band = values.mean(axis=1), deviation(values, axis=1)
    ax.fill_between(x, mean - band, mean + band, color=colour, alpha=0.16, lw=0)
    ax.plot(x, mean, color=colour, marker=marker, ms=5, lw=1.5, label=label)
