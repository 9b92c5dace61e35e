"""Straight lines through points: what a statistic of N examples would be for infinitely many."""

from typing import NamedTuple

import numpy as np

from jaxpr.core import AnyArray, InputError

__all__ = ["Line", "fit_line"]


class Line(NamedTuple):
    """A fitted straight line.

    Attributes:
        intercept: its value at x = 0.
        slope: its slope.
        stderr: standard error of the intercept from the residuals, for independent residuals of one variance; NaN for
            two points.
    """

    intercept: float
    slope: float
    stderr: float


def fit_line(x: AnyArray, y: AnyArray) -> Line:
    """The least-squares line y = intercept + slope · x, in float64 on the host.

    Args:
        x: (P,), at least two distinct values.
        y: (P,).

    Raises:
        InputError: not two arrays of one length, fewer than two distinct x, or NaN.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise InputError(f"y: found shapes {x.shape} and {y.shape}, expected (P,) twice")
    if len(np.unique(x)) < 2 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError(f"x: found {len(np.unique(x))} distinct values, expected at least two, and finite x and y")
    centred = x - x.mean()
    square = np.sum(centred**2)
    slope = np.sum(centred * y) / square
    intercept = y.mean() - slope * x.mean()
    freedom = len(x) - 2
    variance = np.sum((y - intercept - slope * x) ** 2) / freedom if freedom else np.nan
    return Line(float(intercept), float(slope), float(np.sqrt(variance * (1 / len(x) + x.mean() ** 2 / square))))
