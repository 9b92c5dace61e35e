"""The main job: restorers through degradation, attack and metrics to a record and a report."""

from jaxpr.evaluation.compare import compare
from jaxpr.evaluation.decisions import DecisionResults, evaluate_decisions
from jaxpr.evaluation.protocol import SCALES, Protocol
from jaxpr.evaluation.results import Metric, RestorerResult, Results, to_record
from jaxpr.evaluation.run import evaluate

__all__ = [
    "SCALES",
    "DecisionResults",
    "Metric",
    "Protocol",
    "RestorerResult",
    "Results",
    "compare",
    "evaluate",
    "evaluate_decisions",
    "to_record",
]
