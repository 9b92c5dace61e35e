"""Posterior exploration: the algorithm against its plain loop, distances, range maps, coverage, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.attacks import explore_posterior, farthest_from, ifgsm, range_coverage, range_maps
from jaxpr.core import InputError, example_keys

KEY = jax.random.key(4)
SHAPE = (3, 4, 4, 2)
ALPHA = 8 / 255


def uniform(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


KERNEL = jnp.asarray(np.random.default_rng(5).normal(size=(3, 3, 2, 2)), jnp.float32)


def erratic(y):
    """A deterministic estimator that oscillates quickly: (N, 4, 4, 2) -> (N, 4, 4, 2)."""
    x = jax.lax.conv_general_dilated(y, KERNEL, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return 0.5 + 0.5 * jnp.sin(10 * x)


@functools.partial(jax.jit, static_argnames=("samples", "steps", "bounds"))
def explore(y, *, key=KEY, samples=4, alpha=ALPHA, steps=6, bounds=(0.0, 1.0)):
    return explore_posterior(key, erratic, y, samples=samples, alpha=alpha, steps=steps, bounds=bounds)


@pytest.mark.thorough
def test_it_is_algorithm_1_written_as_a_loop():
    y, keys = uniform(), example_keys(KEY, 3)
    found = explore(y)
    outputs, inputs = [erratic(y)], [y]
    for s in range(1, 4):
        fold = jnp.stack([jax.random.fold_in(k, s) for k in keys])
        objective = farthest_from(erratic, jnp.stack(outputs))
        inputs.append(ifgsm(fold, objective, y, alpha=ALPHA, steps=6, bounds=(0.0, 1.0)))
        outputs.append(erratic(inputs[-1]))
    # Signs of gradients near zero differ with the order of float32 sums: a few entries of a step of α/6.
    differing = np.abs(found.inputs - jnp.stack(inputs)) > 1e-6
    assert differing.mean() < 0.02
    assert np.abs(found.inputs - jnp.stack(inputs)).max() <= 2 * ALPHA
    np.testing.assert_allclose(found.outputs[0], outputs[0], atol=1e-4)  # sine of 10 times a float32 sum


def test_inputs_stay_in_the_ball_and_outputs_belong_to_them():
    y = uniform()
    found = explore(y)
    assert found.outputs.shape == found.inputs.shape == (4, *SHAPE)
    np.testing.assert_array_equal(found.inputs[0], y)
    assert np.abs(found.inputs - y[None]).max() <= ALPHA + 1e-7
    assert 0 <= found.inputs.min() <= found.inputs.max() <= 1
    np.testing.assert_allclose(found.outputs, jax.vmap(erratic)(found.inputs), atol=1e-4)
    np.testing.assert_array_equal(found.input_psnr[0], np.inf)
    np.testing.assert_allclose(found.psnr_bound, 30.069, atol=1e-3)
    assert (found.input_psnr >= found.psnr_bound - 1e-3).all()


@pytest.mark.thorough
def test_samples_are_farther_from_the_others_than_random_corners_of_the_ball():
    y = uniform()
    found = explore(y, steps=20)
    for s in range(1, 4):
        objective = farthest_from(erratic, found.outputs[:s])
        signs = jax.random.rademacher(KEY, (20, *SHAPE), jnp.float32)
        others = jax.vmap(lambda d, f=objective: f(jnp.clip(y + ALPHA * d, 0, 1)))(signs)
        assert objective(found.inputs[s]).mean() > others.mean()


def test_one_sample_is_the_restoration_and_more_extend_fewer():
    y = uniform()
    one = explore(y, samples=1)
    np.testing.assert_allclose(one.outputs[0], erratic(y), atol=1e-4)
    np.testing.assert_array_equal(one.ranges.lower, one.ranges.upper)
    few, many = explore(y, samples=2), explore(y, samples=4)
    assert (np.abs(few.inputs - many.inputs[:2]) > 1e-6).mean() < 0.02  # signs of gradients near zero


def test_examples_do_not_influence_each_other():
    y, keys = uniform(), example_keys(KEY, 3)
    whole = explore(y)
    alone = explore(y[1:2], key=keys[1:2])
    assert (np.abs(alone.inputs[:, 0] - whole.inputs[:, 1]) > 1e-6).mean() < 0.02  # signs of gradients near zero
    changed = explore(y.at[1].set(0.5))
    kept = np.array([0, 2])
    np.testing.assert_array_equal(changed.inputs[:, kept], whole.inputs[:, kept])


def test_alpha_is_traced():
    y = uniform()
    swept = jax.vmap(lambda alpha: explore(y, alpha=alpha))(jnp.array([0.0, ALPHA]))
    np.testing.assert_array_equal(swept.inputs[0], jnp.broadcast_to(y, (4, *SHAPE)))
    np.testing.assert_array_equal(swept.psnr_bound[0], np.inf)
    assert (np.abs(swept.inputs[1] - explore(y).inputs) > 1e-6).mean() < 0.02  # signs of gradients near zero


@pytest.mark.thorough
def test_the_estimator_is_traced_as_often_for_many_samples_as_for_two():
    def count(samples):
        calls = []

        def counted(y):
            calls.append(1)
            return y * y

        explore_posterior(KEY, counted, uniform(), samples=samples, alpha=0.1, steps=2, bounds=None)
        return len(calls)

    assert count(2) == count(9)


def test_range_maps_and_coverage_of_known_samples():
    outputs = jnp.stack([jnp.full(SHAPE, v) for v in (0.4, 0.2, 0.6)])
    lower, upper = range_maps(outputs)
    np.testing.assert_array_equal(lower, np.float32(0.2))
    np.testing.assert_array_equal(upper, np.float32(0.6))
    truth = jnp.full(SHAPE, 0.5).at[0, :2].set(0.7).at[1].set(0.1).at[2].set(0.6)
    np.testing.assert_allclose(range_coverage(outputs, truth), [0.5, 0, 1])


def test_coverage_of_posterior_samples_is_the_order_statistics_one():
    for count in (2, 5):
        samples = jax.random.normal(KEY, (count + 1, 1, 100, 100, 2))
        found = range_coverage(samples[1:], samples[0])
        expected = (count - 1) / (count + 1)
        assert abs(float(found[0]) - expected) < 4 * np.sqrt(expected * (1 - expected) / 20000)


def test_coverage_is_nan_where_a_sample_or_the_truth_is():
    outputs, truth = uniform(1, (2, *SHAPE)), uniform(0)
    found = range_coverage(outputs.at[1, 0, 0, 0, 0].set(jnp.nan), truth.at[2, 1, 1, 1].set(jnp.nan))
    np.testing.assert_array_equal(np.isnan(found), [True, False, True])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "samples: found 0"),
        ({"steps": 0}, "steps: found 0"),
        ({"alpha": -1.0}, "alpha: found -1.0"),
        ({"bounds": (0.4, 0.6)}, "y: found values"),
        ({"bounds": (1.0, 0.0)}, "bounds: found"),
    ],
)
def test_bad_options_are_refused_even_for_one_sample(changes, message):
    options = {"samples": 1, "alpha": 0.1, "steps": 1, "bounds": None} | changes
    with pytest.raises(InputError, match=message):
        explore_posterior(KEY, erratic, uniform(), **options)


def test_shapes_that_do_not_belong_together_are_refused():
    with pytest.raises(InputError, match="truth: found shape"):
        range_coverage(uniform(0, (2, *SHAPE)), uniform(0)[:1])
    with pytest.raises(InputError, match="outputs: found shape"):
        range_maps(jnp.zeros((0, *SHAPE)))
