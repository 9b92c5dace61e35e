"""The callables and arrays that cross jaxpr's boundaries.

Images are float32, NHWC, range [0, 1]; points are (N, d); the leading axis N is always examples.
"""

from collections.abc import Callable
from typing import TypeAlias

import jax
import jax.typing

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
