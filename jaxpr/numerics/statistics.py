"""Means with standard errors, honest about examples that come in groups (crops of one photograph)."""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from jaxpr._core import AnyArray, InputError

__all__ = ["Estimate", "grouped_mean", "jackknife"]

T = TypeVar("T")


class Estimate(NamedTuple):
    """A number and its uncertainty.

    Attributes:
        value: the estimate.
        stderr: its standard error; NaN where it cannot be estimated (fewer than two groups).
    """

    value: float
    stderr: float


def grouped_mean(values: AnyArray, groups: np.ndarray | None = None) -> Estimate:
    r"""Mean over all examples, with the standard error of a mean of dependent groups.

    Examples of one group (crops of one photograph) resemble each other, so they do not count as independent draws:
    $\mathrm{se}^2 = \frac{G}{G-1} \sum_g \big(\sum_{i \in g} (v_i - \bar v)\big)^2 / N^2$, which is the usual
    standard error of the mean when every example is its own group.

    Args:
        values: (N,).
        groups: (N,), integer or string label of each example's group; None makes every example its own group.

    Raises:
        InputError: empty, or lengths differ.
    """
    values = np.asarray(values, np.float64)
    groups = np.arange(values.size) if groups is None else np.asarray(groups)
    if values.ndim != 1 or values.size == 0 or groups.shape != values.shape:
        raise InputError(f"values: found shapes {values.shape} and {groups.shape}, expected (N,) twice, N >= 1")
    mean = values.mean()
    labels, index = np.unique(groups, return_inverse=True)
    count = len(labels)
    if count < 2 or not np.isfinite(mean):
        return Estimate(float(mean), float("nan"))
    sums = np.bincount(index, weights=values - mean)
    return Estimate(float(mean), float(np.sqrt(count / (count - 1) * np.sum(sums**2)) / values.size))


def jackknife(statistic: Callable[[Sequence[T]], float], groups: Sequence[T]) -> Estimate:
    r"""A statistic of groups of data with its delete-one-group jackknife standard error (Efron and Stein 1981).

    $\mathrm{se}^2 = \frac{G-1}{G} \sum_g (\theta_{-g} - \bar\theta)^2$, where $\theta_{-g}$ leaves group g out.

    Args:
        statistic: maps a sequence of groups (for instance `Moments`) to a number.
        groups: the G groups.

    Raises:
        InputError: no groups.
    """
    if not groups:
        raise InputError("groups: found none, expected at least one")
    value, count = statistic(groups), len(groups)
    if count < 2:
        return Estimate(value, float("nan"))
    left_out = np.array([statistic([*groups[:g], *groups[g + 1 :]]) for g in range(count)])
    return Estimate(value, float(np.sqrt((count - 1) / count * np.sum((left_out - left_out.mean()) ** 2))))
