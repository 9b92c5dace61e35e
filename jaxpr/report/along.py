"""Transported restorers along alpha: curves, a strip with a slider, differences from x*, the best alpha for a wish."""

import base64
import io
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import markupsafe
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from jaxpr.core import InputError
from jaxpr.records.along import AlphaCurve, Wish, alpha_curves, best_alpha, curve_results
from jaxpr.records.metric_table import MetricInfo, metric_info
from jaxpr.records.reading import check_record, metric_names
from jaxpr.records.results import RestorerResult, Results, to_record
from jaxpr.report.alpha_panels import PanelCurve, draw_panels, finite_points
from jaxpr.report.apart import differences_shown
from jaxpr.report.samples import Strip
from jaxpr.report.strips import shown_colours
from jaxpr.report.style import dashes, looks
from jaxpr.report.tables import metric_rows
from jaxpr.report.text import format_value

__all__ = ["along_section", "along_text", "figure_along_alpha"]

_DRAWN = ("psnr", "lpips_", "lr_psnr", "fd_", "joint_fd_", "lipschitz_mean")
_ASKED = (("least-joint-fd", None), ("least-joint-fd", 1.0), ("least-fd", 1.0))  # metric, and decibels that may be lost
_LARGEST_SIDE, _PIXELATED = 256, 128


class _Curve(NamedTuple):
    """A curve with its numbers.

    Attributes:
        curve: of the record.
        results: rows for each alpha, then those of D(E(·)).
    """

    curve: AlphaCurve
    results: Results

    @property
    def rows(self) -> tuple[RestorerResult, ...]:
        return self.results.restorers[: len(self.curve.alphas)]

    @property
    def beside(self) -> tuple[RestorerResult, ...]:
        return self.results.restorers[len(self.curve.alphas) :]


def along_section(record: Mapping[str, Any], strips: Sequence[Strip]) -> dict[str, Any] | None:
    """What `along.html` shows but the figure; None where nothing was transported.

    Args:
        record: the dict of `results.json`.
        strips: sample images.
    """
    curves = _curves(record)
    if not curves:
        return None
    pictured = [found for found in curves if any(_pair(found.curve, strip) for strip in strips)]
    data = {
        "curves": [_data(found, strips) for found in pictured],
        "examples": [{"name": strip.name, "truth": _png(strip.x)} for strip in strips],
    }
    return {
        "curves": [_shown(found) for found in curves],
        "shown": [found.curve.title for found in pictured],
        "pixelated": any(min(np.shape(strip.x)[:2]) < _PIXELATED for strip in strips),
        # Inside a script element nothing is escaped, so nothing may look like its end.
        "data": markupsafe.Markup(json.dumps(data, allow_nan=False).replace("<", "\\u003c")),
    }


def along_text(record: Mapping[str, Any]) -> str:
    """Which measured alpha is best for a few wishes, for a terminal; "" where nothing was transported.

    Args:
        record: the dict of `results.json`.
    """
    lines = [f"{found.curve.title}: {words}" for found in _curves(record) for words in _wishes(found)]
    return "\n".join(["Best α of those measured (α = 1 is x*, the restorer itself)", *lines]) if lines else ""


def figure_along_alpha(record: Mapping[str, Any]) -> Figure:
    """The main metrics against alpha; bars are errors of the difference from x* over the same photographs.

    Dashed lines are D(E(x*)), what an autoencoder makes of the restorer's outputs; dotted ones D(E(x)), of the truth.

    Args:
        record: the dict of `results.json`.

    Returns:
        A figure with an Agg canvas.

    Raises:
        InputError: the record has no restorers, or (`MissingMetricError`) none at two alphas with a finite metric.
    """
    check_record(record)
    curves = _curves(record)
    dealt = looks(record["restorers"])
    names = [found.curve.whole[0] for found in curves]
    lines = dashes(names, dealt)
    return draw_panels(
        [
            PanelCurve(f.curve.title, f.curve.alphas, f.rows, f.beside, dealt[name].colour, lines[name])
            for f, name in zip(curves, names, strict=True)
        ],
        _drawn_infos(record),
    )


def _curves(record: Mapping[str, Any]) -> list[_Curve]:
    return [_Curve(curve, curve_results(record, curve)) for curve in alpha_curves(record)]


def _drawn_infos(record: Mapping[str, Any]) -> list[MetricInfo]:
    infos = [metric_info(name) for name in metric_names(record)]
    return [i for i in infos if any(i.key == name or (name[-1] == "_" and i.key.startswith(name)) for name in _DRAWN)]


