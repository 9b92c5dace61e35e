"""Two small classifiers of the packaged 8×8 digits, for attacks on decisions behind a restorer.

An attack goes through one of them and is judged by the other, which it never saw, so that success cannot be a flaw of
one network's own ([ohayon2024], Section 4.3). They share neither layers nor activations.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import HIGHEST, Array, InputError
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Conv

__all__ = ["DIGIT_CLASSIFIERS", "DIGIT_SHAPE", "digit_model"]

DIGIT_SHAPE = (8, 8, 1)
CLASSES = 10


class _Pooled(nnx.Module):
    """The attacker: 3×3 convolutions with ReLUs around a max-pool, then one dense layer on all positions."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.first = Conv(1, 32, (3, 3), precision=HIGHEST, rngs=rngs)
        self.second = Conv(32, 32, (3, 3), precision=HIGHEST, rngs=rngs)
        self.third = Conv(32, 64, (3, 3), precision=HIGHEST, rngs=rngs)
        self.head = nnx.Linear(4 * 4 * 64, CLASSES, precision=HIGHEST, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, 8, 8, 1) to logits (N, 10)."""
        x = jax.nn.relu(self.first(x - 0.5))
        x = jax.nn.relu(self.second(x))
        x = nnx.max_pool(x, (2, 2), strides=(2, 2))
        x = jax.nn.relu(self.third(x))
        return self.head(x.reshape(x.shape[0], -1))


class _Residual(nnx.Module):
    """The judge: a wide stem, a residual block, a strided convolution, GELUs, and means over positions."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.stem = Conv(1, 24, (5, 5), precision=HIGHEST, rngs=rngs)
        self.inner = Conv(24, 24, (3, 3), precision=HIGHEST, rngs=rngs)
        self.outer = Conv(24, 24, (3, 3), precision=HIGHEST, rngs=rngs)
        self.reduce = Conv(24, 64, (3, 3), strides=2, precision=HIGHEST, rngs=rngs)
        self.last = Conv(64, 96, (4, 4), padding="VALID", precision=HIGHEST, rngs=rngs)
        self.head = nnx.Linear(96, CLASSES, precision=HIGHEST, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, 8, 8, 1) to logits (N, 10)."""
        x = jax.nn.gelu(self.stem(2 * x - 1))
        x = x + self.outer(jax.nn.gelu(self.inner(x)))
        x = jax.nn.gelu(self.reduce(x))
        x = jax.nn.gelu(self.last(x))
        return self.head(jnp.mean(x, axis=(1, 2)))


_ARCHITECTURES: dict[str, Callable[..., nnx.Module]] = {"attacker": _Pooled, "judge": _Residual}

DIGIT_CLASSIFIERS = tuple(_ARCHITECTURES)
"""Names of the packaged classifiers."""


def digit_model(name: str) -> Model:
    """The architecture of a classifier as pure `init` and `apply`, to train it anew.

    Args:
        name: "attacker" or "judge".

    Returns:
        `init(key)` gives parameters, `apply(params, x)` maps (N, 8, 8, 1) in [0, 1] to logits (N, 10).

    Raises:
        InputError: unknown name.
    """
    _check_name(name)
    return functional(lambda rngs: _ARCHITECTURES[name](rngs=rngs))


def _check_name(name: str) -> None:
    if name not in _ARCHITECTURES:
        raise InputError(f"name: found {name!r}, expected one of {', '.join(DIGIT_CLASSIFIERS)}")
