"""Standard errors: the usual one for independent examples, honest ones for groups."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxpr.core import InputError
from jaxpr.numerics.statistics import Estimate, bootstrap, grouped_mean, jackknife

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


KEY = jax.random.key(0)


def mean(values, weights):
    return jnp.sum(weights * values) / jnp.sum(weights)


def test_bootstrap_of_the_mean():
    found = bootstrap(KEY, mean, VALUES.astype(np.float32), draws=4000)
    np.testing.assert_allclose(found.value, VALUES.mean(), rtol=1e-6)  # float32
    # Known: the standard deviation over all resamples is the biased one / sqrt(N); 4000 draws find it to 1.1 %.
    np.testing.assert_allclose(found.stderr, VALUES.std() / np.sqrt(50), rtol=0.05)
    assert found.estimate == Estimate(found.value, found.stderr)
    normal = VALUES.mean() + np.array([-1.96, 1.96]) * VALUES.std() / np.sqrt(50)
    np.testing.assert_allclose([found.low, found.high], normal, atol=0.1 * found.stderr * 2)


@pytest.mark.thorough
def test_bootstrap_of_groups_equals_the_grouped_standard_error():
    rng = np.random.default_rng(1)
    groups = np.arange(400) % 40
    values = (rng.standard_normal(40)[groups] + 0.1 * rng.standard_normal(400)).astype(np.float32)
    expected = grouped_mean(values, groups).stderr * np.sqrt(39 / 40)  # biased variance
    found = bootstrap(KEY, mean, values, draws=3000, groups=np.array([f"photo {g}" for g in groups]))
    np.testing.assert_allclose(found.stderr, expected, rtol=0.06)
    assert bootstrap(KEY, mean, values, draws=500).stderr < 0.5 * expected


@pytest.mark.thorough
def test_bootstrap_intervals_cover():
    """Of 300 experiments about 93 % have the truth in the interval, give or take 4 %.

    For 40 normal values percentile intervals are a little narrow (Efron and Tibshirani 1993).
    """
    experiments = np.random.default_rng(2).standard_normal((300, 40)).astype(np.float32)
    keys = jax.random.split(KEY, 300)
    weigh = jax.jit(jax.vmap(lambda key: jnp.zeros(40).at[jax.random.randint(key, (40,), 0, 40)].add(1)))
    covered = 0
    for values in experiments[:5]:
        found = bootstrap(keys[0], mean, values, draws=400)
        weights = np.asarray(weigh(jax.random.split(keys[0], 400)))
        # The public function and this shortcut draw alike; the shortcut serves the other experiments.
        low, high = np.quantile(weights @ values.astype(np.float64) / 40, [0.025, 0.975])
        np.testing.assert_allclose([found.low, found.high], [low, high], atol=1e-5)
    for key, values in zip(keys, experiments, strict=True):
        means = np.asarray(weigh(jax.random.split(key, 400))) @ values.astype(np.float64) / 40
        low, high = np.quantile(means, [0.025, 0.975])
        covered += low <= 0 <= high
    assert 0.88 < covered / 300 < 0.98


def test_bootstrap_of_a_ratio_of_a_pytree_and_seeds():
    data = {"a": VALUES.astype(np.float32), "b": (VALUES**2).astype(np.float32)}

    def ratio(values, weights):
        return jnp.sum(weights * values["b"]) / jnp.sum(weights * values["a"])

    found = bootstrap(KEY, ratio, data, draws=200)
    np.testing.assert_allclose(found.value, np.sum(VALUES**2) / np.sum(VALUES), rtol=1e-6)
    assert found == bootstrap(KEY, ratio, data, draws=200)
    assert found.stderr != bootstrap(jax.random.key(1), ratio, data, draws=200).stderr
    expected = jackknife(lambda v: float(np.sum(np.square(v)) / np.sum(v)), list(VALUES)).stderr
    np.testing.assert_allclose(found.stderr, expected, rtol=0.2)


def test_bootstrap_of_one_group_and_errors():
    values = VALUES.astype(np.float32)
    one = bootstrap(KEY, mean, values, draws=5, groups=np.zeros(50))
    np.testing.assert_allclose(one.value, VALUES.mean(), rtol=1e-6)
    assert np.isnan(one[1:]).all()
    for options, message in (
        ({"draws": 1}, "draws: found 1"),
        ({"draws": 5, "level": 1.0}, "level: found 1.0"),
        ({"draws": 5, "groups": np.zeros(3)}, r"groups: found shape \(3,\), expected \(50,\)"),
    ):
        with pytest.raises(InputError, match=message):
            bootstrap(KEY, mean, values, **options)
    for bad in (values[:0], (values, values[:3]), 1.0):
        with pytest.raises(InputError, match="values: found leading axes"):
            bootstrap(KEY, mean, bad, draws=5)
