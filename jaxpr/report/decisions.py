"""Attacks on decisions behind a restorer, as a table and as a figure, drawn from the record `decisions.json`."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from jaxpr._core import InputError
from jaxpr.report.style import FAINT, INK, MUTED, Look, drawable, looks, new_figure, styled
from jaxpr.report.text import elide, format_value

__all__ = ["DecisionSample", "decisions_table", "figure_decisions"]

BARS_INCHES = 4.3
CELL_INCHES = 0.86
GAP_INCHES = 0.07
GROUP_INCHES = 0.3
ROW_INCHES = 1.5
HEAD_INCHES = 1.7
MOST_NAMED_CLASSES = 16
CHANGED = "#B3261E"


class DecisionSample(NamedTuple):
    """One example to be looked at.

    Attributes:
        name: the example's name.
        x: the clean image, (H, W, C), floats in [0, 1].
        y: the measurement, (h, w, c).
        label: name of its true class, or None.
        outputs: for each restorer's name the attacked measurement and the restorations of y and of it.
        decisions: for each restorer's name the names of the judge's classes for these two restorations.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    label: str | None
    outputs: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]]
    decisions: Mapping[str, tuple[str, str]]


def decisions_table(record: Mapping[str, Any]) -> str:
    """An aligned plain-text table: one line per restorer and classifier, shares in percent.

    Args:
        record: the dict of `decisions.json`.

    Returns:
        Lines joined by newlines, without one at the end.

    Raises:
        InputError: the record has no restorers.
    """
    _check(record)
    protocol, target = record["protocol"], _target(record)
    classes = protocol["classes"]
    rows = [["restorer", "classifier", "changed %", "accuracy %", "after %", "input dB", "blind %"]]
    if target is not None:
        rows[0][3:3] = [f"'{classes[target]}' %", "after %", "success %"]
    for entry in record["restorers"]:
        for network in ("judge", "attacker"):
            found = entry[network]
            row = [elide(entry["name"], 28) if network == "judge" else "", network, _percent(found["changed"])]
            if target is not None:
                row += [f"{100 * found[f'shares_{when}'][target]:.1f}" for when in ("before", "after")]
                row.append(_percent(found["target_success"]))
            row += [_percent(found[f"accuracy_{when}"]) for when in ("before", "after")]
            shared = [_value(entry["input_psnr"]), f"{100 * entry['blind']:.0f}"]
            rows.append(row + (shared if network == "judge" else ["", ""]))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) if column < 2 else cell.rjust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    lines = [line.rstrip() for line in lines]
    goal = "away from the class seen before" if target is None else f"towards class '{classes[target]}'"
    title = (
        f"{protocol['examples']} examples of {protocol['data']}, {protocol['degradation']}; I-FGSM {goal}, "
        f"α = {_levels(protocol)}, {protocol['attack_steps']} steps"
    )
    return "\n".join([title, "", lines[0], "─" * max(map(len, lines)), *lines[1:], "", *_source_lines(record, target)])


