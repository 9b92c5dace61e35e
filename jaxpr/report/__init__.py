"""Figures, terminal table and HTML page of an evaluation run, drawn from its record (`results.json`).

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

from jaxpr.report.bars import figure_consistency, figure_robustness
from jaxpr.report.curves import figure_sweep
from jaxpr.report.decisions import decisions_table, figure_decisions
from jaxpr.report.maps import figure_maps
from jaxpr.report.page import write_report
from jaxpr.report.published import published_text
from jaxpr.report.scatter import figure_distortion_perception, figure_manifold, figure_tradeoff
from jaxpr.report.strips import Answer, Strip, figure_strip
from jaxpr.report.text import format_value, text_table
from jaxpr.report.uncertainty import figure_uncertainty

__all__ = [
    "Answer",
    "Strip",
    "decisions_table",
    "figure_consistency",
    "figure_decisions",
    "figure_distortion_perception",
    "figure_manifold",
    "figure_maps",
    "figure_robustness",
    "figure_strip",
    "figure_sweep",
    "figure_tradeoff",
    "figure_uncertainty",
    "format_value",
    "published_text",
    "text_table",
    "write_report",
]
