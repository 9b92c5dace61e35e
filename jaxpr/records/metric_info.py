"""What is said about one metric."""

from typing import Literal, NamedTuple, TypeAlias

__all__ = ["ATTACK", "BLOCKS", "DECISIONS", "EXAMPLES", "GROUPS", "PROBES", "SETS", "TOGETHER", "MetricInfo", "Source"]

TOGETHER = "Realism together with the input"
GROUPS = (
    "Distortion and consistency",
    "Realism",
    TOGETHER,
    "Robustness",
    "Diversity and uncertainty",
    "Other",
)
"""Headings of the tables, in order."""

Source: TypeAlias = Literal["examples", "attack", "probes", "sets", "blocks", "decisions"]
"""How a metric is computed: as a mean over examples, over attacked ones, over the few probes; from the features of all
patches; from blocks of pixels; from what classifiers decide, before and after an attack through them."""

EXAMPLES: Source = "examples"
ATTACK: Source = "attack"
PROBES: Source = "probes"
SETS: Source = "sets"
BLOCKS: Source = "blocks"
DECISIONS: Source = "decisions"


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
        source: how it is computed.
        column: whether the short table in the terminal shows it.
        question: what the best restorer by this metric is best at, on the page; "" if the page does not ask.
    """

    key: str
    label: str
    unit: str
    direction: int
    scale: float
    explanation: str
    equation: str
    group: str = "Other"
    source: Source = EXAMPLES
    column: bool = False
    question: str = ""

    def covers(self, name: str) -> bool:
        """Whether this is the row of a recorded metric of that name."""
        return name == self.key or (self.key.endswith("_") and name.startswith(self.key) and name != self.key)

    @property
    def arrow(self) -> str:
        """`↑` if higher is better, `↓` if lower is better, else nothing."""
        return {1: "↑", -1: "↓", 0: ""}[self.direction]

    @property
    def heading(self) -> tuple[str, str]:
        """A column's header in two lines: name with arrow, and feature network or unit."""
        name, _, features = self.label.partition(" (")
        return f"{name}\N{NO-BREAK SPACE}{self.arrow}".rstrip(), features.removesuffix(")") or self.unit
