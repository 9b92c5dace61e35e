r"""Training of image restorers: one pure step on random crops, scanned on the device by `run_steps`.

A step updates the critic, then the restorer against the new critic, both on the same restorations; the losses of eq.
(8) of [ohayon2023], and any others, are sums of parts. Parts that have no weight cost nothing.

Batches are spread over devices by the array of their slots: every example is drawn by a key of its own slot, so slots
that are sharded shard the batch, while parameters and the pool of images, which are not, lie on every device.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023, Section 6.1 and Appendix E.2.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxpr.core import Array, Key, lenient_promotion
from jaxpr.models.restorer_network import RestorerNetwork
from jaxpr.training.gan import Params, adversarial_robustness, generator_loss
from jaxpr.training.losses import Adversary, Fidelity, Robustness, critic_objective
from jaxpr.training.pool import Symmetries, draw_crops
from jaxpr.training.runner import Step

__all__ = [
    "Procedure",
    "RestorerState",
    "crop_step",
    "restorer_step",
    "start_restorer",
]


class RestorerState(NamedTuple):
    """All that training changes.

    Attributes:
        params: the restorer's, running statistics included.
        critic: parameters; empty without an adversary.
        optimizer: state of the restorer's.
        critic_optimizer: of the critic's.
    """

    params: Params
    critic: Params
    optimizer: optax.OptState
    critic_optimizer: optax.OptState


class Procedure(NamedTuple):
    """How a restorer is trained.

    Attributes:
        restorer: what is trained.
        degrade: maps (keys (N,), x) to y; traceable.
        fidelities: losses against the truth.
        adversary: None for none.
        robustness: None for none.
        optimizers: the restorer's and the critic's.
    """

    restorer: RestorerNetwork
    degrade: Callable[[Key, Array], Array]
    fidelities: tuple[Fidelity, ...]
    adversary: Adversary | None
    robustness: Robustness | None
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation]


def start_restorer(key: Key, procedure: Procedure, *, params: Params | None = None) -> RestorerState:
    """The state before the first step.

    Args:
        key: decides the parameters.
        procedure: how it is trained.
        params: of the restorer, to go on from instead of new ones.
    """
    k_restorer, k_critic = jax.random.split(key)
    if params is None:
        params = procedure.restorer.init(k_restorer)
    params = jax.tree.map(jnp.asarray, params)
    critic = {} if procedure.adversary is None else procedure.adversary.critic.init(k_critic)
    first, second = procedure.optimizers
    return RestorerState(params, critic, first.init(params), second.init(critic))


def restorer_step(
    keys: Key, state: RestorerState, x: Array, step: Array, *, procedure: Procedure
) -> tuple[RestorerState, dict[str, Array]]:
    """One update of the critic, one of the restorer. Pure.

    Args:
        keys: one per example, (N,).
        state: of `start_restorer`.
        x: clean images, (N, H, W, C) in [0, 1].
        step: its number, from 0; the robustness loss takes part in the last of every `every`.
        procedure: how to train.

    Returns:
        The new state, and by name: each loss before its weight, `loss` (the restorer's sum), `critic`, and `parameters`
        (the norm after the update). `robustness` is 0 in steps without it.
    """
    adversary = procedure.adversary
    k_degrade, k_seed, k_robust = jax.vmap(functools.partial(jax.random.split, num=3), out_axes=1)(keys)
    y = procedure.degrade(k_degrade, x)
    z = procedure.restorer.seeds(k_seed, y)
    restored, pull, renewed = jax.vjp(lambda p: procedure.restorer.train(p, y, z), state.params, has_aux=True)
    measured, critic, critic_optimizer = {}, state.critic, state.critic_optimizer
    if adversary is not None:
        measured["critic"], critic, critic_optimizer = _descend(
            lambda critic: critic_objective(critic, adversary, x, restored, y),
            state.critic,
            state.critic_optimizer,
            procedure.optimizers[1],
        )

    def objective(restored: Array) -> tuple[Array, dict[str, Array]]:
        parts = {part.name: (part.weight, part.loss(restored, x)) for part in procedure.fidelities}
        if adversary is not None:
            parts["adversarial"] = (adversary.weight, generator_loss(adversary.logits(critic, restored, y)))
        total = sum((weight * value for weight, value in parts.values()), start=jnp.zeros((), jnp.float32))
        return total, {name: value for name, (_, value) in parts.items()}

    (total, parts), slope = jax.value_and_grad(objective, has_aux=True)(restored)
    (gradient,) = pull(slope)
    measured |= parts
    if procedure.robustness is not None:
        value, further = _robustness(k_robust[0], state.params, y, step, procedure)
        weight = procedure.robustness.weight
        total, measured["robustness"] = total + weight * value, value
        gradient = jax.tree.map(lambda a, b: a + weight * b, gradient, further)
    still = procedure.restorer.statistics
    gradient = jax.tree.map(lambda fixed, g: jnp.zeros_like(g) if fixed else g, still, gradient)
    with lenient_promotion():
        updates, optimizer = procedure.optimizers[0].update(gradient, state.optimizer, state.params)
        params = optax.apply_updates(state.params, updates)
    params = jax.tree.map(lambda fixed, new, moved: moved if fixed else new, still, params, renewed)
    measured |= {"loss": total, "parameters": optax.tree.norm((params, critic))}
    return RestorerState(params, critic, optimizer, critic_optimizer), measured


def crop_step(procedure: Procedure, *, size: int, symmetries: Symmetries, candidates: int = 1) -> Step[RestorerState]:
    """The step of a training on random crops, for `run_steps`.

    Its data are (key, pool, slots): the key decides crops, noise and attacks, those of slot i in step s by
    `fold_in(fold_in(key, s), i)`; slots are `jnp.arange(batch_size)`, and sharded ones spread the batch likewise.

    Args:
        procedure: how to train.
        size: side of the crops.
        symmetries: of the crops, see `draw_crops`.
        candidates: likewise.

    Returns:
        Measures what `restorer_step` measures.
    """

    def step(number: Array, state: RestorerState, data: Any) -> tuple[RestorerState, dict[str, Array]]:
        key, pool, slots = data
        keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.fold_in(key, number)))(slots)
        k_crops, k_step = jax.vmap(jax.random.split, out_axes=1)(keys)
        x = draw_crops(k_crops, pool, size=size, symmetries=symmetries, candidates=candidates)
        return restorer_step(k_step, state, x, number, procedure=procedure)

    return step


def _descend(
    loss: Callable[[Params], Array], params: Params, state: optax.OptState, optimizer: optax.GradientTransformation
) -> tuple[Array, Params, optax.OptState]:
    value, gradient = jax.value_and_grad(loss)(params)
    with lenient_promotion():
        updates, state = optimizer.update(gradient, state, params)
        return value, optax.apply_updates(params, updates), state


def _robustness(key: Key, params: Params, y: Array, step: Array, procedure: Procedure) -> tuple[Array, Params]:
    """Eq. (7) of [ohayon2023] and its gradient, or zeros in the steps without it; with running statistics."""
    robustness, restorer = procedure.robustness, procedure.restorer
    if robustness is None:
        raise TypeError("no robustness")
    y = y[: robustness.examples]

    def loss(params: Params) -> Array:
        def sampler(key: Key, y: Array) -> Array:
            return restorer.apply(params, y, restorer.seeds(key, y))

        return adversarial_robustness(key, sampler, y, attack=robustness.attack, draws=robustness.draws)

    return jax.lax.cond(
        step % robustness.every == robustness.every - 1,
        jax.value_and_grad(loss),
        lambda params: (jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, params)),
        params,
    )
