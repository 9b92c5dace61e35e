"""Pieces of figures: numbers over seeds, planes with the densities of their axes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import scipy.stats

from jaxpr.report.style import INK
from jaxpr.reproduce.statistics import deviation

__all__ = ["draw_density", "marginal_axes", "seed_band", "seed_bars"]


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


def marginal_axes(figure: Any, place: Any) -> tuple[Any, Any, Any]:
    """A plane with narrow axes above and at its right, for the densities of what its two axes show.

    Args:
        figure: where to draw.
        place: a cell of a grid of the figure.

    Returns:
        The plane, the axes above it, which share its horizontal axis, and those beside it, which share the other one.
    """
    grid = place.subgridspec(2, 2, width_ratios=(4, 1), height_ratios=(1, 4), wspace=0.04, hspace=0.05)
    plane = figure.add_subplot(grid[1, 0])
    above = figure.add_subplot(grid[0, 0], sharex=plane)
    beside = figure.add_subplot(grid[1, 1], sharey=plane)
    for ax in (above, beside):
        ax.tick_params(labelleft=False, labelbottom=False)
        ax.grid(visible=False)
        ax.spines[["top", "right", "left" if ax is above else "bottom"]].set_visible(False)
    above.set_yticks([])
    beside.set_xticks([])
    return plane, above, beside


def draw_density(ax: Any, values: np.ndarray, grid: np.ndarray, *, colour: str, upright: bool = False) -> np.ndarray:
    """A kernel density estimate (Scott's width) of numbers (N,).

    Args:
        ax: axes.
        values: the numbers.
        grid: (G,), where it is drawn.
        colour: of the line.
        upright: whether the numbers run upwards.

    Returns:
        The density on the grid, (G,).
    """
    density = scipy.stats.gaussian_kde(values)(grid)
    ax.plot(*((density, grid) if upright else (grid, density)), color=colour, lw=1.3)
    return density
