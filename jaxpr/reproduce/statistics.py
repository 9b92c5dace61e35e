"""Numbers over seeds, and the rank correlations and errors that experiments report."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from jaxpr.core import AnyArray
from jaxpr.report.text import format_value

__all__ = ["deviation", "mean_std", "rank_correlation", "rises", "signed", "told"]


def mean_std(values: AnyArray | Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation of (S,), one value for each seed; the latter is NaN for one seed."""
    values = np.asarray(values, float)
    return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else math.nan


def deviation(values: np.ndarray, *, axis: int) -> np.ndarray:
    """Sample standard deviation along the axis of seeds, for bands in figures; zero for one seed."""
    return np.std(values, axis=axis, ddof=min(1, np.shape(values)[axis] - 1))


def told(values: AnyArray | Sequence[float], *, digits: int = 3) -> str:
    """`mean_std` in a sentence, with so many digits behind the point."""
    mean, std = mean_std(values)
    return f"{mean:.{digits}f}" + ("" if math.isnan(std) else f" ± {std:.{digits}f}")


def rank_correlation(a: AnyArray | Sequence[float], b: AnyArray | Sequence[float]) -> float:
    """Spearman's coefficient of the pairs of (N,) that are finite; NaN for fewer than three, or a constant side."""
    pairs = np.array([a, b])
    pairs = pairs[:, np.isfinite(pairs).all(axis=0)]
    if pairs.shape[1] < 3 or np.ptp(pairs, axis=1).min() == 0:
        return math.nan
    return float(spearmanr(*pairs).statistic)


def signed(value: float, error: float) -> str:
    """A difference with its error and its sign, in a sentence."""
    text = format_value(value, error)
    return text if text.startswith("-") else f"+{text}"


def rises(values: AnyArray) -> bool:
    """Whether a number rises along a parameter at every seed, and no step down exceeds two of its errors over seeds.

    Args:
        values: (steps, S), of S seeds; with one seed every step counts.
    """
    values = np.asarray(values, float)
    steps = np.diff(values, axis=0)
    errors = steps.std(axis=1, ddof=1) / math.sqrt(values.shape[1]) if values.shape[1] > 1 else 0.0
    return bool((steps.mean(axis=1) >= -2 * errors).all() and (values[-1] > values[0]).all())
