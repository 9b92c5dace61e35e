"""Standard errors: the usual one for independent examples, honest ones for groups."""

import numpy as np
import pytest
import scipy.stats

from jaxpr._core import InputError
from jaxpr.numerics.statistics import Estimate, grouped_mean, jackknife

FLOAT64 = 1e-12  # float64 sums of at most 50 terms
VALUES = np.random.default_rng(0).normal(3, 2, size=50)


def test_singletons_give_the_usual_standard_error():
    found = grouped_mean(VALUES, np.arange(50))
    np.testing.assert_allclose(found, (VALUES.mean(), scipy.stats.sem(VALUES)), rtol=FLOAT64)


@pytest.mark.parametrize("copies", [2, 7])
def test_copies_of_an_example_add_no_certainty(copies):
    found = grouped_mean(np.repeat(VALUES, copies), np.repeat(np.arange(50), copies))
    np.testing.assert_allclose(found, (VALUES.mean(), scipy.stats.sem(VALUES)), rtol=FLOAT64)
    naive = grouped_mean(np.repeat(VALUES, copies), np.arange(50 * copies))
    assert naive.stderr < 0.75 * found.stderr


def test_two_groups_by_hand():
    # Mean 3; deviations sum to -4 and +4 over groups of 2 and 2: sqrt(2/1 · 32) / 4 = 2.
    found = grouped_mean(np.array([0.0, 2.0, 4.0, 6.0]), np.array(["a", "a", "b", "b"]))
    assert found == Estimate(3.0, 2.0)


def test_labels_and_order_do_not_matter():
    groups = np.arange(50) % 7
    order = np.random.default_rng(1).permutation(50)
    expected = grouped_mean(VALUES, groups)
    np.testing.assert_allclose(grouped_mean(VALUES[order], groups[order]), expected, rtol=FLOAT64)
    named = np.array([f"photo {g}" for g in groups])
    np.testing.assert_allclose(grouped_mean(VALUES, named), expected, rtol=FLOAT64)


def test_undefined_is_nan():
    found = grouped_mean(VALUES, np.zeros(50))
    np.testing.assert_allclose(found.value, VALUES.mean(), rtol=FLOAT64)
    assert np.isnan(found.stderr)
    assert np.isnan(grouped_mean(np.array([1.0, np.nan]), np.arange(2))).all()
    infinite = grouped_mean(np.array([1.0, np.inf]), np.arange(2))
    assert infinite.value == np.inf
    assert np.isnan(infinite.stderr)


@pytest.mark.parametrize(
    ("values", "groups"),
    [(np.zeros(0), np.zeros(0)), (np.zeros(3), np.zeros(2)), (np.zeros((2, 2)), np.zeros((2, 2)))],
)
def test_grouped_mean_errors(values, groups):
    with pytest.raises(InputError, match="values: found shapes"):
        grouped_mean(values, groups)


def test_jackknife_of_the_mean_is_the_standard_error():
    found = jackknife(lambda groups: float(np.mean(groups)), list(VALUES))
    np.testing.assert_allclose(found, (VALUES.mean(), scipy.stats.sem(VALUES)), rtol=FLOAT64)


def test_jackknife_of_equal_groups_equals_grouped_mean():
    groups = np.arange(50) // 5
    found = jackknife(lambda parts: float(np.mean(np.concatenate(parts))), np.split(VALUES, 10))
    np.testing.assert_allclose(found, grouped_mean(VALUES, groups), rtol=FLOAT64)


def test_jackknife_of_the_variance():
    # A closed form: leaving i out changes the biased variance s² to n/(n-1) · (s² - d_i²/(n-1)), d_i from the mean.
    n, deviations = 50, VALUES - VALUES.mean()
    left_out = n / (n - 1) * (np.mean(deviations**2) - deviations**2 / (n - 1))
    expected = np.sqrt((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2))
    found = jackknife(lambda groups: float(np.var(groups)), list(VALUES))
    np.testing.assert_allclose(found, (VALUES.var(), expected), rtol=1e-10)  # differences of variances of 4


def test_jackknife_of_few_groups():
    assert np.isnan(jackknife(lambda groups: 1.0, [0.0]).stderr)
    assert jackknife(lambda groups: 1.0, [0.0]).value == 1
    with pytest.raises(InputError, match="groups: found none"):
        jackknife(lambda groups: 1.0, [])
