"""Classifiers of images: their recipes, and the task that `drive` trains."""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxpr.core import InputError, check_count, check_positive, seed_key
from jaxpr.data import ImageSource
from jaxpr.models.classifier import (
    CLASSES,
    DIGIT_CLASSIFIERS,
    DIGIT_SHAPE,
    ClassifierConfig,
    classifier_model,
    digit_model,
)
from jaxpr.training.recipes import Images, Optimizer, Recipe, check_choice
from jaxpr.training.supervised import TrainState, augment, classification_loss, minibatch_step, start
from jaxpr.training.tasks import Task
from jaxpr.weights.classifiers import pack_classifier
from jaxpr.weights.native import parameters_like, unpack_weights

__all__ = ["AdamW", "ClassifierRecipe", "CrossEntropy", "LabelledImages", "classifier_task"]


@dataclass(frozen=True, kw_only=True)
class LabelledImages(Images):
    """Images with classes, and how they are augmented."""

    shift: int = 0
    """Largest shift along each axis, pixels."""

    noise_std: float = 0.0
    """Of Gaussian noise, in units of the [0, 1] range."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("shift", self.shift, at_least=0)
        check_positive("noise_std", self.noise_std, or_zero=True, scalar=True)


@dataclass(frozen=True, kw_only=True)
class CrossEntropy:
    """What a classifier minimises."""

    smoothing: float = 0.0
    """Share of each label that is spread evenly over all classes."""

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise InputError(f"smoothing: found {self.smoothing}, expected a number in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class AdamW(Optimizer):
    """Adam with decay of weights, a rate that rises linearly and falls as a cosine, and gradients that are clipped."""

    warmup: int = 100
    """Steps until the rate has risen; at most half of all."""

    weight_decay: float = 1e-4
    """Per step and rate."""

    clip: float = 1.0
    """Largest norm of the gradient."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("warmup", self.warmup, at_least=0)
        check_positive("weight_decay", self.weight_decay, or_zero=True, scalar=True)
        check_positive("clip", self.clip, scalar=True)

    def rule(self) -> optax.GradientTransformation:
        """Of optax."""
        rate = optax.warmup_cosine_decay_schedule(0.0, self.rate, min(self.warmup, self.steps // 2), self.steps)
        return optax.chain(optax.clip_by_global_norm(self.clip), optax.adamw(rate, weight_decay=self.weight_decay))


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe(Recipe):
    """How one classifier is trained."""

    data: LabelledImages
    """Images of one size with classes."""

    network: str | ClassifierConfig
    """Sizes for images of any size; or attacker or judge, for digits of 8×8 pixels, see `models.digit_model`."""

    losses: CrossEntropy = CrossEntropy()
    """What it minimises."""

    optimizer: AdamW
    """How."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.network, ClassifierConfig):
            classifier_model(self.network)
        else:
            check_choice("network", self.network, DIGIT_CLASSIFIERS)


def classifier_task(recipe: ClassifierRecipe) -> Task:
    """What `drive` needs to train a classifier."""
    network, optimizer = recipe.network, recipe.optimizer.rule()
    if isinstance(network, ClassifierConfig):
        model, shape, classes = classifier_model(network), network.shape, network.classes
    else:
        model, shape, classes = digit_model(network), DIGIT_SHAPE, CLASSES
    k_init, k_fit = jax.random.split(seed_key("seed", recipe.seed))
    augmentation = functools.partial(augment, shift=recipe.data.shift, noise_std=recipe.data.noise_std)
    loss = classification_loss(model.apply, augmentation=augmentation, smoothing=recipe.losses.smoothing)

    def begin(source: ImageSource, before: bytes | None) -> tuple[TrainState, Any]:
        params = model.init(k_init)
        if before is not None:
            found, _ = unpack_weights(before)
            try:
                params = jax.tree.map(jnp.asarray, parameters_like(params, found))
            except InputError as error:
                words = f"begin_with: found weights of another network, expected those of {network!r}"
                raise InputError(words) from error
        return start(params, optimizer), (k_fit, _labelled(source, shape, classes))

    def export(params: Any, metadata: dict[str, Any]) -> bytes:
        return pack_classifier(network, params, metadata)

    step = minibatch_step(loss=loss, optimizer=optimizer, batch_size=recipe.optimizer.batch)
    return Task(recipe, begin, step, export)


def _labelled(source: ImageSource, shape: tuple[int, int, int], classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, H, W, C) of one shape and labels (N,)."""
    if source.labels is None:
        raise InputError(
            f"source: found no labels of {source.name}, expected images with classes, such as digits or classes:FOLDER"
        )
    labels = np.array(source.labels)
    if labels.min() < 0 or labels.max() >= classes:
        raise InputError(f"source: found classes {labels.min()} to {labels.max()}, expected 0 to {classes - 1}")
    images = list(source)
    shapes = {image.shape for image in images}
    if shapes != {shape}:
        raise InputError(f"source: found images of {min(shapes - {shape})}, expected {shape}")
    return np.stack(images), labels
