"""The uncertainty-perception plane with its bounds, and uncertainty against error ([cohen2024up])."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxpr.records.metric_table import metric_info
from jaxpr.records.reading import MissingMetricError, check_record, measured
from jaxpr.report.planes import Axis, Point, draw_plane, skipped_note
from jaxpr.report.scatter import gather_points
from jaxpr.report.style import MUTED, Look, looks, new_figure, styled
from jaxpr.uncertainty import eta

__all__ = ["figure_uncertainty"]

_WIDTH, _HEIGHT = 11.6, 5.0
_UNCERTAINTY = Axis("uncertainty U  (grey levels²)", "more certain")


@styled()
def figure_uncertainty(record: Mapping[str, Any]) -> Figure:
    """Where restorers stand between the bounds of [cohen2024up], and how their uncertainty compares with their error.

    Left: entropy power of the error versus Rényi divergence. The curves are η(P) N(X|Y) and η(P) N(X_G|Y), bounds for
    restorers whose outputs are Gaussian given y. Right: the same uncertainty versus the mean
    squared error, which cannot be smaller.

    Args:
        record: the dict of `results.json`.

    Returns:
        A figure with an Agg canvas.

    Raises:
        InputError: the record has no restorers, or (`MissingMetricError`) none with the metrics of the plane.
    """
    check_record(record)
    reference = (record.get("references") or {}).get("uncertainty")
    points, skipped = gather_points(record, _shown("renyi_divergence"), _shown("entropy_power"))
    if not points or not reference:
        raise MissingMetricError("record: found no restorer on the uncertainty-perception plane")
    errors, _ = gather_points(record, _shown("block_mse"), _shown("entropy_power"))
    figure, dealt = new_figure(_WIDTH, _HEIGHT), looks(record["restorers"])
    bottom, height = (0.82 if skipped else 0.62) / _HEIGHT, (_HEIGHT - 1.0) / _HEIGHT
    left = figure.add_axes((0.85 / _WIDTH, bottom, 5.6 / _WIDTH, height - 0.02))
    _plane(left, points, dealt, reference)
    if errors:
        right = figure.add_axes((7.35 / _WIDTH, bottom, 4.1 / _WIDTH, height - 0.02))
        draw_plane(right, errors, dealt, x=Axis("MSE of the same blocks  (grey levels²)", "closer"), y=_UNCERTAINTY)
        _equal_line(right)
    if skipped:
        note = skipped_note(skipped, "no value")
        figure.text(0.85 / _WIDTH, 0.1 / _HEIGHT, note, color=MUTED, fontsize=8, parse_math=False)
    return figure


def _shown(metric: str) -> Any:
    scale = metric_info(metric).scale

    def coordinate(entry: Mapping[str, Any]) -> tuple[float, float]:
        found = measured(entry, metric)
        return (math.nan, math.nan) if found is None else (found.value * scale, found.stderr * scale)

    return coordinate


def _plane(ax: Any, points: Sequence[Point], dealt: dict[str, Look], reference: Mapping[str, Any]) -> None:
    dim, scale = int(reference["dim"]), metric_info("entropy_power").scale
    bounds = {
        name: scale * float(reference[name])
        for name in ("inherent_entropy_power", "gaussian_entropy_power")
        if reference.get(name) is not None
    }
    edge = max(point.x for point in points)
    include = [(edge, factor * value) for value in bounds.values() for factor in (1.0, 2.0)]
    draw_plane(ax, points, dealt, x=Axis("divergence P  (nats)", "more natural"), y=_UNCERTAINTY, include=include)
    low, high = ax.get_xlim()
    grid = np.geomspace(low, high, 300) if ax.get_xscale() == "log" else np.linspace(max(low, 0), high, 300)
    factor = np.array([float(eta(value, dim)) for value in grid])
    curves = {name: factor * value for name, value in bounds.items()}
    floor = ax.get_ylim()[0]
    if "inherent_entropy_power" in curves:
        lower = curves["inherent_entropy_power"]
        ax.fill_between(grid, floor, lower, color="#f6e3e0", lw=0, zorder=0.4)
        _write(ax, grid, lower, "not reached if Gaussian given y")
        if "gaussian_entropy_power" in curves:
            upper = curves["gaussian_entropy_power"]
            ax.fill_between(grid, lower, upper, where=upper > lower, color="#e6f2e9", lw=0, zorder=0.4)
            _write(ax, grid, upper, "between the bounds")
    for values in curves.values():
        ax.plot(grid, values, color="#7b8ea3", lw=1.2, ls=(0, (5, 3)), zorder=1.5)


def _write(ax: Any, grid: np.ndarray, values: np.ndarray, words: str) -> None:
    """Words below the right end of a curve."""
    where = {"textcoords": "offset points", "ha": "right", "va": "top"}
    ax.annotate(words, (grid[-1], values[-1]), (-6, -5), color="#7b8ea3", fontsize=8.2, style="italic", **where)


def _equal_line(ax: Any) -> None:
    """The line on which uncertainty equals the error."""
    limits = ax.get_xlim(), ax.get_ylim()
    ends = [max(limits[0][0], limits[1][0]), min(limits[0][1], limits[1][1])]
    if ends[0] < ends[1]:
        ax.plot(ends, ends, color="#7b8ea3", lw=1.2, ls=(0, (5, 3)), zorder=1.5)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
