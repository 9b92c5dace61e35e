"""The main job: restorers through degradation, attack and metrics to a record and a report."""

from jaxpr.evaluation.compare import compare
from jaxpr.evaluation.decision_results import DecisionResults
from jaxpr.evaluation.decisions import DecisionAttack, evaluate_decisions, sweep_decisions
from jaxpr.evaluation.protocol import IFGSM, SCALES, Distortion, Exploration, L2Adam, Patches, Probes, Protocol
from jaxpr.evaluation.run import evaluate

__all__ = [
    "DecisionAttack",
    "DecisionResults",
    "Distortion",
    "Exploration",
    "IFGSM",
    "L2Adam",
    "Patches",
    "Probes",
    "Protocol",
    "SCALES",
    "compare",
    "evaluate",
    "evaluate_decisions",
    "sweep_decisions",
]
