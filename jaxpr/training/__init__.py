"""Training of restorers, classifiers, denoisers, autoencoders: recipes, pure steps, checkpoints, one way for all."""

from jaxpr.training.autoencoder import AutoencoderLosses, AutoencoderRecipe, PatchLoss
from jaxpr.training.checkpoints import Checkpoints, StoredState
from jaxpr.training.classifier import AdamW, ClassifierRecipe, CrossEntropy, LabelledImages
from jaxpr.training.configs import load_recipes, task_of
from jaxpr.training.denoiser import DenoiserCrops, DenoiserRecipe
from jaxpr.training.gan import (
    Attack,
    GanLoss,
    GanLosses,
    GanState,
    adversarial_robustness,
    critic_loss,
    fit_gan,
    gan_step,
    generator_loss,
    r1_penalty,
    random_robustness,
    start_gan,
)
from jaxpr.training.recipes import Recipe, recipe_record
from jaxpr.training.restorer_recipe import (
    Adam,
    AdversarialLoss,
    Crops,
    NetworkSettings,
    RestorerLosses,
    RestorerRecipe,
    RobustnessLoss,
)
from jaxpr.training.runner import DivergenceError, Finished, Step, multi_step, run_steps
from jaxpr.training.sharding import sharded
from jaxpr.training.supervised import Loss, TrainState, augment, classification_loss, minibatch_step, start, train_step
from jaxpr.training.tasks import WEIGHTS, Task, Trained, drive

__all__ = [
    "Adam",
    "AdamW",
    "AdversarialLoss",
    "AutoencoderLosses",
    "AutoencoderRecipe",
    "ClassifierRecipe",
    "Crops",
    "CrossEntropy",
    "DenoiserCrops",
    "DenoiserRecipe",
    "LabelledImages",
    "NetworkSettings",
    "PatchLoss",
    "Recipe",
    "RestorerLosses",
    "RestorerRecipe",
    "RobustnessLoss",
    "Task",
    "Trained",
    "WEIGHTS",
    "drive",
    "load_recipes",
    "recipe_record",
    "task_of",
    "Attack",
    "StoredState",
    "Checkpoints",
    "DivergenceError",
    "GanLoss",
    "GanLosses",
    "GanState",
    "Loss",
    "Finished",
    "Step",
    "TrainState",
    "adversarial_robustness",
    "augment",
    "classification_loss",
    "critic_loss",
    "fit_gan",
    "gan_step",
    "generator_loss",
    "minibatch_step",
    "multi_step",
    "r1_penalty",
    "random_robustness",
    "run_steps",
    "sharded",
    "start",
    "start_gan",
    "train_step",
]
