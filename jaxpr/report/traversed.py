"""The page of a traversal: a strip with a slider for alpha, curves, the plane, and what was won and lost."""

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import markupsafe
import numpy as np
from matplotlib.figure import Figure

from jaxpr.records.metric_table import MetricInfo, metric_info
from jaxpr.records.reading import MissingMetricError, feature_names, measured, metric_names
from jaxpr.records.results import from_record
from jaxpr.report.alpha_panels import PanelCurve, draw_panels
from jaxpr.report.apart import differences_shown
from jaxpr.report.planes import Axis, Point, draw_plane, features_words, root
from jaxpr.report.style import looks, new_figure, png_bytes, styled
from jaxpr.report.tables import flattened, metric_rows
from jaxpr.report.templates import render

__all__ = ["TraversalExample", "figure_alpha_curves", "figure_alpha_plane", "traversal_page"]

_PIXELS_PER_INCH = 100
_PIXELATED = 128  # pictures with a shorter side of fewer pixels are enlarged as squares
_SHOWN = ("psnr", "ssim", "lpips_", "fd_", "niqe")
_DRAWN = "#0072B2"


class TraversalExample(NamedTuple):
    """Pictures of one output, PNG files of equal size.

    Attributes:
        name: of the output.
        restored: x*.
        moved: x̂₀.
        truth: None where it is not known.
    """

    name: str
    restored: bytes
    moved: bytes
    truth: bytes | None


def traversal_page(record: Mapping[str, Any], examples: Sequence[TraversalExample]) -> str:
    """The HTML of one self-contained page. A fragment such as `#0.5` sets the slider.

    Args:
        record: of `transport.json`, see docs/transport.md.
        examples: a few outputs.
    """
    shown = _few(record)
    infos = [info for info in map(metric_info, metric_names(shown)) if _is_shown(info)]
    columns = [info for info in infos if any(_shown_value(e, info) is not None for e in record["restorers"])]
    pictures = [
        {name: part if isinstance(part, str) else _text(part) for name, part in example._asdict().items() if part}
        for example in examples
    ]
    curves = {
        info.key: {
            "label": info.label,
            "unit": info.unit,
            "values": [_shown_value(entry, info) for entry in _along(record)],
        }
        for info in columns
    }
    data = {"alpha": record["alpha"], "alphas": record["alphas"], "examples": pictures, "curves": curves}
    values = {
        "record": record,
        "columns": columns,
        "rows": metric_rows(shown, columns),
        "differences": differences_shown(shown),
        "figures": [figure for figure in (_figure(record, name) for name in _FIGURES) if figure],
        "fitted": flattened(record["fitted"]),
        "settings": flattened(record["settings"]),
        "pixelated": bool(examples) and min(_size(examples[0].restored)) < _PIXELATED,
        # Inside a script element nothing is escaped, so nothing may look like its end.
        "data": markupsafe.Markup(json.dumps(data, allow_nan=False).replace("<", "\\u003c")),
    }
    return render("traversed.html", values)


def figure_alpha_curves(record: Mapping[str, Any]) -> Figure:
    """Every metric against alpha; bars are errors of its difference from x*, dashed lines D(E(x)).

    Args:
        record: of `transport.json`.

    Returns:
        A figure with an Agg canvas.

    Raises:
        MissingMetricError: nothing was measured at two alphas.
    """
    count = len(record["alphas"])
    rows = from_record({"protocol": {}, "provenance": {}, "references": {}, "restorers": record["restorers"]}).restorers
    curve = PanelCurve("", record["alphas"], rows[:count], rows[count:], _DRAWN, asked=record["alpha"])
    return draw_panels([curve], [info for info in map(metric_info, metric_names(record)) if _is_shown(info)])


