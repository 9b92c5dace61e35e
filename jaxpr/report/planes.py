"""Scatter plots of restorers in a plane of two metrics, both better when lower: the drawing that figures share."""

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.text import Text

from jaxpr.records.metric_table import features_label
from jaxpr.records.reading import Measured
from jaxpr.report.labels import GAP, Obstacles, place_labels
from jaxpr.report.style import INK, MUTED, Look, drawable

__all__ = ["Axis", "Point", "draw_plane", "features_words", "name_axis", "root", "skipped_note"]

LOG_FROM = 15.0
LABEL_SIZE = 8.6


class Point(NamedTuple):
    """A restorer in a plane: coordinates and their standard errors (NaN if unknown)."""

    name: str
    x: float
    y: float
    x_stderr: float
    y_stderr: float


class Axis(NamedTuple):
    """What an axis shows, and what its low end means."""

    label: str
    better: str


def root(found: Measured | None) -> tuple[float, float]:
    """√v and its standard error, stderr / (2 √v); NaN where undefined."""
    if found is None or not math.isfinite(found.value) or found.value < 0:
        return math.nan, math.nan
    value = math.sqrt(found.value)
    return value, found.stderr / (2 * value) if value > 0 else math.nan


def features_words(features: str) -> str:
    """The name of a feature network, fit for an axis' name beside mathematics."""
    return drawable(features_label(features), limit=16).replace("$", r"\$")


def skipped_note(names: Sequence[str], reason: str) -> str:
    """A line that names the restorers which a figure leaves out, or "" if there are none."""
    if not names:
        return ""
    shown = ", ".join(drawable(name, limit=18) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"Not shown ({reason}): {shown}{more}"


def draw_plane(
    ax: Any,
    points: Sequence[Point],
    dealt: dict[str, Look],
    *,
    x: Axis,
    y: Axis,
    corner: str = "",
    envelope: str = "",
    include: Sequence[tuple[float, float]] = (),
) -> None:
    """Draw labelled restorers into `ax`.

    Args:
        ax: empty axes, already at their final place in a figure with an Agg canvas.
        points: the restorers, finite coordinates, at least one.
        dealt: their looks.
        x: label of the horizontal axis.
        y: label of the vertical axis.
        corner: text for the lower-left corner, left out where it would cover a point.
        envelope: text on the line through the restorers that no other beats on both axes; "" for no line.
        include: further places (x, y) that the axes must show.
    """
    _axes(ax, [*points, *(Point("", *place, 0.0, 0.0) for place in include)], x, y)
    front = _pareto(points) if envelope and len(points) > 1 else []
    if front:
        _shade_beyond(ax, front)
    paths = [*_family_lines(ax, points, dealt), *_error_bars(ax, points, dealt)]
    for point in points:
        look = dealt[point.name]
        ax.plot(
            [point.x],
            [point.y],
            linestyle="none",
            marker=look.marker,
            markersize=look.size,
            markerfacecolor=look.face,
            markeredgecolor=look.colour if look.variant else "white",
            markeredgewidth=1.6 if look.variant else 0.8,
            gid=f"point:{point.name}",
            zorder=4,
            clip_on=False,
        )
    if len(front) > 1:
        paths.append(np.array([(p.x, p.y) for p in front]))
    _label(ax, points, dealt, paths, corner=corner, envelope=envelope if len(front) > 1 else "", front=front)


def _axes(ax: Any, points: Sequence[Point], x: Axis, y: Axis) -> None:
    spans = (
        (ax.set_xlim, ax.set_xscale, [p.x for p in points], [p.x_stderr for p in points]),
        (ax.set_ylim, ax.set_yscale, [p.y for p in points], [p.y_stderr for p in points]),
    )
    names = [x.label, y.label]
    for index, (set_limits, set_scale, values, errors) in enumerate(spans):
        low, high, logarithmic = _limits(np.array(values), np.where(np.isfinite(errors), errors, 0.0))
        if logarithmic:
            set_scale("log")
            names[index] += ", log scale"
        set_limits(low, high)
    name_axis(ax, names[0], better=f"← {x.better}")
    name_axis(ax, names[1], better=f"← {y.better}", vertical=True)


def name_axis(ax: Any, label: str, *, better: str, vertical: bool = False) -> None:
    """Write an axis' name at its high end and what is better, with an arrow, at its low end, on one line."""
    edge = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False, "va": "baseline"}
    shift, end = ((-32, 0), (0, 1)) if vertical else ((0, -34), (1, 0))
    if vertical:
        edge |= {"rotation": 90, "rotation_mode": "anchor"}
    ax.annotate(better, (0, 0), shift, ha="left", color=MUTED, fontsize=8.8, style="italic", **edge)
    ax.annotate(label, end, shift, ha="right", fontsize=10, gid="ylabel" if vertical else "xlabel", **edge)


