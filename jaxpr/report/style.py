"""How figures look: colours, markers, fonts, and how they become bytes.

Figures are made through matplotlib's object API on an Agg canvas. Style settings hold inside `styled` only, so that
neither pyplot nor the caller's rcParams are touched, and a caller's rcParams do not change a report.
"""

import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from jaxpr.records.along import AlphaCurve, alpha_curves
from jaxpr.report.text import elide

__all__ = [
    "FAINT",
    "INK",
    "MANY",
    "MUTED",
    "Look",
    "dashes",
    "drawable",
    "looks",
    "new_figure",
    "png_bytes",
    "styled",
    "word_above",
]

INK = "#1f2933"
MUTED = "#5f6c7b"
FAINT = "#d5dbe1"
MANY = 3
"""From so many on, restorers along alpha are drawn as a curve, without a name for each."""

# Okabe and Ito's palette, readable with every colour vision; its yellow is too light on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#4A5568")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")  # as many as are coprime to the colours: 56 different pairs
_DASHES: tuple[Any, ...] = ("-", (0, (6, 2)), (0, (3, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
_SMALL = 4.0  # markers of many along alpha
MARKER_SIZES = {"o": 8.0, "s": 7.2, "D": 6.8, "^": 8.4, "v": 8.4, "P": 8.6, "X": 8.4, "h": 8.8}

RC = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": "#9aa5b1",
    "axes.labelcolor": INK,
    "axes.labelsize": 10,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#edf0f3",
    "grid.linewidth": 0.8,
    "xtick.color": "#9aa5b1",
    "ytick.color": "#9aa5b1",
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "figure.facecolor": "white",
    "figure.dpi": 160,
    "savefig.facecolor": "white",
}


@contextmanager
def styled() -> Iterator[None]:
    """Settings of the report's figures, as a context or a decorator; the caller's settings return afterwards."""
    with matplotlib.style.context(["default", RC]):
        yield


class Look(NamedTuple):
    """How one restorer is drawn in every figure.

    Attributes:
        family: members share colour and marker; the restorer's name where the record gives none.
        setting: what varies along a family's line; None where nothing does.
        variant: drawn hollow unless "".
        plain: name of the restorer that it is a variant of; otherwise its own.
        colour: of the family.
        marker: of the family.
        size: marker size in points.
        alpha: where it stands on curves along alpha; None for none.
        curves: numbers of these curves.
        label: its name in planes, "" for none; None for the restorer's own.
    """

    family: str
    setting: float | None
    variant: str
    plain: str
    colour: str
    marker: str
    size: float
    alpha: float | None = None
    curves: tuple[int, ...] = ()
    label: str | None = None

    @property
    def face(self) -> str:
        """Fill of the marker: white for variants such as `+project`."""
        return "white" if self.variant else self.colour

    @property
    def small(self) -> bool:
        """One of many, without pictures of its own."""
        return self.size <= _SMALL


def looks(entries: Sequence[Mapping[str, Any]]) -> dict[str, Look]:
    """A look for each restorer, by its name: colours and markers are dealt to the families in the order they appear.

    Args:
        entries: of the record's restorers; `family`, `setting` and `variant` are read and may be missing. Of those
            along alpha only x*, x̂₀ and the ends are named, and all but the first two are small.
    """
    families: dict[str, int] = {}
    members = {entry["name"]: _member(entry) for entry in entries}
    usual = {(family, setting): name for name, (family, setting, variant) in reversed(members.items()) if not variant}
    dealt = {}
    for name, (family, setting, variant) in members.items():
        index = families.setdefault(family, len(families))
        marker = MARKERS[index % len(MARKERS)]
        plain = usual.get((family, setting), name) if variant else name
        colour = COLOURS[index % len(COLOURS)]
        dealt[name] = Look(family, setting, variant, plain, colour, marker, MARKER_SIZES[marker])
    for number, curve in enumerate(alpha_curves({"restorers": entries})):
        for alpha, entry in zip(curve.alphas, curve.entries, strict=True):
            name, own = entry["name"], entry["name"] in curve.whole
            first, curves = dealt[curve.whole[0]], (*dealt[name].curves, number)
            look = dealt[name]._replace(alpha=alpha, curves=curves)
            look = look._replace(colour=first.colour, marker=first.marker) if own else look
            dealt[name] = _along(look, alpha, curve) if own and len(curve.whole) >= MANY else look
    return dealt


def _along(look: Look, alpha: float, curve: AlphaCurve) -> Look:
    """The look of one of many along alpha: x* as the restorer that it is, x̂₀ as a variant, others small."""
    if alpha == 1:
        return look._replace(variant="", label=curve.title if curve.itself is None else "")
    shown = f"α = {alpha:g}" if alpha in (0, curve.alphas[0], curve.alphas[-1]) else ""
    return look._replace(label=shown) if alpha == 0 else look._replace(variant="", label=shown, size=_SMALL)


def _member(entry: Mapping[str, Any]) -> tuple[str, float | None, str]:
    return entry.get("family") or entry["name"], entry.get("setting"), entry.get("variant") or ""


def dashes(names: Sequence[str], dealt: Mapping[str, Look]) -> dict[str, Any]:
    """Line styles by which members of a family, which share colour and marker, are told apart in curves.

    Args:
        names: of the restorers, in the order of the legend.
        dealt: their looks.
    """
    members: dict[tuple[str, str], int] = {}
    found = {}
    for name in names:
        family = dealt[name].family, dealt[name].variant
        position = members[family] = members.get(family, -1) + 1
        found[name] = _DASHES[position % len(_DASHES)]
    return found


@functools.lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap())


def drawable(name: str, *, limit: int = 26) -> str:
    """`name` on one line, at most `limit` characters long, characters that the figures' font lacks shown as `□`."""
    flat = elide(name, limit)
    return "".join(c if ord(c) in _glyphs() else "□" for c in flat)


def new_figure(width: float, height: float, *, dpi: float | None = None) -> Figure:
    """An empty figure of `width` by `height` inches with an Agg canvas, unknown to pyplot."""
    figure = Figure(figsize=(width, height), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def word_above(ax: Any, place: float, words: str, *, size: float = 8.5) -> None:
    """Words above the axes, in the middle over a place in data coordinates."""
    above = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
    ax.annotate(words, (place, 1.0), (0, 3), color=MUTED, fontsize=size, **above)


@styled()
def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, the same bytes for the same figure: no time, no software version."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
