"""I-FGSM: closed forms on linear estimators, the ball and the bounds, independence of examples, compilation, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.attacks import ifgsm, lipschitz_ratio, output_shift
from jaxpr.core import InputError, example_keys
from jaxpr.numerics import sample_linf

KEY = jax.random.key(11)
SHAPE = (5, 4, 3, 2)
D = 24  # entries of one example
ALPHA = 1 / 255
ULP = float(np.spacing(np.float32(1)))  # y + δ is rounded to a float32 in [0, 1]
# Rounding of y + δ, up to ULP / 2 per entry, relative to an entry of δ; and float32 sums of 24 terms.
RATIO = ULP / ALPHA + 1e-5


def uniform(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def linear(matrix):
    """The estimator y -> A y on flattened examples."""
    a = jnp.asarray(matrix, jnp.float32)
    return lambda y: jnp.matmul(y.reshape(y.shape[0], -1), a.T, precision=jax.lax.Precision.HIGHEST)


def curved(y):
    """A smooth nonlinear estimator (N, 4, 3, 2) -> (N, 30)."""
    return jnp.tanh(linear(normal(5, 40, D))(y)) @ jnp.asarray(normal(6, 40, 30), jnp.float32)


def attack(estimator, y, *, key=KEY, alpha=ALPHA, steps=10, bounds=(0.0, 1.0)):
    return ifgsm(key, output_shift(estimator, y), y, alpha=alpha, steps=steps, bounds=bounds)


# Compiled once for each shape; the tests below differ in values only.
@functools.partial(jax.jit, static_argnames=("steps", "bounds"))
def attack_linear(matrix, y, *, steps=10, bounds=(0.0, 1.0)):
    return attack(linear(matrix), y, steps=steps, bounds=bounds)


@functools.partial(jax.jit, static_argnames=("steps", "bounds"))
def attack_curved(y, *, key=KEY, alpha=ALPHA, steps=10, bounds=(0.0, 1.0)):
    return attack(curved, y, key=key, alpha=alpha, steps=steps, bounds=bounds)


def flat(x) -> np.ndarray:
    return np.asarray(x, np.float64).reshape(len(x), -1)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("outputs", [D, 60])
def test_ratio_of_a_linear_estimator_stays_below_its_largest_singular_value(seed, outputs):
    matrix = normal(seed, outputs, D)
    estimator, y = linear(matrix), uniform()
    ratio = np.asarray(lipschitz_ratio(estimator, y, attack_linear(matrix, y)))
    largest = np.linalg.svd(matrix, compute_uv=False)[0]
    assert ratio.shape == (5,)
    # f(y) - f(y_adv) is a difference of float32 numbers of size |A y|, so it carries their rounding.
    slack = 4 * ULP * np.linalg.norm(flat(y) @ matrix.T, axis=1) / (ALPHA * np.sqrt(D))
    assert (ratio <= largest + slack).all()
    assert (ratio > largest / 2).all()  # the attack finds much of it


@pytest.mark.parametrize("steps", [1, 10])
def test_rank_one_estimator_is_attacked_along_the_signs_of_its_row(steps):
    u, v = normal(1, D), normal(2, D)
    y = uniform()
    y_adv = attack_linear(np.outer(u, v), y, steps=steps, bounds=None)
    start = flat(sample_linf(KEY, y, radius=ALPHA / 100))
    side = np.sign(start @ v)[:, None]
    # From either side of zero every step goes the same way; only the random start keeps δ off the corner ±α sign(v).
    expected = np.clip(start + side * ALPHA * np.sign(v), -ALPHA, ALPHA)
    np.testing.assert_allclose(flat(y_adv) - flat(y), expected, rtol=0, atol=2 * ULP)
    assert (np.abs(np.abs(expected) - ALPHA) <= ALPHA / 100 * (1 + 1e-6)).all()


def test_rank_one_estimator_reaches_the_maximum_over_the_ball():
    u, v, steps = normal(1, D), normal(2, D), 200
    estimator, y = linear(np.outer(u, v)), jnp.zeros(SHAPE)
    y_adv = attack_linear(np.outer(u, v), y, steps=steps, bounds=None)
    shift = np.sqrt(output_shift(estimator, y)(y_adv))
    best = ALPHA * np.linalg.norm(u) * np.abs(v).sum()
    np.testing.assert_allclose(shift, best, rtol=1 / steps)
    assert (shift <= best * (1 + 1e-5)).all()  # float32 sums
    ratio = np.asarray(lipschitz_ratio(estimator, y, y_adv))
    np.testing.assert_allclose(ratio, np.linalg.norm(u) * np.abs(v).sum() / np.sqrt(D), rtol=1 / steps)


@pytest.mark.parametrize("steps", [1, 10])
def test_diagonal_estimator_reaches_a_corner_of_the_ball(steps):
    diagonal = np.linspace(0.2, 3, D)
    estimator, y = linear(np.diag(diagonal)), jnp.zeros(SHAPE)
    y_adv = attack_linear(np.diag(diagonal), y, steps=steps, bounds=None)
    np.testing.assert_array_equal(np.abs(y_adv), np.float32(ALPHA))
    expected = np.sqrt(np.mean(diagonal**2))
    np.testing.assert_allclose(lipschitz_ratio(estimator, y, y_adv), expected, rtol=1e-6)  # float32 sums of 24 terms


def test_orthogonal_estimator_has_ratio_one():
    matrix, y = np.linalg.qr(normal(3, D, D))[0], uniform()
    y_adv = attack_linear(matrix, y)
    # Rounding of f(y), about 1, against a shift of ALPHA · sqrt(D).
    np.testing.assert_allclose(lipschitz_ratio(linear(matrix), y, y_adv), 1, rtol=4 * ULP * np.sqrt(D) / ALPHA)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-1.0, 2.0), None])
@pytest.mark.parametrize("alpha", [1 / 255, 16 / 255, 0.5])
@pytest.mark.parametrize("values", ["inside", "on the bounds"])
def test_no_perturbation_leaves_the_ball_or_the_bounds(bounds, alpha, values):
    y = uniform() if values == "inside" else jnp.round(uniform())
    y_adv = np.asarray(attack_curved(y, alpha=alpha, bounds=bounds))
    assert np.abs(flat(y_adv) - flat(y)).max() <= alpha + ULP  # entries up to 1.5: half a spacing of ULP or less
    low, high = bounds or (-np.inf, np.inf)
    assert y_adv.min() >= low
    assert y_adv.max() <= high
    assert y_adv.dtype == np.float32
    assert y_adv.shape == y.shape
    if bounds is None and values == "on the bounds":
        assert y_adv.min() < 0  # the limit was what kept it inside
        assert y_adv.max() > 1


def test_the_gradient_vanishes_at_y_and_the_attack_moves_all_the_same():
    y = uniform()
    objective = output_shift(curved, y)
    np.testing.assert_array_equal(objective(y), 0)
    np.testing.assert_array_equal(jax.grad(lambda z: jnp.sum(objective(z)))(y), 0)
    for steps in (1, 10):
        y_adv = attack_curved(y, steps=steps, bounds=None)
        assert (objective(y_adv) > 0).all()
        assert (jnp.abs(y_adv - y).max(axis=(1, 2, 3)) > ALPHA / 2).all()


@pytest.mark.parametrize("alpha", [1 / 255, 8 / 255])
def test_attack_beats_random_corners_of_the_same_ball(alpha):
    y = uniform()
    objective = output_shift(curved, y)
    found = objective(attack_curved(y, alpha=alpha, bounds=None))
    signs = jax.random.rademacher(jax.random.key(1), (50, *SHAPE), jnp.float32)
    others = jax.vmap(lambda s: objective(y + alpha * s))(signs)
    assert (found > others.max(axis=0)).all()


def test_any_objective_is_ascended_to_its_optimum_in_the_ball():
    target = uniform(1)

    def closeness(z):
        return -jnp.sum(jnp.square(z - target).reshape(z.shape[0], -1), axis=1)

    alpha, steps = 0.25, 100
    y_adv = ifgsm(KEY, closeness, uniform(), alpha=alpha, steps=steps, bounds=(0.0, 1.0))
    nearest = np.clip(target, uniform() - alpha, uniform() + alpha)
    # Sign steps end up hopping around the optimum by at most one step.
    np.testing.assert_allclose(y_adv, nearest, rtol=0, atol=alpha / steps + ULP)


def test_examples_do_not_influence_each_other():
    y, keys = uniform(), example_keys(KEY, 5)
    whole = attack_curved(y)
    for i in range(5):
        alone = attack_curved(y[i : i + 1], key=keys[i : i + 1])
        np.testing.assert_allclose(alone[0], whole[i], rtol=0, atol=ULP)
    changed = attack_curved(y.at[2].set(0.5))
    kept = np.array([0, 1, 3, 4])
    np.testing.assert_array_equal(changed[kept], whole[kept])


def test_batches_with_their_own_keys_give_what_one_batch_gives():
    y, keys = uniform(), example_keys(KEY, 5)
    parts = [attack_curved(y[i : i + 2], key=keys[i : i + 2]) for i in range(0, 5, 2)]
    np.testing.assert_allclose(jnp.concatenate(parts), attack_curved(y), rtol=0, atol=ULP)


def test_permuted_examples_with_permuted_keys_give_permuted_results():
    y, keys, order = uniform(), example_keys(KEY, 5), np.array([3, 0, 4, 2, 1])
    found = attack_curved(y[order], key=keys[order])
    np.testing.assert_allclose(found, attack_curved(y)[order], rtol=0, atol=ULP)


def test_keys_decide_the_start_only():
    y = uniform()
    first, again, other = (attack_curved(y, key=jax.random.key(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (jnp.abs(first - other) > 0).any()
    start = attack(lambda z: 0 * z, y, steps=4, bounds=None)  # no gradient: the start is what is left
    assert 0 < np.abs(start - y).max() <= ALPHA / 4 + ULP


def test_alpha_is_traced_and_vmap_equals_the_loop():
    y, alphas = uniform(), jnp.array([0.0, 1 / 255, 4 / 255, 16 / 255])
    swept = jax.vmap(lambda alpha: attack(curved, y, alpha=alpha))(alphas)
    for alpha, found in zip(alphas, swept, strict=True):
        np.testing.assert_allclose(found, attack_curved(y, alpha=alpha), rtol=0, atol=ULP)


def test_y_may_be_a_constant_of_a_jitted_function():
    y = uniform()
    found = jax.jit(lambda alpha: attack(curved, y, alpha=alpha))(ALPHA)
    np.testing.assert_allclose(found, attack_curved(y), rtol=0, atol=ULP)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), None])
def test_a_ball_of_radius_zero_leaves_y(bounds):
    y = uniform()
    np.testing.assert_array_equal(attack_curved(y, alpha=0.0, bounds=bounds), y)
    np.testing.assert_array_equal(lipschitz_ratio(curved, y, y), np.nan)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_dtype_of_y_is_kept(dtype):
    y = uniform().astype(dtype)
    assert attack(lambda z: 2 * z * z, y, alpha=0.1).dtype == dtype


@pytest.mark.parametrize("shape", [(3, 7), (3,)])
def test_measurements_of_any_rank(shape):
    y = uniform(0, shape)
    y_adv = attack(lambda z: 2 * z, y, bounds=None)
    # Each entry runs away from its start's side of zero to the corner.
    np.testing.assert_allclose(np.abs(y_adv - y), ALPHA, rtol=RATIO)


def counted(calls: list[str]):
    """An estimator that notes every trace of its forward and of its backward pass."""

    @jax.custom_vjp
    def estimator(y):
        calls.append("forward")
        return y * y

    def forward(y):
        calls.append("forward")
        return y * y, y

    def backward(y, cotangent):
        calls.append("backward")
        return (2 * y * cotangent,)

    estimator.defvjp(forward, backward)
    return estimator


def test_one_program_serves_attacks_of_any_length():
    y = uniform()
    found = jax.jit(lambda steps: attack(curved, y, steps=steps))
    for steps in (1, 10):
        np.testing.assert_allclose(found(jnp.int32(steps)), attack_curved(y, steps=steps), rtol=0, atol=ULP)


def test_jitted_attack_is_traced_once():
    calls: list[str] = []
    estimator = counted(calls)
    run = jax.jit(lambda key, y, alpha: attack(estimator, y, key=key, alpha=alpha))
    run(KEY, uniform(0), 0.1)
    traced = len(calls)
    for seed in (1, 2, 3):
        run(jax.random.key(seed), uniform(seed), 0.1 * seed)
    assert len(calls) == traced


@pytest.mark.parametrize("steps", [1, 5, 50])
def test_the_gradient_is_traced_once_whatever_the_number_of_steps(steps):
    calls: list[str] = []
    attack(counted(calls), uniform(), steps=steps)
    assert calls.count("backward") == 1
    # f(y), the check of the objective's shape, and the step; custom_vjp traces its primal once more per evaluation.
    assert calls.count("forward") <= 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y": jnp.full(SHAPE, jnp.nan)}, "y: found 120 NaN or infinite values"),
        ({"y": uniform().at[0, 0, 0, 0].set(jnp.nan)}, "y: found 1 NaN or infinite values"),
        ({"y": uniform() + 0.5}, "y: found values"),
        ({"y": uniform() - 0.5}, "y: found values"),
        ({"y": jnp.zeros(SHAPE, jnp.int32)}, "y: found dtype int32"),
        ({"y": np.zeros(SHAPE, np.uint8)}, "y: found dtype uint8"),
        ({"objective": lambda z: jnp.sum(z)}, "objective: found values of shape ()"),
        ({"objective": lambda z: z}, "objective: found values of shape"),
        ({"objective": lambda z: jnp.zeros((z.shape[0], 1))}, "objective: found values of shape"),
        ({"steps": 0}, "steps: found 0"),
        ({"steps": 2.0}, "steps: found 2.0"),
        ({"steps": True}, "steps: found True"),
        ({"alpha": -0.1}, "alpha: found -0.1"),
        ({"alpha": float("nan")}, "alpha: found nan"),
        ({"alpha": float("inf")}, "alpha: found inf"),
        ({"bounds": (1.0, 0.0)}, "bounds: found"),
        ({"bounds": (0.5, 0.5)}, "bounds: found"),
        ({"key": jax.random.split(KEY, 3)}, "key: found"),
        ({"key": jnp.zeros(2, jnp.uint32)}, "key: found"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_bad_input_is_refused_by_name(changes, message):
    arguments = {
        "key": KEY,
        "objective": lambda z: jnp.sum(z, axis=(1, 2, 3)),
        "y": uniform(),
        "alpha": 0.1,
        "steps": 2,
        "bounds": (0.0, 1.0),
    } | changes
    with pytest.raises(InputError) as error:
        ifgsm(
            arguments["key"],
            arguments["objective"],
            arguments["y"],
            alpha=arguments["alpha"],
            steps=arguments["steps"],
            bounds=arguments["bounds"],
        )
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_nan_is_refused_without_bounds_too():
    with pytest.raises(InputError, match="y: found"):
        attack(lambda z: z, jnp.full(SHAPE, jnp.nan), bounds=None)