def _limits(values: np.ndarray, errors: np.ndarray) -> tuple[float, float, bool]:
    """Axis limits with room for labels around the points, and whether the axis should be logarithmic."""
    low, high = float((values - errors).min()), float((values + errors).max())
    if values.min() > 0 and values.max() > LOG_FROM * values.min():
        low = max(low, float(values.min()) / 2)
        room = (high / low) ** 0.16
        return low / room, high * room, True
    span = high - low
    if values.min() == values.max():
        span = max(span, 0.4 * abs(high), 1e-3)
    floor = 0.0 if low >= 0 else -math.inf
    return max(low - 0.18 * span, floor - 0.02 * span), high + 0.16 * span, False


def _pareto(points: Sequence[Point]) -> list[Point]:
    """Restorers that no other beats on one axis without losing on the other, from left to right."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.x, p.y)):
        if not front or point.y < front[-1].y:
            front.append(point)
    return front


def _shade_beyond(ax: Any, front: Sequence[Point]) -> None:
    """Tint what no restorer reaches: everything below and left of the front."""
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    xs = [left, front[0].x, *(p.x for p in front), right, right, left]
    ys = [top, top, *(p.y for p in front), front[-1].y, bottom, bottom]
    ax.fill(xs, ys, color="#f3f6fa", linewidth=0, zorder=0.6)
    ax.plot(
        [p.x for p in front], [p.y for p in front], color="#9fb3c8", lw=1.1, ls=(0, (5, 3)), zorder=1.5, gid="front"
    )


def _family_lines(ax: Any, points: Sequence[Point], dealt: dict[str, Look]) -> list[np.ndarray]:
    """Join the members of each family whose setting varies, in the order given; dot a line from each to its variant.

    Those along alpha are joined in its order, by a line that is dashed outside of [0, 1].
    """
    paths = _alpha_lines(ax, points, dealt)
    groups: dict[tuple[str, str], list[Point]] = {}
    by_name = {point.name: point for point in points}
    for point in points:
        look = dealt[point.name]
        if look.setting is not None and look.alpha is None:
            groups.setdefault((look.family, look.variant), []).append(point)
        plain = by_name.get(look.plain) if look.variant else None
        if plain is not None:
            paths.append(np.array([(plain.x, plain.y), (point.x, point.y)]))
            ax.plot(*paths[-1].T, color=look.colour, lw=1.0, ls=":", alpha=0.7, zorder=2)
    for members in groups.values():
        if len(members) > 1:
            paths.append(np.array([(p.x, p.y) for p in members]))
            colour = dealt[members[0].name].colour
            ax.plot(*paths[-1].T, color=colour, lw=1.1, alpha=0.55, zorder=2, gid=f"family:{members[0].name}")
    return paths


def _alpha_lines(ax: Any, points: Sequence[Point], dealt: dict[str, Look]) -> list[np.ndarray]:
    paths: list[np.ndarray] = []
    groups: dict[int, list[tuple[float, Point]]] = {}
    for point in points:
        look = dealt[point.name]
        for number in look.curves:
            groups.setdefault(number, []).append((look.alpha or 0.0, point))
    for number, members in groups.items():
        members.sort(key=lambda pair: pair[0])
        for (start, one), (end, other) in itertools.pairwise(members):
            inside = start >= 0 and end <= 1
            line = {"lw": 1.5, "alpha": 0.75} if inside else {"lw": 1.1, "alpha": 0.6, "ls": (0, (3, 2))}
            paths.append(np.array([(one.x, one.y), (other.x, other.y)]))
            gid = f"alpha:{number}:{'inside' if inside else 'outside'}"
            ax.plot(*paths[-1].T, color=dealt[one.name].colour, zorder=2, gid=gid, **line)
    return paths


def _error_bars(ax: Any, points: Sequence[Point], dealt: dict[str, Look]) -> list[np.ndarray]:
    paths = []
    for point in points:
        for dx, dy in ((point.x_stderr, 0.0), (0.0, point.y_stderr)):
            if not math.isfinite(dx + dy) or dx + dy == 0:
                continue
            ends = np.array([(point.x - dx, point.y - dy), (point.x + dx, point.y + dy)])
            colour = dealt[point.name].colour
            ax.plot(*ends.T, color=colour, lw=1.3, alpha=0.5, zorder=3, gid=f"error:{point.name}")
            paths.append(ends)
    return paths


def _label(
    ax: Any,
    points: Sequence[Point],
    dealt: dict[str, Look],
    paths: Sequence[np.ndarray],
    *,
    corner: str,
    envelope: str,
    front: Sequence[Point],
) -> None:
    """Write the names, the envelope's name and the corner's text where nothing is covered."""
    renderer, dpi = ax.figure.canvas.get_renderer(), ax.figure.dpi
    anchors = ax.transData.transform([(p.x, p.y) for p in points])
    radii = np.array([[dealt[p.name].size * dpi / 144 + dpi / 100] for p in points])
    boxes = list(np.concatenate([anchors - radii, anchors + radii], axis=1))
    boxes += _corner_text(ax, corner, boxes, renderer)
    shown = [(p, p.name if (label := dealt[p.name].label) is None else label) for p in points]
    texts = [_text(ax, drawable(name), (p.x, p.y), gid=f"label:{p.name}", color=INK) for p, name in shown if name]
    anchors = anchors[[bool(name) for _, name in shown]]
    if envelope:
        middle = _middle(ax, front)
        texts.append(_text(ax, envelope, middle, gid="label-front", color="#7b8ea3", style="italic"))
        anchors = np.concatenate([anchors, ax.transData.transform([middle])])
    sizes = np.array([Text.get_window_extent(text, renderer).size for text in texts])
    frame = np.array(ax.get_window_extent(renderer).extents) + dpi / 100 * np.array([3, 3, -2, -2])
    dots = np.concatenate([_dots(ax, path, 3 * dpi / 100) for path in paths]) if paths else np.zeros((0, 2))
    unit = dpi / 100
    centres = place_labels(anchors, sizes, Obstacles(frame, np.array(boxes), dots), unit=unit)
    for text, anchor, size, centre in zip(texts, anchors, sizes, centres, strict=True):
        text.set_position(tuple((centre - anchor) * 72 / dpi))
        low = centre - size / 2
        nearest = np.clip(anchor, low, low + size)
        if np.linalg.norm(nearest - anchor) < (GAP + 13) * unit:
            text.arrow_patch.set_visible(False)
        text.arrowprops["relpos"] = tuple((nearest - low) / size)
        text._arrow_relpos = text.arrowprops["relpos"]


def _text(ax: Any, words: str, at: tuple[float, float], *, gid: str, color: str, style: str = "normal") -> Any:
    line = {"arrowstyle": "-", "color": "#9aa5b1", "lw": 0.7, "shrinkA": 1.0, "shrinkB": 5.0}
    return ax.annotate(
        words,
        at,
        (0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=LABEL_SIZE,
        color=color,
        style=style,
        parse_math=False,
        arrowprops=line,
        annotation_clip=False,
        gid=gid,
        zorder=5,
    )


def _corner_text(ax: Any, words: str, boxes: Sequence[np.ndarray], renderer: Any) -> list[np.ndarray]:
    if not words:
        return []
    text = ax.text(
        0.012, 0.018, words, transform=ax.transAxes, color="#7b8ea3", fontsize=8.2, style="italic", linespacing=1.35
    )
    low, high = (np.array(corner) for corner in (text.get_window_extent(renderer).min, text.get_window_extent().max))
    if any(np.all(box[:2] < high) and np.all(box[2:] > low) for box in boxes):
        text.remove()
        return []
    return [np.concatenate([low, high])]


def _middle(ax: Any, front: Sequence[Point]) -> tuple[float, float]:
    """The middle, as seen, of the longest piece of the front."""
    corners = ax.transData.transform([(p.x, p.y) for p in front])
    longest = int(np.argmax(np.linalg.norm(np.diff(corners, axis=0), axis=1)))
    x, y = ax.transData.inverted().transform(corners[longest : longest + 2].mean(axis=0))
    return float(x), float(y)


def _dots(ax: Any, path: np.ndarray, step: float) -> np.ndarray:
    """Points along a path of data coordinates, `step` pixels apart, in pixels."""
    corners = ax.transData.transform(path)
    pieces = []
    for start, end in itertools.pairwise(corners):
        count = max(int(np.linalg.norm(end - start) / step), 1)
        pieces.append(start + np.linspace(0, 1, count + 1)[:, None] * (end - start))
    return np.concatenate(pieces)
