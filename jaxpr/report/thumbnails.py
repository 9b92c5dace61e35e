"""Small pictures of one restorer's outputs, for its card: truth, input, restoration, restoration of the attacked input.

Pictures are 8-bit PNG without interpolation; of large images the middle is cut out, because a smaller image would hide
what restorers differ in.
"""

import base64
import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from jaxpr.report.samples import Strip
from jaxpr.report.strips import check_strip, psnr_words, replicated_to, shown_colours

__all__ = ["LARGEST_SIDE", "Thumbnail", "thumbnails"]

LARGEST_SIDE = 128


class Thumbnail(NamedTuple):
    """One small picture.

    Attributes:
        data: base64 of a PNG.
        words: what it shows.
    """

    data: str
    words: str


def thumbnails(strip: Strip, name: str) -> list[Thumbnail]:
    """Of one example: truth, input, and what the restorer made of it, and of the attacked input where there is one.

    Args:
        strip: the example.
        name: of the restorer.

    Raises:
        InputError: images of other shapes than the example's.
    """
    check_strip(strip, [name])
    restored, attacked, _ = strip.outputs[name]
    shown = [
        (strip.x, "truth"),
        (replicated_to(strip.y, np.shape(strip.x)[:2]), "input"),
        (restored, f"restored: {psnr_words(restored, strip.x)}"),
    ]
    if attacked is not None:
        shown.append((attacked, f"attacked: {psnr_words(attacked, restored)}"))
    return [Thumbnail(_png(picture), words) for picture, words in shown]


def _png(picture: np.ndarray) -> str:
    sides = [(max(side - LARGEST_SIDE, 0) // 2, min(side, LARGEST_SIDE)) for side in np.shape(picture)[:2]]
    (top, height), (left, width) = sides
    buffer = io.BytesIO()
    middle = np.asarray(picture)[top : top + height, left : left + width]
    Image.fromarray(shown_colours(middle)).save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
