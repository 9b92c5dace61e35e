"""The task of a restorer's recipe: its procedure, the images on the device, its file of weights, its pictures."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks import epsilon_for_psnr, l2_adam
from jaxpr.core import Array, InputError, Key, seed_key
from jaxpr.data import ImageSource
from jaxpr.models.discriminators import UNetCriticConfig, VggCriticConfig, unet_critic, vgg_critic
from jaxpr.models.functional import Model
from jaxpr.models.layers import Compute
from jaxpr.models.resnet_critic import resnet_critic
from jaxpr.models.restorer_network import restorer_network
from jaxpr.training.images import Procedure, RestorerState, crop_step, start_restorer
from jaxpr.training.losses import (
    Adversary,
    Fidelity,
    Robustness,
    absolute_error,
    perceptual_error,
    squared_error,
)
from jaxpr.training.pool import draw_crops, image_pool
from jaxpr.training.restorer_recipe import CriticConfig, RestorerRecipe, RobustnessLoss
from jaxpr.training.sharding import sharded
from jaxpr.training.tasks import Task
from jaxpr.weights import perceptual_network
from jaxpr.weights.native import pack_restorer, unpack_restorer

__all__ = ["build_procedure", "restorer_task"]

_SHOWN, _DRAWS, _CANDIDATES = 8, 3, 8


def restorer_task(recipe: RestorerRecipe) -> Task:
    """What `drive` needs to train a restorer. Batches are spread over all devices whose number divides them."""
    data, procedure, robustness = recipe.data, build_procedure(recipe), recipe.losses.robustness
    k_start, k_fit, k_samples = jax.random.split(seed_key("seed", recipe.seed), 3)

    def start(source: ImageSource, before: bytes | None) -> tuple[RestorerState, Any]:
        slots = sharded(jnp.arange(recipe.optimizer.batch))
        everywhere = jax.sharding.NamedSharding(slots.sharding.mesh, jax.P())
        params = None if before is None else _weights_of(before, recipe)
        state = start_restorer(k_start, procedure, params=params)
        pool = image_pool(source, smallest=data.size)
        state, key, pool = jax.device_put((state, k_fit, pool), everywhere)
        return state, (key, pool, slots)

    def export(params: Any, metadata: dict[str, Any]) -> bytes:
        return pack_restorer(recipe.restorer_config(), params, metadata)

    samples = functools.cache(lambda: _samples(k_samples, recipe, procedure))
    return Task(
        recipe,
        start,
        crop_step(procedure, size=data.size, symmetries=data.symmetries, candidates=data.candidates),
        export,
        show=lambda params: samples()(params),
        sparse={} if robustness is None else {"robustness": robustness.every},
    )


def build_procedure(recipe: RestorerRecipe) -> Procedure:
    """The procedure that a recipe describes."""
    losses, network = recipe.losses, recipe.network
    dtype: Any = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}[network.dtype]
    compute = Compute(dtype=dtype, remat=network.remat)
    degradation = recipe.data.parsed()
    made = restorer_network(recipe.restorer_config(), operators=degradation.operator, compute=compute)
    pixel = {"l1": absolute_error, "l2": squared_error}[losses.pixel_norm]
    fidelities = [Fidelity("pixel", losses.pixel, pixel)] if losses.pixel else []
    if losses.perceptual:
        lpips = perceptual_error(perceptual_network("alexnet"))
        fidelities.append(Fidelity("perceptual", losses.perceptual, lpips))
    adversary = robustness = None
    if losses.adversarial is not None:
        condition = recipe.back_projection() if losses.adversarial.conditional else None
        critic = _critic(losses.adversarial.critic, compute)
        adversary = Adversary(critic, losses.adversarial.weight, losses.adversarial.penalty, condition)
    if losses.robustness is not None:
        robustness = _robustness(losses.robustness, recipe)
    return Procedure(made, recipe.data.degrade(), tuple(fidelities), adversary, robustness, recipe.optimizer.rules())


def _robustness(loss: RobustnessLoss, recipe: RestorerRecipe) -> Robustness:
    epsilon = epsilon_for_psnr(loss.psnr, recipe.measurement_shape(), data_range=1.0)
    attack = functools.partial(l2_adam, epsilon=epsilon, steps=loss.steps, learning_rate=loss.rate)
    draws = loss.draws if recipe.network.stochastic else 1
    return Robustness(loss.weight, attack, draws=draws, every=loss.every, examples=loss.examples)


def _critic(config: CriticConfig, compute: Compute) -> Model:
    if isinstance(config, UNetCriticConfig):
        return unet_critic(config, compute=compute)
    if isinstance(config, VggCriticConfig):
        return vgg_critic(config, compute=compute)
    return resnet_critic(config, compute=compute)


def _weights_of(content: bytes, recipe: RestorerRecipe) -> dict[Any, Any]:
    packed = unpack_restorer(content)
    if packed.config.network != recipe.network.sizes:
        raise InputError(f"begin_with: found {packed.config.network}, expected {recipe.network.sizes}")
    return packed.params


def _samples(key: Key, recipe: RestorerRecipe, procedure: Procedure) -> Callable[[Any], list[np.ndarray]]:
    """Measurements as images, restorations, and truth, of images that do not train where the data have such."""
    k_crops, k_degrade, k_seeds = jax.random.split(key, 3)
    size = recipe.data.size
    pool = image_pool(recipe.data.shown(), smallest=size)
    x = draw_crops(jax.random.split(k_crops, _SHOWN), pool, size=size, symmetries=1, candidates=_CANDIDATES)
    y = procedure.degrade(jax.random.split(k_degrade, _SHOWN), x)
    measured = recipe.back_projection()(y)

    @jax.jit
    def restored(params: Any) -> list[Array]:
        draws = _DRAWS if recipe.network.stochastic else 1
        seeds = [procedure.restorer.seeds(k, y) for k in jax.random.split(k_seeds, draws)]
        return [procedure.restorer.apply(params, y, z) for z in seeds]

    return lambda params: [np.asarray(row) for row in (measured, *restored(params), x)]
