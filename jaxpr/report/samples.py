"""What a run keeps of a few examples, to be looked at. Nothing here draws."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

__all__ = ["Answer", "Strip"]


class Answer(NamedTuple):
    """What a restorer makes of one example.

    Attributes:
        restored: its restoration of y, (H, W, C).
        attacked: its restoration of the attacked y; None where no attack was run.
        y_adv: the attacked y, (h, w, c); None where it was not kept.
    """

    restored: np.ndarray
    attacked: np.ndarray | None = None
    y_adv: np.ndarray | None = None


class Strip(NamedTuple):
    """One example of an evaluation run, to be looked at.

    Attributes:
        name: the example's name.
        x: the clean image, (H, W, C), floats in [0, 1].
        y: the measurement, (h, w, c), any size; it is shown enlarged by pixel replication.
        outputs: for each restorer's name what it makes of y.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    outputs: Mapping[str, Answer]
