"""Figures of the tradeoffs in planes of two metrics ([ohayon2024] Figures 3, 9 and Appendix E.2)."""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxpr.numerics.statistics import jackknife_error
from jaxpr.records.along import alpha_curves
from jaxpr.records.metric_table import metric_info
from jaxpr.records.reading import MissingMetricError, check_record, feature_names, measured
from jaxpr.report.planes import Axis, Point, draw_plane, features_words, root, skipped_note
from jaxpr.report.style import MANY, MUTED, looks, new_figure, styled

__all__ = ["choose_features", "figure_distortion_perception", "figure_manifold", "figure_tradeoff"]

Coordinate = Callable[[Mapping[str, Any]], tuple[float, float]]


def choose_features(record: Mapping[str, Any], prefix: str, features: str | None) -> str:
    """The feature network to draw: `features`, or the first for which `prefix` was recorded.

    Raises:
        MissingMetricError: none was recorded, or not this one.
    """
    known = feature_names(record, prefix)
    if features is None and known:
        return known[0]
    if features is None or features not in known:
        raise MissingMetricError(f"record: found no metric {prefix}{features or '*'}, which this figure needs")
    return features


def gather_points(record: Mapping[str, Any], x: Coordinate, y: Coordinate) -> tuple[list[Point], list[str]]:
    """The restorers with finite coordinates, and the names of the others.

    Of many along alpha the errors are those of the difference from x*, over the same photographs.
    """
    points, skipped = [], []
    bases = {
        entry["name"]: curve.at(1.0)
        for curve in alpha_curves(record)
        for entry in curve.entries
        if len(curve.whole) >= MANY and entry["name"] in curve.whole and entry is not curve.at(1.0)
    }
    for entry in record["restorers"]:
        (px, x_stderr), (py, y_stderr) = x(entry), y(entry)
        if (base := bases.get(entry["name"])) is not None:
            x_stderr, y_stderr = (_paired_error(entry, base, coordinate) for coordinate in (x, y))
        if math.isfinite(px) and math.isfinite(py):
            points.append(Point(entry["name"], px, py, x_stderr, y_stderr))
        else:
            skipped.append(entry["name"])
    return points, skipped


def _paired_error(entry: Mapping[str, Any], base: Mapping[str, Any], coordinate: Coordinate) -> float:
    """Jackknife error of the difference of a coordinate of two restorers; NaN where the record does not allow it."""
    ours, theirs = ([coordinate(each)[0] for each in _left_out(of)] for of in (entry, base))
    pairs = np.array([pair for pair in zip(ours, theirs, strict=False) if not math.isnan(sum(pair))])
    if len(pairs) < 2 or not np.isfinite(pairs).all():
        return math.nan
    return jackknife_error(pairs[:, 0] - pairs[:, 1])


