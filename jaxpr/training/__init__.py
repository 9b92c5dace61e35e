"""Floor 3: training loops. Steps are pure functions, loops are scans over keyed minibatches, randomness is in keys."""

from jaxpr.training.checkpoints import Checkpoint, Checkpoints
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
from jaxpr.training.runner import DivergenceError, Run, Step, multi_step, run_steps
from jaxpr.training.supervised import History, Loss, TrainState, augment, classification_loss, fit, start, train_step

__all__ = [
    "Attack",
    "Checkpoint",
    "Checkpoints",
    "DivergenceError",
    "GanLoss",
    "GanLosses",
    "GanState",
    "History",
    "Loss",
    "Run",
    "Step",
    "TrainState",
    "adversarial_robustness",
    "augment",
    "classification_loss",
    "critic_loss",
    "fit",
    "fit_gan",
    "gan_step",
    "generator_loss",
    "multi_step",
    "r1_penalty",
    "random_robustness",
    "run_steps",
    "start",
    "start_gan",
    "train_step",
]
