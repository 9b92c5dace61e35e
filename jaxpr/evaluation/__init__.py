"""The main job: restorers through degradation, attack and metrics to a record and a report."""

from jaxpr.evaluation.compare import compare
from jaxpr.evaluation.decision_results import DecisionResults
from jaxpr.evaluation.decisions import DecisionAttack, evaluate_decisions, sweep_decisions
from jaxpr.evaluation.protocol import SCALES, Protocol
from jaxpr.evaluation.run import evaluate

__all__ = [
    "DecisionAttack",
    "DecisionResults",
    "Protocol",
    "SCALES",
    "compare",
    "evaluate",
    "evaluate_decisions",
    "sweep_decisions",
]
