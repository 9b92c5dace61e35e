"""Checks of the attack, on linear maps whose ratios are known and on one that hides its gradient."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.attacks import lipschitz_ratio, output_shift
from jaxpr.core import example_keys
from jaxpr.evaluation import APGD, IFGSM, L2Adam
from jaxpr.evaluation.attack_checks import CHECKS, attack_checks, doubt
from jaxpr.records.results import Metric

Y = jnp.asarray(np.random.default_rng(0).uniform(0.3, 0.7, (3, 6, 5, 1)), jnp.float32)
TWO = jnp.concatenate([Y, 1 - Y], axis=-1)  # channels that JPEG does not know: less to compile
KEYS = example_keys(jax.random.key(0), 3)
BOUNDS = (0.0, 1.0)


def three_times(y):
    return 3 * y


ATTACKS = [IFGSM(steps=3), APGD(steps=3, rounds=2), L2Adam(epsilon=0.2, steps=3, learning_rate=0.1)]


@pytest.mark.thorough
@pytest.mark.parametrize("attack", ATTACKS, ids=["ifgsm", "apgd", "l2_adam"])
def test_a_multiple_of_y_has_one_ratio_in_all_directions(attack):
    found = attack_checks(KEYS, three_times, Y, attack=attack, bounds=BOUNDS, transferred=Y + 0.01)
    assert tuple(found) == CHECKS
    for name in CHECKS:
        np.testing.assert_allclose(found[name], 0 if name.endswith("growth") else 3, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "attack",
    [IFGSM(alpha=0.02, steps=3), pytest.param(APGD(alpha=0.02, steps=3), marks=pytest.mark.thorough)],
    ids=["ifgsm", "apgd"],
)
def test_what_the_attack_reaches_is_its_own_ratio_and_half_of_it_less(attack):
    def curved(y):
        return jnp.sin(40 * y) + jnp.roll(y, 1, 1) ** 2

    @jax.jit
    def ratios():
        first = jax.vmap(lambda key: jax.random.fold_in(key, 0))(KEYS)
        alone = (attack, dataclasses.replace(attack, steps=1), IFGSM(alpha=0.02, steps=1))
        points = [one.ascend(first, output_shift(curved, TWO), TWO, bounds=BOUNDS) for one in alone]
        found = attack_checks(KEYS, curved, TWO, attack=attack, bounds=BOUNDS)
        return found, [lipschitz_ratio(curved, TWO, point) for point in points]

    found, (whole, half, step) = ratios()
    np.testing.assert_allclose(found["attack_ratio"], whole, rtol=1e-4)
    np.testing.assert_allclose(found["attack_half_growth"], whole / half - 1, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["step_ratio"], step, rtol=1e-4)


@pytest.mark.thorough
def test_rounding_goes_as_far_as_the_attack_and_jpeg_needs_colours():
    def coarse(y):
        return (y[:, ::2] + y[:, 1::2]) / 2

    flat = jnp.full((1, 8, 8, 2), 0.503)
    found = attack_checks(KEYS[:1], coarse, flat, attack=IFGSM(steps=2), bounds=BOUNDS)
    # All values are rounded alike, so the change is a constant, which the mean of two keeps.
    np.testing.assert_allclose(found["rounding_ratio"], np.sqrt(0.5), rtol=1e-3)
    assert "jpeg_ratio" not in found  # two channels


@pytest.mark.thorough
def test_noise_has_the_mean_square_of_the_singular_values():
    weights = jnp.asarray([[5.0] + [0.5] * 4])  # of columns

    def estimator(y):
        return y * weights[0][None, None, :, None]

    many = jnp.tile(TWO[:1], (64, 1, 1, 1))
    found = attack_checks(example_keys(jax.random.key(1), 64), estimator, many, attack=IFGSM(steps=8), bounds=None)
    expected = math.sqrt(float(jnp.mean(weights**2)))
    assert float(jnp.mean(found["noise_ratio"])) == pytest.approx(expected, rel=0.05)
    # All signs are equally large, so I-FGSM has the same ratio here.
    assert float(jnp.max(found["random_ratio"])) == pytest.approx(expected, rel=1e-3)


@pytest.mark.thorough
def test_a_masked_gradient_loses_to_random_directions():
    def masked(y):
        # The gradient says that all should grow, to which differences are blind.
        return jax.lax.stop_gradient(5 * jnp.sin(40 * (y - jnp.roll(y, 1, 1)))) + 0.01 * y

    found = attack_checks(KEYS, masked, Y, attack=IFGSM(alpha=0.2 / 255, steps=4), bounds=BOUNDS)
    checks = {name: Metric(float(jnp.mean(values)), 0.0) for name, values in found.items()}
    assert checks["random_ratio"].value > 10
    assert doubt(checks, Metric(0.01, 0.0)).startswith("the gradient is masked: random directions reach")


@pytest.mark.thorough
def test_a_masked_gradient_loses_to_what_attacks_another_restorer():
    def ridge(y):  # changes along one direction of many, which random ones miss
        return jnp.sum(y[:, :, ::2] - y[:, :, 1::2], axis=(1, 2, 3), keepdims=True)

    def masked(y):
        return jax.lax.stop_gradient(ridge(y)) + 0.01 * y[:, :1, :1, :1]

    attack = IFGSM(alpha=0.01, steps=4)
    y = Y[:, :, :4]
    another = attack.ascend(KEYS, output_shift(ridge, y), y, bounds=BOUNDS)
    found = attack_checks(KEYS, masked, y, attack=attack, bounds=BOUNDS, transferred=another)
    np.testing.assert_allclose(found["transfer_ratio"], lipschitz_ratio(masked, y, another), rtol=1e-5)
    checks = {name: Metric(float(jnp.mean(values)), 0.0) for name, values in found.items()}
    assert checks["transfer_ratio"].value > 3 * checks["random_ratio"].value
    assert doubt(checks, Metric(0.01, 0.0)).startswith("the gradient is masked: what attacks another restorer reaches")


@pytest.mark.thorough
def test_a_constant_image_does_not_move_and_nothing_else_is_undefined():
    found = attack_checks(KEYS, three_times, jnp.full_like(Y, 0.5), attack=IFGSM(steps=2), bounds=BOUNDS)
    assert np.isnan(found["moved_ratio"]).all()
    np.testing.assert_allclose(found["noise_ratio"], 3, rtol=1e-4)


def test_words():
    fine = {"attack_growth": Metric(0.01, 0.0), "random_ratio": Metric(1.0, 0.0)}
    assert doubt(fine, Metric(2.0, 0.0)) == ""
    assert doubt(fine | {"noise_ratio": Metric(2.01, 0.0), "moved_ratio": Metric(2.0, 0.0)}, Metric(2.0, 0.0)) == ""
    by_itself = fine | {"noise_ratio": Metric(1.0, 0.0), "moved_ratio": Metric(2.5, 0.0)}
    assert doubt(by_itself, Metric(2.0, 0.0)) == ("an underestimate: a shift of equal norm reaches 2.5 on the probes")
    assert doubt({}, Metric(2.0, 0.0)) == ""
    # Compared with what the attack reaches on the same probes, where that is known.
    assert doubt(by_itself | {"attack_ratio": Metric(3.0, 0.0)}, Metric(2.0, 0.0)) == ""
    assert doubt({"attack_ratio": Metric(3.0, 0.0), "step_ratio": Metric(3.5, 0.0)}, Metric(4.0, 0.0)) == (
        "the gradient is masked: one step of its size reaches 3.5, more than the attack"
    )
    unsettled = fine | {"attack_growth": Metric(0.3, 0.0)}
    assert "not converged: twice the steps from another start reach 30% more" in doubt(unsettled, Metric(2.0, 0.0))
    # What longer attacks reach as well hides nothing.
    assert doubt(unsettled | {"transfer_ratio": Metric(2.5, 0.0)}, Metric(2.0, 0.0)).startswith("not converged")
    assert doubt(unsettled | {"transfer_ratio": Metric(2.7, 0.0)}, Metric(2.0, 0.0)).startswith(
        "the gradient is masked"
    )
