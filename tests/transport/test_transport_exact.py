"""Exact transport: POT, assignment, linear programming and closed forms; the certificate; mistakes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from scipy.spatial.distance import cdist

from jaxpr.core import InputError
from jaxpr.core.versions import enable_x64
from jaxpr.transport import emd, joint_emd, wasserstein_1d

COSTS = ["l1", "l2", "squared_l2"]
METHODS = ["dense", pytest.param("sparse", marks=pytest.mark.thorough)]  # numba compiles for long
METRIC = {"l1": "cityblock", "l2": "euclidean", "squared_l2": "sqeuclidean"}
EXACT = 1e-11  # relative; float64 sums of up to a few thousand costs
GAP = 2e-12  # relative to the largest cost; rounding of potentials

SETS = {  # name: (x, y, weighted)
    "one point": (lambda r: r.standard_normal((1, 2)), lambda r: r.standard_normal((1, 2)), False),
    "one to many": (lambda r: r.standard_normal((1, 3)), lambda r: r.standard_normal((7, 3)), True),
    "two": (lambda r: r.standard_normal((2, 2)), lambda r: r.standard_normal((2, 2)), False),
    "plane": (lambda r: r.standard_normal((150, 2)), lambda r: 1 + r.standard_normal((150, 2)), False),
    "unequal": (lambda r: r.standard_normal((90, 2)), lambda r: r.standard_normal((140, 2)), False),
    "weighted": (lambda r: r.standard_normal((130, 2)), lambda r: r.standard_normal((70, 2)), True),
    "line": (lambda r: r.standard_normal((80, 1)), lambda r: r.standard_normal((80, 1)), False),
    "wide": (lambda r: r.standard_normal((60, 20)), lambda r: r.standard_normal((60, 20)), False),
    "ties": (lambda r: r.integers(0, 4, (100, 2)) * 1.0, lambda r: r.integers(0, 4, (100, 2)) * 1.0, False),
    "weighted ties": (lambda r: r.integers(0, 3, (60, 2)) * 1.0, lambda r: r.integers(0, 4, (80, 2)) * 1.0, True),
    "duplicates": (lambda r: np.repeat(r.standard_normal((20, 2)), 5, 0), lambda r: r.standard_normal((100, 2)), False),
    "constant": (lambda r: np.ones((30, 2)), lambda r: np.zeros((30, 2)), False),
    "far apart": (lambda r: r.standard_normal((50, 2)), lambda r: 1e3 + r.standard_normal((50, 2)), False),
}


def problem(name, seed=0):
    make_x, make_y, weighted = SETS[name]
    rng = np.random.default_rng(seed)
    x, y = make_x(rng), make_y(rng)
    if not weighted:
        return x, y, None, None
    a, b = rng.random(len(x)), rng.random(len(y))
    a[:: max(2, len(a) // 3)] *= 1e-3
    return x, y, a / a.sum(), b / b.sum()


def by_pot(x, y, a, b, cost):
    ot = pytest.importorskip("ot")
    a = np.full(len(x), 1 / len(x)) if a is None else a
    b = np.full(len(y), 1 / len(y)) if b is None else b
    return ot.emd2(a, b, cdist(x, y, METRIC[cost]), numItermax=10**7)


def check_plan(found, x, y, a, b, cost):
    """The certificate, verified by hand: a plan, feasible potentials, and their gap."""
    a = np.full(len(x), 1 / len(x)) if a is None else a
    b = np.full(len(y), 1 / len(y)) if b is None else b
    costs = cdist(x, y, METRIC[cost])
    scale = max(costs.max(), 1e-300)
    assert (found.mass > 0).all()
    pairs = found.rows * len(y) + found.columns
    assert len(np.unique(pairs)) == len(pairs) <= 2 * (len(x) + len(y))
    np.testing.assert_allclose(np.bincount(found.rows, found.mass, len(x)), a, atol=1e-13)
    np.testing.assert_allclose(np.bincount(found.columns, found.mass, len(y)), b, atol=1e-13)
    np.testing.assert_allclose(np.sum(found.mass * costs[found.rows, found.columns]), found.value, rtol=EXACT)
    assert np.min(costs - found.potential_x[:, None] - found.potential_y[None]) >= -GAP * scale
    bound = a @ found.potential_x + b @ found.potential_y
    np.testing.assert_allclose(found.value - bound, found.gap, atol=GAP * scale)
    assert abs(found.gap) <= GAP * scale


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("name", SETS)
def test_equals_pot_and_certifies_itself(name, cost, method):
    x, y, a, b = problem(name)
    found = emd(x, y, cost=cost, weights_x=a, weights_y=b, method=method)
    np.testing.assert_allclose(found.value, by_pot(x, y, a, b, cost), rtol=EXACT, atol=1e-15)
    check_plan(found, x, y, a, b, cost)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(5))
def test_random_small_problems_equal_linear_programs(seed, method):
    rng = np.random.default_rng(seed)
    n, m, d = rng.integers(1, 9, 3)
    x, y = np.round(rng.standard_normal((n, d)), 1), np.round(rng.standard_normal((m, d)), 1)
    a, b = rng.integers(0, 4, n) + (np.arange(n) == 0), rng.integers(0, 4, m) + (np.arange(m) == 0)
    a, b = a / a.sum(), b / b.sum()
    cost = COSTS[seed % 3]
    marginals = np.vstack([np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))])
    expected = scipy.optimize.linprog(cdist(x, y, METRIC[cost]).ravel(), A_eq=marginals, b_eq=np.concatenate([a, b]))
    found = emd(x, y, cost=cost, weights_x=a, weights_y=b, method=method)
    np.testing.assert_allclose(found.value, expected.fun, atol=1e-9)
    check_plan(found, x, y, a, b, cost)


@pytest.mark.thorough
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cost", COSTS)
def test_equals_assignment(cost, method):
    x, y, *_ = problem("plane", seed=3)
    rows, columns = scipy.optimize.linear_sum_assignment(costs := cdist(x, y, METRIC[cost]))
    found = emd(x, y, cost=cost, method=method)
    np.testing.assert_allclose(found.value, costs[rows, columns].mean(), rtol=EXACT)
    assert len(found.rows) == len(x)


@pytest.mark.parametrize("method", METHODS)
def test_shift_and_equal_sets(method):
    x = np.random.default_rng(0).standard_normal((200, 2))
    shifted = emd(x, x + np.array([3, -4]), cost="squared_l2", method=method)
    np.testing.assert_allclose(shifted.value, 25, rtol=EXACT)
    for cost in COSTS:
        same = emd(x, x[::-1], cost=cost, method=method)
        assert same.value == 0
        np.testing.assert_array_equal(x[same.rows], x[::-1][same.columns])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scale", [1e-12, 1e9])
def test_units(scale, method):
    x, y, *_ = problem("plane")
    for cost, power in (("l1", 1), ("squared_l2", 2)):
        expected = emd(x, y, cost=cost, method=method).value
        found = emd(x * scale, y * scale, cost=cost, method=method)
        np.testing.assert_allclose(found.value, expected * scale**power, rtol=EXACT)
        assert found.gap <= GAP * 100 * scale**power


@pytest.mark.parametrize("method", METHODS)
def test_masses_need_not_be_one_and_may_be_zero(method):
    x, y, a, b = problem("weighted")
    a, b = a.copy(), b.copy()
    a[3] = b[5] = 0
    a, b = a / a.sum(), b / b.sum()
    once = emd(x, y, cost="l2", weights_x=a, weights_y=b, method=method)
    check_plan(once, x, y, a, b, "l2")
    np.testing.assert_allclose(
        emd(x, y, cost="l2", weights_x=10 * a, weights_y=10 * b, method=method).value, 10 * once.value
    )
    half = emd(x, y, cost="l2", weights_x=a, method=method)  # the other side uniform
    np.testing.assert_allclose(half.value, by_pot(x, y, a, None, "l2"), rtol=EXACT)


def test_float32_points_and_weights():
    x, y, a, b = problem("weighted")
    low = [array.astype(np.float32) for array in (x, y, a, b)]
    found = emd(low[0], jnp.asarray(low[1]), cost="l1", weights_x=low[2], weights_y=low[3])
    np.testing.assert_allclose(found.value, by_pot(x, y, a, b, "l1"), rtol=1e-5)
    assert found.gap < 1e-12


@pytest.mark.thorough
def test_agrees_with_sorting_on_the_line():
    x, y, a, b = problem("weighted")
    with enable_x64(True):
        for p, cost in ((1, "l1"), (2, "squared_l2")):
            found = emd(x[:, :1], y[:, :1], cost=cost, weights_x=a, weights_y=b).value
            expected = wasserstein_1d(x[:, 0], y[:, 0], p=p, weights_x=a, weights_y=b) ** p
            np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_joint_distance():
    rng = np.random.default_rng(0)
    x, noise = rng.standard_normal((2, 120, 1))
    y = x + noise
    real, fake = (x, y), (y / 2, y)
    found = joint_emd(real, fake, cost="l1")
    np.testing.assert_allclose(found.value, emd(np.hstack(real), np.hstack(fake), cost="l1").value)
    assert joint_emd(real, real, cost="l1").value == 0
    assert found.value >= emd(x, y / 2, cost="l1").value  # a marginal is never farther apart


def test_joint_distance_of_images():
    x, y = np.random.default_rng(0).random((2, 5, 4, 4, 1), np.float32)
    found = joint_emd((x, y), (jnp.asarray(y), y), cost="l2")
    flat = np.concatenate([x.reshape(5, -1), y.reshape(5, -1)], 1), np.concatenate([y.reshape(5, -1)] * 2, 1)
    np.testing.assert_allclose(found.value, emd(*flat, cost="l2").value)


POINTS = np.zeros((3, 2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: emd(np.zeros(3), POINTS, cost="l1"), r"x: found shape \(3,\)"),
        (lambda: emd(POINTS, np.zeros((3, 4)), cost="l1"), "y: found width 4, expected 2"),
        (lambda: emd(POINTS, np.zeros((0, 2)), cost="l1"), "y: found 0 points"),
        (lambda: emd(np.zeros((3, 0)), np.zeros((3, 0)), cost="l1"), "at least one coordinate"),
        (lambda: emd(POINTS.astype(int), POINTS, cost="l1"), "x: found dtype int"),
        (lambda: emd(POINTS * np.nan, POINTS, cost="l1"), "x: found NaN"),
        (lambda: emd(POINTS, POINTS, cost="l3"), "cost: found 'l3', expected one of 'l1', 'l2', 'squared_l2'"),
        (lambda: emd(POINTS, POINTS, cost="l1", method="lazy"), "method: found 'lazy'"),
        (lambda: emd(POINTS, POINTS, cost="l1", weights_x=np.ones(4)), r"weights_x: found shape \(4,\)"),
        (lambda: emd(POINTS, POINTS, cost="l1", weights_y=-np.ones(3)), "weights_y: found negative"),
        (lambda: emd(POINTS, POINTS, cost="l1", weights_y=np.zeros(3)), "only zero weights"),
        (lambda: emd(POINTS, POINTS, cost="l1", weights_x=np.ones(3), weights_y=np.full(3, 1.1)), "sums 3 and 3.3"),
        (lambda: jax.jit(lambda x: emd(x, POINTS, cost="l1").value)(POINTS), "x: found a traced array"),
        (lambda: joint_emd(POINTS, (POINTS, POINTS), cost="l1"), r"real: found ndarray, expected a pair \(x, y\)"),
        (
            lambda: joint_emd((POINTS, POINTS), (POINTS, POINTS[:2]), cost="l1"),
            r"fake: found shapes \(3, 2\) and \(2, 2",
        ),
        (lambda: joint_emd((POINTS, POINTS + np.inf), (POINTS, POINTS), cost="l1"), "real: found NaN .* in y"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(InputError, match=message) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ot.lp", None)
    with pytest.raises(InputError, match=r"ot\.lp: found no numba, POT, ott-jax, expected it; run: pip install"):
        emd(POINTS, POINTS, cost="l1", method="dense")