def _left_out(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The entry without each photograph, or block of them, in turn; metrics with fewer of them end first."""
    cells = {name: cell["left_out"] for name, cell in entry["metrics"].items() if cell.get("left_out")}
    for number in range(max(map(len, cells.values()), default=0)):
        found = {n: {"value": each[number], "stderr": None} for n, each in cells.items() if number < len(each)}
        yield {**entry, "metrics": found}


@styled()
def figure_tradeoff(record: Mapping[str, Any], *, features: str | None = None) -> Figure:
    r"""K̄ versus √(joint FD), one labelled marker per restorer ([ohayon2024] Section 4.2, Figure 3).

    Both are better when lower; by eq. (3) the Lipschitz constant grows without bound as the joint distance goes to 0,
    for a degradation that loses information. A dashed line joins the restorers that no other beats on both axes; in
    the tinted corner beyond it nothing was found.

    Args:
        record: the dict of `results.json`.
        features: suffix of the joint Fréchet distance, for example `alexnet`; None for the first recorded one.

    Returns:
        A figure with an Agg canvas; error bars are standard errors, of √v as stderr / (2 √v).

    Raises:
        InputError: the record has no restorers, or (`MissingMetricError`) none with both metrics.
    """
    check_record(record)
    features = choose_features(record, "joint_fd_", features)
    return _plane_figure(
        record,
        lambda entry: root(measured(entry, f"joint_fd_{features}")),
        lambda entry: _scaled(entry, "lipschitz_mean"),
        Axis(rf"$\sqrt{{\mathrm{{joint\ FD}}}}$  ({features_words(features)} features)", "more natural and consistent"),
        Axis(r"$\bar{K}$  (amplification)", "more robust"),
        "faithful and robust at once:\nnothing was found here",
    )


@styled()
def figure_distortion_perception(record: Mapping[str, Any], *, features: str | None = None) -> Figure:
    """RMSE in grey levels versus √FD: the distortion-perception plane ([ohayon2024] Appendix E.4, Figure 9).

    Args:
        record: the dict of `results.json`.
        features: suffix of the Fréchet distance, for example `alexnet`; None for the first recorded one.

    Returns:
        A figure with an Agg canvas, drawn like `figure_tradeoff`.

    Raises:
        InputError: the record has no restorers, or (`MissingMetricError`) none with both metrics.
    """
    check_record(record)
    features = choose_features(record, "fd_", features)
    return _plane_figure(
        record,
        lambda entry: root(measured(entry, f"fd_{features}")),
        lambda entry: _scaled(entry, "rmse"),
        Axis(rf"$\sqrt{{\mathrm{{FD}}}}$  ({features_words(features)} features)", "more natural"),
        Axis("RMSE  (grey levels of 255)", "closer to the truth"),
        "natural and exact at once:\nnothing was found here",
    )


@styled()
def figure_manifold(record: Mapping[str, Any], *, features: str | None = None) -> Figure:
    """What is missed: 1 - recall versus 1 - precision ([ohayon2024] Appendix E.2), both better when lower.

    Args:
        record: the dict of `results.json`.
        features: suffix of the metrics, for example `alexnet`; None for the first recorded one.

    Returns:
        A figure with an Agg canvas, drawn like `figure_tradeoff`.

    Raises:
        InputError: the record has no restorers, or (`MissingMetricError`) none with both metrics.
    """
    check_record(record)
    features = choose_features(record, "precision_", features)
    words = features_words(features)
    return _plane_figure(
        record,
        lambda entry: _missed(entry, f"precision_{features}"),
        lambda entry: _missed(entry, f"recall_{features}"),
        Axis(f"1 − precision  ({words} features)", "more believable"),
        Axis("1 − recall", "more varied"),
        "",
    )


def _missed(entry: Mapping[str, Any], metric: str) -> tuple[float, float]:
    found = measured(entry, metric)
    return (math.nan, math.nan) if found is None else (1 - found.value, found.stderr)


def _scaled(entry: Mapping[str, Any], metric: str) -> tuple[float, float]:
    found, scale = measured(entry, metric), metric_info(metric).scale
    return (math.nan, math.nan) if found is None else (found.value * scale, found.stderr * scale)


def _plane_figure(
    record: Mapping[str, Any], x: Coordinate, y: Coordinate, x_axis: Axis, y_axis: Axis, corner: str
) -> Figure:
    points, skipped = gather_points(record, x, y)
    if not points:
        raise MissingMetricError("record: found no restorer with finite values of both metrics that this figure needs")
    width, height = 8.4, 5.5 if len(points) <= 16 else 7.0
    figure = new_figure(width, height)
    left, bottom = 0.78 / width, (0.82 if skipped else 0.62) / height
    ax = figure.add_axes((left, bottom, 1 - left - 0.2 / width, 1 - bottom - 0.15 / height))
    dealt = looks(record["restorers"])
    draw_plane(ax, points, dealt, x=x_axis, y=y_axis, corner=corner, envelope="best trade-offs found")
    if skipped:
        figure.text(left, 0.1 / height, skipped_note(skipped, "no value"), color=MUTED, fontsize=8, parse_math=False)
    return figure
