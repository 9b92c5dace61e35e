r"""Autoencoders with a normal posterior: their recipes, and the task that `drive` trains.

The encoder gives mean and variance of latents, a draw of which the decoder maps back. What is minimised is a weighted
sum of the mean absolute error and LPIPS of the reconstruction, the divergence of the posterior from the standard normal
distribution, and the verdict of a critic of patches, as in Rombach et al., "High-Resolution Image Synthesis with Latent
Diffusion Models", CVPR 2022, Appendix G. All losses here are means over entries, so weights do not depend on sizes.

Differences to that paper's code: the critic's loss is the non-saturating one with R₁ (`training.losses`), not a hinge
with batch normalisation; its weight is balanced by gradients in the reconstruction, not in the last layer's kernel.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxpr.core import Array, InputError, Key, check_count, check_positive, lenient_promotion, seed_key
from jaxpr.data import ImageSource
from jaxpr.models.autoencoder_kl import (
    AutoencoderKL,
    AutoencoderKLConfig,
    Posterior,
    autoencoder_kl,
    check_autoencoder_sizes,
)
from jaxpr.models.discriminators import PatchCriticConfig, patch_critic
from jaxpr.training.denoiser import DenoiserCrops
from jaxpr.training.gan import generator_loss
from jaxpr.training.losses import Adversary, Fidelity, absolute_error, critic_objective, perceptual_error
from jaxpr.training.pool import ImagePool, draw_crops, image_pool
from jaxpr.training.recipes import Recipe, check_choice
from jaxpr.training.restorer_recipe import Adam
from jaxpr.training.runner import Step
from jaxpr.training.sharding import sharded
from jaxpr.training.supervised import TrainState, start, train_step
from jaxpr.training.tasks import Task
from jaxpr.weights import perceptual_network
from jaxpr.weights.autoencoders import pack_autoencoder, unpack_autoencoder

__all__ = [
    "AutoencoderLosses",
    "AutoencoderProcedure",
    "AutoencoderRecipe",
    "AutoencoderState",
    "PatchLoss",
    "autoencoder_procedure",
    "autoencoder_step",
    "autoencoder_task",
    "kl_divergence",
    "start_autoencoder",
]

_SHOWN, _CANDIDATES = 8, 8
_LARGEST_BALANCE = 1e4
_NETWORKS = Literal["alexnet", "vgg16"]
Params: TypeAlias = Any


@dataclass(frozen=True, kw_only=True)
class PatchLoss:
    """The verdict of a critic of patches that is trained along."""

    weight: float
    """In the autoencoder's sum."""

    critic: PatchCriticConfig
    """Sizes of the critic."""

    critic_from: int = 0
    """Steps before the critic learns and is heard; it sees first reconstructions that are worth judging."""

    balanced: bool = True
    """Multiply the weight by the norm of the errors' gradient in the reconstruction over that of the verdict's."""

    penalty: float = 1.0
    """γ of R₁; it enters by half."""

    def __post_init__(self) -> None:
        check_positive("weight", self.weight, scalar=True)
        check_positive("penalty", self.penalty, or_zero=True, scalar=True)
        check_count("critic_from", self.critic_from, at_least=0)
        if not isinstance(self.critic, PatchCriticConfig):
            raise InputError(f"critic: found {self.critic!r}, expected a PatchCriticConfig")


@dataclass(frozen=True, kw_only=True)
class AutoencoderLosses:
    """What an autoencoder minimises; a weight of zero, or None, leaves a loss out."""

    pixel: float = 1.0
    """Weight of the mean absolute error, images in [0, 1]."""

    perceptual: float = 1.0
    """Weight of LPIPS."""

    perceptual_network: _NETWORKS = "alexnet"
    """Network of LPIPS; vgg16 in the paper, which takes some twenty times the time of alexnet."""

    kl: float = 1e-6
    """Weight of the divergence of the posterior, the mean over the latents' entries."""

    adversarial: PatchLoss | None = None
    """A critic's verdict."""

    def __post_init__(self) -> None:
        for name in ("pixel", "perceptual", "kl"):
            check_positive(name, getattr(self, name), or_zero=True, scalar=True)
        check_choice("perceptual_network", self.perceptual_network, get_args(_NETWORKS))
        if not (self.pixel or self.perceptual):
            raise InputError("pixel, perceptual: found none, expected a weight above zero of at least one")


