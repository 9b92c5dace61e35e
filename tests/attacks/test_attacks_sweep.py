"""The sweep over strengths: equal to single attacks, one trace, closed forms, errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.attacks import ALPHAS, attack_sweep, ifgsm, lipschitz_ratio, output_shift
from jaxpr.core import InputError

KEY = jax.random.key(6)
SHAPE = (3, 4, 3, 2)


def uniform(seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random(SHAPE, np.float32))


def test_strengths_are_those_of_the_paper():
    np.testing.assert_allclose(255 * np.array(ALPHAS), [1, 2, 4, 8, 16, 32])


@pytest.mark.thorough
def test_it_equals_single_attacks():
    y = uniform()
    found = attack_sweep(KEY, jnp.sin, y, alphas=ALPHAS, steps=5, bounds=(0.0, 1.0))
    for i, alpha in enumerate(ALPHAS):
        y_adv = ifgsm(KEY, output_shift(jnp.sin, y), y, alpha=alpha, steps=5, bounds=(0.0, 1.0))
        np.testing.assert_allclose(found.y_adv[i], y_adv, rtol=0, atol=2e-7)
        np.testing.assert_allclose(found.ratio[i], lipschitz_ratio(jnp.sin, y, y_adv), rtol=1e-3)
    assert found.input_psnr.shape == found.output_psnr.shape == found.ratio.shape == (6, 3)
    assert (found.input_psnr >= -20 * np.log10(np.array(ALPHAS))[:, None] - 1e-3).all()
    assert (np.diff(found.input_psnr, axis=0) < 0).all()


def test_a_multiple_of_the_measurement_loses_its_factor_in_decibels():
    found = attack_sweep(KEY, lambda y: 4 * y, uniform(), alphas=(0.01, 0.1), steps=3, bounds=None)
    np.testing.assert_allclose(found.ratio, 4, rtol=1e-4)
    np.testing.assert_allclose(found.input_psnr - found.output_psnr, 20 * np.log10(4), atol=1e-3)
    wide = attack_sweep(KEY, lambda y: 4 * y, uniform(), alphas=(0.01, 0.1), steps=3, bounds=None, data_range=255.0)
    np.testing.assert_allclose(wide.input_psnr - found.input_psnr, 20 * np.log10(255), atol=1e-3)


def test_a_strength_of_zero_moves_nothing():
    found = attack_sweep(KEY, jnp.sin, uniform(), alphas=(0.0, 0.1), steps=2, bounds=None)
    np.testing.assert_array_equal(found.input_psnr[0], np.inf)
    np.testing.assert_array_equal(found.ratio[0], np.nan)
    assert np.isfinite(found.ratio[1]).all()


def test_it_is_traced_as_often_for_many_strengths_as_for_one():
    def count(alphas):
        calls = []

        def counted(y):
            calls.append(1)
            return y * y

        attack_sweep(KEY, counted, uniform(), alphas=alphas, steps=2, bounds=None)
        return len(calls)

    assert count((0.1,)) == count(ALPHAS)


def test_another_objective_and_jit():
    target = uniform(1)

    def closeness(z):
        return -jnp.sum(jnp.square(z - target), axis=(1, 2, 3))

    def run(y, alphas):
        return attack_sweep(KEY, jnp.sin, y, alphas=alphas, steps=50, bounds=(0.0, 1.0), objective=closeness)

    y = uniform()
    found = jax.jit(run)(y, jnp.array([0.1, 1.0]))
    np.testing.assert_allclose(found.y_adv[1], target, atol=0.021)
    np.testing.assert_allclose(found.y_adv, run(y, jnp.array([0.1, 1.0])).y_adv, atol=0.0401)  # hops around the target


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"alphas": 0.1}, "alphas: found 0.1, expected strengths"),
        ({"alphas": ()}, "alphas: found an array of shape"),
        ({"alphas": (0.1, -0.1)}, "alphas: found"),
        ({"steps": 0}, "steps: found 0"),
        ({"bounds": (0.4, 0.5)}, "y: found values"),
        ({"data_range": 0.0}, "data_range: found 0.0"),
    ],
)
def test_bad_options_are_refused(changes, message):
    options = {"alphas": (0.1,), "steps": 2, "bounds": None} | changes
    with pytest.raises(InputError, match=message):
        attack_sweep(KEY, jnp.sin, uniform(), **options)
