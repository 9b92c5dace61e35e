"""Trained classifiers: those that come with jaxpr, packed by `tools/pack_weights.py`, and files of `jaxpr train`.

The two of 8×8 digits were trained apart, with other seeds and augmentation; their networks are `models.classifier`.
"""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxpr.core import Array, InputError, first_line, given_path, printable
from jaxpr.models.classifier import DIGIT_CLASSIFIERS, DIGIT_SHAPE, ClassifierConfig, classifier_model, digit_model
from jaxpr.models.functional import Model
from jaxpr.models.naming import abstract_parameters
from jaxpr.weights.native import pack_weights, parameters_like, read_unpacked, unpack_weights, with_text_keys
from jaxpr.weights.packaged import PACKAGED_CLASSIFIERS, packaged_content

__all__ = ["digit_classifier", "pack_classifier", "trained_classifier"]

_KIND = "classifier"


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
    params, _ = unpack_weights(packaged_content(f"digits-{name}"))
    expected = jax.eval_shape(model.init, jax.random.key(0))
    if jax.tree.map(jnp.shape, params) != jax.tree.map(jnp.shape, expected):
        raise InputError(f"digits-{name}: found parameters of other shapes, expected those of {name!r}")

    def logits(x: Array) -> Array:
        if jnp.ndim(x) != 4 or jnp.shape(x)[1:] != DIGIT_SHAPE:
            raise InputError(f"x: found shape {jnp.shape(x)}, expected digits (N, 8, 8, 1)")
        return model.apply(params, x)

    return logits


def pack_classifier(network: str | ClassifierConfig, params: Mapping[Any, Any], metadata: Mapping[str, Any]) -> bytes:
    """A classifier as the bytes of a safetensors file; equal input, equal bytes.

    Args:
        network: sizes, or the name of an architecture of `digit_model`.
        params: nested dict of arrays.
        metadata: JSON-able, kept beside the network.
    """
    record = network if isinstance(network, str) else network._asdict()
    return pack_weights(with_text_keys(jax.device_get(params)), {**metadata, _KIND: record})


def trained_classifier(source: str | Path) -> Callable[[Array], Array]:
    """A trained classifier of images of one size.

    Args:
        source: a name in `weights.PACKAGED_CLASSIFIERS`, or the path of weights that `jaxpr train` wrote.

    Returns:
        `x -> logits` on batches of its shape, trained on [0, 1]; (N, classes), differentiable; see `digit_classifier`.

    Raises:
        InputError: neither such a name nor such a file, or a file with other weights; when called: another shape.
    """
    if source in PACKAGED_CLASSIFIERS:
        return _unpacked(packaged_content(str(source)))
    path = given_path(source)
    if not path.exists():
        raise InputError(
            f"source: found {printable(source)!r}, expected weights of jaxpr train or one of "
            f"{', '.join(PACKAGED_CLASSIFIERS)}"
        )
    return read_unpacked(path, lambda content, _: _unpacked(content))


def _unpacked(content: bytes) -> Callable[[Array], Array]:
    found, metadata = unpack_weights(content)
    model, shape = _network(metadata.get(_KIND))
    params = jax.tree.map(jnp.asarray, parameters_like(abstract_parameters(model), found))

    def logits(x: Array) -> Array:
        if jnp.ndim(x) != 4 or jnp.shape(x)[1:] != shape:
            raise InputError(f"x: found shape {jnp.shape(x)}, expected images (N, {', '.join(map(str, shape))})")
        return model.apply(params, x)

    return logits


def _network(record: Any) -> tuple[Model, tuple[int, int, int]]:
    """A network and the shape of its images, of what a file says."""
    if isinstance(record, str) and record in DIGIT_CLASSIFIERS:
        return digit_model(record), DIGIT_SHAPE
    try:
        config = ClassifierConfig(**record)
        return classifier_model(config), config.shape
    except (TypeError, InputError) as error:
        reason = printable(first_line(error))
        raise InputError(f"content: found weights without a classifier ({reason}), expected a packed one") from error
