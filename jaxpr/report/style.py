"""How figures look: colours, markers, fonts, and how they become bytes.

Figures are made through matplotlib's object API on an Agg canvas. Style settings hold inside `styled` only, so that
neither pyplot nor the caller's rcParams are touched, and a caller's rcParams do not change a report.
"""

import functools
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import matplotlib.style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from jaxpr.report.text import elide

__all__ = ["FAINT", "INK", "MUTED", "Look", "drawable", "looks", "new_figure", "png_bytes", "styled"]

INK = "#1f2933"
MUTED = "#5f6c7b"
FAINT = "#d5dbe1"

# Okabe and Ito's palette, readable with every colour vision; its yellow is too light on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#4A5568")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "h")  # as many as are coprime to the colours: 56 different pairs
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
    "axes.formatter.use_mathtext": True,
}


@contextmanager
def styled() -> Iterator[None]:
    """Settings of the report's figures, as a context or a decorator; the caller's settings return afterwards."""
    with matplotlib.style.context(["default", RC]):
        yield


_NUMBERED = re.compile(r"(?P<plain>(?P<family>[^:]+)-\d+(\.\d+)?)(-(?P<variant>[a-z]+))?")


class Look(NamedTuple):
    """How one restorer is drawn in every figure.

    Attributes:
        family: the name before the setting, such as `exemplar` of `exemplar:0.1`; members share colour and marker.
        variant: what follows the setting, such as `project` or `robust`; drawn hollow.
        plain: name of the restorer that it is a variant of; otherwise its own.
        colour: of the family.
        marker: of the family.
        size: marker size in points.
    """

    family: str
    variant: str
    plain: str
    colour: str
    marker: str
    size: float

    @property
    def face(self) -> str:
        """Fill of the marker: white for variants such as `+project`."""
        return "white" if self.variant else self.colour


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A look for each restorer: colours and markers are dealt to the families in the order they appear.

    Names are read as FAMILY:SETTING or FAMILY-NUMBER, with +VARIANT behind, or -VARIANT behind a number.
    """
    families: dict[str, int] = {}
    dealt = {}
    for name in names:
        plain, _, variant = name.partition("+")
        family = plain.split(":")[0]
        if match := _NUMBERED.fullmatch(plain):
            family = match["family"]
            if match["variant"]:
                plain, variant = match["plain"], f"{match['variant']}+{variant}".rstrip("+")
        index = families.setdefault(family, len(families))
        marker = MARKERS[index % len(MARKERS)]
        dealt[name] = Look(family, variant, plain, COLOURS[index % len(COLOURS)], marker, MARKER_SIZES[marker])
    return dealt


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


@styled()
def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, the same bytes for the same figure: no time, no software version."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})
    return buffer.getvalue()
