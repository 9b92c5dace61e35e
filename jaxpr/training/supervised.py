"""Supervised training: a pure step, scanned in chunks over minibatches that only the key and the step number decide.

Because of that a run cut in two gives the parameters of the whole one, and the length of the chunks changes nothing.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax

from jaxpr.core import (
    Array,
    InputError,
    Key,
    check_count,
    check_images,
    check_positive,
    example_keys,
    lenient_promotion,
)
from jaxpr.training.runner import Step, count_examples

__all__ = [
    "Loss",
    "TrainState",
    "augment",
    "classification_loss",
    "minibatch_step",
    "start",
    "train_step",
]

Params: TypeAlias = Any
Batch: TypeAlias = Any
"""A tree of arrays with the examples along the leading axis."""

Loss: TypeAlias = Callable[[Params, Key, Batch], Array]
"""Maps (parameters, key, minibatch) to a scalar to be minimised; the key serves augmentation or dropout."""


class TrainState(NamedTuple):
    """All that training changes.

    Attributes:
        params: tree of arrays.
        opt_state: of the optimiser.
    """

    params: Params
    opt_state: optax.OptState


def start(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first step."""
    return TrainState(params, optimizer.init(params))


def train_step(
    key: Key, state: TrainState, batch: Batch, *, loss: Loss, optimizer: optax.GradientTransformation
) -> tuple[TrainState, tuple[Array, Array]]:
    """One update: the new state, and loss and gradient norm before it. Pure; jit it together with what surrounds it."""
    value, gradient = jax.value_and_grad(loss)(state.params, key, batch)
    with lenient_promotion():
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
    return TrainState(params, opt_state), (value, optax.tree.norm(gradient))


def minibatch_step(*, loss: Loss, optimizer: optax.GradientTransformation, batch_size: int) -> Step[TrainState]:
    """The step of a training on minibatches, for `run_steps`.

    Its data are (key, examples), a tree of arrays whose leading axis is the examples. The minibatch of step s is drawn
    with replacement by a key folded with s, so a state that was stored goes on exactly as if it had never been.

    Args:
        loss: see `Loss`.
        optimizer: of optax; the one whose state the state holds.
        batch_size: examples per step; decides the numbers.

    Returns:
        Measures `loss`, and the norms `gradient`, before the update, and `parameters`, after it.

    Raises:
        InputError: a count below one; when called: no examples, or leading axes differ.
    """
    check_count("batch_size", batch_size)

    def step(number: Array, state: TrainState, data: Any) -> tuple[TrainState, dict[str, Array]]:
        key, examples = data
        k_batch, k_loss = jax.random.split(jax.random.fold_in(key, number))
        chosen = jax.random.randint(k_batch, (batch_size,), 0, count_examples(examples), jnp.int32)
        batch = jax.tree.map(lambda leaf: leaf[chosen], examples)
        new, (value, norm) = train_step(k_loss, state, batch, loss=loss, optimizer=optimizer)
        return new, {"loss": value, "gradient": norm, "parameters": optax.tree.norm(new.params)}

    return step


def classification_loss(
    apply: Callable[[Params, Array], Array],
    *,
    augmentation: Callable[[Key, Array], Array] | None = None,
    smoothing: float = 0.0,
) -> Loss:
    """Mean cross-entropy of minibatches (images, integer labels).

    Args:
        apply: maps (parameters, images) to logits (N, classes).
        augmentation: `(key, images) -> images`, for example `augment` with its options bound; None for none.
        smoothing: share of each label that is spread evenly over all classes, in [0, 1).

    Raises:
        InputError: smoothing is outside [0, 1).
    """
    if not 0 <= smoothing < 1:
        raise InputError(f"smoothing: found {smoothing}, expected a number in [0, 1)")

    def loss(params: Params, key: Key, batch: tuple[Array, Array]) -> Array:
        images, labels = batch
        logits = apply(params, images if augmentation is None else augmentation(key, images))
        wanted = optax.smooth_labels(jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype), smoothing)
        return jnp.mean(optax.softmax_cross_entropy(logits, wanted))

    return loss


def augment(key: Key, x: Array, *, shift: int, noise_std: float) -> Array:
    """Shift each image by whole pixels and add Gaussian noise.

    Args:
        key: one key, or one per example.
        x: (N, H, W, C), range [0, 1].
        shift: largest shift along each axis, every one from -shift to shift equally likely; zeros come in. Static.
        noise_std: standard deviation of the noise in units of the [0, 1] range; the result is not clipped.

    Returns:
        Shape and dtype of x.

    Raises:
        InputError: x is no batch of images, shift or noise_std is negative.
    """
    check_images("x", x)
    check_count("shift", shift, at_least=0)
    check_positive("noise_std", noise_std, or_zero=True)
    padded = jnp.pad(x, ((0, 0), (shift, shift), (shift, shift), (0, 0)))

    def one(key: Key, image: Array) -> Array:
        k_shift, k_noise = jax.random.split(key)
        top, left = jax.random.randint(k_shift, (2,), 0, 2 * shift + 1, jnp.int32)
        shifted = jax.lax.dynamic_slice(image, (top, left, jnp.zeros_like(top)), x.shape[1:])
        return shifted + jnp.asarray(noise_std, x.dtype) * jax.random.normal(k_noise, x.shape[1:], x.dtype)

    return jax.vmap(one)(example_keys(key, x.shape[0]), padded)
