"""The trained classifiers of 8×8 digits that come with jaxpr, packed by `tools/pack_weights.py`.

They were trained apart, with other seeds and augmentation; their networks are `models.classifier`.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from jaxpr.core import Array, InputError
from jaxpr.models.classifier import DIGIT_SHAPE, digit_model
from jaxpr.weights.native import unpack_weights
from jaxpr.weights.packaged import packaged_content

__all__ = ["digit_classifier"]


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
