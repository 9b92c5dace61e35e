"""What else an image could be: many answers to one measurement, few of them shown, and a page to browse the others."""

from jaxpr.exploration.drawing import draw_answers, draw_together, read_draws
from jaxpr.exploration.explore import explore
from jaxpr.exploration.explored import Answers, AnswerSet, Explored, exploration_record
from jaxpr.exploration.spaces import SPACES, Compared, compare_images, deep_features, lpips_distances

__all__ = [
    "SPACES",
    "AnswerSet",
    "Answers",
    "Compared",
    "Explored",
    "compare_images",
    "deep_features",
    "draw_answers",
    "draw_together",
    "exploration_record",
    "explore",
    "lpips_distances",
    "read_draws",
]
