"""What a training run shows of itself: a table of its losses, and a picture of its restorations."""

import csv
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from jaxpr.core import InputError, check_count

__all__ = ["history_csv", "sample_picture"]

_SMALLEST_TILE = 48
_GAP = 2


def history_csv(history: Mapping[str, np.ndarray], *, every: int, sparse: Mapping[str, int]) -> str:
    """A history as CSV text: one line for so many steps, each quantity's mean over them, six digits.

    Args:
        history: quantities by name, (steps,) each.
        every: steps per line; the last line may have fewer.
        sparse: by name, the period of quantities that are measured in the last of so many steps only. Their mean is
            over those steps; a line without any has an empty cell.

    Returns:
        `step`, the number of finished steps, and the quantities in the order of `history`.
    """
    check_count("every", every)
    steps = len(next(iter(history.values()), ()))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["step", *history])
    for begin in range(0, steps, every):
        end = min(begin + every, steps)
        numbers = np.arange(begin, end)
        row = []
        for name, values in history.items():
            period = sparse.get(name, 1)
            chosen = np.asarray(values[begin:end], np.float64)[numbers % period == period - 1]
            row.append(f"{chosen.mean():.6g}" if len(chosen) else "")
        table.writerow([end, *row])
    return text.getvalue()


def sample_picture(rows: Sequence[np.ndarray]) -> Image.Image:
    """Rows of images below each other: measurements, restorations, truth.

    Args:
        rows: each (N, H, W, C), C one or three, clipped to [0, 1]; all of one shape. Small images are enlarged by
            repeating pixels.

    Raises:
        InputError: no rows, or of different shapes.
    """
    if len({row.shape for row in rows}) != 1:
        raise InputError(f"rows: found shapes {sorted({row.shape for row in rows})}, expected one shape")
    factor = max(1, -(-_SMALLEST_TILE // rows[0].shape[1]))
    lines = []
    for row in rows:
        tiles = np.broadcast_to(np.clip(row, 0, 1), (*row.shape[:3], 3)).repeat(factor, axis=1).repeat(factor, axis=2)
        framed = np.pad(tiles, ((0, 0), (_GAP, 0), (_GAP, 0), (0, 0)), constant_values=1.0)
        lines.append(np.concatenate(list(framed), axis=1))
    return Image.fromarray(np.round(255 * np.concatenate(lines)).astype(np.uint8))
