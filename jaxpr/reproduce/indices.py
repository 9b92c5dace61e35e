"""Perceptual indices beside joint ones, read from the record of an evaluation: Appendix E of [ohayon2024].

For super-resolution. A value is a number with its standard error, both NaN where undefined.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxpr.records.reading import measured
from jaxpr.report.planes import Axis, Point, draw_plane
from jaxpr.report.style import INK, looks, new_figure, styled
from jaxpr.reproduce.statistics import rank_correlation


class Index(NamedTuple):
    """A perceptual index and its joint one, as Appendix E plots them, better when lower.

    Attributes:
        metric: name in the record, without features.
        letters: in figures.
        root: whether the square root of the metric is shown; one minus the metric otherwise.
        figures: of the paper.
    """

    metric: str
    letters: str
    root: bool
    figures: str

    @property
    def labels(self) -> tuple[str, str, str]:
        """Of the marginal index, the joint one, and what that sees beyond it."""
        plain, joint = rf"\mathrm{{{self.letters}}}", rf"\mathrm{{joint\ {self.letters}}}"
        if not self.root:
            return f"$1 - {plain}$", f"$1 - {joint}$", f"${joint} - {plain}$"
        gap = f"{plain} - {joint}" if self.metric == "kid" else f"{joint} - {plain}"
        return rf"$\sqrt{{{plain}}}$", rf"$\sqrt{{{joint}}}$", rf"$\sqrt{{{gap}}}$"


FD, KD = Index("fd", "FD", True, "3, 9, 10, 17"), Index("kid", "KD", True, "11, 12, 18")
INDICES = (FD, KD, Index("precision", "P", False, "13, 14, 19"), Index("recall", "R", False, "15, 16, 20"))

Value = tuple[float, float]
"""A number and its standard error; NaN where undefined."""


def read(entry: Mapping[str, Any], metric: str, scale: float = 1.0) -> Value:
    """A metric of a restorer's entry."""
    found = measured(entry, metric)
    return (math.nan, math.nan) if found is None else (scale * found.value, scale * found.stderr)


def index_values(record: Mapping[str, Any], entry: Mapping[str, Any], index: Index) -> tuple[Value, Value, Value]:
    """Marginal, joint and excess, as they are plotted; the error of the excess is unknown."""

    def shown(value: float, stderr: float) -> Value:
        if not index.root:
            return 1 - value, stderr
        return (math.sqrt(value), stderr / (2 * math.sqrt(value))) if value > 0 else (math.nan, math.nan)

    features = record["protocol"]["features"]
    plain, joint = (read(entry, f"{prefix}{index.metric}_{features}") for prefix in ("", "joint_"))
    gap = plain[0] - joint[0] if index is KD else joint[0] - plain[0]
    excess = (gap, math.nan) if not index.root else shown(gap, math.nan)
    return shown(*plain), shown(*joint), excess


def entries(record: Mapping[str, Any], names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Some restorers of a record, as far as they are in it."""
    by_name = {entry["name"]: entry for entry in record["restorers"]}
    return [by_name[name] for name in names if name in by_name]


def ranked(record: Mapping[str, Any], names: Sequence[str], index: Index) -> float:
    """Spearman's coefficient of K̄ and a joint index."""
    chosen = entries(record, names)
    joint = [index_values(record, entry, index)[1][0] for entry in chosen]
    return rank_correlation([read(entry, "lipschitz_mean")[0] for entry in chosen], joint)


def opposite_pairs(record: Mapping[str, Any], names: Sequence[str]) -> tuple[int, int]:
    """Pairs of restorers of which the one with the smaller √joint FD has the larger K̄, and all pairs."""
    places = [(index_values(record, e, FD)[1][0], read(e, "lipschitz_mean")[0]) for e in entries(record, names)]
    pairs = list(itertools.combinations(places, 2))
    return sum((a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in pairs), len(pairs)


@styled()
def draw_index(record: Mapping[str, Any], index: Index) -> Figure:
    """Six planes of one index: K̄ and RMSE against the joint and the marginal one, and what the joint one adds."""
    figure = new_figure(13.6, 8.6)
    dealt = looks(record["restorers"])
    gain, error = Axis(r"$\bar{K}$", "more robust"), Axis("RMSE  (grey levels)", "closer to the truth")
    marginal, joint, excess = index.labels
    both, plain = Axis(joint, "more natural and consistent"), Axis(marginal, "more natural")
    Pick = Callable[[Mapping[str, Any]], Value]

    def indexed(position: int) -> Pick:
        return lambda entry: index_values(record, entry, index)[position]

    amplified: Pick = functools.partial(read, metric="lipschitz_mean")
    distorted: Pick = functools.partial(read, metric="rmse", scale=255)
    panels: list[tuple[Pick, Pick, Axis, Axis, str]] = [
        (indexed(1), amplified, both, gain, "best trade-offs found"),
        (indexed(1), distorted, both, error, "best trade-offs found"),
        (indexed(0), indexed(2), plain, Axis(excess, "fits its input better" if index is FD else "smaller"), ""),
        (indexed(0), amplified, plain, gain, ""),
        (indexed(0), distorted, plain, error, "best trade-offs found"),
        (distorted, amplified, error, gain, ""),
    ]
    for number, (x_of, y_of, x, y, envelope) in enumerate(panels):
        row, column = divmod(number, 3)
        ax = figure.add_axes((0.052 + 0.324 * column, 0.565 - 0.5 * row, 0.265, 0.4))
        points = []
        for entry in record["restorers"]:
            (px, dx), (py, dy) = x_of(entry), y_of(entry)
            if math.isfinite(px) and math.isfinite(py):
                points.append(Point(entry["name"], px, py, dx, dy))
        if points:
            draw_plane(ax, points, dealt, x=x, y=y, envelope=envelope)
            for axis in (ax.xaxis, ax.yaxis):
                if axis.get_scale() == "linear":
                    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))  # short labels beside the axes' names
        else:
            ax.text(0.5, 0.5, "undefined for all", ha="center", color=INK, transform=ax.transAxes)
    return figure
