"""The one value: what it is called with, what plain callables become, and which restorers share a function."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.restorers import Restorer, as_restorer, consistent, in_range, nearest, tiled

KEY = jax.random.key(0)
Y = jnp.asarray(np.random.default_rng(0).random((2, 4, 6, 3), np.float32))
DEGRADATION = parse_degradation("average-x2")


def scaled(gain, key, y):
    return gain * nearest(y, factor=2)


def noisy(std, key, y):
    return scaled(1.0, None, y) + std * jax.random.normal(key, (2, 8, 12, 3))


def test_it_is_an_estimator_or_a_sampler():
    np.testing.assert_array_equal(jax.jit(Restorer(scaled, 3.0))(Y), scaled(3.0, None, Y))
    sampler = Restorer(noisy, 0.1, stochastic=True)
    np.testing.assert_allclose(jax.jit(sampler)(KEY, Y), noisy(0.1, KEY, Y), atol=1e-6)
    gradient = jax.grad(lambda y: jnp.sum(Restorer(scaled, 3.0)(y)))(Y)
    np.testing.assert_allclose(gradient, 12, rtol=1e-6)
    with pytest.raises(TypeError, match=r"restorer one: found 1 arguments, expected \(key, y\)"):
        dataclasses.replace(sampler, label="one")(Y)
    with pytest.raises(TypeError, match=r"found 2 arguments, expected \(y\)"):
        Restorer(scaled, 3.0)(KEY, Y)


def test_it_is_compared_by_identity_and_its_function_by_value():
    one, other = Restorer(scaled, np.ones(3)), Restorer(scaled, np.ones(3))
    assert one != other
    assert len({one, other}) == 2
    for wrap in (
        lambda restorer: consistent(restorer, DEGRADATION),
        lambda restorer: in_range(restorer, 0, 255),
        lambda restorer: tiled(restorer, tile=4, overlap=2, scale=2),
        lambda restorer: consistent(in_range(restorer, -1, 1), DEGRADATION),
    ):
        assert wrap(one).apply == wrap(other).apply
        assert hash(wrap(one).apply) == hash(wrap(other).apply)
    assert in_range(one, 0, 255).apply != in_range(one, 0, 1).apply
    assert consistent(one, DEGRADATION).apply != consistent(one, parse_degradation("average-x4")).apply


def test_what_it_says_of_itself_stays_when_it_is_wrapped():
    told = {"label": "a", "cost": 3, "family": "f", "setting": 0.5, "weights": {"file": "x"}, "differentiable": True}
    wrapped = in_range(consistent(Restorer(scaled, 1.0, variant="robust", **told), DEGRADATION), 0, 1)
    assert {name: getattr(wrapped, name) for name in told} == told
    assert wrapped.variant == "robust+project"
    assert tiled(Restorer(scaled, 1.0), tile=4, overlap=2, scale=2).scale == 2


@pytest.mark.parametrize(
    ("function", "stochastic"),
    [
        (lambda y: y, False),
        (lambda key, y: y, True),
        (lambda y, strength=1: y, False),
        (functools.partial(nearest, factor=1), False),
        (lambda *inputs: inputs[-1], False),
        (jnp.negative, False),
    ],
)
def test_plain_callables_are_told_apart_by_their_required_arguments(function, stochastic):
    found = as_restorer("mine", function)
    assert found.stochastic == stochastic
    assert found(*([KEY] if stochastic else []), Y).shape == Y.shape
    assert as_restorer("mine", found) is found


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: as_restorer("r", lambda a, b, y: y), "restorer r: found 3 required arguments, expected y"),
        (lambda: as_restorer("r", lambda: 0), "restorer r: found 0 required arguments"),
        (lambda: as_restorer("r", 3), "restorer r: found int, expected a callable"),
        (lambda: Restorer(3), "apply: found int, expected a callable"),
        (lambda: Restorer(as_restorer, setting=float("nan")), "setting: found nan, expected a finite number"),
        (lambda: Restorer(as_restorer, setting="0.1"), "setting: found '0.1', expected a finite number"),
        (lambda: Restorer(Unhashable()), "apply: found Unhashable, which has no hash"),
        (lambda: tiled(lambda key, y: y, tile=4, overlap=2), "estimator: found a stochastic one"),
    ],
)
def test_what_is_no_restorer_is_refused(make, message):
    with pytest.raises(InputError, match=message):
        make()


@dataclasses.dataclass
class Unhashable:
    """A callable that is compared by value and can change."""

    gain: float = 1.0

    def __call__(self, params, key, y):
        return self.gain * y
