"""Rectifier networks in the column layout, against NumPy in float64 and against JAX's own derivatives."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.models import init_mlp, input_gradient, mlp, mlp_with_pattern

KEY = jax.random.key(3)
SIZES = [(2, 5, 7, 1), (3, 4, 2), (1, 6, 6, 6, 3)]
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}  # sums of at most seven terms of order one, in at most four layers


def points(features, count=11, seed=0):
    return np.random.default_rng(seed).normal(size=(features, count)).astype(np.float32)


def in_float64(layers, x):
    """Output and the values before each rectifier."""
    before, x = [], np.float64(x)
    for weight, bias in layers[:-1]:
        before.append(np.float64(weight) @ x + np.float64(bias))
        x = np.maximum(before[-1], 0)
    return np.float64(layers[-1].weight) @ x + np.float64(layers[-1].bias), before


def by_autodiff(layers, x):
    return jax.grad(lambda x: jnp.sum(mlp(layers, x)))(x)


@pytest.mark.thorough
@pytest.mark.parametrize("sizes", [*SIZES, (4, 3)])
def test_forward_pass_in_float64(sizes):
    layers, x = init_mlp(KEY, sizes), points(sizes[0])
    expected, before = in_float64(layers, x)
    found, pattern = mlp_with_pattern(layers, x)
    assert found.shape == (sizes[-1], 11)
    np.testing.assert_allclose(found, expected, **FLOAT32)
    np.testing.assert_array_equal(mlp(layers, x), found)
    assert [active.dtype for active in pattern] == [bool] * (len(sizes) - 2)
    for active, values in zip(pattern, before, strict=True):
        np.testing.assert_array_equal(active, values > 0)  # none of these values lies within rounding of zero
        assert abs(values).min() > 1e-5


def test_by_hand():
    # |x| and a constant: relu(x) + relu(-x), relu(0·x + 2), in two hidden layers whose second changes nothing.
    layers = (
        (jnp.array([[1.0], [-1.0], [0.0]]), jnp.array([[0.0], [0.0], [2.0]])),
        (jnp.eye(3), jnp.zeros((3, 1))),
        (jnp.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]), jnp.array([[0.5], [0.0]])),
    )
    layers = jax.tree.map(jnp.asarray, tuple(type(init_mlp(KEY, (1, 1))[0])(*layer) for layer in layers))
    x = jnp.array([[-3.0, 4.0]])
    output, pattern = mlp_with_pattern(layers, x)
    np.testing.assert_array_equal(output, [[3.5, 4.5], [2, 2]])
    np.testing.assert_array_equal(pattern[0], [[False, True], [True, False], [True, True]])
    np.testing.assert_array_equal(input_gradient(layers, pattern), [[-1, 1]])


def test_a_value_of_exactly_zero_is_not_active():
    layers = jax.tree.map(jnp.zeros_like, init_mlp(KEY, (2, 3, 1)))
    _, pattern = mlp_with_pattern(layers, points(2))
    assert not pattern[0].any()


@pytest.mark.thorough
@pytest.mark.parametrize("sizes", SIZES)
def test_input_gradient_is_that_of_the_summed_outputs(sizes):
    layers, x = init_mlp(KEY, sizes), points(sizes[0])
    found = input_gradient(layers, mlp_with_pattern(layers, x)[1])
    assert found.shape == x.shape
    np.testing.assert_allclose(found, by_autodiff(layers, x), **FLOAT32)
    compiled = jax.jit(lambda layers, x: input_gradient(layers, mlp_with_pattern(layers, x)[1]))(layers, x)
    np.testing.assert_allclose(compiled, found, **FLOAT32)


@pytest.mark.thorough
@pytest.mark.parametrize("sizes", SIZES)
def test_derivative_of_its_squared_norm_is_that_of_double_autodiff(sizes):
    layers, x = init_mlp(KEY, sizes), points(sizes[0])

    def chain(layers):
        return jnp.sum(jnp.square(input_gradient(layers, mlp_with_pattern(layers, x)[1])))

    found = jax.grad(chain)(layers)
    expected = jax.grad(lambda layers: jnp.sum(jnp.square(by_autodiff(layers, x))))(layers)
    for ours, theirs in zip(found, expected, strict=True):
        assert (np.asarray(ours.weight) != 0).any()
        np.testing.assert_allclose(ours.weight, theirs.weight, rtol=1e-4, atol=1e-5)  # sums over eleven points
        np.testing.assert_array_equal(ours.bias, 0)  # a slope does not depend on biases while the pattern stays
        np.testing.assert_array_equal(theirs.bias, 0)


@pytest.mark.thorough
def test_derivative_of_its_squared_norm_against_finite_differences():
    # One direction in the weights, in float64 NumPy; the pattern stays the same over so short a step.
    layers, x = init_mlp(KEY, (2, 5, 7, 1)), points(2)
    pattern = mlp_with_pattern(layers, x)[1]
    direction = init_mlp(jax.random.key(4), (2, 5, 7, 1))

    def squared(step):
        flow = None
        for layer, way, active in zip(layers[::-1], direction[::-1], (None, *pattern[::-1]), strict=True):
            weight = np.float64(layer.weight) + step * np.float64(way.weight)
            flow = weight.sum(0)[:, None] if flow is None else weight.T @ (np.asarray(active) * flow)
        return np.sum(flow**2)

    slope = (squared(1e-6) - squared(-1e-6)) / 2e-6
    gradient = jax.grad(lambda layers: jnp.sum(jnp.square(input_gradient(layers, pattern))))(layers)
    along = sum(jnp.vdot(g.weight, d.weight) for g, d in zip(gradient, direction, strict=True))
    np.testing.assert_allclose(along, slope, rtol=1e-4)


@pytest.mark.thorough
@pytest.mark.parametrize("count", [1, 3])
def test_an_ensemble_equals_its_members(count):
    keys, x = jax.random.split(KEY, count), points(2)
    together = jax.vmap(lambda key: init_mlp(key, (2, 5, 7, 1)))(keys)

    def both(layers):
        output, pattern = mlp_with_pattern(layers, x)
        return output, input_gradient(layers, pattern)

    outputs, gradients = jax.vmap(both)(together)
    assert outputs.shape == (count, 1, 11)
    for i, key in enumerate(keys):
        alone = init_mlp(key, (2, 5, 7, 1))
        jax.tree.map(lambda a, b, i=i: np.testing.assert_array_equal(a[i], b), together, alone)
        output, gradient = both(alone)
        np.testing.assert_allclose(outputs[i], output, **FLOAT32)
        np.testing.assert_allclose(gradients[i], gradient, **FLOAT32)


def test_points_do_not_influence_each_other():
    layers, x = init_mlp(KEY, (2, 5, 1)), points(2)
    np.testing.assert_allclose(mlp(layers, x[:, 3:4]), mlp(layers, x)[:, 3:4], **FLOAT32)


def test_initial_weights_fill_their_bounds():
    layers = init_mlp(KEY, (16, 400, 9, 1))
    for layer, fan_in, fan_out in zip(layers, (16, 400, 9), (400, 9, 1), strict=True):
        assert layer.weight.shape == (fan_out, fan_in)
        assert layer.bias.shape == (fan_out, 1)
        for values in layer:
            assert abs(np.asarray(values)).max() <= 1 / math.sqrt(fan_in)
    # Uniform in ±b has variance b²/3; 6400, 3600 and 400 values, five standard errors of √(4/5/n) relative.
    for values, fan_in in ((layers[0].weight, 16), (layers[1].weight, 400), (layers[0].bias, 16)):
        values, n = np.asarray(values).ravel() * math.sqrt(fan_in), values.size
        np.testing.assert_allclose(np.var(values), 1 / 3, rtol=5 * math.sqrt(0.8 / n))
        assert values.min() < -0.98
        assert values.max() > 0.98


def test_initial_layers_differ_and_keys_decide():
    first, again, other = (init_mlp(key, (4, 4, 4)) for key in (KEY, KEY, jax.random.key(4)))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    leaves = [np.asarray(leaf)[:, :1] for leaf in jax.tree.leaves((first, other))]  # of equal shapes and bounds
    assert len({leaf.tobytes() for leaf in leaves}) == 8


def test_errors():
    for sizes in ((), (3,), (3, 0), (0, 3), (2, -1, 2)):
        with pytest.raises(InputError, match="sizes: found") as error:
            init_mlp(KEY, sizes)
        assert str(sizes) in str(error.value)
    layers = init_mlp(KEY, (2, 3, 3, 1))
    pattern = mlp_with_pattern(layers, points(2))[1]
    for wrong in (pattern[:1], (*pattern, pattern[0]), ()):
        with pytest.raises(InputError, match=f"pattern: found {len(wrong)} layers, expected 2"):
            input_gradient(layers, wrong)


def test_nan_reaches_the_output():
    layers, x = init_mlp(KEY, (2, 5, 1)), points(2)
    x[0, 4] = np.nan
    output = np.asarray(mlp(layers, x))[0]
    np.testing.assert_array_equal(np.isnan(output), np.arange(11) == 4)


def test_input_gradient_of_one_layer_is_one_column():
    layers = init_mlp(KEY, (3, 2))
    np.testing.assert_array_equal(input_gradient(layers, ()), layers[0].weight.sum(axis=0)[:, None])
