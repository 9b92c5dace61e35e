"""The callables and arrays that cross jaxpr's boundaries.

Images are float32, NHWC, range [0, 1]; points are (N, d); the leading axis N is always examples.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeAlias

import jax
import jax.typing
import numpy as np

Array: TypeAlias = jax.Array
ArrayLike: TypeAlias = jax.typing.ArrayLike
Key: TypeAlias = jax.Array

Estimator: TypeAlias = Callable[[Array], Array]
"""Maps a batch of measurements y to restorations x̂ (same N). Bind parameters with `functools.partial`."""

Sampler: TypeAlias = Callable[[Key, Array], Array]
"""Stochastic estimator: maps (key, y) to one restoration x̂ per measurement."""

Objective: TypeAlias = Callable[[Array], Array]
"""Maps a batch of measurements y, shape (N, ...), to values of shape (N,) that an attack ascends."""

Features: TypeAlias = Callable[[Array], Array]
"""Maps images (N, H, W, C) in [0, 1] to feature vectors (N, d)."""

Scale: TypeAlias = Literal["smoke", "small", "paper"]
"""Seconds, minutes on two CPU cores, or the paper's own sizes."""

AnyArray: TypeAlias = jax.Array | np.ndarray
"""A device array, or the NumPy float64 that host-side float64 code returns."""


class PerceptualNetwork(NamedTuple):
    """What LPIPS needs of a network; `jaxpr.weights.perceptual_network` gives the trained ones.

    Attributes:
        taps: maps images (N, H, W, 3) in [0, 1] to a sequence of feature maps (N, h, w, c), one per tap. It
            converts the range itself, so the mistake of feeding [0, 1] where [-1, 1] is expected cannot happen.
        weights: for each tap the non-negative channel weights, (c,).
    """

    taps: Callable[[Array], Sequence[Array]]
    weights: Sequence[Array]