@styled()
def figure_decisions(record: Mapping[str, Any], samples: Sequence[DecisionSample] = ()) -> Figure:
    """What the judge decides before and after the attack: a row per restorer, shares at the left, examples right.

    The bars are shares of the judge's classes, on the restorations of y (light) and of the attacked y (full colour).
    Each example shows the attacked measurement and the restorations before and after, with the judge's class above
    them, red where it changed.

    Args:
        record: the dict of `decisions.json`.
        samples: examples to show; none leaves their columns out.

    Returns:
        A figure with an Agg canvas.

    Raises:
        InputError: the record has no restorers, or a sample lacks one of them.
    """
    _check(record)
    names = [entry["name"] for entry in record["restorers"]]
    for sample in samples:
        if missing := [name for name in names if name not in sample.outputs or name not in sample.decisions]:
            raise InputError(f"samples: found none of {missing[0]!r} in {sample.name!r}, expected every restorer")
    group = 3 * CELL_INCHES + 2 * GAP_INCHES + GROUP_INCHES
    head = HEAD_INCHES if samples else 0.75
    width = 0.62 + BARS_INCHES + 0.1 + len(samples) * group
    height = head + len(names) * ROW_INCHES + 0.45
    figure = new_figure(width, height)
    dealt = looks(names)
    _title(figure, record)
    top = 1.08 * max(max(entry["judge"][f"shares_{when}"]) for entry in record["restorers"] for when in _WHEN)
    for position, entry in enumerate(record["restorers"]):
        above = head + position * ROW_INCHES
        box = (0.62, above + 0.36, BARS_INCHES, ROW_INCHES - 0.62)
        ax = _axes(figure, box)
        _bars(ax, entry, _shades(dealt[entry["name"]], names, entry["name"]), record, top)
        ax.tick_params(axis="x", labelbottom=True)
        if position == len(names) - 1:
            ax.set_xlabel("class seen by the judge", fontsize=8.8, labelpad=3)
    for number, sample in enumerate(samples):
        left = 0.62 + BARS_INCHES + 0.1 + GROUP_INCHES + number * group
        _header(figure, left, sample, last=HEAD_INCHES)
        for position, name in enumerate(names):
            _example(figure, left, HEAD_INCHES + position * ROW_INCHES + 0.36, sample, name)
    return figure


_WHEN = ("before", "after")


def _check(record: Mapping[str, Any]) -> None:
    if not record.get("restorers"):
        raise InputError("record: found no restorers, expected at least one")


def _target(record: Mapping[str, Any]) -> int | None:
    target = record["protocol"]["target"]
    return None if target is None else record["protocol"]["classes"].index(target)


def _levels(protocol: Mapping[str, Any]) -> str:
    return f"{255 * protocol['alpha']:.4g}/255"


def _value(found: Mapping[str, float | None] | None, scale: float = 1.0) -> str:
    if found is None or found["value"] is None:
        return "–"
    stderr = found["stderr"]
    return format_value(scale * found["value"], math.nan if stderr is None else scale * stderr)


def _percent(found: Mapping[str, float | None] | None) -> str:
    return _value(found, 100.0)


def _source_lines(record: Mapping[str, Any], target: int | None) -> list[str]:
    lines = []
    for network, found in record["source"].items():
        words = [] if target is None else [f"{100 * found['shares'][target]:.1f} % in the target class"]
        if found["accuracy"] is not None:
            words.append(f"accuracy {_percent(found['accuracy'])} %")
        if words:
            lines.append(f"clean images, {network}: " + ", ".join(words))
    return lines


def _title(figure: Figure, record: Mapping[str, Any]) -> None:
    protocol, target = record["protocol"], _target(record)
    goal = "away from the class seen before" if target is None else f"towards class '{protocol['classes'][target]}'"
    words = "Decisions behind a restorer, as an unseen classifier judges them"
    _words(figure, 0.15, 0.3, words, fontsize=11.5, weight="bold")
    detail = f"I-FGSM {goal}, α = {_levels(protocol)}, {protocol['attack_steps']} steps"
    _words(figure, 0.15, 0.53, detail, color=MUTED, fontsize=9)
    detail = f"{protocol['examples']} examples of {protocol['data']}, {protocol['degradation']}"
    _words(figure, 0.15, 0.72 if record["restorers"] else 0.53, detail, color=MUTED, fontsize=9)


def _shades(look: Look, names: Sequence[str], name: str) -> tuple[Any, Any]:
    """Colours of the bars before and after."""
    strong = to_rgb(look.colour)
    return tuple(1 - 0.32 * (1 - channel) for channel in strong), strong


