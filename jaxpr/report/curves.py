"""Curves of a record: how the output answers to attacks of growing strength."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxpr.records.reading import MissingMetricError, check_record
from jaxpr.report.planes import name_axis
from jaxpr.report.style import FAINT, dashes, drawable, looks, new_figure, styled, word_above

__all__ = ["figure_sweep"]

_COLUMNS = ("alpha", "input_psnr", "output_psnr")


@styled()
def figure_sweep(record: Mapping[str, Any]) -> Figure:
    """PSNR of the attacked output versus PSNR of the attacked input, for attacks of growing strength.

    One line per restorer ([ohayon2023] Figure 8), from weak attacks at the right to strong ones at the left. Below the
    grey diagonal the output changes more than the input.

    Args:
        record: the dict of `results.json`.

    Returns:
        A figure with an Agg canvas.

    Raises:
        InputError: the record has no restorers, or (`MissingMetricError`) none with the curve `attack_sweep`.
    """
    check_record(record)
    curves = {}
    for entry in record["restorers"]:
        curve = (entry.get("curves") or {}).get("attack_sweep")
        if curve and all(column in curve for column in _COLUMNS):
            points = np.array([[math.nan if v is None else v for v in curve[column]] for column in _COLUMNS])
            if np.isfinite(points).all(axis=0).any():
                curves[entry["name"]] = points[:, np.isfinite(points).all(axis=0)]
    if not curves:
        raise MissingMetricError("record: found no finite curve attack_sweep, which this figure needs")
    figure = new_figure(8.4, 4.9)
    ax = figure.add_axes((0.78 / 8.4, 0.62 / 4.9, 5.2 / 8.4, 1 - 0.85 / 4.9))
    dealt = looks(record["restorers"])
    ordered = sorted(curves, key=lambda name: -curves[name][2].mean())
    lines = dashes(ordered, dealt)
    for name in ordered:
        look, (_, before, after) = dealt[name], curves[name]
        (line,) = ax.plot(before, after, color=look.colour, label=drawable(name), gid=f"sweep:{name}", lw=1.3)
        line.set(linestyle=lines[name], marker=look.marker, markersize=0.8 * look.size)
        line.set(markerfacecolor=look.face, markeredgecolor=look.colour, alpha=0.9)
    _diagonal(ax)
    _radii(ax, next(iter(curves.values())))
    name_axis(ax, "PSNR of the attacked input  (dB)", better="← stronger attack")
    name_axis(ax, "PSNR of the attacked output  (dB)", better="more robust →", vertical=True)
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=8.6, borderaxespad=0.0)
    return figure


def _diagonal(ax: Any) -> None:
    """The line on which outputs change as much as inputs, inside the axes as they are."""
    limits = ax.get_xlim(), ax.get_ylim()
    low, high = max(limits[0][0], limits[1][0]), min(limits[0][1], limits[1][1])
    if low < high:
        # Named in the legend: beside it every place is some restorer's line.
        name = "changes as the input"
        ax.plot([low, high], [low, high], color="#9aa5b1", lw=1.0, ls=(0, (4, 3)), zorder=1, label=name)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])


def _radii(ax: Any, curve: np.ndarray) -> None:
    """Write the radius of each attack above the axes, in grey levels."""
    for alpha, before, _ in curve.T:
        ax.axvline(before, color=FAINT, lw=0.8, zorder=0.5)
        word_above(ax, before, f"{alpha * 255:.3g}/255", size=7.8)
