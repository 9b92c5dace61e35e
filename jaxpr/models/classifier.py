"""Two small trained classifiers of the packaged 8×8 digits, for attacks on decisions behind a restorer.

An attack goes through one of them and is judged by the other, which it never saw, so that success cannot be a flaw of
one network's own ([ohayon2024], Section 4.3). They share neither layers, activations, seeds nor augmentation. The
weights come with jaxpr and were made by `experiments/train_digit_classifiers.py`.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from flax import nnx, traverse_util

from jaxpr._core import HIGHEST, Array, InputError
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Conv

__all__ = ["DIGIT_CLASSIFIERS", "digit_classifier", "digit_model", "pack_weights", "unpack_weights"]

DIGIT_SHAPE = (8, 8, 1)
CLASSES = 10

_SHA256 = {
    "attacker": "ce401b0e282d5c9159666f7574c6367da42efac8da8fe7d8000cc3fbada38462",
    "judge": "c91bb3218d5e8f9f7b1183dacbefddcb544c01d903f79e72441b15e138253a4b",
}
_FOLDER = Path(__file__).parent / "weights"
_METADATA = "jaxpr"


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


@functools.cache
def digit_classifier(name: str) -> Callable[[Array], Array]:
    """A trained classifier of 8×8 digits, read once per process.

    Args:
        name: "attacker" or "judge"; two architectures, trained apart.

    Returns:
        `x -> logits` on batches (N, 8, 8, 1) of any range, trained on [0, 1]; logits (N, 10), class i is digit i.
        Differentiable; restorations that overshoot [0, 1] are not clipped, which would hide their gradient.

    Raises:
        InputError: unknown name, the file is missing or not the known one; when called: another shape.
    """
    model = digit_model(name)
    params, _ = unpack_weights(_read_verified(_FOLDER / f"digits-{name}.safetensors", _SHA256[name]))
    expected = jax.eval_shape(model.init, jax.random.key(0))
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, expected):
        raise InputError(f"digits-{name}.safetensors: found parameters of other shapes, expected those of {name!r}")

    def logits(x: Array) -> Array:
        if jnp.ndim(x) != 4 or jnp.shape(x)[1:] != DIGIT_SHAPE:
            raise InputError(f"x: found shape {jnp.shape(x)}, expected digits (N, 8, 8, 1)")
        return model.apply(params, x)

    return logits


def pack_weights(params: Mapping[Any, Any], metadata: Mapping[str, Any]) -> bytes:
    """Parameters and what is to be known about them as the bytes of a safetensors file; equal input, equal bytes.

    Args:
        params: nested dict with string keys and arrays as leaves.
        metadata: JSON-able; kept in the file's header as one sorted JSON text.
    """
    flat = traverse_util.flatten_dict(dict(params), sep=".")
    arrays = {name: np.ascontiguousarray(flat[name]) for name in sorted(flat)}
    # One entry only: safetensors writes several in an order that changes from process to process.
    return safetensors.numpy.save(arrays, {_METADATA: json.dumps(dict(metadata), sort_keys=True)})


def unpack_weights(content: bytes) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Parameters and metadata of what `pack_weights` made.

    Raises:
        InputError: not such bytes.
    """
    try:
        flat = safetensors.numpy.load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        metadata = json.loads(header["__metadata__"][_METADATA])
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise InputError(f"content: found no packed weights ({type(error).__name__}), expected safetensors") from error
    return traverse_util.unflatten_dict(flat, sep="."), metadata


def _check_name(name: str) -> None:
    if name not in _ARCHITECTURES:
        raise InputError(f"name: found {name!r}, expected one of {', '.join(DIGIT_CLASSIFIERS)}")


def _read_verified(path: Path, sha256: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), expected packaged weights") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(f"{path}: found SHA-256 {found}, expected {sha256}; the file is not read")
    return content
