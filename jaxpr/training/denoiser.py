r"""Denoisers for diffusion: their recipes, and the task that `drive` trains.

A network predicts the noise, with the loss of Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS
2020, eq. (14), or v = √ᾱ ε - √(1 - ᾱ) x_0 of Salimans, Ho, "Progressive Distillation for Fast Sampling of Diffusion
Models", ICLR 2022: mean squared errors over all timesteps alike. Where there is little but noise, an error of the noise
is √(1 - ᾱ) / √ᾱ times as large an error of the image, up to 157 times, one of v at most once. Each example of a batch
draws its crop, timestep and noise with a key of its own, and timesteps are stratified over the batch, which lowers the
variance of the loss.
"""

import functools
from dataclasses import dataclass
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxpr.core import Array, InputError, Key, check_count, seed_key
from jaxpr.data import ImageSource
from jaxpr.degradations import Inpainting
from jaxpr.diffusion import Denoiser, Schedule
from jaxpr.diffusion.denoiser import levels
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet, check_unet_sizes
from jaxpr.models.functional import Model
from jaxpr.samplers import repaint
from jaxpr.training.classifier import AdamW
from jaxpr.training.pool import ImagePool, Symmetries, draw_crops, image_pool
from jaxpr.training.recipes import Images, Recipe, check_choice
from jaxpr.training.runner import Step
from jaxpr.training.sharding import sharded
from jaxpr.training.supervised import TrainState, start, train_step
from jaxpr.training.tasks import Task
from jaxpr.weights.denoisers import PREDICTIONS, SCHEDULES, pack_denoiser, unpack_denoiser

__all__ = ["DenoiserCrops", "DenoiserRecipe", "denoiser_task", "denoising_loss", "prior_samples"]

_SHOWN, _SAMPLE_STEPS = 16, 50


@dataclass(frozen=True, kw_only=True)
class DenoiserCrops(Images):
    """Random crops of clean images."""

    size: int
    """Side of the crops in pixels."""

    symmetries: Symmetries = 1
    """Of the crops: 1 none, 2 reflections, 8 all of the square."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("size", self.size)
        check_choice("symmetries", self.symmetries, get_args(Symmetries))


@dataclass(frozen=True, kw_only=True)
class DenoiserRecipe(Recipe):
    """How one denoiser is trained."""

    data: DenoiserCrops
    """Clean images."""

    network: ADMUNetConfig
    """Sizes of the network; without a learned variance."""

    prediction: Literal["noise", "v"] = "noise"
    """What the network predicts, alike at all timesteps; v keeps colours where little but noise is left."""

    schedule: Literal["linear", "cosine"] = "linear"
    """Noise levels of the 1,000 timesteps."""

    optimizer: AdamW
    """How."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("schedule", self.schedule, tuple(SCHEDULES))
        check_choice("prediction", self.prediction, tuple(PREDICTIONS))
        if not isinstance(self.network, ADMUNetConfig):
            raise InputError(f"network: found {self.network!r}, expected an ADMUNetConfig")
        check_unet_sizes(self.network)
        if self.network.out_channels != self.network.in_channels or self.network.num_classes is not None:
            found = f"found out_channels {self.network.out_channels} and num_classes {self.network.num_classes}"
            raise InputError(f"network: {found}, expected {self.network.in_channels} and None")
        if self.data.size % self.network.multiple:
            raise InputError(f"size: found {self.data.size}, expected a multiple of {self.network.multiple}")


def denoiser_task(recipe: DenoiserRecipe) -> Task:
    """What `drive` needs to train a denoiser. Batches are spread over all devices whose number divides them."""
    model, optimizer = adm_unet(recipe.network), recipe.optimizer.rule()
    schedule = SCHEDULES[recipe.schedule]()
    k_init, k_fit, k_samples = jax.random.split(seed_key("seed", recipe.seed), 3)

    def begin(source: ImageSource, before: bytes | None) -> tuple[TrainState, Any]:
        pool = image_pool(source, smallest=recipe.data.size)
        if pool.pixels.shape[1] != recipe.network.in_channels:
            found = f"found images of {pool.pixels.shape[1]} channels"
            raise InputError(f"source: {found}, expected {recipe.network.in_channels}, those of the network")
        params = model.init(k_init) if before is None else _weights_of(before, recipe)
        slots = sharded(jnp.arange(recipe.optimizer.batch))
        everywhere = jax.sharding.NamedSharding(slots.sharding.mesh, jax.P())
        state, key, pool = jax.device_put((start(params, optimizer), k_fit, pool), everywhere)
        return state, (key, pool, slots)

    def export(params: Any, metadata: dict[str, Any]) -> bytes:
        kinds = {"schedule": recipe.schedule, "prediction": recipe.prediction}
        return pack_denoiser(recipe.network, params, metadata, side=recipe.data.size, **kinds)

    shape = (recipe.data.size, recipe.data.size, recipe.network.in_channels)

    @jax.jit
    def samples(params: Any) -> Array:
        denoiser = PREDICTIONS[recipe.prediction](functools.partial(model.apply, params), schedule=schedule)
        return prior_samples(k_samples, denoiser, shape, schedule=schedule, count=_SHOWN, steps=_SAMPLE_STEPS)

    def show(params: Any) -> list[np.ndarray]:
        return [np.clip(np.asarray(samples(params)), 0, 1)]

    return Task(recipe, begin, _step(recipe, model, optimizer, schedule), export, show=show)


