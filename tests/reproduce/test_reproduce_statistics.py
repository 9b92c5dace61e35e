"""Numbers over seeds against NumPy, ranks against known orders."""

import math

import numpy as np
import pytest

from jaxpr.numerics.statistics import jackknife_error
from jaxpr.reproduce.statistics import deviation, mean_std, rank_correlation, rises, told


def test_numbers_over_seeds():
    assert mean_std([1.0, 3.0]) == (2.0, pytest.approx(math.sqrt(2)))
    assert math.isnan(mean_std(np.array([1.0]))[1])
    np.testing.assert_array_equal(deviation(np.array([[1.0], [2.0]]), axis=1), [0, 0])
    assert told(np.array([1.0, 3.0]), digits=1) == "2.0 ± 1.4"
    assert told([1.0]) == "1.000"


def test_rank_correlation():
    assert rank_correlation([1, 2, 5, 3], [1, 20, 400, 21]) == pytest.approx(1)
    assert rank_correlation([1, 2, 5, math.nan], [3, 2, 1, 9]) == pytest.approx(-1)
    assert math.isnan(rank_correlation([1, 2, 3], [4, 4, 4]))
    assert math.isnan(rank_correlation([1, 2], [2, 1]))


def test_jackknife_of_a_mean_is_its_standard_error():
    values = np.random.default_rng(0).normal(size=12)
    left_out = [np.delete(values, i).mean() for i in range(12)]
    assert jackknife_error(left_out) == pytest.approx(values.std(ddof=1) / math.sqrt(12))


def test_what_rises_over_seeds():
    up, spread = np.arange(4.0)[:, None], np.array([-0.3, 0.0, 0.3])
    assert rises(up + spread)
    assert not rises(-up + spread)
    tie = np.array([[0.0, 0.1, 0.2], [0.1, -0.1, 0.2], [1.0, 1.0, 1.0]])  # down by 0.03 ± 0.09
    assert rises(tie)
    assert not rises(tie.mean(axis=1, keepdims=True))  # one seed
    assert not rises(np.array([[0.0, 0.1], [-0.5, -0.4], [1.0, 1.0]]))  # down by the same at each seed
    assert not rises(np.zeros((3, 2)))
