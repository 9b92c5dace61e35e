"""Attacks on decisions behind a restorer, as a table and as a figure, drawn from the record `decisions.json`.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from jaxpr.core import InputError, claim_folder, utf8, write_atomically
from jaxpr.records.decisions import DecisionSample
from jaxpr.report.style import FAINT, INK, MUTED, Look, drawable, looks, new_figure, png_bytes, styled
from jaxpr.report.text import aligned, elide, format_value

__all__ = ["decisions_table", "figure_decisions", "write_decisions"]

BARS_LEFT = 0.62
BARS_INCHES = 4.3
CELL_INCHES = 0.86
GAP_INCHES = 0.07
GROUP_INCHES = 0.3
ROW_INCHES = 1.45
TITLE_INCHES = 0.62
HEAD_INCHES = 2.22
MOST_NAMED_CLASSES = 16
CHANGED = "#B3261E"
TARGET = "#f0ead2"


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
    title = (
        f"{protocol['examples']} examples of {protocol['data']}, {protocol['degradation']}; I-FGSM {_goal(record)}, "
        f"α = {_levels(protocol)}, {protocol['attack_steps']} steps"
    )
    notes = [*_source_lines(record, target), *_kept_lines(record)]
    if protocol["alpha"] > 0:
        full = -20 * math.log10(protocol["alpha"])
        notes.append(f"input dB: {full:.1f} where every entry of y moves by α, more where bounds or gradients stop it")
    return "\n".join([title, "", *aligned(rows, left=2, head=1), *_score_lines(record), "", *notes])


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
    head = HEAD_INCHES if samples else TITLE_INCHES + 0.45
    width = BARS_LEFT + BARS_INCHES + 0.15 + max(len(samples) * group, 2.3)
    height = head + len(names) * ROW_INCHES + 0.4
    figure = new_figure(width, height)
    dealt = looks(record["restorers"])
    _title(figure, record)
    _legend(figure, record, head)
    shares = [entry["judge"][f"shares_{when}"] for entry in record["restorers"] for when in _WHEN]
    top = 1.08 * max(map(max, [*shares, record["source"]["judge"]["shares"]]))
    for position, entry in enumerate(record["restorers"]):
        ax = _axes(figure, (BARS_LEFT, head + position * ROW_INCHES + 0.36, BARS_INCHES, CELL_INCHES))
        _bars(ax, entry, dealt[entry["name"]], record, top)
        if position == len(names) - 1:
            ax.set_xlabel("class seen by the judge", fontsize=8.8, labelpad=3)
    for number, sample in enumerate(samples):
        left = BARS_LEFT + BARS_INCHES + GROUP_INCHES + number * group
        _header(figure, left, sample)
        for position, name in enumerate(names):
            _example(figure, left, HEAD_INCHES + position * ROW_INCHES + 0.36, sample, name)
    return figure


def write_decisions(record: Mapping[str, Any], samples: Sequence[DecisionSample], out: Path, *, name: str) -> None:
    """Write `NAME.json`, the table `NAME.txt` and the figure `NAME.png`; earlier ones are replaced.

    Args:
        record: the dict of `decisions.json`.
        samples: examples to show in the figure.
        out: folder, made if it does not exist.
        name: of the files.

    Raises:
        InputError: `out` is a file, or the record has no restorers.
        OSError: it cannot be written.
    """
    claim_folder("out", out)
    write_atomically(out / f"{name}.json", utf8(json.dumps(record, indent=2, allow_nan=False) + "\n"))
    write_atomically(out / f"{name}.txt", utf8(decisions_table(record) + "\n"))
    write_atomically(out / f"{name}.png", png_bytes(figure_decisions(record, samples)))


_WHEN = ("before", "after")


def _check(record: Mapping[str, Any]) -> None:
    if not record.get("restorers"):
        raise InputError("record: found no restorers, expected at least one")


def _target(record: Mapping[str, Any]) -> int | None:
    return record["protocol"]["target"]


def _goal(record: Mapping[str, Any]) -> str:
    target = _target(record)
    return "away from the class seen before" if target is None else f"towards class {_class(record, target)}"


def _class(record: Mapping[str, Any], number: int) -> str:
    return elide(record["protocol"]["classes"][number], 20)


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
    for network in ("judge", "attacker"):
        found = record["source"][network]
        words = [] if target is None else [f"{100 * found['shares'][target]:.1f} % in the target class"]
        if found["accuracy"] is not None:
            words.append(f"accuracy {_percent(found['accuracy'])} %")
        if words:
            lines.append(f"clean images, {network}: " + ", ".join(words))
    return lines


def _kept_lines(record: Mapping[str, Any]) -> list[str]:
    """How often the natural image's class is seen in the restoration, before any attack."""
    lines = []
    for entry in record["restorers"]:
        shares = {network: entry[network].get("kept") for network in ("judge", "attacker")}
        if all(shares.values()):
            words = ", ".join(f"{_percent(found)} % ({network})" for network, found in shares.items())
            lines.append(f"natural image's class kept by {elide(entry['name'], 28)}: {words}")
    return lines


def _score_lines(record: Mapping[str, Any]) -> list[str]:
    """What a judge of one number says, as Table 1 of [ohayon2024] does."""
    clean = record["source"].get("scores")
    if clean is None:
        return []
    rows = [["judge of one number", "mean", "deviation", "largest", "shift"], ["clean images", *_scores(clean), ""]]
    for entry in record["restorers"]:
        name, found = elide(entry["name"], 28), entry["scores"]
        rows.append([name, *_scores(found["before"]), ""])
        rows.append([f"{name}, attacked", *_scores(found["after"]), _value(found["shift"])])
    return ["", *aligned(rows, head=1)]


