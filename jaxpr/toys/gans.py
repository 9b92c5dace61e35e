r"""The toy GANs of two papers: a conditional denoiser on the line, and consistent restorers of points in the plane.

Parameters are one vector for each network, so that an optimiser's update is one loop over it, and points are columns
(see `models.mlp`). Everything here is for `fit_gan`, for one network or an ensemble.

Papers: [ohayon2024] Section 4.1 and Appendix D.1; [ohayon2023] Sections 4-5 and Appendix E.1.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from jaxpr.core import Array, Key, check_points
from jaxpr.models.mlp import Layers, init_mlp, input_gradient, mlp, mlp_with_pattern
from jaxpr.training.gan import (
    Attack,
    GanLosses,
    GanState,
    adversarial_robustness,
    critic_loss,
    generator_loss,
    r1_penalty,
    start_gan,
)
from jaxpr.training.runner import multi_step

__all__ = [
    "DENOISER_STEPS",
    "denoiser_losses",
    "denoiser_optimizers",
    "plain_denoiser_losses",
    "planar_losses",
    "planar_optimizers",
    "start_denoiser",
    "start_planar",
    "toy_denoiser",
    "toy_restorer",
]

DENOISER_STEPS, DENOISER_RATE = 100_000, 1e-4
_DENOISER = (1, *[16] * 6, 1)
_DENOISER_CRITIC = (2, *[16] * 6, 1)
_VARIANCE = 0.2


def start_denoiser(key: Key) -> GanState:
    """Initial state of the denoiser and its critic: 7 layers of width 16 each ([ohayon2024], D.1).

    The step count of the learning-rate schedule lies in the optimisers' states; `denoiser_optimizers` makes them.
    """
    return _start(key, _DENOISER, _DENOISER_CRITIC, denoiser_optimizers())


def denoiser_optimizers(
    *, steps: int = DENOISER_STEPS, rate: float = DENOISER_RATE, critic_rate: float = DENOISER_RATE
) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Adam with β = (0.5, 0.9), its rate halved after every 5 % of the steps beyond their half.

    With the paper's 100,000 steps that is at 55,000, 60,000 ... 95,000; shorter runs keep the shape.

    Note:
        With the paper's equal rates the two networks circle around each other instead of settling, here and in an
        independent PyTorch program alike; a critic ten times as fast lets them settle.

    Args:
        steps: of the whole training.
        rate: of the denoiser at first; 1e-4 in [ohayon2024], D.1.
        critic_rate: of the critic at first; likewise.
    """
    halvings = [round(steps * (50 + 5 * i) / 100) for i in range(1, 10)]
    schedules = (multi_step(first, factor=0.5, at=halvings) for first in (rate, critic_rate))
    denoiser, critic = (optax.adam(schedule, b1=0.5, b2=0.9) for schedule in schedules)
    return denoiser, critic


def denoiser_losses(*, penalty: float = 1.0, variance: float = _VARIANCE) -> GanLosses:
    r"""Eqs. (4) and (5) of [ohayon2024] on minibatches (x, y), columns (128, 1); `options` is λ.

    The critic sees x̂ together with y. Its gradient penalty is R₁ with respect to both, with weight `penalty`/2, and is
    computed from the activation pattern; reverse mode through that chain is exact and needs no second differentiation.

    Args:
        penalty: γ of R₁.
        variance: of Z in the robustness loss.
    """

    def critic(generator: Array, critic: Array, key: Key, batch: Any, step: Array, options: Any) -> Array:
        x, y = (part.T for part in batch)
        layers, count = _layers(_DENOISER_CRITIC, critic), x.shape[1]
        fake = jax.lax.stop_gradient(mlp(_layers(_DENOISER, generator), y))
        both = jnp.concatenate([jnp.concatenate([x, y]), jnp.concatenate([fake, y])], axis=1)
        logits, pattern = mlp_with_pattern(layers, both)
        slope = input_gradient(layers, [active[:, :count] for active in pattern])
        loss = critic_loss(logits[:, :count], logits[:, count:])
        return loss + penalty / 2 * jnp.sum(jnp.square(slope)) / count

    def generator(generator: Array, critic: Array, key: Key, batch: Any, step: Array, options: Any) -> Array:
        y = batch[1].T
        count = y.shape[1]
        noise = jnp.sqrt(variance) * jax.random.normal(key, y.shape, y.dtype)
        outputs = mlp(_layers(_DENOISER, generator), jnp.concatenate([y, y + noise], axis=1))
        logits = mlp(_layers(_DENOISER_CRITIC, critic), jnp.concatenate([outputs[:, :count], y]))
        shift = outputs[:, :count] - outputs[:, count:]
        return generator_loss(logits) + options * jnp.mean(jnp.square(shift))

    return GanLosses(generator, critic)


