"""The output shift and the Lipschitz ratio: closed forms, NaN where undefined, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.attacks import lipschitz_ratio, local_lipschitz, output_shift, shift_ratio
from jaxpr.core import InputError

FLOAT32 = 1e-6  # float32 sums of 24 terms, relative
SHAPE = (4, 3, 4, 2)


def uniform(seed: int, shape: tuple[int, ...] = SHAPE) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


def test_output_shift_against_float64():
    y, other = uniform(0), uniform(1)
    found = output_shift(lambda z: z**3, y)(other)
    difference = np.asarray(other, np.float64) ** 3 - np.asarray(y, np.float64) ** 3
    np.testing.assert_allclose(found, np.square(difference).sum(axis=(1, 2, 3)), rtol=FLOAT32)


def test_output_shift_evaluates_the_clean_output_once():
    calls = []
    objective = output_shift(lambda z: calls.append(1) or z, uniform(0))
    for _ in range(3):
        objective(uniform(1))
    assert len(calls) == 1 + 3


def test_the_clean_output_is_a_constant_of_the_gradient():
    y = uniform(0)
    gradient = jax.grad(lambda z: jnp.sum(output_shift(lambda a: 2 * a, z)(y + 0.5)))(y)
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("factor", [0.0, 0.25, 1.0, -3.0])
def test_ratio_of_a_multiple_is_its_size(factor):
    y, other = uniform(0), uniform(1)
    np.testing.assert_allclose(lipschitz_ratio(lambda z: factor * z, y, other), abs(factor), rtol=FLOAT32)


@pytest.mark.parametrize("copies", [2, 9])
def test_repeating_pixels_multiplies_the_ratio_by_the_root_of_their_number(copies):
    y, other = uniform(0), uniform(1)
    found = lipschitz_ratio(lambda z: jnp.concatenate([z] * copies, axis=-1), y, other)
    np.testing.assert_allclose(found, np.sqrt(copies), rtol=FLOAT32)


def test_ratio_against_float64_and_its_symmetry():
    y, other = uniform(0), uniform(1)
    a, b = (np.asarray(z, np.float64).reshape(4, -1) for z in (y, other))
    expected = np.linalg.norm(np.sin(3 * a) - np.sin(3 * b), axis=1) / np.linalg.norm(a - b, axis=1)
    found = lipschitz_ratio(lambda z: jnp.sin(3 * z), y, other)
    np.testing.assert_allclose(found, expected, rtol=FLOAT32)
    np.testing.assert_array_equal(found, lipschitz_ratio(lambda z: jnp.sin(3 * z), other, y))


def test_ratio_is_nan_exactly_where_the_measurement_did_not_move():
    y = uniform(0)
    y_adv = y.at[1].add(0.1).at[3].add(-0.1)
    found = np.asarray(lipschitz_ratio(lambda z: z, y, y_adv))
    np.testing.assert_array_equal(np.isnan(found), [True, False, True, False])
    np.testing.assert_allclose(found[[1, 3]], 1, rtol=FLOAT32)


def test_gradient_stays_finite_beside_an_undefined_ratio():
    y = uniform(0)
    y_adv = y.at[1].add(0.1)
    gradient = jax.grad(lambda s: lipschitz_ratio(lambda z: s * z, y, y_adv)[1])(2.0)
    assert abs(gradient - 1) < FLOAT32 * 10  # d|s| / ds; a difference of float32 numbers of size one


def test_shift_ratio_of_outputs_of_another_shape():
    y, y_adv = jnp.zeros(SHAPE), jnp.full(SHAPE, 0.5)
    restored, restored_adv = jnp.zeros((4, 6)), jnp.full((4, 6), 2.0)
    np.testing.assert_allclose(
        shift_ratio(restored, restored_adv, y, y_adv), np.sqrt(6 * 4 / (24 * 0.25)), rtol=FLOAT32
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((uniform(0, (2, 3)), uniform(1, (2, 3)), uniform(0, (2, 4)), uniform(1, (1, 4))), "y and y_adv"),
        ((uniform(0, (2, 3)), uniform(1, (1, 3)), uniform(0, (2, 4)), uniform(1, (2, 4))), "restored and restored_adv"),
    ],
)
def test_shapes_that_would_broadcast_are_refused(arguments, message):
    with pytest.raises(InputError, match=f"{message}: found shapes"):
        shift_ratio(*arguments)


def test_lipschitz_ratio_refuses_other_shapes_before_it_runs_the_estimator():
    with pytest.raises(InputError, match="y and y_adv: found shapes"):
        lipschitz_ratio(lambda z: pytest.fail("estimator was called"), uniform(0), uniform(1)[:2])


def test_a_step_without_end_is_no_small_ratio():
    y = uniform(0)
    with pytest.raises(InputError, match="y_adv: found 1 NaN or infinite"):
        lipschitz_ratio(jnp.tanh, y, y.at[0, 0, 0, 0].set(jnp.inf))
    ratio = jax.jit(lambda z: lipschitz_ratio(jnp.tanh, y, z))(y.at[0, 0, 0, 0].set(jnp.inf))
    assert np.isnan(ratio[0])


@pytest.mark.parametrize("step", [1e-25, 1e25])
def test_ratios_of_steps_whose_squares_leave_float32(step):
    y = jnp.zeros(SHAPE)
    np.testing.assert_allclose(lipschitz_ratio(lambda z: 3 * z, y, y + step), 3, rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.uint8, jnp.int32, bool])
def test_restorations_that_would_wrap_around_are_refused(dtype):
    y = uniform(0)
    with pytest.raises(InputError, match=f"estimator: found {jnp.dtype(dtype)} of shape"):
        lipschitz_ratio(lambda z: (255 * z).astype(dtype), y, y + 0.1)


def test_ratios_of_half_precision_neither_overflow_nor_vanish():
    y = jnp.zeros((1, 64, 64, 3), jnp.float16)
    for step in (1e-4, 8.0):  # squares: below the smallest float16; a sum above the largest
        np.testing.assert_allclose(lipschitz_ratio(lambda z: 2 * z, y, y + jnp.float16(step)), 2, rtol=1e-3)


def test_spectral_norm_where_the_backward_rule_has_no_transpose():
    @jax.custom_vjp
    def doubled(x):
        return 2 * x

    doubled.defvjp(lambda x: (2 * x, None), lambda _, cotangent: (doubled(cotangent),))
    found = local_lipschitz(jax.random.key(0), doubled, uniform(0), iterations=2)
    np.testing.assert_allclose(found, 2, rtol=1e-6)
