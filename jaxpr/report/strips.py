"""Sample images: truth and input beside every restoration, its attacked version and their difference.

Images are drawn without interpolation, each image pixel as a square of whole screen pixels.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from jaxpr.core import InputError
from jaxpr.numerics.errors import peak_ratio
from jaxpr.report.samples import Strip
from jaxpr.report.style import INK, MUTED, drawable, new_figure, styled

__all__ = [
    "DIFFERENCE_GAIN",
    "check_strip",
    "figure_strip",
    "psnr_words",
    "replicated_to",
    "shown_colours",
]

PER_ROW = 5
CELL_PIXELS = 256
LARGEST_PIXELS = 512
COLUMN_INCHES = 1.75
DIFFERENCE_GAIN = 20.0
MAGENTA = (1.0, 0.0, 1.0)


class _Geometry(NamedTuple):
    """Where things are, in screen pixels from the upper left corner.

    Attributes:
        columns: of a block, the one with truth and input included.
        blocks: groups of columns below one another.
        attacked: are there rows for the attacked restorations and the differences?
        column: width of a column; images narrower than it are centred.
        cell: (height, width) of an image.
        line: height of a line of text.
        gap: between columns, and between images without text between them.
        foot: room below everything.
    """

    columns: int
    blocks: int
    attacked: bool
    column: int
    cell: tuple[int, int]
    line: int
    gap: int
    foot: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the figure."""
        width = self.columns * (self.column + self.gap) + self.gap
        return self.top(self.blocks, 0) - 3 * self.line + self.foot, width

    def top(self, block: int, row: int) -> int:
        """Upper edge of the images in a row: two lines of text lie above row 0, one above row 1, none above row 2."""
        height = max(self.cell[0], 2 * self.line)
        first = self.gap + 2 * self.line
        second = first + height + self.line + self.gap
        third = second + height + self.gap
        end = (third + height if self.attacked else second + height) + self.line
        return block * end + (first, second, third)[row]

    def left(self, column: int) -> int:
        """Left edge of a column."""
        return self.gap + column * (self.column + self.gap)


