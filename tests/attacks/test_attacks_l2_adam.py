"""Adam in the l2 ball: closed forms, the ball and bounds, agreement with a NumPy Adam, independence, errors; PSNR."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.attacks import (
    alpha_psnr,
    epsilon_for_psnr,
    expected_output_shift,
    input_psnr,
    l2_adam,
    lipschitz_ratio,
    output_shift,
)
from jaxpr.core import InputError, example_keys
from jaxpr.numerics import example_norms, sample_l2

KEY = jax.random.key(3)
SHAPE = (5, 4, 3, 2)
D = 24
EPSILON = 0.3
FLOAT32 = 2e-6  # relative, sums of 24 terms and a few steps
STEPS = 1e-4  # Adam divides by the size of gradients: where that is small, five steps of rate 1 amplify rounding
ULP = float(np.spacing(np.float32(1)))


def uniform(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def linear(matrix):
    a = jnp.asarray(matrix, jnp.float32)
    return lambda y: jnp.matmul(y.reshape(y.shape[0], -1), a.T, precision=jax.lax.Precision.HIGHEST)


def curved(y):
    return jnp.tanh(linear(normal(5, 40, D))(y)) @ jnp.asarray(normal(6, 40, 30), jnp.float32)


@functools.partial(jax.jit, static_argnames=("steps", "bounds"))
def attack_curved(y, *, key=KEY, epsilon=EPSILON, steps=5, learning_rate=1.0, bounds=None):
    objective = output_shift(curved, y)
    return l2_adam(key, objective, y, epsilon=epsilon, steps=steps, learning_rate=learning_rate, bounds=bounds)


def flat(x) -> np.ndarray:
    return np.asarray(x, np.float64).reshape(len(x), -1)


def test_it_is_projected_adam_as_written_down_in_numpy():
    matrix, y, rate = normal(1, 30, D), uniform(), 0.05
    found = l2_adam(KEY, output_shift(linear(matrix), y), y, epsilon=EPSILON, steps=7, learning_rate=rate)
    delta = flat(sample_l2(KEY, y, radius=EPSILON / 100))
    first, second = np.zeros_like(delta), np.zeros_like(delta)
    for t in range(1, 8):
        gradient = -2 * delta @ matrix.T @ matrix
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        delta = delta - rate * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        norms = np.linalg.norm(delta, axis=1, keepdims=True)
        delta = delta * np.minimum(1, EPSILON / norms)
    np.testing.assert_allclose(flat(found) - flat(y), delta, rtol=0, atol=1e-4 * EPSILON)  # float32 f(y') - f(y)


@pytest.mark.parametrize("epsilon", [0.1, 2.5])
def test_rank_one_estimator_is_attacked_along_the_signs_of_its_row(epsilon):
    u, v = normal(1, D), normal(2, D)
    y = jnp.zeros(SHAPE)
    y_adv = l2_adam(KEY, output_shift(linear(np.outer(u, v)), y), y, epsilon=epsilon, steps=50, learning_rate=1.0)
    # Adam divides each entry by its own size: a gradient of constant direction becomes its signs.
    np.testing.assert_allclose(example_norms(y_adv), epsilon, rtol=FLOAT32)
    side = np.sign(flat(y_adv) @ v)[:, None]
    np.testing.assert_allclose(flat(y_adv), side * epsilon / np.sqrt(D) * np.sign(v), rtol=2e-2)
    ratio = lipschitz_ratio(linear(np.outer(u, v)), y, y_adv)
    np.testing.assert_allclose(ratio, np.linalg.norm(u) * np.abs(v).sum() / np.sqrt(D), rtol=1e-2)


@pytest.mark.parametrize("seed", range(3))
def test_ratio_stays_below_the_largest_singular_value_and_finds_most_of_it(seed):
    matrix, y = normal(seed, 30, D), jnp.zeros(SHAPE)
    y_adv = l2_adam(KEY, output_shift(linear(matrix), y), y, epsilon=EPSILON, steps=5, learning_rate=1.0)
    ratio = np.asarray(lipschitz_ratio(linear(matrix), y, y_adv))
    largest = np.linalg.svd(matrix, compute_uv=False)[0]
    assert (ratio <= largest * (1 + FLOAT32)).all()
    assert (ratio > 0.6 * largest).all()


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
@pytest.mark.parametrize("epsilon", [0.01, 0.5, 10.0])
def test_nothing_leaves_the_ball_or_the_bounds(bounds, epsilon):
    y = jnp.round(uniform())
    y_adv = attack_curved(y, epsilon=epsilon, bounds=bounds)
    assert (np.linalg.norm(flat(y_adv) - flat(y), axis=1) <= epsilon * (1 + 1e-6) + ULP * np.sqrt(D)).all()
    if bounds:
        assert 0 <= y_adv.min() <= y_adv.max() <= 1
    else:
        assert y_adv.min() < 0


def test_the_gradient_vanishes_at_y_and_the_attack_moves_all_the_same():
    y = uniform()
    np.testing.assert_allclose(example_norms(attack_curved(y, steps=1) - y), EPSILON, rtol=1e-5)


@pytest.mark.thorough
def test_attack_beats_random_points_of_the_sphere():
    y = uniform()
    objective = output_shift(curved, y)
    found = objective(attack_curved(y))
    directions = jax.random.normal(KEY, (50, *SHAPE))
    others = jax.vmap(lambda d: objective(y + EPSILON * d / example_norms(d).reshape(-1, 1, 1, 1)))(directions)
    assert (found > others.max(axis=0)).all()


def test_examples_do_not_influence_each_other():
    y, keys = uniform(), example_keys(KEY, 5)
    whole = attack_curved(y)
    for i in range(5):
        np.testing.assert_allclose(attack_curved(y[i : i + 1], key=keys[i : i + 1])[0], whole[i], rtol=0, atol=STEPS)
    kept = np.array([0, 1, 3, 4])
    np.testing.assert_array_equal(attack_curved(y.at[2].set(0.5))[kept], whole[kept])


def test_nan_gradients_stay_with_their_example():
    factors = jnp.array([1.0, 2.0, jnp.nan, 1.0, 2.0]).reshape(5, 1, 1, 1)
    y = uniform()
    objective = output_shift(lambda z: z * factors, y)
    y_adv = np.asarray(l2_adam(KEY, objective, y, epsilon=0.1, steps=3, learning_rate=1.0))
    np.testing.assert_array_equal(np.isnan(y_adv).all(axis=(1, 2, 3)), [False, False, True, False, False])
    assert np.isfinite(y_adv[[0, 1, 3, 4]]).all()


def test_a_zero_gradient_leaves_the_start():
    y = uniform()
    moved = example_norms(l2_adam(KEY, output_shift(jnp.round, y), y, epsilon=0.1, steps=3, learning_rate=1.0) - y)
    assert (moved <= 0.1 / 100 + 1e-6).all()


@pytest.mark.thorough
def test_radius_and_rate_are_traced_and_vmap_equals_the_loop():
    y, epsilons = uniform(), jnp.array([0.0, 0.1, 1.0])
    swept = jax.vmap(lambda e: attack_curved(y, epsilon=e))(epsilons)
    for epsilon, found in zip(epsilons, swept, strict=True):
        np.testing.assert_allclose(found, attack_curved(y, epsilon=epsilon), rtol=0, atol=STEPS)
    np.testing.assert_array_equal(swept[0], y)
    rates = jax.vmap(lambda r: attack_curved(y, learning_rate=r))(jnp.array([0.01, 1.0]))
    np.testing.assert_allclose(rates[1], attack_curved(y), rtol=0, atol=STEPS)


def test_jit_equals_eager():
    y = uniform()
    eager = l2_adam(KEY, output_shift(curved, y), y, epsilon=EPSILON, steps=5, learning_rate=1.0)
    np.testing.assert_allclose(attack_curved(y), eager, rtol=0, atol=STEPS)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_of_y_is_kept(dtype):
    y = uniform().astype(dtype)
    assert l2_adam(KEY, output_shift(jnp.sin, y), y, epsilon=0.1, steps=2, learning_rate=1.0).dtype == dtype


@pytest.mark.thorough
def test_a_stochastic_estimator_is_attacked_on_average():
    def sampler(key, y):
        return curved(y) * (1 + jax.random.uniform(key, (y.shape[0], 30)))

    y = uniform()
    objective = expected_output_shift(jax.random.key(9), sampler, y, draws=4)
    y_adv = l2_adam(KEY, objective, y, epsilon=EPSILON, steps=5, learning_rate=1.0)
    directions = jax.random.normal(KEY, (20, *SHAPE))
    others = jax.vmap(lambda d: objective(y + EPSILON * d / example_norms(d).reshape(-1, 1, 1, 1)))(directions)
    assert (objective(y_adv) > others.max(axis=0)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": jnp.full(SHAPE, jnp.nan)}, "y: found 120 NaN"),
        ({"y": jnp.zeros(SHAPE, jnp.int32)}, "y: found dtype int32"),
        ({"y": jnp.zeros(())}, "y: found shape ()"),
        ({"y": uniform() + 1, "bounds": (0.0, 1.0)}, "y: found values"),
        ({"objective": jnp.sum}, "objective: found values of shape ()"),
        ({"objective": lambda z: (z, z)}, "objective: found values of shape tuple"),
        ({"steps": 0}, "steps: found 0"),
        ({"epsilon": -1.0}, "epsilon: found -1.0"),
        ({"learning_rate": 0.0}, "learning_rate: found 0.0"),
        ({"bounds": (1.0, 0.0)}, "bounds: found"),
        ({"key": jax.random.split(KEY, 3)}, "key: found"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_bad_input_is_refused_by_name(changes, message):
    options = {"epsilon": 0.1, "steps": 2, "learning_rate": 1.0, "bounds": None}
    given = {"key": KEY, "objective": lambda z: jnp.sum(z, axis=(1, 2, 3)), "y": uniform()} | options | changes
    with pytest.raises(InputError) as error:
        l2_adam(given["key"], given["objective"], given["y"], **{name: given[name] for name in options})
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_radius_for_a_psnr_is_that_of_the_paper():
    np.testing.assert_allclose(epsilon_for_psnr(32.9, (64, 64, 3), data_range=1.0), 2.5, atol=0.02)
    # The radii of E.2.3 for x4, x8 and x16 give one bound.
    bounds = [20 * np.log10(np.sqrt(3) * side / eps) for side, eps in ((16, 0.553), (8, 0.276), (4, 0.138))]
    np.testing.assert_allclose(bounds, bounds[0], atol=0.05)
    np.testing.assert_allclose(epsilon_for_psnr(bounds[0], (16, 16, 3), data_range=1.0), 0.553, rtol=1e-6)


@pytest.mark.parametrize("data_range", [1.0, 255.0])
def test_psnr_on_the_sphere_is_the_psnr_asked_for(data_range):
    epsilon = epsilon_for_psnr(30.0, SHAPE[1:], data_range=data_range)
    delta = jnp.asarray(normal(0, *SHAPE), jnp.float32)
    delta = epsilon * delta / example_norms(delta).reshape(-1, 1, 1, 1)
    np.testing.assert_allclose(input_psnr(0 * delta, delta, data_range=data_range), 30.0, rtol=FLOAT32)


def test_psnr_of_constant_shifts_and_of_none():
    y = uniform()
    np.testing.assert_allclose(
        input_psnr(jnp.zeros(SHAPE), jnp.full(SHAPE, 1 / 255), data_range=1.0), 48.1308, atol=1e-4
    )
    np.testing.assert_allclose(alpha_psnr(1 / 255, data_range=1.0), 48.1308, atol=1e-4)
    np.testing.assert_array_equal(input_psnr(y, y, data_range=1.0), np.inf)
    lost = y.at[1].set(jnp.nan)
    with pytest.raises(InputError, match="y_adv: found 24 NaN"):
        input_psnr(y, lost, data_range=1.0)
    values_are_unknown_here = jax.jit(lambda z: input_psnr(y, z, data_range=1.0))(lost)
    np.testing.assert_array_equal(np.isnan(values_are_unknown_here), np.arange(5) == 1)
    assert np.isfinite(jax.grad(lambda z: input_psnr(y, z, data_range=1.0)[1])(y.at[1].add(0.1))).all()
    with pytest.raises(InputError, match="y and y_adv"):
        input_psnr(y, y[:2], data_range=1.0)


@pytest.mark.parametrize(
    ("psnr", "shape", "message"), [(float("nan"), (3,), "psnr"), (30.0, (), "shape"), (30.0, (0, 2), "shape")]
)
def test_radii_that_mean_nothing_are_refused(psnr, shape, message):
    with pytest.raises(InputError, match=f"{message}: found"):
        epsilon_for_psnr(psnr, shape, data_range=1.0)
