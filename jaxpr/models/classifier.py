"""Small classifiers for attacks on decisions behind a restorer: two of the packaged 8×8 digits, and two of any size.

An attack goes through one of them and is judged by the other, which it never saw, so that success cannot be a flaw of
one network's own ([ohayon2024], Section 4.3). The two of a pair share neither layers nor activations.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import HIGHEST, Array, InputError, check_count
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Conv

__all__ = ["DIGIT_CLASSIFIERS", "DIGIT_SHAPE", "ClassifierConfig", "classifier_model", "digit_model"]

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


class ClassifierConfig(NamedTuple):
    """Sizes of a classifier of square images.

    Attributes:
        design: "pooled" (ReLUs, max-pools, dense layers on all positions) or "residual" (GELUs, residual blocks,
            strided convolutions, means over positions).
        size: height and width of the images, a multiple of 2^halvings.
        channels: of the images.
        classes: number of classes, at least two.
        width: channels at full resolution, doubled by each halving.
        halvings: of the resolution.
    """

    design: str
    size: int
    channels: int = 1
    classes: int = 10
    width: int = 16
    halvings: int = 2

    @property
    def shape(self) -> tuple[int, int, int]:
        """(size, size, channels) of the images."""
        return self.size, self.size, self.channels


_HIDDEN = 128


class _AnyPooled(nnx.Module):
    """Pairs of 3×3 convolutions with ReLUs, each followed by a max-pool, then two dense layers."""

    def __init__(self, config: ClassifierConfig, *, rngs: nnx.Rngs) -> None:
        last, layers = config.channels, []
        for i in range(config.halvings):
            outputs = config.width * 2**i
            layers += [Conv(last, outputs, (3, 3), precision=HIGHEST, rngs=rngs)]
            layers += [Conv(outputs, outputs, (3, 3), precision=HIGHEST, rngs=rngs)]
            last = outputs
        self.features = nnx.List(layers)
        side = config.size >> config.halvings
        self.hidden = nnx.Linear(side * side * last, _HIDDEN, precision=HIGHEST, rngs=rngs)
        self.head = nnx.Linear(_HIDDEN, config.classes, precision=HIGHEST, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, size, size, channels) to logits (N, classes)."""
        x = x - 0.5
        for number, conv in enumerate(self.features):
            x = jax.nn.relu(conv(x))
            if number % 2:
                x = nnx.max_pool(x, (2, 2), strides=(2, 2))
        x = jax.nn.relu(self.hidden(x.reshape(x.shape[0], -1)))
        return self.head(x)


class _AnyResidual(nnx.Module):
    """A wide stem, then residual blocks with strided convolutions between them, GELUs, and means over positions."""

    def __init__(self, config: ClassifierConfig, *, rngs: nnx.Rngs) -> None:
        self.stem = Conv(config.channels, config.width, (5, 5), precision=HIGHEST, rngs=rngs)
        inner, outer, reduce = [], [], []
        for i in range(config.halvings):
            width = config.width * 2**i
            inner.append(Conv(width, width, (3, 3), precision=HIGHEST, rngs=rngs))
            outer.append(Conv(width, width, (3, 3), precision=HIGHEST, rngs=rngs))
            reduce.append(Conv(width, 2 * width, (3, 3), strides=2, precision=HIGHEST, rngs=rngs))
        self.inner, self.outer, self.reduce = nnx.List(inner), nnx.List(outer), nnx.List(reduce)
        last = config.width * 2**config.halvings
        self.last = Conv(last, last, (3, 3), precision=HIGHEST, rngs=rngs)
        self.head = nnx.Linear(last, config.classes, precision=HIGHEST, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        """Map (N, size, size, channels) to logits (N, classes)."""
        x = jax.nn.gelu(self.stem(2 * x - 1))
        for inner, outer, reduce in zip(self.inner, self.outer, self.reduce, strict=True):
            x = x + outer(jax.nn.gelu(inner(x)))
            x = jax.nn.gelu(reduce(x))
        x = jax.nn.gelu(self.last(x))
        return self.head(jnp.mean(x, axis=(1, 2)))


_DESIGNS: dict[str, Callable[..., nnx.Module]] = {"pooled": _AnyPooled, "residual": _AnyResidual}


def classifier_model(config: ClassifierConfig) -> Model:
    """A classifier of square images of any size as pure `init` and `apply`, to train it.

    Args:
        config: sizes; two of different designs make an attacker and a judge.

    Returns:
        `init(key)` gives parameters, `apply(params, x)` maps (N, size, size, channels) in [0, 1] to logits
        (N, classes).

    Raises:
        InputError: an unknown design, a count below one, one class, or a size that cannot be halved so often.
    """
    if config.design not in _DESIGNS:
        raise InputError(f"design: found {config.design!r}, expected one of {', '.join(_DESIGNS)}")
    for name in ("size", "channels", "width", "halvings"):
        check_count(name, getattr(config, name))
    check_count("classes", config.classes, at_least=2)
    if config.halvings > 10 or config.size % 2**config.halvings:
        raise InputError(f"size: found {config.size}, expected a multiple of 2^{config.halvings}, for all halvings")
    return functional(lambda rngs: _DESIGNS[config.design](config, rngs=rngs))
