"""Figures, terminal table and HTML page of an evaluation run, drawn from its record (`results.json`).

What is asked for is imported then: an evaluation draws last, and drawing takes a second to import.

Papers: [ohayon2024] Ohayon, Michaeli, Elad, "The Perception-Robustness Tradeoff in Deterministic Image Restoration",
ICML 2024.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxpr.report.along import along_text, figure_along_alpha
    from jaxpr.report.bars import figure_consistency, figure_robustness
    from jaxpr.report.curves import figure_sweep
    from jaxpr.report.decisions import decisions_table, figure_decisions, write_decisions
    from jaxpr.report.leaderboard import Board, protocol_titles, write_leaderboard
    from jaxpr.report.maps import figure_maps
    from jaxpr.report.page import write_report
    from jaxpr.report.published import published_text
    from jaxpr.report.samples import Answer, Strip
    from jaxpr.report.scatter import figure_distortion_perception, figure_manifold, figure_tradeoff
    from jaxpr.report.strips import figure_strip
    from jaxpr.report.text import format_value, text_table
    from jaxpr.report.uncertainty import figure_uncertainty

_FILES = {
    "along": ("along_text", "figure_along_alpha"),
    "bars": ("figure_consistency", "figure_robustness"),
    "curves": ("figure_sweep",),
    "decisions": ("decisions_table", "figure_decisions", "write_decisions"),
    "leaderboard": ("Board", "protocol_titles", "write_leaderboard"),
    "maps": ("figure_maps",),
    "page": ("write_report",),
    "published": ("published_text",),
    "samples": ("Answer", "Strip"),
    "scatter": ("figure_distortion_perception", "figure_manifold", "figure_tradeoff"),
    "strips": ("figure_strip",),
    "text": ("format_value", "text_table"),
    "uncertainty": ("figure_uncertainty",),
}

__all__ = [
    "Answer",
    "Board",
    "Strip",
    "along_text",
    "decisions_table",
    "figure_along_alpha",
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
    "protocol_titles",
    "published_text",
    "text_table",
    "write_decisions",
    "write_leaderboard",
    "write_report",
]


def __getattr__(name: str) -> Any:
    for file, names in _FILES.items():
        if name in names:
            return getattr(importlib.import_module(f"jaxpr.report.{file}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
