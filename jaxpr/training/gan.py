r"""Adversarial training of restorers: losses, penalties, and a pure step that updates the critic, then the generator.

Losses are composed by the caller out of the pieces here. Conditional GANs give the critic x̂ together with y, so that
it compares joint distributions.

Papers: [ohayon2023] Ohayon, Adrai, Elad, Michaeli, "Reasons for the Superiority of Stochastic Estimators over
Deterministic Ones", ICML 2023. [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in
Deterministic Image Restoration", ICML 2024.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, TypeAlias

import jax
import jax.numpy as jnp
import optax

from jaxpr.core import (
    Array,
    ArrayLike,
    Estimator,
    InputError,
    Key,
    Sampler,
    check_count,
    check_positive,
    lenient_promotion,
)
from jaxpr.training.checkpoints import Checkpoints
from jaxpr.training.runner import Finished, count_examples, run_steps

__all__ = [
    "Attack",
    "GanLoss",
    "GanLosses",
    "GanState",
    "adversarial_robustness",
    "critic_loss",
    "fit_gan",
    "gan_step",
    "generator_loss",
    "r1_penalty",
    "random_robustness",
    "start_gan",
]

Params: TypeAlias = Any
Batch: TypeAlias = Any
Attack: TypeAlias = Callable[[Key, Callable[[Array], Array], Array], Array]
"""Maps (key, objective, y) to perturbed measurements, for example `attacks.l2_adam` with its options bound."""


class GanLoss(Protocol):
    """A loss of one of the two networks."""

    def __call__(self, generator: Params, critic: Params, key: Key, batch: Batch, step: Array, options: Any) -> Array:
        """Scalar to be minimised; `step` counts from 0, `options` are the caller's: weights of ensemble members."""


class GanLosses(NamedTuple):
    """What is minimised.

    Attributes:
        generator: in the generator's parameters.
        critic: in the critic's.
    """

    generator: GanLoss
    critic: GanLoss


class GanState(NamedTuple):
    """All that training changes.

    Attributes:
        generator: parameters, a tree of arrays.
        critic: likewise.
        generator_opt: state of the generator's optimiser.
        critic_opt: of the critic's.
    """

    generator: Params
    critic: Params
    generator_opt: optax.OptState
    critic_opt: optax.OptState


def generator_loss(fake_logits: Array) -> Array:
    r"""Non-saturating loss of the generator (Goodfellow et al. 2014): mean of $-\log \sigma(D(\hat x))$."""
    return jnp.mean(jax.nn.softplus(-fake_logits))


def critic_loss(real_logits: Array, fake_logits: Array) -> Array:
    r"""Loss of the critic: mean of $-\log \sigma(D(x))$ plus mean of $-\log(1 - \sigma(D(\hat x)))$."""
    return jnp.mean(jax.nn.softplus(-real_logits)) + jnp.mean(jax.nn.softplus(fake_logits))


def r1_penalty(critic: Callable[[Any], Array], real: Any) -> Array:
    r"""Mean over the examples of $\|\nabla D(x)\|^2$ at real data (Mescheder et al. 2018); its usual weight is γ/2.

    The squared norm is computed as the derivative of D along its own gradient v, held fixed. Its value and its first
    derivatives are those of the norm, higher derivatives are not; only one more reverse pass is needed, and none
    through a reverse pass, which is several times slower on CPUs for strided convolutions.

    Args:
        critic: maps `real` to logits (N,), each depending on its own example only; differentiable in forward mode too.
        real: array (N, ...) or tree of arrays, all of which the gradient is taken with respect to. What should be left
            out, such as a measurement that only conditions, belongs into the closure.
    """
    count = jax.tree.leaves(real)[0].shape[0]

    def total(real: Any) -> Array:
        return jnp.sum(critic(real))

    direction = jax.lax.stop_gradient(jax.grad(total)(real))
    slope = jax.jvp(total, (real,), (direction,))[1] / count
    # d‖v‖² = 2 v·dv, where the derivative along a fixed v gives v·dv once.
    return 2 * slope - jax.lax.stop_gradient(slope)


def random_robustness(key: Key, estimator: Estimator, y: Array, *, variance: ArrayLike) -> Array:
    r"""$\mathbb{E}\,\|f(Y) - f(Y + Z)\|^2$ with $Z \sim N(0, \text{variance} \cdot I)$: eq. (5) of [ohayon2024].

    Args:
        key: decides Z.
        estimator: f; both outputs come from one pass.
        y: measurements (N, ...).
        variance: of each entry of Z.

    Returns:
        Scalar, differentiable in what the estimator closes over.
    """
    check_positive("variance", variance, or_zero=True)
    noise = jnp.sqrt(jnp.asarray(variance, y.dtype)) * jax.random.normal(key, y.shape, y.dtype)
    outputs = estimator(jnp.concatenate([y, y + noise]))
    shift = outputs[: y.shape[0]] - outputs[y.shape[0] :]
    return jnp.sum(jnp.square(shift)) / y.shape[0]


