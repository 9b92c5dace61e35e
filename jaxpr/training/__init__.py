"""Floor 3: training loops. Steps are pure functions, loops are scans over keyed minibatches, randomness is in keys."""

from jaxpr.training.supervised import (
    DivergenceError,
    History,
    Loss,
    TrainState,
    augment,
    classification_loss,
    fit,
    start,
    train_step,
)

__all__ = [
    "DivergenceError",
    "History",
    "Loss",
    "TrainState",
    "augment",
    "classification_loss",
    "fit",
    "start",
    "train_step",
]
