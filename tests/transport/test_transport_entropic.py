"""Sinkhorn divergence, transport on the line and sliced transport: limits, closed forms, peers, transformations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxpr.core import InputError
from jaxpr.core.versions import enable_x64
from jaxpr.transport import emd, gaussian_w2, sinkhorn_divergence, sliced_wasserstein, wasserstein_1d

COSTS = ["l1", "l2", "squared_l2"]
SOLVER = 2e-3  # float32, stopped at a marginal error of 1e-3
TIGHT = 1e-5  # float64, stopped at 1e-9; finite differences
FLOAT32 = 1e-5
# A program is compiled for each pair of sizes, cost and number of iterations, so that most tests use one.
solve = functools.partial(sinkhorn_divergence, max_iterations=20_000)


def clouds(n=18, m=18, d=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, d)).astype(np.float32), (1 + rng.standard_normal((m, d))).astype(np.float32)


@pytest.mark.thorough
@pytest.mark.parametrize("cost", COSTS)
def test_tends_to_the_exact_cost(cost):
    x, y = clouds()
    exact = emd(x, y, cost=cost).value
    errors = []
    for epsilon in (0.3, 0.03, 0.003):
        found = solve(x, y, epsilon=epsilon, cost=cost)
        assert found.converged
        errors.append(abs(float(found) - exact) / exact)
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.02


@pytest.mark.thorough
@pytest.mark.parametrize("cost", COSTS)
def test_zero_for_equal_sets(cost):
    x, _ = clouds()
    found = solve(x, x[::-1], epsilon=0.05, cost=cost)
    np.testing.assert_allclose(found.value, 0, atol=SOLVER)


def test_zero_for_equal_points():
    x, _ = clouds()
    point = solve(x[:1], x[:1], epsilon=0.05)
    np.testing.assert_allclose(point.value, 0, atol=FLOAT32)
    assert point.converged


@pytest.mark.thorough
def test_epsilon_is_relative_to_the_mean_cost():
    x, y = clouds()
    once, scaled = (solve(s * x, s * y, epsilon=0.05) for s in (1, 100))
    np.testing.assert_allclose(scaled.value, 1e4 * once.value, rtol=SOLVER)
    np.testing.assert_allclose(once.epsilon, 0.05 * np.mean(np.sum((x[:, None] - y[None]) ** 2, -1)), rtol=FLOAT32)


@pytest.mark.thorough
def test_weights_count_copies():
    x, y = clouds(6)
    copies = np.array([3, 4, 6, 1, 2, 2])
    equal = np.full(18, 1 / 18)
    weighted = solve(x, y, epsilon=0.1, weights_x=copies / 18.0, weights_y=equal)
    repeated = solve(np.repeat(x, copies, 0), y, epsilon=0.1)
    np.testing.assert_allclose(weighted.value, repeated.value, rtol=SOLVER)
    many = solve(x, y, epsilon=0.1, weights_x=copies, weights_y=18 * equal)
    np.testing.assert_allclose(many.value, 18 * weighted.value, rtol=SOLVER)


def test_convergence_is_reported():
    x, y = clouds()
    assert not sinkhorn_divergence(x, y, epsilon=1e-3, max_iterations=10).converged


@pytest.mark.thorough
@pytest.mark.parametrize("cost", COSTS)
def test_sinkhorn_transforms(cost):
    x, y = clouds()

    def value(x):
        return solve(x, y, epsilon=0.05, cost=cost).value

    values, grads = jax.jit(jax.vmap(jax.value_and_grad(value)))(jnp.stack([x, x + 1]))
    np.testing.assert_allclose(values, [value(x), value(x + 1)], rtol=SOLVER)
    assert jnp.isfinite(grads).all()
    assert "callback" not in str(jax.make_jaxpr(value)(x))
    if cost == "squared_l2":  # one more program
        once = jax.jit(jax.value_and_grad(value))(jnp.asarray(x))
        np.testing.assert_allclose(once[0], value(x), rtol=FLOAT32)
        np.testing.assert_allclose(grads[0], once[1], atol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("cost", COSTS)
def test_sinkhorn_gradient_at_fixed_regularisation(cost):
    x, y = (cloud.astype(np.float64) for cloud in clouds(20, 15))
    direction = np.random.default_rng(1).standard_normal(x.shape)
    order, power = {"l1": (1, 1), "l2": (2, 1), "squared_l2": (2, 2)}[cost]
    with enable_x64(True):

        @jax.jit
        @jax.value_and_grad
        def along(x, share):
            options = {"cost": cost, "threshold": 1e-9, "max_iterations": 50_000}
            return sinkhorn_divergence(x, y, epsilon=share, **options).value

        def at_fixed_epsilon(x):
            mean_cost = np.mean(np.linalg.norm(x[:, None] - y[None], order, axis=-1) ** power)
            value, gradient = along(x, 0.2 / mean_cost)
            return float(value), float(np.sum(gradient * direction))  # a float64 array may not leave this block

        step = 1e-4
        (ahead, _), (behind, _), (_, found) = (at_fixed_epsilon(x + t * step * direction) for t in (1, -1, 0))
    np.testing.assert_allclose(found, (ahead - behind) / (2 * step), rtol=TIGHT)


@pytest.mark.thorough
@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 5), (50, 50), (30, 45), (7, 11)])
@pytest.mark.parametrize("weighted", [False, True])
def test_line_equals_scipy_and_emd(n, m, weighted):
    rng = np.random.default_rng(n)
    x, y = rng.standard_normal(n), np.round(rng.standard_normal(m), 1)
    a, b = (rng.random(n), rng.random(m)) if weighted else (None, None)
    if weighted:
        a, b = a / a.sum(), b / b.sum()
    found = wasserstein_1d(x, y, p=1, weights_x=a, weights_y=b)
    np.testing.assert_allclose(found, scipy.stats.wasserstein_distance(x, y, a, b), rtol=1e-5)
    squared = emd(x[:, None], y[:, None], cost="squared_l2", weights_x=a, weights_y=b).value
    np.testing.assert_allclose(wasserstein_1d(x, y, p=2, weights_x=a, weights_y=b) ** 2, squared, rtol=1e-5)


@pytest.mark.thorough
def test_line_closed_forms():
    x = jnp.asarray([3.0, 1.0, 2.0])
    for p in (1, 1.5, 2, 3):
        np.testing.assert_allclose(wasserstein_1d(x, x + 2, p=p), 2, rtol=FLOAT32)
        assert wasserstein_1d(x, x[::-1], p=p) == 0
        grad = jax.grad(lambda t, p=p: wasserstein_1d(x + t, x, p=p))
        np.testing.assert_allclose(grad(2.0), 1, rtol=FLOAT32)
        assert grad(0.0) == 0
    np.testing.assert_allclose(wasserstein_1d(jnp.zeros(1), x, p=3), np.cbrt(12), rtol=FLOAT32)


@pytest.mark.thorough
def test_line_transforms():
    rng = np.random.default_rng(0)
    x, y = (jnp.asarray(rng.standard_normal(n), jnp.float32) for n in (8, 12))
    a = jnp.asarray(rng.random(8), jnp.float32)

    def distance(x, a):
        return wasserstein_1d(x, y, p=2, weights_x=a)

    found, slope = jax.jit(jax.vmap(jax.value_and_grad(distance)))(jnp.stack([x, 2 * x]), jnp.stack([a, a]))
    np.testing.assert_allclose(found, [distance(x, a), distance(2 * x, a)], rtol=FLOAT32)
    assert jnp.isfinite(slope).all()


@pytest.mark.thorough
def test_sliced_of_a_shift():
    """One direction sees the shift's component; its mean square over directions is |shift|² / d."""
    x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    found = sliced_wasserstein(jax.random.key(0), x, x + np.array([3, 0, 4], np.float32), projections=4000, p=2)
    np.testing.assert_allclose(found**2, 25 / 3, rtol=0.05)  # 4000 directions
    assert sliced_wasserstein(jax.random.key(0), x, x[::-1], projections=10, p=1) == 0