@styled()
def figure_strip(strip: Strip, names: Sequence[str]) -> Figure:
    """One example: truth and input at the left, then a column for each restorer, wrapped after five.

    A column shows the restoration with its PSNR against the truth, below it the restoration of the attacked input with
    its PSNR against the first, and below that their absolute difference, amplified. NaN pixels are magenta.

    Args:
        strip: the example.
        names: the restorers to show, in this order.

    Returns:
        A figure with an Agg canvas. Images larger than 512 pixels are reduced by averaging, and the figure says so.

    Raises:
        InputError: no names, a name without output, or images of wrong or different shapes.
    """
    check_strip(strip, names)
    shrink = math.ceil(max(strip.x.shape[:2]) / LARGEST_PIXELS)
    attacked = any(strip.outputs[name].attacked is not None for name in names)
    geometry = _geometry(strip.x.shape, len(names), attacked=attacked, shrink=shrink)
    height, width = geometry.size
    dpi = round(width / (COLUMN_INCHES * geometry.columns))
    # A hair more than whole pixels, because matplotlib rounds sizes down.
    figure = new_figure((width + 0.01) / dpi, (height + 0.01) / dpi, dpi=dpi)
    per_block = geometry.columns - 1
    for block in range(geometry.blocks):
        _references(figure, geometry, block, strip, shrink)
        for column, name in enumerate(names[block * per_block : (block + 1) * per_block]):
            _column(figure, geometry, (block, column + 1), strip, name, shrink)
    if shrink > 1:
        words = f"Images are shown at 1/{shrink} of their size."
        _words(figure, geometry.left(0), height - geometry.line // 2, words, color=MUTED)
    return figure


def check_strip(strip: Strip, names: Sequence[str]) -> None:
    """Raise unless the images of these restorers fit the example's."""
    if not names:
        raise InputError("names: found none, expected at least one restorer")
    pictures = {"x": strip.x, "y": strip.y}
    for name in names:
        if name not in strip.outputs:
            raise InputError(f"names: found {name!r}, which strip {strip.name!r} has no output of")
        restored, attacked, _ = strip.outputs[name]
        pictures[name] = restored
        if attacked is not None:
            pictures[f"{name}, attacked"] = attacked
    for name, picture in pictures.items():
        shape = np.shape(picture)
        if len(shape) != 3 or 0 in shape:
            raise InputError(f"strip {strip.name!r}: found shape {shape} for {name}, expected (H, W, C)")
        if name != "y" and shape != np.shape(strip.x):
            raise InputError(
                f"strip {strip.name!r}: found shape {shape} for {name}, expected that of x, {strip.x.shape}"
            )


def _geometry(shape: Sequence[int], count: int, *, attacked: bool, shrink: int) -> _Geometry:
    height, width = math.ceil(shape[0] / shrink), math.ceil(shape[1] / shrink)
    times = math.ceil(CELL_PIXELS / max(height, width))
    blocks = math.ceil(count / PER_ROW)
    column = max(width * times, CELL_PIXELS)
    line = column // 10
    foot = 2 * line if shrink > 1 else 0
    cell = (height * times, width * times)
    return _Geometry(math.ceil(count / blocks) + 1, blocks, attacked, column, cell, line, line // 3, foot)


def _references(figure: Figure, geometry: _Geometry, block: int, strip: Strip, shrink: int) -> None:
    left, top = geometry.left(0), geometry.top(block, 0)
    baseline = geometry.line // 3
    _image(figure, geometry, (block, 0), 0, _shrunk(strip.x, shrink), gid="x")
    _words(figure, left, top - baseline, "truth x", weight="bold")
    below = geometry.top(block, 1)
    enlarged = replicated_to(strip.y, np.shape(strip.x)[:2])
    _image(figure, geometry, (block, 0), 1, _shrunk(enlarged, shrink), gid="y")
    _words(figure, left, below - baseline, f"input y, {strip.y.shape[0]} × {strip.y.shape[1]}", weight="bold")
    if geometry.attacked:
        middle = geometry.top(block, 2) + max(geometry.cell[0] // 2, geometry.line) - geometry.line // 3
        for line, words in enumerate(("difference of the", f"two above, × {DIFFERENCE_GAIN:g} →")):
            _words(figure, left, middle + line * geometry.line, words, color=MUTED)


def _column(figure: Figure, geometry: _Geometry, place: tuple[int, int], strip: Strip, name: str, shrink: int) -> None:
    block, column = place
    restored, attacked, _ = strip.outputs[name]
    left, top, baseline = geometry.left(column), geometry.top(block, 0), geometry.line // 3
    _image(figure, geometry, place, 0, _shrunk(restored, shrink), gid=f"restored:{name}")
    title = _words(figure, left, top - geometry.line - baseline, drawable(name), weight="bold", gid=f"name:{name}")
    title.set_fontsize(title.get_fontsize() * min(geometry.column / title.get_window_extent().width, 1.0))
    _words(figure, left, top - baseline, f"PSNR {psnr_words(restored, strip.x)}", color=MUTED)
    if attacked is None:
        return
    _image(figure, geometry, place, 1, _shrunk(attacked, shrink), gid=f"attacked:{name}")
    words = f"attacked: {psnr_words(attacked, restored)}"
    _words(figure, left, geometry.top(block, 1) - baseline, words, color=MUTED)
    difference = DIFFERENCE_GAIN * np.abs(np.asarray(attacked, float) - np.asarray(restored, float))
    _image(figure, geometry, place, 2, _shrunk(difference, shrink), gid=f"difference:{name}")


def _image(
    figure: Figure, geometry: _Geometry, place: tuple[int, int], row: int, picture: np.ndarray, *, gid: str
) -> None:
    """Draw a picture at whole screen pixels."""
    height, width = geometry.size
    cell_height, cell_width = geometry.cell
    left = geometry.left(place[1]) + (geometry.column - cell_width) // 2
    bottom = height - geometry.top(place[0], row) - cell_height
    total_width, total_height = width + 0.01, height + 0.01
    box = (left / total_width, bottom / total_height, cell_width / total_width, cell_height / total_height)
    ax = figure.add_axes(box, gid=gid)
    ax.set_axis_off()
    ax.imshow(shown_colours(picture), interpolation="none", aspect="auto", resample=False)


def _words(figure: Figure, left: int, baseline: int, words: str, **style: Any) -> Any:
    """Write at a distance in pixels from the left and the upper edge."""
    height, width = figure.bbox.height, figure.bbox.width
    style = {"color": INK, "fontsize": 7.6, "parse_math": False, **style}
    return figure.text(left / width, 1 - baseline / height, words, va="baseline", **style)


def psnr_words(picture: np.ndarray, reference: np.ndarray) -> str:
    """The PSNR of a picture against another, both (H, W, C) in [0, 1], `25.9 dB`; `∞` if they are equal."""
    (ratio,) = peak_ratio(*(np.asarray(image, np.float32)[None] for image in (picture, reference)), data_range=1.0)
    if not np.isfinite(ratio):
        return "–" if np.isnan(ratio) else "∞"
    return f"{ratio:.1f} dB"


def replicated_to(picture: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The picture enlarged (or thinned out) to `shape` by repeating pixels."""
    rows = np.arange(shape[0]) * picture.shape[0] // shape[0]
    columns = np.arange(shape[1]) * picture.shape[1] // shape[1]
    return np.asarray(picture)[rows][:, columns]


def _shrunk(picture: np.ndarray, factor: int) -> np.ndarray:
    """Means of `factor` by `factor` blocks; the last ones repeat the border where the size is no multiple."""
    if factor == 1:
        return np.asarray(picture, float)
    height, width, channels = picture.shape
    padding = ((0, -height % factor), (0, -width % factor), (0, 0))
    padded = np.pad(np.asarray(picture, float), padding, mode="edge")
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor, channels)
    return blocks.mean(axis=(1, 3))


def shown_colours(picture: np.ndarray) -> np.ndarray:
    """8-bit RGB of a picture: of one or two channels the first in grey, of more the first three."""
    undefined = np.isnan(picture).any(axis=-1, keepdims=True)
    rgb = picture[..., :3] if picture.shape[-1] >= 3 else np.repeat(picture[..., :1], 3, axis=-1)
    rgb = np.where(undefined, MAGENTA, np.clip(rgb, 0.0, 1.0))
    return np.round(rgb * 255).astype(np.uint8)
