"""Where a restorer amplifies an attack on its input: by pixel, and by spatial frequency."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from jaxpr.core import InputError
from jaxpr.report.samples import Strip
from jaxpr.report.style import MUTED, dashes, drawable, looks, new_figure, styled

__all__ = ["attacked_names", "band_powers", "figure_maps"]

_PER_ROW = 5
_WIDTH = 10.5  # inches, as the strips
_LEFT, _RIGHT, _GAP, _TITLE = 0.12, 0.95, 0.12, 0.44
_LEAST = 2.3
_CURVES, _FOOT, _HEAD = 2.5, 0.62, 0.55  # height of the curves, and room below and above them
_BANDS = 16
_DECADES = 3
_FEW = 30  # a range of a logarithmic axis that wants more numbers than the powers of ten
_BAD = "#ff00ff"


class _Change(NamedTuple):
    """What an attack changes behind one restorer.

    Attributes:
        output: f(y_adv) - f(y), (H, W, C).
        input: y_adv - y, (h, w, c); None where y_adv was not kept.
    """

    output: np.ndarray
    input: np.ndarray | None

    @property
    def ratio(self) -> float:
        """‖output‖ / ‖input‖; NaN where there is no input, or no change of it."""
        size = 0.0 if self.input is None else float(np.linalg.norm(self.input))
        return float(np.linalg.norm(self.output)) / size if size else math.nan


def attacked_names(strip: Strip, names: Sequence[str]) -> list[str]:
    """Those of the names whose restoration of an attacked input a strip has."""
    return [name for name in names if name in strip.outputs and strip.outputs[name].attacked is not None]


def band_powers(change: np.ndarray, *, bands: int) -> np.ndarray:
    """Energy of an image by spatial frequency; the sum over all bands is the sum of its squares.

    Args:
        change: (H, W, C).
        bands: of equal width from 0 to half a cycle per pixel.

    Returns:
        (bands + 1,), the last for the corners of the spectrum, beyond half a cycle.
    """
    height, width = change.shape[:2]
    spectrum = np.fft.fft2(np.asarray(change, float), axes=(0, 1))
    power = np.sum(np.abs(spectrum) ** 2, axis=2) / (height * width)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    # A frequency between two bands belongs to the lower one.
    band = np.clip(np.ceil(2 * bands * frequency - 1e-9).astype(int) - 1, 0, bands)
    return np.bincount(band.ravel(), weights=power.ravel(), minlength=bands + 1)


@styled()
def figure_maps(strip: Strip, names: Sequence[str], *, entries: Sequence[Mapping[str, Any]] = ()) -> Figure:
    """One example: the change of each restorer's output under its attack, as a map, and by frequency.

    Above, a map for each restorer, in one logarithmic scale of colours; NaN is magenta. Below, by band of frequencies,
    the root of the energy of the output's change: at the left over that of the input's change in the same band, as far
    as frequencies go in y; at the right over that of the whole change of the input, so that squares add up to K² (the
    last band has the corners of the spectrum, too).

    Args:
        strip: the example, with restorations of attacked inputs.
        names: the restorers to show, in this order.
        entries: of the record's restorers, for colours and markers; none for those of the names alone.

    Returns:
        A figure with an Agg canvas. Restorers whose attacked inputs were not kept have maps only.

    Raises:
        InputError: a name without an attacked output.
    """
    if not names or attacked_names(strip, names) != list(names):
        raise InputError(f"names: found {list(names)}, expected some whose attacked outputs strip {strip.name!r} has")
    changes = {name: _change(strip, name) for name in names}
    rows = math.ceil(len(names) / _PER_ROW)
    columns = max(math.ceil(len(names) / rows), 3)
    cell = (_WIDTH - _LEFT - _RIGHT - (columns - 1) * _GAP) / columns
    # Enough for the words beside the scale, and no towers.
    tall = float(np.clip(cell * strip.x.shape[0] / strip.x.shape[1], _LEAST / rows, 1.5 * cell))
    curves = _CURVES + _FOOT + _HEAD
    height = curves + rows * (tall + _TITLE)
    figure = new_figure(_WIDTH, height)
    norm, colours = _scale(changes.values()), matplotlib.colormaps["inferno"].with_extremes(bad=_BAD)
    for place, name in enumerate(names):
        row, column = divmod(place, columns)
        left, bottom = _LEFT + column * (cell + _GAP), height - (row + 1) * (tall + _TITLE)
        ax = figure.add_axes((left / _WIDTH, bottom / height, cell / _WIDTH, tall / height), gid=f"map:{name}")
        _map(ax, changes[name], name, norm, colours)
    _bar(figure, norm, colours, curves / height, (rows * (tall + _TITLE) - _TITLE) / height)
    _curves(figure, changes, strip, entries or [{"name": name} for name in names])
    return figure


def _change(strip: Strip, name: str) -> _Change:
    restored, attacked, y_adv = strip.outputs[name]
    moved = None if y_adv is None else np.asarray(y_adv, float) - strip.y
    return _Change(np.asarray(attacked, float) - restored, moved)


def _sizes(change: _Change) -> np.ndarray:
    """Of the change of each pixel: root mean square over channels, in grey levels of 255, (H, W)."""
    return 255 * np.sqrt(np.mean(change.output**2, axis=2))


def _scale(changes: Any) -> LogNorm:
    found = np.concatenate([_sizes(change).ravel() for change in changes])
    found = found[np.isfinite(found)]
    largest = float(np.quantile(found, 0.999)) if found.size else 0.0
    largest = largest or 1.0
    return LogNorm(largest / 10**_DECADES, largest, clip=True)


def _map(ax: Axes, change: _Change, name: str, norm: LogNorm, colours: Colormap) -> None:
    ax.imshow(_sizes(change), norm=norm, cmap=colours, interpolation="nearest")
    ax.set_anchor("SW")
    ax.set_axis_off()
    ratio = f"K {change.ratio:.3g}" if math.isfinite(change.ratio) else ""
    ax.annotate(ratio, (0, 1), (0, 4), xycoords="axes fraction", textcoords="offset points", color=MUTED, fontsize=7.6)
    style: dict[str, Any] = {"weight": "bold", "fontsize": 7.6, "parse_math": False}
    words = drawable(name)
    ax.annotate(words, (0, 1), (0, 15), xycoords="axes fraction", textcoords="offset points", **style)


def _bar(figure: Figure, norm: LogNorm, colours: Colormap, bottom: float, height: float) -> None:
    """The scale of the maps' colours, beside all of them."""
    ax = figure.add_axes(((_WIDTH - 0.75) / _WIDTH, bottom, 0.13 / _WIDTH, height), gid="scale")
    bar = figure.colorbar(ScalarMappable(norm, colours), cax=ax, extend="both", extendfrac=0.03)
    bar.outline.set_visible(False)
    bar.ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    bar.ax.minorticks_off()
    bar.set_label("change of a pixel of x̂, grey levels", fontsize=8.5)


