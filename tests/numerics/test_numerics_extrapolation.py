"""Straight lines: SciPy's linear regression, exact lines."""

import numpy as np
import pytest
import scipy.stats

from jaxpr.core import InputError
from jaxpr.numerics.extrapolation import fit_line

FLOAT64 = 1e-12  # sums of 12 terms


def test_equals_scipy():
    rng = np.random.default_rng(0)
    x = rng.random(12)
    y = 3 - 2 * x + 0.1 * rng.standard_normal(12)
    expected = scipy.stats.linregress(x, y)
    found = fit_line(x, y)
    np.testing.assert_allclose(found.intercept, expected.intercept, rtol=FLOAT64)
    np.testing.assert_allclose(found.slope, expected.slope, rtol=FLOAT64)
    np.testing.assert_allclose(found.stderr, expected.intercept_stderr, rtol=FLOAT64)


def test_exact_lines():
    x = np.array([0.1, 0.2, 0.5, 1.0])
    found = fit_line(x, 4 * x - 7)
    np.testing.assert_allclose(found, (-7, 4, 0), atol=1e-12)
    two = fit_line(x[:2], x[:2])
    np.testing.assert_allclose(two[:2], (0, 1), atol=FLOAT64)
    assert np.isnan(two.stderr)


@pytest.mark.parametrize(("x", "y"), [([1.0, 1.0], [1.0, 2.0]), ([1.0], [1.0]), ([1.0, 2.0], [1.0, np.nan])])
def test_too_few_values(x, y):
    with pytest.raises(InputError, match="distinct values, expected at least two, and finite"):
        fit_line(np.array(x), np.array(y))


def test_lengths():
    with pytest.raises(InputError, match=r"y: found shapes \(3,\) and \(2,\)"):
        fit_line(np.ones(3), np.ones(2))
