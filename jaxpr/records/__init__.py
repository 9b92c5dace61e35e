"""What an evaluation found: numbers with their errors, what each metric is, and how a record is written and read."""

from jaxpr.records.along import WISHES, AlphaCurve, Wish, alpha_curves, best_alphas
from jaxpr.records.decisions import DecisionResults, decisions_record
from jaxpr.records.metric_info import MetricInfo
from jaxpr.records.metric_table import METRICS, metric_info, of_source
from jaxpr.records.reading import MissingMetricError, check_record, read_record
from jaxpr.records.results import SCHEMA_VERSION, Described, Metric, RestorerResult, Results, to_record

__all__ = [
    "AlphaCurve",
    "DecisionResults",
    "Described",
    "METRICS",
    "Metric",
    "MetricInfo",
    "MissingMetricError",
    "RestorerResult",
    "SCHEMA_VERSION",
    "Results",
    "WISHES",
    "Wish",
    "alpha_curves",
    "best_alphas",
    "check_record",
    "decisions_record",
    "metric_info",
    "of_source",
    "read_record",
    "to_record",
]
