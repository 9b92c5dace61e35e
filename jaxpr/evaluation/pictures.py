"""The few images that a run keeps for its report, among the arrays of its batches."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxpr.core import Array
from jaxpr.evaluation.state import BatchStore
from jaxpr.report import Strip

__all__ = ["load_strips", "packed_pictures", "without_pictures"]

_PREFIX = "picture_"
# 16 bits: the PSNR between a restoration and its attacked version drowns in the rounding of 8.
_WHITE = 65535


def packed_pictures(images: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Images (N, H, W, C) in [0, 1] as 16-bit arrays under names by which they are found again."""
    return {_PREFIX + name: np.round(np.clip(array, 0, 1) * _WHITE).astype(np.uint16) for name, array in images.items()}


def without_pictures(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The other arrays, for batches of which the report shows nothing."""
    return {name: array for name, array in arrays.items() if not name.startswith(_PREFIX)}


def load_strips(
    shown: Mapping[int, str], restorers: Mapping[str, BatchStore], reference: BatchStore, *, count: int
) -> list[Strip]:
    """The report's sample images.

    Args:
        shown: number and name of each example to show.
        restorers: name to stored batches with pictures `restored` and, if there is an attack, `restored_adv`.
        reference: stored batches with pictures `x` and `y`.
        count: number of examples.
    """
    truth = _pictures(shown, reference, count)
    found = {name: _pictures(shown, store, count) for name, store in restorers.items()}
    strips = []
    for number, title in shown.items():
        outputs: dict[str, Any] = {
            name: (pictures[number]["restored"], pictures[number].get("restored_adv"))
            for name, pictures in found.items()
        }
        strips.append(Strip(title, truth[number]["x"], truth[number]["y"], outputs))
    return strips


def _pictures(shown: Mapping[int, str], store: BatchStore, count: int) -> dict[int, dict[str, np.ndarray]]:
    """For each example shown its images, as floats in [0, 1]."""
    return {
        number: {
            name.removeprefix(_PREFIX): array.astype(np.float32) / _WHITE
            for name, array in arrays.items()
            if name.startswith(_PREFIX)
        }
        for number, arrays in enumerate(store.load(count))
        if number in shown
    }
