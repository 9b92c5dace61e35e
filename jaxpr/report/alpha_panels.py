"""Metrics against alpha, one panel each: what reports of evaluations and pages of traversals draw alike."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from jaxpr.records.along import RESTORED
from jaxpr.records.metric_table import MetricInfo
from jaxpr.records.reading import MissingMetricError
from jaxpr.records.results import RestorerResult
from jaxpr.report.planes import name_axis
from jaxpr.report.style import FAINT, INK, MUTED, drawable, new_figure, styled, word_above

__all__ = ["PanelCurve", "draw_panels", "finite_points"]


class PanelCurve(NamedTuple):
    """What is drawn of one restorer.

    Attributes:
        title: for the legend.
        alphas: ascending.
        rows: for each of them, with their differences from x*.
        beside: of D(E(x*)), and of D(E(·)) of real images; level lines.
        colour: of all of it.
        line: style within [0, 1].
        asked: an alpha with a ring around it; None for none.
    """

    title: str
    alphas: Sequence[float]
    rows: Sequence[RestorerResult]
    beside: Sequence[RestorerResult]
    colour: str
    line: Any = "-"
    asked: float | None = None

    def points(self, info: MetricInfo) -> list[tuple[float, float, float]]:
        """See `finite_points`."""
        return finite_points(self.alphas, self.rows, info)


def finite_points(
    alphas: Sequence[float], rows: Sequence[RestorerResult], info: MetricInfo
) -> list[tuple[float, float, float]]:
    """(alpha, value, error of the difference from x*) where the metric is finite, in the units that are shown."""
    points = []
    for alpha, row in zip(alphas, rows, strict=True):
        cell, apart = row.metrics.get(info.key), row.differences.get(info.key)
        if cell is not None and math.isfinite(cell.value):
            error = apart.stderr if apart is not None and math.isfinite(apart.stderr) else 0.0
            points.append((alpha, info.scale * cell.value, info.scale * error))
    return points


@styled()
def draw_panels(curves: Sequence[PanelCurve], infos: Sequence[MetricInfo]) -> Figure:
    """One panel for each metric that is finite at two alphas; bars are errors of the difference from x*.

    Args:
        curves: restorers; with several there is a legend.
        infos: metrics.

    Raises:
        MissingMetricError: no metric is.
    """
    panels = [info for info in infos if any(len(curve.points(info)) > 1 for curve in curves)]
    if not panels:
        raise MissingMetricError("record: found nothing that was measured along alpha, which this figure needs")
    wide = 2 if len(panels) == 4 else min(3, len(panels))
    rows = math.ceil(len(panels) / wide)
    legend = 0.45 if len(curves) > 1 else 0.0
    width, height = (4.0 * wide + 0.4 if wide > 1 else 6.0), 3.0 * rows + legend
    figure = new_figure(width, height)
    for number, info in enumerate(panels):
        row, column = divmod(number, wide)
        bottom = (3.0 * (rows - 1 - row) + 0.62) / height
        ax = figure.add_axes(((column + 0.17) / wide, bottom, 0.79 / wide, 2.05 / height))
        _frame(ax, info)
        for curve in curves:
            _draw(ax, curve, info)
        if legend and number == 0:
            handles, titles = ax.get_legend_handles_labels()
            place = {"loc": "upper left", "bbox_to_anchor": (0.06, 1.0), "ncols": 4, "frameon": False}
            figure.legend(handles, titles, fontsize=9, **place)
    return figure


def _frame(ax: Any, info: MetricInfo) -> None:
    for place, words in ((0.0, "x̂₀"), (1.0, RESTORED)):
        ax.axvline(place, color=FAINT, lw=1.0, zorder=0.5)
        word_above(ax, place, words)
    label, detail = info.heading
    arrow = {1: "higher is better", -1: "lower is better"}.get(info.direction, "")
    ax.set_title(f"{label} {detail}".strip() + f"   {arrow}", fontsize=9, pad=15, fontweight="normal")
    name_axis(ax, "α", better="")


def _draw(ax: Any, curve: PanelCurve, info: MetricInfo) -> None:
    points = curve.points(info)
    if not points:
        return
    alphas, values, errors = np.array(points).T
    title = drawable(curve.title)
    ax.errorbar(alphas, values, yerr=errors, color=curve.colour, fmt="none", elinewidth=1.1)
    inside = (alphas >= 0) & (alphas <= 1)
    ax.plot(alphas, values, color=curve.colour, lw=1.1, ls=(0, (3, 2)), alpha=0.6)
    gid = f"along:{info.key}:{title}"
    ax.plot(alphas[inside], values[inside], color=curve.colour, lw=1.6, ls=curve.line, gid=gid, label=title)
    ax.plot(alphas, values, "o", color=curve.colour, ms=3.5)
    if curve.asked is not None:
        asked = np.isclose(alphas, curve.asked)
        ax.plot(alphas[asked], values[asked], "o", ms=8, mfc="none", mec=INK, zorder=4)
    for row in curve.beside:
        cell = row.metrics.get(info.key)
        if cell is not None and math.isfinite(cell.value):
            _level(ax, row.name, info.scale * cell.value, (alphas[0], alphas[-1]), curve.colour)


def _level(ax: Any, name: str, level: float, ends: tuple[float, float], colour: str) -> None:
    """D(E(·)), named at opposite ends, since the two are often near each other."""
    of_restored = name == f"D(E({RESTORED}))"
    place, side = (ends[1], "right") if of_restored else (ends[0], "left")
    ax.axhline(level, color=colour if of_restored else MUTED, lw=0.9, ls="--" if of_restored else ":")
    above = {"textcoords": "offset points", "ha": side, "color": MUTED, "fontsize": 7.5}
    ax.annotate(name, (place, level), (0, 2), **above)
