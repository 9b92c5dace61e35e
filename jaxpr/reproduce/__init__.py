"""Experiments of the papers: how they are found, run and recorded, and what they share."""

from jaxpr.report.experiments import Claim, Experiment, Picture, Table
from jaxpr.reproduce.devices import use_all_cores
from jaxpr.reproduce.finding import chosen_experiments, experiment_names, load_experiment
from jaxpr.reproduce.running import main, reproduce

__all__ = [
    "Claim",
    "Experiment",
    "Picture",
    "Table",
    "chosen_experiments",
    "experiment_names",
    "load_experiment",
    "main",
    "reproduce",
    "use_all_cores",
]