def prior_samples(
    key: Key, denoiser: Denoiser, shape: tuple[int, int, int], *, schedule: Schedule, count: int, steps: int
) -> Array:
    """Images of a prior, (count, H, W, C): an image of which nothing is known, by DDPM's steps, predictions clipped.

    `repaint` takes them where nothing is known. `ddnm` with eta = 1 does not: it draws all noise of a state afresh, so
    that whatever the prediction had not yet decided is lost at every step, and textures come out flat.

    Args:
        key: of the noise that they start from, and of each step.
        denoiser: of the prior.
        shape: (H, W, C). Static.
        schedule: noise levels.
        count: of images. Static.
        steps: calls of the network for each. Static.
    """
    found = repaint(
        key,
        denoiser,
        jnp.zeros((1, *shape)),
        Inpainting(np.zeros(shape[:2], bool), channels=shape[2]),
        schedule=schedule,
        samples=count,
        noise_std=0.0,
        steps=steps,
        jump_length=1,
        jump_repeat=1,
        clip=True,
    )
    return found.x[:, 0]


def denoising_loss(
    keys: Key, model: Model, params: Any, x: Array, t: Array, *, schedule: Schedule, prediction: str = "noise"
) -> Array:
    """Mean squared error of the predicted noise, or of v.

    Args:
        keys: (N,), of the noise.
        model: predicts it from (params, x_t, t).
        params: of the network.
        x: clean images (N, H, W, C) on [-1, 1].
        t: timesteps (N,).
        schedule: noise levels.
        prediction: "noise" or "v". Static.
    """
    noise = jax.vmap(lambda key: jax.random.normal(key, x.shape[1:], x.dtype))(keys)
    signal, spread = levels(schedule, x, t)
    wanted = noise if prediction == "noise" else signal * noise - spread * x
    return jnp.mean(jnp.square(model.apply(params, signal * x + spread * noise, t) - wanted))


def _step(
    recipe: DenoiserRecipe, model: Model, optimizer: optax.GradientTransformation, schedule: Schedule
) -> Step[TrainState]:
    """Its data are (key, pool, slots), as those of `crop_step`."""
    crops, batch = recipe.data, recipe.optimizer.batch

    def loss(params: Any, keys: Key, drawn: tuple[Array, Array]) -> Array:
        return denoising_loss(keys, model, params, *drawn, schedule=schedule, prediction=recipe.prediction)

    def step(number: Array, state: TrainState, data: tuple[Key, ImagePool, Array]) -> Any:
        key, pool, slots = data
        keys = jax.vmap(functools.partial(jax.random.fold_in, jax.random.fold_in(key, number)))(slots)
        k_crops, k_times, k_noise = jax.vmap(functools.partial(jax.random.split, num=3), out_axes=1)(keys)
        x = 2 * draw_crops(k_crops, pool, size=crops.size, symmetries=crops.symmetries) - 1
        # One timestep out of each of as many equal ranges as there are examples.
        within = jax.vmap(lambda k: jax.random.uniform(k, (), jnp.float32))(k_times)
        t = jnp.floor((slots + within) / batch * schedule.original_steps).astype(jnp.int32)
        t = jnp.minimum(t, schedule.original_steps - 1)
        new, (value, norm) = train_step(k_noise, state, (x, t), loss=loss, optimizer=optimizer)
        return new, {"loss": value, "gradient": norm}

    return step


def _weights_of(content: bytes, recipe: DenoiserRecipe) -> Any:
    packed = unpack_denoiser(content)
    if (packed.config, packed.prediction) != (recipe.network, recipe.prediction):
        found = f"found {packed.config} that predicts {packed.prediction}"
        raise InputError(f"begin_with: {found}, expected {recipe.network} and {recipe.prediction}")
    return jax.tree.map(jnp.asarray, packed.params)