def adversarial_robustness(key: Key, sampler: Sampler, y: Array, *, attack: Attack, draws: int) -> Array:
    r"""$\tilde R$ of eqs. (6) and (7) of [ohayon2023]: the shift at the worst δ, averaged over seeds, then over y.

    The inner maximisation finds δ for the mean over `draws` seeds; then the mean squared shift at that δ, with the same
    seeds, is returned for the outer minimisation. No derivative passes through the search for δ.

    Args:
        key: decides the seeds and the attack's start.
        sampler: `(key, y) -> x̂`; a deterministic one ignores its key and needs one draw.
        y: measurements (N, ...).
        attack: see `Attack`; [ohayon2023] takes 4 or 5 steps of Adam in an ℓ2 ball (its Appendix E).
        draws: seeds per measurement. Static.

    Returns:
        Scalar, differentiable in what the sampler closes over.
    """
    check_count("draws", draws)
    k_seeds, k_attack = jax.random.split(key)
    seeds = jax.random.split(k_seeds, draws)

    def outputs(y: Array) -> Array:
        return jax.vmap(lambda seed: sampler(seed, y))(seeds)

    def shift(y_adv: Array, clean: Array) -> Array:
        change = outputs(y_adv) - clean
        return jnp.mean(jnp.sum(jnp.square(change), axis=tuple(range(2, change.ndim))), axis=0)

    clean = outputs(y)
    objective = functools.partial(shift, clean=jax.lax.stop_gradient(clean))
    return jnp.mean(shift(jax.lax.stop_gradient(attack(k_attack, objective, y)), clean))


def start_gan(
    params: Params, critic: Params, optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation]
) -> GanState:
    """The state before the first step: parameters of the generator and the critic, and the optimisers of both."""
    return GanState(params, critic, optimizers[0].init(params), optimizers[1].init(critic))


def gan_step(
    key: Key,
    state: GanState,
    batch: Batch,
    step: Array,
    *,
    losses: GanLosses,
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    options: Any = None,
) -> tuple[GanState, dict[str, Array]]:
    """One update of the critic, then one of the generator against the new critic. Pure.

    Args:
        key: split between the two losses.
        state: of `start_gan`.
        batch: passed to both losses.
        step: number of the step, from 0.
        losses: what is minimised.
        optimizers: the generator's and the critic's.
        options: passed to both losses.

    Returns:
        The new state, and `generator_loss`, `critic_loss` before the updates and the new `parameters`' norm, scalars.
    """
    k_critic, k_generator = jax.random.split(key)
    down, gradient = jax.value_and_grad(losses.critic, argnums=1)(
        state.generator, state.critic, k_critic, batch, step, options
    )
    with lenient_promotion():
        updates, critic_opt = optimizers[1].update(gradient, state.critic_opt, state.critic)
        critic = optax.apply_updates(state.critic, updates)
    up, gradient = jax.value_and_grad(losses.generator, argnums=0)(
        state.generator, critic, k_generator, batch, step, options
    )
    with lenient_promotion():
        updates, generator_opt = optimizers[0].update(gradient, state.generator_opt, state.generator)
        generator = optax.apply_updates(state.generator, updates)
    measured = {"generator_loss": up, "critic_loss": down, "parameters": optax.tree.norm((generator, critic))}
    return GanState(generator, critic, generator_opt, critic_opt), measured


def fit_gan(
    key: Key,
    state: GanState,
    data: Batch,
    *,
    losses: GanLosses,
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation],
    steps: int,
    batch_size: int,
    options: Any = None,
    chunk: int = 100,
    progress: bool = False,
    checkpoints: Checkpoints | None = None,
) -> Finished:
    """Train one GAN, or an ensemble of them side by side in one compiled program.

    For an ensemble of E members `key` is an array of E keys, and all leaves of `state` and `options` have a leading
    axis E; members with equal keys see the same minibatches if these are threefry keys, JAX's default (draws of "rbg"
    depend on the place in the ensemble). They share `data`. Leading axes that are sharded over a mesh of Auto axes stay
    so: an ensemble spreads over devices.

    Args:
        key: decides minibatches, drawn with replacement, and what the losses draw; folded with the step.
        state: of `start_gan`; for an ensemble `jax.vmap` it.
        data: tree of arrays whose leading axis is the examples.
        losses: see `GanLosses`.
        optimizers: the generator's and the critic's, whose states `state` holds.
        steps: number of steps.
        batch_size: examples per step.
        options: passed to the losses: weights that differ between members.
        chunk: steps per compiled scan; changes no numbers.
        progress: show a progress bar.
        checkpoints: see `run_steps`.

    Returns:
        `Finished` with the final `GanState` and the history of what `gan_step` measures, (steps,) or (steps, E).

    Raises:
        InputError: a count is wrong, the key is none of `jax.random.key`, or leading axes differ.
        DivergenceError: NaN or infinity; the message names the first such step.
    """
    check_count("batch_size", batch_size)
    if not (isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key) and key.ndim <= 1):
        raise InputError(f"key: found {getattr(key, 'dtype', type(key).__name__)}, expected one or several keys")
    examples = count_examples(data)
    members = {jnp.shape(leaf)[:1] for leaf in jax.tree.leaves((state, options))}
    if key.ndim == 1 and members != {key.shape}:
        found = ", ".join(map(str, sorted(members)))
        raise InputError(f"state and options: found leading axes {found}, expected the {len(key)} of the keys")

    def member(
        number: Array, state: GanState, key: Key, options: Any, data: Batch
    ) -> tuple[GanState, dict[str, Array]]:
        k_batch, k_step = jax.random.split(jax.random.fold_in(key, number))
        chosen = jax.random.randint(k_batch, (batch_size,), 0, examples, jnp.int32)
        batch = jax.tree.map(lambda leaf: leaf[chosen], data)
        return gan_step(k_step, state, batch, number, losses=losses, optimizers=optimizers, options=options)

    step = member if key.ndim == 0 else jax.vmap(member, in_axes=(None, 0, 0, 0, None))

    def advance(number: Array, state: GanState, rest: Any) -> tuple[GanState, dict[str, Array]]:
        key, options, data = rest
        return step(number, state, key, options, data)

    return run_steps(
        advance,
        state,
        (key, options, data),
        steps=steps,
        chunk=chunk,
        progress=progress,
        shown="generator_loss",
        checkpoints=checkpoints,
    )
