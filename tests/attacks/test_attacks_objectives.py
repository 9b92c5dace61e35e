"""Objectives: closed forms, the same seeds in both outputs, independence of the batch, classes, references, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxpr.attacks import (
    class_log_probability,
    expected_output_shift,
    farthest_from,
    ifgsm,
    negated,
    output_shift,
)
from jaxpr.core import InputError, example_keys

KEY = jax.random.key(2)
SHAPE = (4, 3, 2, 2)
D = 12
FLOAT32 = 1e-5  # relative, sums of a few hundred terms and differences of them


def uniform(seed: int, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


def noisy_gain(key, y):
    return y * jax.random.normal(key, y.shape)


def test_a_sampler_that_ignores_its_key_gives_the_output_shift():
    y, other = uniform(0), uniform(1)
    found = expected_output_shift(KEY, lambda _, z: jnp.sin(3 * z), y, draws=3)
    plain = output_shift(lambda z: jnp.sin(3 * z), y)
    np.testing.assert_allclose(found(other), plain(other), rtol=FLOAT32)
    gradients = [jax.grad(lambda z, f=f: f(z).sum())(other) for f in (found, plain)]
    np.testing.assert_allclose(*gradients, rtol=0, atol=FLOAT32 * 10)


def test_additive_noise_cancels_because_the_seeds_are_the_same():
    y, other = uniform(0), uniform(1)
    found = expected_output_shift(KEY, lambda k, z: 2 * z + jax.random.normal(k, z.shape), y, draws=5)
    expected = 4 * np.square(np.asarray(other - y, np.float64)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(found(other), expected, rtol=FLOAT32)
    np.testing.assert_array_equal(found(y), 0)


def test_it_is_the_mean_over_the_seeds_of_each_example():
    y, other, draws = uniform(0), uniform(1), 3
    found = expected_output_shift(KEY, noisy_gain, y, draws=draws)(other)
    for i, key in enumerate(example_keys(KEY, 4)):
        shifts = []
        for seed in jax.random.split(key, draws):
            shifts.append(np.square(noisy_gain(seed, other[i : i + 1]) - noisy_gain(seed, y[i : i + 1])).sum())
        np.testing.assert_allclose(found[i], np.mean(shifts), rtol=FLOAT32)


def test_many_draws_approach_the_expectation():
    y, other, draws = uniform(0), uniform(1), 4000
    found = expected_output_shift(KEY, noisy_gain, y, draws=draws)(other)
    squares = np.square(np.asarray(other - y, np.float64)).reshape(4, -1)
    spread = np.sqrt(2 * (squares**2).sum(axis=1) / draws)  # of a weighted sum of chi squares
    assert (np.abs(found - squares.sum(axis=1)) < 4 * spread).all()


def test_seeds_do_not_depend_on_the_batch():
    y, other, keys = uniform(0), uniform(1), example_keys(KEY, 4)
    whole = expected_output_shift(KEY, noisy_gain, y, draws=2)(other)
    part = expected_output_shift(keys[1:3], noisy_gain, y[1:3], draws=2)(other[1:3])
    np.testing.assert_allclose(part, whole[1:3], rtol=FLOAT32)


def test_expected_shift_under_jit_and_gradient_against_the_closed_form():
    y, other = uniform(0), uniform(1)

    def value(z):
        return expected_output_shift(KEY, noisy_gain, y, draws=2)(z).sum()

    seeds = jax.vmap(lambda k: jax.random.split(k, 2))(example_keys(KEY, 4))
    gains = jax.vmap(jax.vmap(lambda k: jax.random.normal(k, SHAPE[1:])))(seeds)
    expected = jnp.mean(2 * (other - y)[:, None] * gains**2, axis=1)
    np.testing.assert_allclose(jax.jit(jax.grad(value))(other), expected, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize(("draws", "key", "name"), [(0, KEY, "draws"), (1, jnp.zeros(2, jnp.uint32), "key")])
def test_expected_shift_refuses(draws, key, name):
    with pytest.raises(InputError, match=f"{name}: found"):
        expected_output_shift(key, noisy_gain, uniform(0), draws=draws)


WEIGHTS = jnp.asarray(np.random.default_rng(7).normal(size=(D, 5)), jnp.float32)


def classifier(x):
    return jnp.matmul(x.reshape(x.shape[0], -1), WEIGHTS, precision=jax.lax.Precision.HIGHEST)


@pytest.mark.parametrize("label", [3, np.array([0, 4, 2, 2])], ids=["one", "each"])
def test_class_log_probability_against_scipy(label):
    y = uniform(0)
    found = class_log_probability(lambda z: 2 * z, classifier, label)(y)
    logits = 2 * np.asarray(y, np.float64).reshape(4, -1) @ np.asarray(WEIGHTS, np.float64)
    expected = scipy.special.log_softmax(logits, axis=1)[np.arange(4), np.broadcast_to(label, 4)]
    np.testing.assert_allclose(found, expected, rtol=FLOAT32)


def test_extreme_logits_stay_finite():
    objective = class_log_probability(lambda z: 1e6 * z, classifier, 1)
    assert np.isfinite(objective(uniform(0))).all()
    assert np.isfinite(jax.grad(lambda z: objective(z).sum())(uniform(0))).all()


def test_attack_through_restorer_and_classifier_raises_and_lowers_the_class():
    y = uniform(0)
    objective = class_log_probability(lambda z: z * z, classifier, 1)
    clean = objective(y)
    options = {"alpha": 0.2, "steps": 20, "bounds": (0.0, 1.0)}
    assert (objective(ifgsm(KEY, objective, y, **options)) > clean + 0.1).all()
    assert (objective(ifgsm(KEY, negated(objective), y, **options)) < clean - 0.1).all()


def test_labels_may_be_traced():
    y = uniform(0)
    found = jax.jit(lambda label: class_log_probability(lambda z: z, classifier, label)(y))(jnp.arange(4))
    np.testing.assert_allclose(found, class_log_probability(lambda z: z, classifier, np.arange(4))(y), rtol=FLOAT32)


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (1.0, "label: found 1.0"),
        (np.zeros((4, 1), int), "label: found"),
        (np.zeros(3, int), "label: found 3 labels"),
        (5, "label: found 5, expected classes 0 to 4"),
        (-1, "label: found -1"),
    ],
)
def test_wrong_labels_are_refused(label, message):
    with pytest.raises(InputError, match=message):
        class_log_probability(lambda z: z, classifier, label)(uniform(0))


def test_logits_of_another_shape_are_refused():
    with pytest.raises(InputError, match="classifier: found logits of shape"):
        class_log_probability(lambda z: z, lambda x: x, 0)(uniform(0))


def test_farthest_from_is_the_mean_of_squared_distances():
    references, y = uniform(1, (6, *SHAPE)), uniform(0)
    found = farthest_from(lambda z: 3 * z, references)(y)
    difference = np.asarray(references, np.float64) - 3 * np.asarray(y, np.float64)[None]
    np.testing.assert_allclose(found, np.square(difference).sum(axis=(2, 3, 4)).mean(axis=0), rtol=FLOAT32)


def test_weights_leave_references_out():
    references, y = uniform(1, (6, *SHAPE)), uniform(0)
    mask = jnp.array([1.0, 0, 1, 1, 0, 0])
    found = farthest_from(jnp.sin, references, weights=mask)
    some = farthest_from(jnp.sin, references[jnp.array([0, 2, 3])])
    np.testing.assert_allclose(found(y), some(y), rtol=FLOAT32)
    gradients = [jax.grad(lambda z, f=f: f(z).sum())(y) for f in (found, some)]
    np.testing.assert_allclose(*gradients, rtol=0, atol=FLOAT32)
    one = farthest_from(jnp.sin, references[:1])(y)
    np.testing.assert_allclose(one, jnp.sum(jnp.square(jnp.sin(y) - references[0]), axis=(1, 2, 3)), rtol=FLOAT32)
    np.testing.assert_array_equal(farthest_from(jnp.sin, references, weights=0 * mask)(y), np.nan)


@pytest.mark.parametrize(
    ("references", "weights", "message"),
    [
        (jnp.zeros(3), None, "references: found shape"),
        (jnp.zeros((0, *SHAPE)), None, "references: found shape"),
        (jnp.zeros(SHAPE), None, "references: found shape"),
        (jnp.zeros((2, *SHAPE)), jnp.ones(3), "weights: found shape"),
    ],
)
def test_wrong_references_are_refused(references, weights, message):
    with pytest.raises(InputError, match=message):
        farthest_from(jnp.sin, references, weights=weights)(uniform(0))
