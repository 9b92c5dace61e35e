"""The HTML page of a run and the files beside it. The page stands alone: it loads nothing from anywhere."""

import base64
import functools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from jaxpr.core import claim_folder, utf8, write_atomically
from jaxpr.records.decisions import DecisionResults, decisions_record
from jaxpr.records.metric_table import metric_info
from jaxpr.records.reading import (
    MissingMetricError,
    check_record,
    feature_names,
    metric_names,
)
from jaxpr.report.along import along_section, figure_along_alpha
from jaxpr.report.apart import differences_shown
from jaxpr.report.bars import figure_consistency, figure_robustness
from jaxpr.report.curves import figure_sweep
from jaxpr.report.decisions import figure_decisions
from jaxpr.report.maps import attacked_names, figure_maps
from jaxpr.report.published import published_shown
from jaxpr.report.samples import Strip
from jaxpr.report.scatter import figure_distortion_perception, figure_manifold, figure_tradeoff
from jaxpr.report.strips import figure_strip
from jaxpr.report.style import looks, png_bytes
from jaxpr.report.tables import flattened, metric_tables
from jaxpr.report.templates import render
from jaxpr.report.uncertainty import figure_uncertainty
from jaxpr.report.words import CAPTIONS, MAPS_CAPTION, STRIP_CAPTION, findings, summary

__all__ = ["write_report"]

SCREEN_PIXELS_PER_INCH = 100


class _Picture(NamedTuple):
    """A figure on the page; `data` is None, and `reason` says why, where it could not be drawn."""

    title: str
    file: str
    caption: str
    data: str | None
    width: int
    reason: str


def write_report(
    record: Mapping[str, Any],
    strips: Sequence[Strip] = (),
    *,
    out: Path | str,
    decisions: DecisionResults | None = None,
) -> Path:
    """Write a run's figures and its HTML page.

    Files: `out/report.html`, and in `out/figures/` a PNG for each figure and strip. Each appears whole or not at all.
    Figures whose metrics the record lacks are left out, and the page says so. The same input gives the same bytes.

    Args:
        record: the dict of `results.json`: `protocol`, `provenance` and `restorers`.
        strips: sample images, in the order in which to show them.
        out: folder, made if it does not exist.
        decisions: attacks on decisions, which get a figure; None for none.

    Returns:
        The path of the HTML page.

    Raises:
        InputError: the record has no restorers or is malformed, a strip's images do not fit together, or a file is in
            the way of `out`.
    """
    check_record(record)
    out = Path(out)
    claim_folder("out", out / "figures")
    pictures = list(_pictures(record, out))
    if decisions is not None:
        draw = functools.partial(figure_decisions, decisions_record(decisions), decisions.samples)
        pictures.append(_picture("decisions", "decisions", out, draw))
    samples, maps = list(_samples(record, strips, out)), list(_maps(record, strips, out))
    along = along_section(record, strips)
    if along is not None:
        along["figure"] = _picture("along", "along", out, functools.partial(figure_along_alpha, record))
    page = _render(record, pictures, samples, maps, along)
    write_atomically(out / "report.html", utf8(page))
    return out / "report.html"


def _pictures(record: Mapping[str, Any], out: Path) -> Iterator[_Picture]:
    """The figures of the record in the page's order, one of each kind for each feature network that it has."""
    per_features: list[tuple[str, str, Callable[..., Figure]]] = [
        ("tradeoff", "joint_fd_", figure_tradeoff),
        ("distortion_perception", "fd_", figure_distortion_perception),
        ("manifold", "precision_", figure_manifold),
        ("consistency", "joint_fd_", figure_consistency),
    ]
    for name, prefix, draw in per_features:
        for index, features in enumerate(feature_names(record, prefix) or [None]):
            file = name if index == 0 else f"{name}_{_slug(str(features))}"
            yield _picture(name, file, out, functools.partial(draw, record, features=features))
    for name, draw in (("robustness", figure_robustness), ("sweep", figure_sweep), ("uncertainty", figure_uncertainty)):
        yield _picture(name, name, out, functools.partial(draw, record))


def _picture(name: str, file: str, out: Path, draw: Callable[[], Figure]) -> _Picture:
    title, caption = CAPTIONS[name]
    try:
        figure = draw()
    except MissingMetricError as error:
        return _Picture(title, file, caption, None, 0, str(error).removeprefix("record: "))
    return _save(figure, title, f"{file}.png", caption, out)


def _samples(record: Mapping[str, Any], strips: Sequence[Strip], out: Path) -> Iterator[_Picture]:
    # Of many along alpha the ends; the page's slider shows the others.
    known = [name for name, look in looks(record["restorers"]).items() if not look.small]
    for index, strip in enumerate(strips):
        names = [name for name in known if name in strip.outputs]
        file = f"strips_{index:02d}_{_slug(strip.name)}.png"
        if not names:
            yield _Picture(strip.name, file, STRIP_CAPTION, None, 0, "found no output of a restorer of this run")
        else:
            yield _save(figure_strip(strip, names), strip.name, file, STRIP_CAPTION, out)


def _maps(record: Mapping[str, Any], strips: Sequence[Strip], out: Path) -> Iterator[_Picture]:
    """Where attacks are amplified, for the examples with any."""
    known = [name for name, look in looks(record["restorers"]).items() if not look.small]
    for index, strip in enumerate(strips):
        if names := attacked_names(strip, known):
            figure = figure_maps(strip, names, entries=record["restorers"])
            yield _save(figure, strip.name, f"maps_{index:02d}_{_slug(strip.name)}.png", MAPS_CAPTION, out)


def _save(figure: Figure, title: str, file: str, caption: str, out: Path) -> _Picture:
    data = png_bytes(figure)
    width = round(figure.get_size_inches()[0] * SCREEN_PIXELS_PER_INCH)
    figure.clear()
    write_atomically(out / "figures" / file, data)
    return _Picture(title, file, caption, base64.b64encode(data).decode("ascii"), width, "")


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40] or "unnamed"


def _render(
    record: Mapping[str, Any],
    pictures: Sequence[_Picture],
    samples: Sequence[_Picture],
    maps: Sequence[_Picture],
    along: Mapping[str, Any] | None,
) -> str:
    columns = [metric_info(name) for name in metric_names(record)]
    values = {
        "summary": summary(record),
        "findings": findings(record),
        "along": along,
        "first": pictures[0],
        "pictures": pictures[1:],
        "samples": samples,
        "maps": maps,
        "columns": columns,
        "tables": metric_tables(record),
        "differences": differences_shown(record),
        "published": published_shown(record),
        "protocol": flattened(record.get("protocol") or {}),
        "provenance": flattened(record.get("provenance") or {}),
        "weights": flattened({e["name"]: e["weights"] for e in record["restorers"] if e.get("weights")}),
    }
    return render("template.html", values)