def plain_denoiser_losses(*, penalty: float = 1.0, variance: float = _VARIANCE) -> GanLosses:
    """The same losses composed as a reader of the paper would, by automatic differentiation; for tests."""

    def pair(layers: Layers, x: Array, y: Array) -> Array:
        return mlp(layers, jnp.concatenate([x, y], axis=1).T)[0]

    def critic(generator: Array, critic: Array, key: Key, batch: Any, step: Array, options: Any) -> Array:
        x, y = batch
        judge = functools.partial(pair, _layers(_DENOISER_CRITIC, critic))
        fake = toy_denoiser(generator)(y)
        penalised = penalty / 2 * r1_penalty(lambda real: judge(*real), (x, y))
        return critic_loss(judge(x, y), judge(fake, y)) + penalised

    def generator(generator: Array, critic: Array, key: Key, batch: Any, step: Array, options: Any) -> Array:
        y = batch[1]
        denoise = toy_denoiser(generator)
        noise = jnp.sqrt(variance) * jax.random.normal(key, (1, y.shape[0]), y.dtype).T
        robustness = jnp.mean(jnp.sum(jnp.square(denoise(y) - denoise(y + noise)), axis=1))
        return generator_loss(pair(_layers(_DENOISER_CRITIC, critic), denoise(y), y)) + options * robustness

    return GanLosses(generator, critic)


def toy_denoiser(params: Array) -> Callable[[Array], Array]:
    """The estimator y (N, 1) -> x̂ (N, 1) with these parameters."""

    def denoise(y: Array) -> Array:
        check_points("y", y, width=1)
        return mlp(_layers(_DENOISER, params), y.T).T

    return denoise


def start_planar(key: Key, *, width: int) -> GanState:
    """Initial state of a planar restorer and its critic, Table 2 of [ohayon2023]: five layers, `width` 512 there."""
    return _start(key, _planar(width), _planar(width), planar_optimizers())


def planar_optimizers(*, rate: float = 1e-4) -> tuple[optax.GradientTransformation, optax.GradientTransformation]:
    """Adam with β = (0, 0.9), rate 1e-4 in [ohayon2023], E.1."""
    return optax.adam(rate, b1=0.0, b2=0.9), optax.adam(rate, b1=0.0, b2=0.9)


def planar_losses(
    *, width: int, attack: Attack | None = None, draws: int = 1, every: int = 3, penalty: float = 10.0
) -> GanLosses:
    r"""GAN loss on x̂ = (y, g(y, z)) plus the robustness loss of eqs. (6) and (7) of [ohayon2023].

    Minibatches are points x (N, 2), of which y is the first coordinate; restorations are consistent by construction, so
    the critic sees points alone. `options` is a pair (weight of the robustness loss, span of z): z is uniform in
    [0, span], so that span 0 makes the restorer deterministic and 1 stochastic, as in the paper.

    Args:
        width: of the hidden layers.
        attack: inner maximisation, see `training.Attack`; the paper takes four Adam steps of 1e-4 in a ball of 1e-3.
            None leaves the robustness loss out.
        draws: seeds per measurement in the robustness loss; 50 in the paper.
        every: the robustness loss takes part once in so many steps; 3 in the paper (E.2.2).
        penalty: γ of R₁, weighted by half.
    """
    sizes = _planar(width)

    def critic(generator: Array, critic: Array, key: Key, batch: Any, step: Array, options: Any) -> Array:
        layers, count = _layers(sizes, critic), batch.shape[0]
        fake = toy_restorer(generator, width=width, span=options[1])(key, batch[:, :1])
        logits, pattern = mlp_with_pattern(layers, jnp.concatenate([batch, jax.lax.stop_gradient(fake)]).T)
        slope = input_gradient(layers, [active[:, :count] for active in pattern])
        loss = critic_loss(logits[:, :count], logits[:, count:])
        return loss + penalty / 2 * jnp.sum(jnp.square(slope)) / count

    def generator(generator: Array, critic: Array, key: Key, batch: Any, step: Array, options: Any) -> Array:
        weight, span = options
        restore = toy_restorer(generator, width=width, span=span)
        k_draw, k_robust = jax.random.split(key)
        y = batch[:, :1]
        loss = generator_loss(mlp(_layers(sizes, critic), restore(k_draw, y).T))
        if attack is None:
            return loss
        robustness = jax.lax.cond(
            step % every == every - 1,
            lambda: adversarial_robustness(k_robust, restore, y, attack=attack, draws=draws),
            lambda: jnp.zeros((), loss.dtype),
        )
        return loss + weight * robustness

    return GanLosses(generator, critic)


def toy_restorer(params: Array, *, width: int, span: Array | float) -> Callable[[Key, Array], Array]:
    """The sampler (key, y (N, 1)) -> x̂ (N, 2) with these parameters; deterministic where `span` is 0."""

    def restore(key: Key, y: Array) -> Array:
        check_points("y", y, width=1)
        seeds = span * jax.random.uniform(key, y.shape, y.dtype)
        found = mlp(_layers(_planar(width), params), jnp.concatenate([y, seeds], axis=1).T)
        return jnp.concatenate([y, found.T], axis=1)

    return restore


def _planar(width: int) -> tuple[int, ...]:
    return (2, *[width] * 4, 1)


def _start(key: Key, generator: Sequence[int], critic: Sequence[int], optimizers: Any) -> GanState:
    k_generator, k_critic = jax.random.split(key)
    first, second = (ravel_pytree(init_mlp(k, s))[0] for k, s in ((k_generator, generator), (k_critic, critic)))
    return start_gan(first, second, optimizers)


def _layers(sizes: Sequence[int], vector: Array) -> Layers:
    """The layers that one vector holds."""
    return _unravel(tuple(sizes))(vector)


@functools.cache
def _unravel(sizes: tuple[int, ...]) -> Callable[[Array], Layers]:
    shapes = jax.eval_shape(lambda key: init_mlp(key, sizes), jax.random.key(0))
    return ravel_pytree(jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes))[1]
