"""The main job: restorers through degradation, attack and metrics to a record and a report."""

from jaxpr.evaluation.ascents import APGD, IFGSM, L2Adam
from jaxpr.evaluation.compare import compare
from jaxpr.evaluation.decision_run import evaluate_decisions
from jaxpr.evaluation.decisions import AttackedDecisions, DecisionAttack
from jaxpr.evaluation.export import export_results
from jaxpr.evaluation.leaderboard import leaderboard
from jaxpr.evaluation.protocol import SCALES, Distortion, Exploration, Patches, Probes, Protocol
from jaxpr.evaluation.run import evaluate

__all__ = [
    "APGD",
    "AttackedDecisions",
    "DecisionAttack",
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
    "export_results",
    "leaderboard",
]