def _scores(found: Mapping[str, Any]) -> list[str]:
    plain = ("–" if found[name] is None else f"{found[name]:.4g}" for name in ("deviation", "largest"))
    return [_value(found["mean"]), *plain]


def _title(figure: Figure, record: Mapping[str, Any]) -> None:
    protocol = record["protocol"]
    words = "Decisions behind a restorer, as a classifier sees them that the attack did not know"
    _words(figure, 0.15, 0.27, words, fontsize=11, weight="bold")
    detail = (
        f"I-FGSM {_goal(record)}, α = {_levels(protocol)}, {protocol['attack_steps']} steps;  "
        f"{protocol['examples']} examples of {protocol['data']}, {protocol['degradation']}"
    )
    _words(figure, 0.15, 0.5, detail, color=MUTED, fontsize=9)


def _legend(figure: Figure, record: Mapping[str, Any], head: float) -> None:
    """What bars and lines are, in one line above the first restorer's row."""
    ax = _axes(figure, (BARS_LEFT, head - 0.12, BARS_INCHES, 0.14))
    ax.set_axis_off()
    ax.set(xlim=(0, BARS_INCHES), ylim=(0, 1))
    entries = [(_shade(MUTED), "before"), (to_rgb(MUTED), "after the attack"), (None, "clean images")]
    if record["protocol"]["target"] is not None:
        entries.append((to_rgb(TARGET), "target"))
    for (colour, words), left in zip(entries, (0.0, 0.82, 2.12, 3.3), strict=False):
        if colour is None:
            ax.plot([left, left + 0.2], [0.35, 0.35], color=INK, lw=1.3, solid_capstyle="butt")
        else:
            ax.bar(left + 0.1, 0.8, 0.2, color=colour)
        ax.text(left + 0.27, 0.05, words, color=MUTED, fontsize=8.4)


def _shade(colour: str) -> tuple[float, float, float]:
    """A light tint."""
    red, green, blue = (1 - 0.35 * (1 - channel) for channel in to_rgb(colour))
    return red, green, blue


def _bars(ax: Any, entry: Mapping[str, Any], look: Look, record: Mapping[str, Any], top: float) -> None:
    judge, classes, target = entry["judge"], record["protocol"]["classes"], _target(record)
    places = np.arange(len(classes))
    if target is not None:
        ax.axvspan(target - 0.5, target + 0.5, color=TARGET, lw=0, zorder=0)
    for when, shade, offset in zip(_WHEN, (_shade(look.colour), look.colour), (-0.2, 0.2), strict=True):
        heights = 100 * np.asarray(judge[f"shares_{when}"])
        ax.bar(places + offset, heights, 0.38, color=shade, zorder=2, gid=f"{when}:{entry['name']}")
    clean = 100 * np.asarray(record["source"]["judge"]["shares"])
    ax.hlines(clean, places - 0.42, places + 0.42, color=INK, lw=1.3, zorder=3, gid=f"clean:{entry['name']}")
    ax.set_xlim(-0.6, len(classes) - 0.4)
    ax.set_ylim(0, 100 * top)
    ax.grid(visible=False, axis="x")
    ax.tick_params(length=0, labelsize=8)
    ax.yaxis.set_major_locator(MaxNLocator(nbins=4, steps=[1, 2, 5, 10]))
    ax.yaxis.set_major_formatter("{x:g} %")
    named = len(classes) <= MOST_NAMED_CLASSES
    ax.set_xticks(places if named else [], [elide(name, 8) for name in classes] if named else [], parse_math=False)
    if named and target is not None:
        label = ax.get_xticklabels()[target]
        label.set(weight="bold", color=INK)
    style = {"xycoords": "axes fraction", "textcoords": "offset points", "annotation_clip": False}
    ax.annotate(
        drawable(entry["name"]),
        (0, 1),
        (0, 6),
        color=look.colour,
        weight="bold",
        fontsize=9.5,
        parse_math=False,
        **style,
    )
    words = f"changed {_percent(judge['changed'])} %"
    if target is not None:
        words += f",  success {_percent(judge['target_success'])} %"
    ax.annotate(words, (1, 1), (0, 6), ha="right", color=MUTED, fontsize=8.4, **style)


def _header(figure: Figure, left: float, sample: DecisionSample) -> None:
    """Truth and input above an example's columns, and the columns' names below them."""
    words = drawable(sample.name, limit=22) + ("" if sample.label is None else f",  class {sample.label}")
    _words(figure, left, TITLE_INCHES + 0.22, words, weight="bold", fontsize=8.8)
    for column, (title, picture) in enumerate((("truth x", sample.x), ("input y", sample.y))):
        across = left + column * (CELL_INCHES + GAP_INCHES)
        _words(figure, across, TITLE_INCHES + 0.41, title, color=MUTED)
        _picture(figure, across, TITLE_INCHES + 0.46, picture, gid=f"{title}:{sample.name}")
    for column, title in enumerate(("attacked y", "x̂ before", "x̂ after")):
        _words(figure, left + column * (CELL_INCHES + GAP_INCHES), HEAD_INCHES, title, color=MUTED)


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
