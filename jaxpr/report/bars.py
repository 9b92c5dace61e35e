"""Figures with one row per restorer: robustness, and consistency with the plane of Appendix E beside it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from jaxpr.records.reading import Measured, MissingMetricError, check_record, feature_names, measured
from jaxpr.report.planes import Axis, Point, draw_plane, features_words, name_axis, root, skipped_note
from jaxpr.report.scatter import gather_points
from jaxpr.report.style import FAINT, INK, MUTED, Look, drawable, looks, new_figure, styled
from jaxpr.report.text import format_value

__all__ = ["figure_consistency", "figure_robustness"]

GREY_LEVEL_DB = 20 * math.log10(255)  # PSNR of an error of one grey level at every pixel
CAP_DB = 80.0  # further right everything is rounding error; the number is written out
ROW_INCHES = 0.31


@styled()
def figure_robustness(record: Mapping[str, Any]) -> Figure:
    """How a small change of the input shows at the output: one bar per restorer, the most robust on top.

    A bar reaches from the PSNR between y and y_adv (open circle) to the PSNR between f(y) and f(y_adv) (marker); its
    length is what the restorer adds to the change, in dB ([ohayon2024] Figure 4).

    Args:
        record: the dict of `results.json`.

    Returns:
        A figure with an Agg canvas.

    Raises:
        InputError: the record has no restorers, or (`MissingMetricError`) none with `adversarial_output_psnr`.
    """
    check_record(record)
    found = {entry["name"]: measured(entry, "adversarial_output_psnr") for entry in record["restorers"]}
    rows = {name: m for name, m in found.items() if m is not None and math.isfinite(m.value)}
    if not rows:
        raise MissingMetricError("record: found no finite adversarial_output_psnr, which this figure needs")
    order = sorted(rows, key=lambda name: -rows[name].value)
    inputs = {entry["name"]: measured(entry, "adversarial_input_psnr") for entry in record["restorers"]}
    before = {name: m.value for name, m in inputs.items() if m is not None and math.isfinite(m.value)}
    skipped = [name for name in found if name not in rows]
    figure = new_figure(8.4, ROW_INCHES * len(order) + 1.35)
    ax = _row_axes(figure, order, left=0.15, right=7.25, top=0.45, bottom=0.62 + 0.2 * bool(skipped))
    values = [*_ends(rows[name] for name in order), *(before[name] for name in order if name in before)]
    room = 0.06 * max(max(values) - min(values), 2.0)
    ax.set_xlim(min(values) - room, max(values) + room)
    dealt = looks(record["restorers"])
    for position, name in enumerate(order):
        _robustness_row(ax, position, dealt[name], name, rows[name].value, rows[name].stderr, before.get(name))
    name_axis(ax, "PSNR  (dB)", better="more robust →")
    title = "○ attacked input against input      ● attacked output against output"
    _above(ax, title, (0, 1), "axes fraction")
    _note(figure, skipped_note(skipped, "no value"))
    return figure


def _robustness_row(
    ax: Any, position: int, look: Look, name: str, value: float, stderr: float, before: float | None
) -> None:
    if before is not None:
        _bar(ax, position, before, value, look)
        circle = {"mfc": "white", "mec": MUTED, "mew": 1.3, "ms": 7}
        ax.plot([before], [position], "o", gid=f"input:{name}", zorder=3, **circle)
    _marker(ax, position, look, name, value, stderr)
    _beside(ax, position, format_value(value, stderr))


@styled()
def figure_consistency(record: Mapping[str, Any], *, features: str | None = None) -> Figure:
    """How well restorations explain their inputs: LR-PSNR per restorer, and what the joint distance sees beyond FD.

    Left: PSNR between A x̂ and y, the most consistent on top; values beyond 80 dB are drawn at the edge and written
    out. Right: √(joint FD - FD) versus √FD ([ohayon2024] Appendix E.3, Figure 10): restorers at one height on the
    right differ in how natural their outputs look, restorers above one another in how well outputs fit their inputs.
    Points whose joint FD is not larger than their FD are left out and named.

    Args:
        record: the dict of `results.json`.
        features: suffix of the Fréchet distances; None for the first for which both were recorded.

    Returns:
        A figure with an Agg canvas; a panel whose metrics are missing is left out.

    Raises:
        InputError: the record has no restorers, or (`MissingMetricError`) nothing for either panel.
    """
    check_record(record)
    found = {entry["name"]: measured(entry, "lr_psnr") for entry in record["restorers"]}
    rows = {name: m for name, m in found.items() if m is not None and not math.isnan(m.value)}
    order = sorted(rows, key=lambda name: -rows[name].value)
    features, points, skipped = _excess(record, features)
    if not order and not points:
        raise MissingMetricError("record: found neither lr_psnr nor FD with joint FD, which this figure needs")
    dealt = looks(record["restorers"])
    both = bool(order and points)
    width = 11.6 if both else 8.4
    height = max(ROW_INCHES * len(order) + 1.35, 4.7 if points else 0.0)
    figure = new_figure(width, height)
    if order:
        ax = _row_axes(figure, order, left=0.15, right=4.6 if both else 7.25, top=0.45, bottom=0.82)
        _consistency_rows(ax, order, rows, dealt)
    if points:
        left = 6.45 if both else 0.8
        box = (left / width, 0.82 / height, (width - left - 0.15) / width, (height - 0.82 - 0.45) / height)
        ax = figure.add_axes(box)
        label = features_words(features)
        x = Axis(rf"$\sqrt{{\mathrm{{FD}}}}$  ({label})", "more natural")
        y = Axis(rf"$\sqrt{{\mathrm{{joint\ FD}} - \mathrm{{FD}}}}$  ({label})", "fits its input better")
        draw_plane(ax, points, dealt, x=x, y=y)
    _note(figure, skipped_note(skipped, "joint FD not above FD, or no value") if points else "")
    return figure


def _excess(record: Mapping[str, Any], features: str | None) -> tuple[str, list[Point], list[str]]:
    """The points of Figure 10 and the restorers that have none; no points if the metrics are missing."""
    joint = feature_names(record, "joint_fd_")
    both = [name for name in feature_names(record, "fd_") if name in joint and features in (None, name)]
    if not both:
        return "", [], []
    chosen = both[0]

    def excess(entry: Mapping[str, Any]) -> tuple[float, float]:
        whole, part = measured(entry, f"joint_fd_{chosen}"), measured(entry, f"fd_{chosen}")
        if whole is None or part is None or not whole.value > part.value:
            return math.nan, math.nan
        # The two errors are correlated in an unknown way, so the difference gets none.
        return root(whole._replace(value=whole.value - part.value, stderr=math.nan))

    points, skipped = gather_points(record, lambda entry: root(measured(entry, f"fd_{chosen}")), excess)
    return chosen, points, skipped


def _consistency_rows(ax: Any, order: Sequence[str], rows: Mapping[str, Any], dealt: Mapping[str, Look]) -> None:
    inside = [*(min(end, CAP_DB) for end in _ends(rows[name] for name in order)), GREY_LEVEL_DB]
    room = 0.06 * max(max(inside) - min(inside), 2.0)
    start = min(inside) - 2 * room
    ax.set_xlim(start, max(inside) + room)
    if max(inside) == CAP_DB:
        ticks = [tick for tick in ax.get_xticks() if start <= tick < CAP_DB - room] + [CAP_DB]
        ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks[:-1]] + [f"≥ {CAP_DB:g}"])
    ax.axvline(GREY_LEVEL_DB, color="#9fb3c8", lw=1.1, ls=(0, (5, 3)), zorder=1)
    _above(ax, "one grey level", (GREY_LEVEL_DB, 1), ("data", "axes fraction"), style="italic", ha="center")
    for position, name in enumerate(order):
        value, stderr, _ = rows[name]
        shown = min(value, CAP_DB)
        _bar(ax, position, start, shown, dealt[name])
        _marker(ax, position, dealt[name], name, shown, stderr if value <= CAP_DB else math.nan)
        _beside(ax, position, format_value(value, stderr))
    name_axis(ax, "LR-PSNR  (dB)", better="more consistent →")


def _row_axes(figure: Figure, order: Sequence[str], *, left: float, right: float, top: float, bottom: float) -> Any:
    """Axes with a row for each name, between `left` and `right` inches; the names take what room they need."""
    width, height = figure.get_size_inches()
    ax = figure.add_axes((0.3, bottom / height, 0.5, 1 - (top + bottom) / height))
    ax.set_yticks(range(len(order)), [drawable(name) for name in order], parse_math=False, color=INK, fontsize=9)
    names = [label for label in ax.get_yticklabels() if isinstance(label, Text)]
    start = left + max(label.get_window_extent().width for label in names) / figure.dpi + 0.08
    ax.set_position((start / width, bottom / height, (right - start) / width, 1 - (top + bottom) / height))
    ax.set_ylim(len(order) - 0.45, -0.55)
    ax.tick_params(axis="y", length=0)
    ax.grid(visible=False, axis="y")
    ax.spines["left"].set_visible(False)
    for position in range(len(order)):
        ax.axhline(position, color=FAINT, lw=0.6, zorder=0.5)
    return ax


def _ends(found: Iterable[Measured]) -> list[float]:
    """The ends of all error bars, so that none is cut off at the border."""
    bars = [(m.value, m.stderr if math.isfinite(m.stderr) else 0.0) for m in found]
    return [end for value, stderr in bars for end in (value - stderr, value + stderr)]


def _marker(ax: Any, position: int, look: Look, name: str, value: float, stderr: float) -> None:
    if math.isfinite(stderr) and stderr > 0:
        ends = [value - stderr, value + stderr]
        ax.plot(ends, [position, position], color=look.colour, lw=1.6, zorder=3, gid=f"error:{name}")
    edge = {"mec": look.colour, "mew": 1.6} if look.variant else {"mec": "white", "mew": 0.8}
    ax.plot([value], [position], look.marker, ms=look.size, mfc=look.face, zorder=4, gid=f"point:{name}", **edge)


def _bar(ax: Any, position: int, start: float, end: float, look: Look) -> None:
    tint = [1 - 0.3 * (1 - channel) for channel in to_rgb(look.colour)]
    ax.plot([start, end], [position, position], color=tint, lw=6, solid_capstyle="butt", zorder=1.5)


def _beside(ax: Any, position: int, words: str) -> None:
    """The number of a row, in a column right of the axes."""
    across = ax.get_yaxis_transform()
    ax.text(1.015, position, words, transform=across, va="center_baseline", fontsize=8.6, color=INK)


def _above(ax: Any, words: str, at: tuple[float, float], coordinates: Any, **style: Any) -> None:
    style = {"color": MUTED, "fontsize": 8.8, **style}
    ax.annotate(words, at, (0, 6), xycoords=coordinates, textcoords="offset points", annotation_clip=False, **style)


def _note(figure: Figure, words: str) -> None:
    if words:
        width, height = figure.get_size_inches()
        figure.text(0.15 / width, 0.1 / height, words, color=MUTED, fontsize=8, parse_math=False)