def _bars(ax: Any, entry: Mapping[str, Any], shades: tuple[Any, Any], record: Mapping[str, Any], top: float) -> None:
    judge, classes, target = entry["judge"], record["protocol"]["classes"], _target(record)
    places = np.arange(len(classes))
    if target is not None:
        ax.axvspan(target - 0.5, target + 0.5, color="#f4f1e4", lw=0, zorder=0)
    for when, shade, offset in zip(_WHEN, shades, (-0.2, 0.2), strict=True):
        heights = 100 * np.asarray(judge[f"shares_{when}"])
        ax.bar(places + offset, heights, 0.38, color=shade, zorder=2, gid=f"{when}:{entry['name']}")
    ax.set_xlim(-0.6, len(classes) - 0.4)
    ax.set_ylim(0, 100 * top)
    ax.grid(visible=False, axis="x")
    ax.tick_params(length=0, labelsize=8)
    ax.yaxis.set_major_locator(_locator())
    ax.yaxis.set_major_formatter("{x:g} %")
    named = len(classes) <= MOST_NAMED_CLASSES
    ax.set_xticks(places if named else [], [elide(name, 8) for name in classes] if named else [], parse_math=False)
    if named and target is not None:
        label = ax.get_xticklabels()[target]
        label.set(weight="bold", color=INK)
    style = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    ax.annotate(
        drawable(entry["name"]), (0, 1), (0, 6), color=shades[1], weight="bold", fontsize=9.5, parse_math=False, **style
    )
    words = f"changed {_percent(judge['changed'])} %"
    if target is not None:
        words += f",  success {_percent(judge['target_success'])} %"
    ax.annotate(words, (1, 1), (0, 6), ha="right", color=MUTED, fontsize=8.4, **style)


def _locator() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=4, steps=[1, 2, 5, 10])


def _header(figure: Figure, left: float, sample: DecisionSample, *, last: float) -> None:
    """Truth and input above an example's columns, and the columns' names below them."""
    words = drawable(sample.name, limit=22) + ("" if sample.label is None else f",  class {sample.label}")
    _words(figure, left, 0.3, words, weight="bold", fontsize=8.8)
    for column, (title, picture) in enumerate((("x", sample.x), ("y", sample.y))):
        _picture(figure, left + column * (CELL_INCHES + GAP_INCHES), 0.55, picture, gid=f"{title}:{sample.name}")
        _words(figure, left + column * (CELL_INCHES + GAP_INCHES), 0.5, title, color=MUTED, style="italic")
    for column, title in enumerate(("attacked y", "x̂ before", "x̂ after")):
        _words(figure, left + column * (CELL_INCHES + GAP_INCHES), last, title, color=MUTED)


def _example(figure: Figure, left: float, above: float, sample: DecisionSample, name: str) -> None:
    y_adv, before, after = sample.outputs[name]
    seen = sample.decisions[name]
    for column, picture in enumerate((y_adv, before, after)):
        across = left + column * (CELL_INCHES + GAP_INCHES)
        _picture(figure, across, above, picture, gid=f"{column}:{sample.name}:{name}")
        if column:
            changed = column == 2 and seen[0] != seen[1]
            style = {"color": CHANGED, "weight": "bold"} if changed else {"color": INK}
            _words(figure, across, above - 0.05, drawable(f"seen as {seen[column - 1]}", limit=14), **style)


def _picture(figure: Figure, left: float, above: float, picture: np.ndarray, *, gid: str) -> None:
    """An image at the size of a cell, each pixel a sharp square; NaN is magenta."""
    ax = _axes(figure, (left, above, CELL_INCHES, CELL_INCHES))
    ax.set_gid(gid)
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(visible=True, color=FAINT)
    ax.grid(visible=False)
    grey = np.repeat(picture[..., :1], 3, axis=-1) if picture.shape[-1] < 3 else picture[..., :3]
    undefined = np.isnan(picture).any(axis=-1, keepdims=True)
    ax.imshow(np.where(undefined, (1.0, 0.0, 1.0), np.clip(grey, 0, 1)), interpolation="nearest")


def _axes(figure: Figure, box: tuple[float, float, float, float]) -> Any:
    """Axes at (left, distance from the top, width, height), inches."""
    width, height = figure.get_size_inches()
    left, above, across, down = box
    return figure.add_axes((left / width, 1 - (above + down) / height, across / width, down / height))


def _words(figure: Figure, left: float, above: float, words: str, **style: Any) -> None:
    width, height = figure.get_size_inches()
    style = {"color": INK, "fontsize": 8, "parse_math": False, **style}
    figure.text(left / width, 1 - above / height, words, va="baseline", **style)
