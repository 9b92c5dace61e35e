"""Inception score: are the classes of restorations certain one by one and diverse together."""

import itertools
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from jaxpr.core import AnyArray, InputError, check_count, check_points, in_float64, is_traced

__all__ = ["InceptionScore", "inception_score"]

# float32 softmax over thousands of classes, or probabilities that were stored in half precision.
_ROW_SUM = 1e-3


class InceptionScore(NamedTuple):
    """Inception score.

    Attributes:
        value: mean score of the splits, in [1, number of classes].
        std: population standard deviation over the splits, as published with the score; 0 for one split.
        stderr: standard error of `value` over the splits, std / √(splits - 1); NaN for one split.
    """

    value: AnyArray
    std: AnyArray
    stderr: AnyArray


def inception_score(probabilities: AnyArray, *, splits: int) -> InceptionScore:
    r"""Inception score (Salimans et al. 2016, Section 4).

    $\exp\big(\frac1n\sum_i\sum_c p_{ic}\log(p_{ic}/\bar p_c)\big)$ of each split of n rows, averaged over splits; a
    class of probability zero adds nothing. Rows are taken in the given order, split s from ⌊sN/S⌋ to ⌊(s+1)N/S⌋:
    shuffle them first if the order carries meaning (torch-fidelity does by default).

    Args:
        probabilities: (N, C) class probabilities, rows sum to one.
        splits: number S of parts; 10 in the literature. The score grows with N/S. Static.

    Returns:
        Scalars; NumPy float64 for concrete input, the input's dtype under a transformation.

    Raises:
        InputError: not (N, C), negative values, rows that do not sum to one (logits, say), or fewer rows than splits.
    """
    check_count("splits", splits)
    check_points("probabilities", probabilities)
    if probabilities.shape[0] < splits:
        raise InputError(f"probabilities: found {probabilities.shape[0]} rows, expected at least splits = {splits}")
    if not is_traced(probabilities):
        values = np.asarray(probabilities, np.float64)
        if np.min(values) < 0:
            raise InputError(f"probabilities: found {np.min(values):.4g}, expected a softmax, none below zero")
        sums = values.sum(axis=1)
        worst = int(np.argmax(np.abs(sums - 1)))
        if abs(sums[worst] - 1) > _ROW_SUM:
            raise InputError(f"probabilities: found row {worst} with sum {sums[worst]:.4g}, expected 1")

    def compute(xp: ModuleType, p: Any) -> InceptionScore:
        edges = [s * p.shape[0] // splits for s in range(splits + 1)]
        scores = xp.stack([_score(xp, p[a:b]) for a, b in itertools.pairwise(edges)])
        variance = xp.var(scores)
        # The root of zero has no gradient.
        std = xp.where(variance > 0, xp.sqrt(xp.where(variance > 0, variance, 1)), 0)
        return InceptionScore(xp.mean(scores), std, std / xp.sqrt(splits - 1) if splits > 1 else std * xp.nan)

    return in_float64(compute)(probabilities)


def _score(xp: ModuleType, p: Any) -> Any:
    positive = xp.where(p > 0, p, 1)
    # A class without mass has p = 0 in all rows; its marginal is replaced before the logarithm.
    mean = xp.mean(p, axis=0)
    marginal = xp.where(mean > 0, mean, 1)[None]
    return xp.exp(xp.sum(p * (xp.log(positive) - xp.log(marginal))) / p.shape[0])
