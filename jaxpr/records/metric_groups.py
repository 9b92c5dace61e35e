"""What is said about a metric, and the groups in which metrics are shown."""

from typing import NamedTuple

__all__ = ["GROUPS", "MetricInfo"]


class MetricInfo(NamedTuple):
    """How one metric is presented.

    Attributes:
        key: the metric's name in the record, or its beginning (ending in `_`) where the name of a feature network or
            a distance follows.
        label: short name for headers and axes.
        unit: unit of the shown value, "" for a pure number.
        direction: +1 if higher is better, -1 if lower is better, 0 if neither.
        scale: the shown value is `scale` times the recorded one.
        explanation: one sentence for a newcomer.
        equation: where it is defined.
        group: heading of the table that shows it, one of `GROUPS`.
    """

    key: str
    label: str
    unit: str
    direction: int
    scale: float
    explanation: str
    equation: str
    group: str = "Other"

    @property
    def arrow(self) -> str:
        """`↑` if higher is better, `↓` if lower is better, else nothing."""
        return {1: "↑", -1: "↓", 0: ""}[self.direction]

    @property
    def heading(self) -> tuple[str, str]:
        """A column's header in two lines: name with arrow, and feature network or unit."""
        name, _, features = self.label.partition(" (")
        return f"{name}\N{NO-BREAK SPACE}{self.arrow}".rstrip(), features.removesuffix(")") or self.unit


GROUPS = (
    "Distortion and consistency",
    "Realism",
    "Realism together with the input",
    "Robustness",
    "Diversity and uncertainty",
    "Other",
)
"""Headings of the tables, in order."""