def _curves(figure: Figure, changes: Mapping[str, _Change], strip: Strip, entries: Sequence[Mapping[str, Any]]) -> None:
    """Both plots over frequencies, with one legend."""
    height = figure.get_size_inches()[1]
    finest = 0.5 * strip.y.shape[0] / strip.x.shape[0]  # in y, in cycles per pixel of x
    wide, bottom, tall = 3.55, _FOOT / height, _CURVES / height
    within, whole = (
        figure.add_axes((left / _WIDTH, bottom, wide / _WIDTH, tall), gid=gid)
        for left, gid in ((0.62, "within"), (0.62 + wide + 0.75, "whole"))
    )
    dealt = looks(entries)
    lines = dashes(list(changes), dealt)
    for name, change in changes.items():
        look, found = dealt[name], _gains(change, finest)
        style: dict[str, Any] = {"color": look.colour, "lw": 1.2, "ls": lines[name], "marker": look.marker}
        style |= {"markersize": 0.55 * look.size, "markerfacecolor": look.face, "markeredgecolor": look.colour}
        if found is not None:
            _plot(within, found.within, finest, {**style, "gid": f"within:{name}"})
            _plot(whole, found.whole, 0.5, {**style, "gid": f"whole:{name}", "label": drawable(name)})
    if finest < 0.5:
        whole.axvline(finest, color=MUTED, lw=0.9, ls=(0, (4, 3)), zorder=1, label="finest in y")
    for ax, highest, title, words in (
        (within, finest, "Amplification by frequency", "change of x̂ / change of y, in the band"),
        (whole, 0.5, "Parts of K", "change of x̂ in the band / change of y"),
    ):
        ax.set_title(title)
        ax.set_xlabel("spatial frequency, cycles per pixel of x")
        ax.set_ylabel(words, fontsize=8.5)
        ax.set_xlim(0, highest)
        _logarithmic(ax)
    whole.legend(loc="upper left", bbox_to_anchor=(1.02, 1.02), frameon=False, fontsize=7.6, borderaxespad=0.0)


def _logarithmic(ax: Axes) -> None:
    """At most three decades of a logarithmic axis, with written numbers however few they are."""
    drawn = [np.asarray(line.get_ydata(), float) for line in ax.lines if line.get_gid()]
    positive = np.concatenate([*drawn, np.zeros(0)])
    positive = positive[positive > 0]
    if not positive.size:
        ax.text(0.5, 0.5, "no attacked input was kept", transform=ax.transAxes, ha="center", color=MUTED, fontsize=8.5)
        ax.set_yticks([])
        return
    largest = positive.max()
    ax.set_yscale("log")
    ax.set_ylim(0.8 * max(positive.min(), largest / 10**_DECADES), 1.25 * largest)
    low, high = ax.get_ylim()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < _FEW else (1,)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")


class _Gains(NamedTuple):
    """Amplification by band.

    Attributes:
        within: over the input's change in the band, for y's frequencies; NaN where there is none.
        whole: over the whole change of the input, for all frequencies of x.
    """

    within: np.ndarray
    whole: np.ndarray


def _gains(change: _Change, finest: float) -> _Gains | None:
    """None where the attacked input was not kept, or equals y."""
    if change.input is None or not np.any(change.input):
        return None
    bands = _bands(change.input)
    before = band_powers(change.input, bands=bands)
    # Bands of the output that are as wide, of which it has more.
    after = band_powers(change.output, bands=round(bands * 0.5 / finest))
    parts = band_powers(change.output, bands=_bands(change.output))
    parts = np.append(parts[:-2], parts[-2] + parts[-1])
    within = np.where(before > 0, after[: bands + 1] / np.where(before > 0, before, 1), np.nan)[:bands]
    return _Gains(np.sqrt(within), np.sqrt(parts / before.sum()))


def _bands(change: np.ndarray) -> int:
    """As many bands as the image has frequencies for."""
    return max(1, min(_BANDS, min(change.shape[:2]) // 2))


def _plot(ax: Axes, values: np.ndarray, highest: float, style: Mapping[str, Any]) -> None:
    """Values of bands from zero to the highest frequency, at their middles."""
    ax.plot((np.arange(len(values)) + 0.5) * highest / len(values), values, **style)