@pytest.mark.thorough
def test_sliced_of_one_coordinate_is_exact():
    x, y = clouds(30, 20, d=1)
    found = sliced_wasserstein(jax.random.key(1), x, y, projections=3, p=2)
    np.testing.assert_allclose(found, wasserstein_1d(x[:, 0], y[:, 0], p=2), rtol=FLOAT32)


@pytest.mark.thorough
def test_sliced_is_below_the_full_distance_and_transforms():
    x, y = clouds()
    key = jax.random.key(0)

    def distance(x):
        return sliced_wasserstein(key, x, y, projections=40, p=2)

    expected = distance(x)
    assert expected < np.sqrt(emd(x, y, cost="squared_l2").value)
    found, slope = jax.jit(jax.vmap(jax.value_and_grad(distance)))(jnp.stack([x + 1, x]))
    np.testing.assert_allclose(found[1], expected, rtol=FLOAT32)
    assert jnp.isfinite(slope).all()


def test_gaussian_distance_agrees_with_samples():
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((2, 500, 2))
    x, y = (drawn - drawn.mean(1, keepdims=True)) / drawn.std(1, keepdims=True)  # no error of the first moments
    y = y * [2, 0.5] + [3, 0]
    exact = gaussian_w2(np.zeros(2), np.eye(2), np.array([3.0, 0]), np.diag([4, 0.25]))
    np.testing.assert_allclose(np.sqrt(emd(x, y, cost="squared_l2").value), exact, rtol=0.03)  # 500 samples


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: sinkhorn_divergence(x, x, epsilon=0.0), "epsilon: found 0.0, expected a positive number"),
        (lambda x: sinkhorn_divergence(x, x[:, :1], epsilon=0.1), "y: found width 1, expected 2"),
        (lambda x: sinkhorn_divergence(x, x, epsilon=0.1, cost="cosine"), "cost: found 'cosine'"),
        (lambda x: sinkhorn_divergence(x * np.nan, x, epsilon=0.1), "x: found NaN"),
        (lambda x: sinkhorn_divergence(x, x, epsilon=0.1, max_iterations=0), "max_iterations: found 0"),
        (lambda x: sinkhorn_divergence(x, x, epsilon=0.1, weights_x=np.ones(1)), r"weights_x: found shape \(1,\)"),
        (lambda x: wasserstein_1d(x, x[0], p=1), r"x: found shape \(18, 2\), expected numbers \(n,\)"),
        (lambda x: wasserstein_1d(x[0], x[0], p=0.5), "p: found 0.5, expected a number of at least 1"),
        (lambda x: wasserstein_1d(x[0], x[0] * np.nan, p=1), "y: found NaN"),
        (lambda x: sliced_wasserstein(jax.random.key(0), x, x, projections=0, p=1), "projections: found 0"),
        (lambda x: sliced_wasserstein(jax.random.PRNGKey(0), x, x, projections=2, p=1), "key: found uint32"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(InputError, match=message) as error:
        call(clouds()[0])
    assert "\n" not in str(error.value)


@pytest.mark.thorough
def test_a_large_regularisation_gives_the_squared_distance_of_the_means():
    x, y = (np.random.default_rng(seed).random((18, 2), np.float32) for seed in (0, 1))
    y = y + np.array([0.5, 0], np.float32)
    means = np.sum((x.mean(axis=0) - y.mean(axis=0)) ** 2)
    for epsilon in (1e4, 1e8, 1e30):
        found = solve(x, y, epsilon=epsilon)
        np.testing.assert_allclose(found.value, means, rtol=2e-4)
        assert found.converged
    far = solve(x + 1000, y + 1000, epsilon=1e4)
    np.testing.assert_allclose(far.value, means, rtol=0.02)  # points near 1000 have steps of 6e-5


@pytest.mark.thorough
@pytest.mark.parametrize(("distance", "p"), [(1e20, 2.0), (1e-3, 50.0), (1e-12, 4.0), (1e-30, 3.0), (1e30, 1.5)])
def test_distances_whose_powers_leave_float32(distance, p):
    x = np.array([distance, 0, 0, 0], np.float32)
    expected = distance * 0.25 ** (1 / p)
    np.testing.assert_allclose(wasserstein_1d(x, 0 * x, p=p), expected, rtol=FLOAT32)
    quarters = np.full(4, 0.25)
    found = wasserstein_1d(x, 0 * x, p=p, weights_x=quarters, weights_y=quarters)
    np.testing.assert_allclose(found, expected, rtol=FLOAT32)
    line = jnp.asarray(x[:, None])
    np.testing.assert_allclose(
        sliced_wasserstein(jax.random.key(0), line, 0 * line, projections=3, p=p), expected, rtol=FLOAT32
    )


def test_costs_beyond_float64_are_refused():
    points = np.array([[1e155], [0.0]])
    with pytest.raises(InputError, match="x and y: found points whose costs exceed"):
        emd(points, 2 * points, cost="squared_l2")
    np.testing.assert_allclose(emd(points, 2 * points, cost="l2").value, 5e154)