@dataclass(frozen=True, kw_only=True)
class AutoencoderRecipe(Recipe):
    """How one autoencoder is trained."""

    data: DenoiserCrops
    """Clean images."""

    network: AutoencoderKLConfig
    """Sizes of the network."""

    losses: AutoencoderLosses
    """What it minimises."""

    optimizer: Adam
    """How; the critic's milestones count its own updates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        network, size, adversarial = self.network, self.data.size, self.losses.adversarial
        if not isinstance(network, AutoencoderKLConfig):
            raise InputError(f"network: found {network!r}, expected an AutoencoderKLConfig")
        check_autoencoder_sizes(network)
        if network.out_channels != network.in_channels:
            raise InputError(f"network: found out_channels {network.out_channels}, expected {network.in_channels}")
        if size % network.factor:
            raise InputError(f"size: found {size}, expected a multiple of {network.factor}")
        if self.losses.perceptual and network.in_channels != 3:
            raise InputError(f"perceptual: found images of {network.in_channels} channels, expected 3, or weight 0")
        if adversarial is None:
            return
        if adversarial.critic.channels != network.in_channels:
            raise InputError(f"critic: found {adversarial.critic.channels} channels, expected {network.in_channels}")
        if size < adversarial.critic.smallest:
            raise InputError(f"size: found {size}, expected {adversarial.critic.smallest} or more for the critic")


class AutoencoderState(NamedTuple):
    """All that training changes.

    Attributes:
        params: of the autoencoder.
        opt_state: of its optimiser.
        critic: parameters and optimiser of the critic; empty without one.
    """

    params: Params
    opt_state: optax.OptState
    critic: TrainState


class AutoencoderProcedure(NamedTuple):
    """How an autoencoder is trained.

    Attributes:
        network: what is trained.
        fidelities: losses of the reconstruction against the image.
        kl: weight of `kl_divergence`.
        adversary: None for none.
        critic_from: number of the first step in which it takes part.
        balanced: see `PatchLoss`.
        optimizers: the autoencoder's and the critic's.
    """

    network: AutoencoderKL
    fidelities: tuple[Fidelity, ...]
    kl: float
    adversary: Adversary | None
    critic_from: int
    balanced: bool
    optimizers: tuple[optax.GradientTransformation, optax.GradientTransformation]


def kl_divergence(posterior: Posterior) -> Array:
    r"""Mean over all entries of $KL(N(\mu, \sigma^2) \| N(0, 1)) = (\mu^2 + \sigma^2 - 1 - \log \sigma^2) / 2$ nats."""
    mean, logvar = posterior
    return jnp.mean(jnp.square(mean) + jnp.exp(logvar) - 1 - logvar) / 2


def autoencoder_procedure(recipe: AutoencoderRecipe) -> AutoencoderProcedure:
    """The procedure that a recipe describes."""
    losses, adversarial = recipe.losses, recipe.losses.adversarial
    fidelities = [Fidelity("pixel", losses.pixel, absolute_error)] if losses.pixel else []
    if losses.perceptual:
        error = perceptual_error(perceptual_network(losses.perceptual_network))
        fidelities.append(Fidelity("perceptual", losses.perceptual, error))
    adversary, critic_from, balanced = None, 0, False
    if adversarial is not None:
        adversary = Adversary(patch_critic(adversarial.critic), adversarial.weight, adversarial.penalty)
        critic_from, balanced = adversarial.critic_from, adversarial.balanced
    network, optimizers = autoencoder_kl(recipe.network), recipe.optimizer.rules()
    return AutoencoderProcedure(network, tuple(fidelities), losses.kl, adversary, critic_from, balanced, optimizers)


def start_autoencoder(key: Key, procedure: AutoencoderProcedure, *, params: Params | None = None) -> AutoencoderState:
    """The state before the first step.

    Args:
        key: decides the parameters.
        procedure: how it is trained.
        params: of the autoencoder, to go on from instead of new ones.
    """
    k_autoencoder, k_critic = jax.random.split(key)
    if params is None:
        params = procedure.network.model.init(k_autoencoder)
    params = jax.tree.map(jnp.asarray, params)
    critic = {} if procedure.adversary is None else procedure.adversary.critic.init(k_critic)
    first, second = procedure.optimizers
    return AutoencoderState(params, first.init(params), start(critic, second))


def autoencoder_step(
    keys: Key, state: AutoencoderState, x: Array, step: Array, *, procedure: AutoencoderProcedure
) -> tuple[AutoencoderState, dict[str, Array]]:
    """One update of the critic, one of the autoencoder against the new critic. Pure.

    Args:
        keys: one per example, (N,), of the draw of its latents.
        state: of `start_autoencoder`.
        x: images, (N, H, W, C) in [0, 1].
        step: its number, from 0.
        procedure: how to train.

    Returns:
        The new state, and by name: each loss before its weight, `weight` (that of the verdict, balanced), `critic`,
        `loss` (the autoencoder's sum), `parameters` (the norm after the update). Before `critic_from` what is the
        critic's is 0.
    """

    def reconstruct(params: Params) -> tuple[Array, Array]:
        posterior = procedure.network.encode(params, 2 * x - 1)
        shape = posterior.mean.shape[1:]
        noise = jax.vmap(lambda key: jax.random.normal(key, shape, x.dtype))(keys)
        return (procedure.network.decode(params, posterior.at(noise)) + 1) / 2, kl_divergence(posterior)

    def error(restored: Array) -> tuple[Array, dict[str, Array]]:
        parts = {part.name: part.loss(restored, x) for part in procedure.fidelities}
        total = sum((part.weight * parts[part.name] for part in procedure.fidelities), start=jnp.zeros((), x.dtype))
        return total, parts

    (restored, kl), pull = jax.vjp(reconstruct, state.params)
    (total, measured), slope = jax.value_and_grad(error, has_aux=True)(restored)
    measured |= {"kl": kl}
    total, critic = total + procedure.kl * kl, state.critic
    if procedure.adversary is not None:
        critic, verdict, further = jax.lax.cond(
            step >= procedure.critic_from,
            functools.partial(_judged, procedure, procedure.adversary),
            _unheard,
            critic,
            x,
            restored,
            slope,
        )
        total, slope = total + verdict["weight"] * verdict["adversarial"], slope + further
        measured |= verdict
    (gradient,) = pull((slope, jnp.asarray(procedure.kl, kl.dtype)))
    with lenient_promotion():
        updates, opt_state = procedure.optimizers[0].update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
    measured |= {"loss": total, "parameters": optax.tree.norm((params, critic.params))}
    return AutoencoderState(params, opt_state, critic), measured


def autoencoder_task(recipe: AutoencoderRecipe) -> Task:
    """What `drive` needs to train an autoencoder. Batches are spread over all devices whose number divides them."""
    data, procedure = recipe.data, autoencoder_procedure(recipe)
    k_start, k_fit, k_samples = jax.random.split(seed_key("seed", recipe.seed), 3)

    def begin(source: ImageSource, before: bytes | None) -> tuple[AutoencoderState, Any]:
        pool, channels = image_pool(source, smallest=data.size), recipe.network.in_channels
        if pool.pixels.shape[1] != channels:
            found = f"found images of {pool.pixels.shape[1]} channels"
            raise InputError(f"source: {found}, expected {channels}, those of the network")
        state = start_autoencoder(k_start, procedure, params=None if before is None else _weights_of(before, recipe))
        slots = sharded(jnp.arange(recipe.optimizer.batch))
        everywhere = jax.sharding.NamedSharding(slots.sharding.mesh, jax.P())
        state, key, pool = jax.device_put((state, k_fit, pool), everywhere)
        return state, (key, pool, slots)

    def export(params: Params, metadata: dict[str, Any]) -> bytes:
        return pack_autoencoder(recipe.network, params, metadata)

    samples = functools.cache(lambda: _samples(k_samples, recipe, procedure.network))
    return Task(recipe, begin, _step(data, procedure), export, show=lambda params: samples()(params))


def _judged(
    procedure: AutoencoderProcedure,
    adversary: Adversary,
    critic: TrainState,
    x: Array,
    restored: Array,
    slope: Array,
) -> tuple[TrainState, dict[str, Array], Array]:
    """The critic after its update, what was measured, the gradient of its weighted verdict in the reconstruction."""

    def objective(params: Params, key: Key, images: tuple[Array, Array]) -> Array:
        del key
        return critic_objective(params, adversary, *images, x)

    new, (down, _) = train_step(
        jax.random.key(0), critic, (x, restored), loss=objective, optimizer=procedure.optimizers[1]
    )

    def verdict(restored: Array) -> Array:
        return generator_loss(adversary.logits(new.params, restored, x))

    up, further = jax.value_and_grad(verdict)(restored)
    weight = jnp.asarray(adversary.weight, x.dtype)
    if procedure.balanced:
        ratio = optax.tree.norm(slope) / jnp.maximum(optax.tree.norm(further), jnp.finfo(x.dtype).tiny)
        weight = weight * jnp.minimum(ratio, _LARGEST_BALANCE)
    return new, {"critic": down, "adversarial": up, "weight": weight}, weight * further


def _unheard(critic: TrainState, x: Array, restored: Array, slope: Array) -> tuple[TrainState, dict[str, Array], Array]:
    """As `_judged`, before the critic's first step."""
    zero = jnp.zeros((), x.dtype)
    return critic, {"critic": zero, "adversarial": zero, "weight": zero}, jnp.zeros_like(slope)


def _step(data: DenoiserCrops, procedure: AutoencoderProcedure) -> Step[AutoencoderState]:
    """Its data are (key, pool, slots), as those of `crop_step`."""

    def step(number: Array, state: AutoencoderState, rest: tuple[Key, ImagePool, Array]) -> Any:
        key, pool, slots = rest
        keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.fold_in(key, number)))(slots)
        k_crops, k_noise = jax.vmap(jax.random.split, out_axes=1)(keys)
        x = draw_crops(k_crops, pool, size=data.size, symmetries=data.symmetries)
        return autoencoder_step(k_noise, state, x, number, procedure=procedure)

    return step


def _samples(key: Key, recipe: AutoencoderRecipe, network: AutoencoderKL) -> Callable[[Params], list[np.ndarray]]:
    """Crops, of images that do not train where the data have such, and what the decoder makes of their latents."""
    size = recipe.data.size
    pool = image_pool(recipe.data.shown(), smallest=size)
    x = draw_crops(jax.random.split(key, _SHOWN), pool, size=size, symmetries=1, candidates=_CANDIDATES)
    reconstruct = jax.jit(lambda params: (network.model.apply(params, 2 * x - 1) + 1) / 2)
    return lambda params: [np.asarray(x), np.clip(np.asarray(reconstruct(params)), 0, 1)]


def _weights_of(content: bytes, recipe: AutoencoderRecipe) -> Params:
    packed = unpack_autoencoder(content)
    if packed.config != recipe.network:
        raise InputError(f"begin_with: found {packed.config}, expected {recipe.network}")
    return packed.params