def _shown(found: _Curve) -> dict[str, Any]:
    """Numbers and words of one curve."""
    record = to_record(found.results)
    columns = [info for info in map(metric_info, metric_names(record)) if info.column]
    return {
        "title": found.curve.title,
        "facts": _facts(found.curve.transport),
        "wishes": _wishes(found),
        "columns": columns,
        "rows": metric_rows(record, columns),
        "differences": differences_shown(record),
    }


def _facts(transport: Mapping[str, Any]) -> str:
    """What was fitted on what, in a sentence."""
    encoder, natural = transport.get("encoder") or {}, transport.get("natural") or {}
    patch, count = transport.get("patch"), natural.get("images")
    pixels = encoder.get("name") == "pixels"
    latents = "pixels" if pixels else f"latents of {encoder.get('name')}"
    note = " Without an autoencoder D(E(x)) is x." if pixels else ""
    return f"Patches of {patch} × {patch} {latents}, fitted on {count} natural images.{note}"


def _wishes(found: _Curve) -> list[str]:
    """The best measured alpha for each of the wishes that were measured."""
    best: dict[tuple[str, float], Wish] = {}
    for asked, lose in _ASKED:
        try:
            wish = best_alpha(found.curve.alphas, found.rows, wish=asked, lose_psnr=lose)
        except InputError:
            continue
        best.setdefault((asked, wish.alpha), wish)  # a bound that changes nothing is not said
    return [_wish_words(found, wish) for wish in best.values()]


def _wish_words(found: _Curve, wish: Wish) -> str:
    info, row = metric_info(wish.metric), found.rows[found.curve.alphas.index(wish.alpha)]
    within = "" if wish.lose_psnr is None else f", losing at most {wish.lose_psnr:g} dB of PSNR"
    parts = [format_value(info.scale * wish.value)]
    if (apart := row.differences.get(wish.metric)) is not None:
        shown = format_value(info.scale * apart.value, info.scale * apart.stderr)
        parts.append(f"{shown if shown.startswith('-') else f'+{shown}'} from x*")
    if wish.psnr_lost is not None and math.isfinite(wish.psnr_lost):
        parts.append(f"{wish.psnr_lost:.2f} dB lost" if wish.psnr_lost >= 0 else f"{-wish.psnr_lost:.2f} dB won")
    return f"least {info.label}{within}: α = {wish.alpha:g} ({', '.join(parts)})"


def _data(found: _Curve, strips: Sequence[Strip]) -> dict[str, Any]:
    """What the page's program needs of one curve."""
    record = to_record(found.results)
    infos = [info for info in _drawn_infos(record) if len(finite_points(found.curve.alphas, found.rows, info)) > 1]
    values = {}
    for info in infos:
        known = {alpha: value for alpha, value, _ in finite_points(found.curve.alphas, found.rows, info)}
        shown = [known.get(alpha) for alpha in found.curve.alphas]
        values[info.key] = {"label": info.label, "unit": info.unit, "values": shown}
    pairs = [_pair(found.curve, strip) for strip in strips]
    return {
        "title": found.curve.title,
        "alphas": list(found.curve.alphas),
        "values": values,
        "wishes": {info.key: info.label for info in sorted(infos, key=_first_asked) if info.direction < 0},
        "examples": [pair and {"restored": _png(pair[0]), "moved": _png(pair[1])} for pair in pairs],
    }


def _first_asked(info: MetricInfo) -> int:
    """Joint FD, FD, then the others as they come."""
    prefixes = ("joint_fd_", "fd_")
    return next((number for number, prefix in enumerate(prefixes) if info.key.startswith(prefix)), len(prefixes))


def _pair(curve: AlphaCurve, strip: Strip) -> tuple[np.ndarray, np.ndarray] | None:
    """x* and x̂₀ of a sample; None where one of them was not kept."""
    entries = (curve.at(1.0), curve.at(0.0))
    found = [strip.outputs.get(entry["name"]) if entry is not None else None for entry in entries]
    return None if found[0] is None or found[1] is None else (found[0].restored, found[1].restored)


def _png(picture: np.ndarray) -> str:
    sides = [(max(side - _LARGEST_SIDE, 0) // 2, min(side, _LARGEST_SIDE)) for side in np.shape(picture)[:2]]
    (top, height), (left, width) = sides
    middle = np.asarray(picture)[top : top + height, left : left + width]
    buffer = io.BytesIO()
    Image.fromarray(shown_colours(middle)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
