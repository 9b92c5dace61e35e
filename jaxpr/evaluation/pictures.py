"""The few images that a run keeps for its report, among the arrays of its batches."""

from collections.abc import Iterable, Mapping

import numpy as np

from jaxpr.core import AnyArray, Array
from jaxpr.evaluation.arrays import ReferenceArrays, RestorerArrays, read_arrays
from jaxpr.evaluation.state import BatchStore
from jaxpr.report.samples import Answer, Strip

__all__ = ["load_strips", "packed_pictures", "unpacked_picture"]

# 16 bits: the PSNR between a restoration and its attacked version drowns in the rounding of 8.
_WHITE = 65535


def packed_pictures(images: Mapping[str, Array]) -> dict[str, np.ndarray]:
    """Images (N, H, W, C) in [0, 1] as 16-bit arrays, as they are stored."""
    return {name: np.round(np.clip(array, 0, 1) * _WHITE).astype(np.uint16) for name, array in images.items()}


def unpacked_picture(stored: AnyArray) -> np.ndarray:
    """An image of `packed_pictures` as floats in [0, 1]."""
    return np.asarray(stored, np.float32) / _WHITE


def load_strips(
    shown: Mapping[int, str], restorers: Mapping[str, BatchStore], reference: BatchStore, *, count: int
) -> list[Strip]:
    """The report's sample images.

    Args:
        shown: number and name of each example to show.
        restorers: name to stored batches with pictures `restored` and, if there is an attack, `restored_adv` and
            `y_adv`.
        reference: stored batches with pictures `x` and `y`.
        count: number of examples.
    """
    truth = _pictures(shown, (at.pictures for at in read_arrays(ReferenceArrays, reference, count)))
    found = {
        name: _pictures(shown, (at.pictures for at in read_arrays(RestorerArrays, store, count)))
        for name, store in restorers.items()
    }
    strips = []
    for number, title in shown.items():
        outputs = {name: _answer(pictures[number]) for name, pictures in found.items()}
        strips.append(Strip(title, truth[number]["x"], truth[number]["y"], outputs))
    return strips


def _answer(pictures: Mapping[str, np.ndarray]) -> Answer:
    return Answer(pictures["restored"], pictures.get("restored_adv"), pictures.get("y_adv"))


def _pictures(shown: Mapping[int, str], stored: Iterable[Mapping[str, AnyArray]]) -> dict[int, dict[str, np.ndarray]]:
    """For each example shown its images, as floats in [0, 1]."""
    return {
        number: {name: unpacked_picture(array) for name, array in images.items()}
        for number, images in enumerate(stored)
        if number in shown
    }
