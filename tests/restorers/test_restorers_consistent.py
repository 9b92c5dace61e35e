"""Perfect consistency: A f(y) = y, idempotence, the smallest change."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.degradations import parse_degradation
from jaxpr.restorers import bicubic, consistent, lanczos, nearest

TOLERANCE = 1e-5  # float32 pseudo-inverses with condition numbers up to about ten
SHAPE = (16, 24, 3)
SPECS = ["bicubic-x4", "average-x2", "grayscale", "identity", "inpaint-center-0.5"]


def uniform(*shape: int, seed: int = 0) -> jax.Array:
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


def case(spec: str):
    """The degradation, its operator and random measurements of its range."""
    degradation = parse_degradation(spec)
    operator = degradation.operator(SHAPE)
    y = uniform(2, *operator.output_shape)
    return degradation, operator, y * jnp.asarray(operator.mask)[None, :, :, None] if spec.startswith("inpaint") else y


@pytest.mark.parametrize("enlarge", [nearest, bicubic, lanczos])
@pytest.mark.parametrize("spec", SPECS)
def test_outputs_are_consistent(spec, enlarge):
    degradation, operator, y = case(spec)
    restored = jax.jit(consistent(functools.partial(enlarge, factor=degradation.factor), degradation))(y)
    assert restored.shape == (2, *SHAPE)
    np.testing.assert_allclose(operator(restored), y, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("spec", SPECS[:3])
def test_projection_is_idempotent(spec):
    degradation, _, y = case(spec)
    once = consistent(functools.partial(bicubic, factor=degradation.factor), degradation)
    np.testing.assert_allclose(consistent(once, degradation)(y), once(y), rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("spec", SPECS)
def test_the_change_is_the_smallest(spec):
    degradation, operator, y = case(spec)
    estimate = uniform(2, *SHAPE, seed=1)
    moved = consistent(lambda _: estimate, degradation)(y) - estimate
    # The shortest way to an affine set is orthogonal to its directions, the null space of A.
    other = uniform(2, *SHAPE, seed=2)
    direction = other - operator.pinv(operator(other))
    products = jnp.sum(moved * direction, axis=(1, 2, 3))
    np.testing.assert_allclose(products, 0, atol=TOLERANCE * np.prod(SHAPE) ** 0.5)


@pytest.mark.parametrize("spec", SPECS)
def test_a_consistent_image_is_not_changed(spec):
    degradation, operator, _ = case(spec)
    x = uniform(2, *SHAPE, seed=3)
    np.testing.assert_allclose(consistent(lambda _: x, degradation)(operator(x)), x, rtol=0, atol=TOLERANCE)