@styled()
def figure_alpha_plane(record: Mapping[str, Any]) -> Figure:
    """RMSE against √FD: the path of alpha through the distortion-perception plane.

    Args:
        record: of `transport.json`.

    Returns:
        A figure with an Agg canvas.

    Raises:
        MissingMetricError: without truths there is no distortion.
    """
    names = feature_names(record, "fd_")
    entries = _along(record)
    if not names or not entries or measured(entries[0], "rmse") is None:
        raise MissingMetricError("record: found no truths, which the plane needs")
    scale = metric_info("rmse").scale

    def point(entry: Mapping[str, Any]) -> Point:
        (x, x_error), found = root(measured(entry, f"fd_{names[0]}")), measured(entry, "rmse")
        y, y_error = (math.nan, math.nan) if found is None else (found.value * scale, found.stderr * scale)
        return Point(entry["name"], x, y, x_error, y_error)

    path = [point(entry) for entry in entries]
    chosen = [p for p in map(point, _few(record)["restorers"]) if math.isfinite(p.x + p.y)]
    known = [(alpha, p.x, p.y) for alpha, p in zip(record["alphas"], path, strict=True) if math.isfinite(p.x + p.y)]
    along, places = np.array([each[0] for each in known]), np.array([each[1:] for each in known]).reshape(-1, 2)
    figure = new_figure(8.4, 5.5)
    ax = figure.add_axes((0.78 / 8.4, 0.62 / 5.5, 1 - 0.98 / 8.4, 1 - 0.77 / 5.5))
    # Settings would make the labelled points a line of their own; the path has more.
    dealt = looks([{"name": p.name} for p in chosen])
    x_axis = Axis(rf"$\sqrt{{\mathrm{{FD}}}}$  ({features_words(names[0])} features)", "more natural")
    y_axis = Axis("RMSE  (grey levels of 255)", "closer to the truth")
    draw_plane(ax, chosen, dealt, x=x_axis, y=y_axis, include=[(float(x), float(y)) for x, y in places])
    drawn: dict[str, Any] = {"color": _DRAWN, "lw": 1.3, "marker": ".", "ms": 5, "zorder": 2}
    for which, dash, name in (
        ((along >= 0) & (along <= 1), "-", "path"),
        (along <= 0, "--", "below"),
        (along >= 1, "--", "above"),
    ):
        ax.plot(*places[which].T, ls=dash, alpha=0.7 if dash == "-" else 0.4, gid=name, **drawn)
    return figure


_FIGURES = {
    "curves": (
        "Along α",
        "α = 1 is x*, the outputs as they were; α = 0 is x̂₀, the transported ones; other α mix or extrapolate them. "
        "Bars are standard errors of the difference from x* over the same images. Dashed lines: what the autoencoder "
        "alone makes of the outputs and of the images that are compared with.",
        figure_alpha_curves,
    ),
    "plane": (
        "Distortion against perceptual quality",
        "Further left, the outputs as a set look more like real images; further down, each is closer to its own truth. "
        "The line is the path of α from -1 to 2, dashed where it extrapolates.",
        figure_alpha_plane,
    ),
}


def _figure(record: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    title, caption, draw = _FIGURES[name]
    try:
        figure = draw(record)
    except MissingMetricError:
        return None
    width = round(figure.get_size_inches()[0] * _PIXELS_PER_INCH)
    return {"title": title, "caption": caption, "data": _text(png_bytes(figure)), "width": width}


def _along(record: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The rows of the measured alphas."""
    return list(record["restorers"][: len(record["alphas"])])


def _few(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the rows that a table shows: x*, x̂ at the asked alpha and at the wished one, x̂₀, D(E(x))."""
    wanted = [1.0, record["alpha"], *([record["wish"]["alpha"]] if record["wish"] else []), 0.0]
    along = list(zip(record["alphas"], _along(record), strict=True))
    found = [entry for alpha in wanted for other, entry in along if math.isclose(alpha, other, abs_tol=1e-9)]
    unique = {entry["name"]: entry for entry in [*found, *record["restorers"][len(record["alphas"]) :]]}
    protocol = {"images": len(record["images"])}
    return {"protocol": protocol, "baseline": record["baseline"], "restorers": list(unique.values())}


def _shown_value(entry: Mapping[str, Any], info: MetricInfo) -> float | None:
    """As shown; None where it is not finite."""
    found = measured(entry, info.key)
    return found.value * info.scale if found is not None and math.isfinite(found.value) else None


def _is_shown(info: MetricInfo) -> bool:
    return info.key.startswith(_SHOWN)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _size(png: bytes) -> tuple[int, int]:
    """Width and height, from the header of a PNG file."""
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
