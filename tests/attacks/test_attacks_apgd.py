"""Auto-PGD: against the paper's algorithm in NumPy, closed forms, the ball and the bounds, independence, rounds."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.attacks import apgd, output_shift
from jaxpr.core import InputError, example_keys
from jaxpr.numerics import sample_linf

KEY = jax.random.key(3)
SHAPE = (4, 3, 4, 2)
D = 24  # entries of one example
ALPHA = 0.1
ULP = float(np.spacing(np.float32(1)))


def uniform(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


def wavy(y):
    """A smooth objective with many hills, whose gradient needs no rounding to be followed."""
    rows = y.reshape(y.shape[0], -1)
    slopes = jnp.asarray(np.random.default_rng(5).normal(size=(D, 6)), jnp.float32)
    return jnp.sum(jnp.sin(4 * jnp.matmul(rows, slopes, precision=jax.lax.Precision.HIGHEST)), axis=1)


@functools.partial(jax.jit, static_argnames=("steps", "bounds", "rounds"))
def attack(y, *, key=KEY, alpha=ALPHA, steps=12, bounds=(0.0, 1.0), rounds=1):
    return apgd(key, wavy, y, alpha=alpha, steps=steps, bounds=bounds, rounds=rounds)


def by_the_paper(start: np.ndarray, y: np.ndarray, steps: int) -> np.ndarray:
    """Algorithm 1 of Croce and Hein 2020 without bounds for one example, in float64; no momentum after a return."""
    slopes = np.random.default_rng(5).normal(size=(D, 6)).astype(np.float32).astype(float)

    def value(delta):
        return np.sum(np.sin(4 * (y + delta) @ slopes))

    def sign(delta):
        return np.sign(4 * slopes @ np.cos(4 * (y + delta) @ slopes))

    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    checkpoints = sorted({int(np.ceil(round(share * steps, 9))) for share in shares if share < 1} - {steps})
    points, step = [start], 2 * ALPHA
    best, rises, last_check, level, halved = start, 0, 0, -np.inf, False
    for k in range(steps):
        here = points[-1]
        rises += len(points) > 1 and value(here) > value(points[-2])
        best = here if value(here) > value(best) else best
        if k in checkpoints and k:
            few = rises < 0.75 * (k - last_check)
            stuck = not halved and value(best) == level
            halved = few or stuck
            if halved:
                step, here, points = step / 2, best, [best]
            rises, last_check, level = 0, k, value(best)
        ahead = np.clip(here + step * sign(here), -ALPHA, ALPHA)
        before = points[-2] if len(points) > 1 else here
        share = 1 if k == 0 else 0.75
        points.append(np.clip(here + share * (ahead - here) + (1 - share) * (here - before), -ALPHA, ALPHA))
    return points[-1] if value(points[-1]) > value(best) else best


@pytest.mark.parametrize("steps", [1, 2, 5, 12, 40])
def test_it_takes_the_steps_of_the_paper(steps):
    y = uniform()
    found = np.asarray(attack(y, steps=steps, bounds=None)) - np.asarray(y)
    starts = np.asarray(sample_linf(KEY, y, radius=ALPHA / 100), float).reshape(4, D)
    for start, truth, delta in zip(starts, np.asarray(y, float).reshape(4, D), found.reshape(4, D), strict=True):
        np.testing.assert_allclose(delta, by_the_paper(start, truth, steps), rtol=0, atol=2e-6)


@pytest.mark.parametrize("rounds", [1, 3])
@pytest.mark.parametrize("bounds", [(0.0, 1.0), None])
def test_no_perturbation_leaves_the_ball_or_the_bounds(bounds, rounds):
    y = jnp.round(uniform())
    y_adv = np.asarray(attack(y, bounds=bounds, rounds=rounds))
    assert np.abs(y_adv - np.asarray(y)).max() <= ALPHA + ULP
    assert y_adv.dtype == np.float32
    outside = (y_adv < 0) | (y_adv > 1)
    assert outside.any() == (bounds is None)


def test_a_linear_objective_is_at_its_corner_after_one_step():
    slope = jnp.asarray(np.random.default_rng(1).normal(size=SHAPE[1:]), jnp.float32)

    def linear(y):
        return jnp.sum(slope[None] * y, axis=(1, 2, 3))

    y = uniform()
    for steps in (1, 7):
        found = apgd(KEY, linear, y, alpha=ALPHA, steps=steps, bounds=None)
        np.testing.assert_allclose(found - y, np.broadcast_to(ALPHA * np.sign(slope), SHAPE), rtol=0, atol=2 * ULP)


def test_an_optimum_inside_the_ball_is_found_by_halving():
    target = 0.5 + 0.05 * jnp.sin(jnp.arange(D, dtype=jnp.float32)).reshape(SHAPE[1:])

    def closeness(y):
        return -jnp.sum(jnp.square(y - target[None]), axis=(1, 2, 3))

    found = apgd(KEY, closeness, jnp.full(SHAPE, 0.5), alpha=ALPHA, steps=100, bounds=(0.0, 1.0))
    np.testing.assert_allclose(found, np.broadcast_to(target, SHAPE), rtol=0, atol=ALPHA / 10)


@pytest.mark.thorough
def test_rounds_only_raise_and_examples_stop_by_themselves():
    y = uniform()
    whole = attack(y, steps=4, rounds=4)
    fewer = wavy(attack(y, steps=4, rounds=2))
    assert (wavy(whole) >= fewer).all()
    assert (wavy(whole) > fewer).any()
    keys = example_keys(KEY, 4)
    for i in range(4):  # alone, with its own key: the others' rounds change nothing
        alone = attack(y[i : i + 1], key=keys[i : i + 1], steps=4, rounds=4)
        np.testing.assert_allclose(alone[0], whole[i], rtol=0, atol=2e-6)


def test_a_round_that_finds_nothing_more_is_the_last():
    seen = []

    def counted(y):
        jax.debug.callback(lambda: seen.append(1))
        return jnp.sum(y, axis=(1, 2, 3))

    y = uniform()
    jax.block_until_ready(apgd(KEY, counted, y, alpha=ALPHA, steps=2, bounds=None, rounds=6))
    jax.effects_barrier()
    # Two rounds, of 2 and 4 steps with one look more each; six would have 2 + 4 + ... + 64.
    assert 6 <= len(seen) <= 12


def test_the_gradient_vanishes_at_y_and_the_attack_moves_all_the_same():
    y = uniform()
    objective = output_shift(lambda z: jnp.tanh(3 * z), y)
    found = apgd(KEY, objective, y, alpha=ALPHA, steps=3, bounds=None)
    assert (jnp.abs(found - y).max(axis=(1, 2, 3)) > ALPHA / 2).all()


@pytest.mark.parametrize("rounds", [1, 3])
def test_an_example_that_becomes_nan_says_so_and_the_others_do_not_notice(rounds):
    def steep(y):
        return jnp.sum(jnp.sqrt(y - 0.5), axis=(1, 2, 3))  # NaN below, with its gradient

    y = 0.9 + 0.1 * uniform()
    broken = y.at[1, 0, 0, 0].set(0.5)
    found = apgd(KEY, steep, broken, alpha=ALPHA, steps=5, bounds=(0.0, 1.0), rounds=rounds)
    clean = apgd(KEY, steep, y, alpha=ALPHA, steps=5, bounds=(0.0, 1.0), rounds=rounds)
    kept = np.array([0, 2, 3])
    np.testing.assert_allclose(found[kept], clean[kept], rtol=0, atol=2e-6)
    assert np.isfinite(clean).all()
    starts = apgd(KEY, lambda z: 0 * jnp.sum(z, axis=(1, 2, 3)), broken, alpha=ALPHA, steps=1, bounds=None)
    if starts[1, 0, 0, 0] < 0.5:  # the first round starts where the objective is NaN
        assert np.isnan(steep(found))[1]


@pytest.mark.thorough
def test_alpha_is_traced_and_half_precision_kept():
    y = uniform()
    swept = jax.vmap(lambda alpha: attack(y, alpha=alpha))(jnp.array([0.0, 0.02]))
    np.testing.assert_array_equal(swept[0], y)
    np.testing.assert_allclose(swept[1], attack(y, alpha=0.02), rtol=0, atol=2e-6)
    assert apgd(KEY, wavy, y.astype(jnp.bfloat16), alpha=0.1, steps=2, bounds=None).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps: found 0"),
        ({"rounds": 0}, "rounds: found 0"),
        ({"rounds": 1.5}, "rounds: found 1.5"),
        ({"alpha": -0.1}, "alpha: found -0.1"),
        ({"bounds": (1.0, 0.0)}, "bounds: found"),
    ],
)
def test_bad_input_is_refused_by_name(changes, message):
    options = {"alpha": 0.1, "steps": 2, "bounds": (0.0, 1.0), "rounds": 1} | changes
    with pytest.raises(InputError) as error:
        apgd(KEY, wavy, uniform(), **options)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
