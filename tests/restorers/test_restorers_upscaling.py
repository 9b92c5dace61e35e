"""Nearest, bicubic and Lanczos enlargement: closed forms and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.restorers import bicubic, lanczos, nearest

FLOAT32 = 1e-6  # sums of 36 float32 terms of size one
ALL = [nearest, bicubic, lanczos]


def uniform(*shape: int) -> jax.Array:
    return jnp.asarray(np.random.default_rng(0).random(shape, np.float32))


@pytest.mark.parametrize("factor", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(2, 5, 4, 3), (1, 1, 1, 3)])
def test_nearest_repeats_pixels(shape, factor):
    y = uniform(*shape)
    expected = np.repeat(np.repeat(y, factor, axis=1), factor, axis=2)
    np.testing.assert_array_equal(nearest(y, factor=factor), expected)


@pytest.mark.parametrize("enlarge", ALL)
@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_constants_stay_constant(enlarge, factor, value):
    found = enlarge(jnp.full((1, 3, 2, 3), value), factor=factor)
    assert found.shape == (1, 3 * factor, 2 * factor, 3)
    np.testing.assert_allclose(found, value, rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("power", [1, 2])
def test_bicubic_reproduces_linear_and_quadratic_ramps_inside(factor, power):
    side = 10
    grid = np.arange(side) / side
    y = grid[:, None] ** power + 0.5 * grid[None] ** power
    fine = ((np.arange(side * factor) + 0.5) / factor - 0.5) / side
    expected = fine[:, None] ** power + 0.5 * fine[None] ** power
    found = bicubic(jnp.asarray(y, jnp.float32)[None, :, :, None], factor=factor, channels=1)[0, :, :, 0]
    inside = slice(2 * factor, -2 * factor)  # Keys' kernel reaches two pixels of y
    np.testing.assert_allclose(found[inside, inside], expected[inside, inside], rtol=0, atol=FLOAT32)


def test_bicubic_overshoots_and_is_not_clipped():
    step = jnp.repeat(jnp.array([0.0, 1.0]), 4)[None, None, :, None] * jnp.ones((1, 8, 1, 1))
    found = bicubic(step, factor=4, channels=1)
    assert found.max() > 1.01
    assert found.min() < -0.01


@pytest.mark.parametrize("enlarge", ALL)
@pytest.mark.parametrize("factor", [1, 2])
def test_one_channel_is_repeated(enlarge, factor):
    y = uniform(2, 4, 3, 1)
    alone = enlarge(y, factor=factor, channels=1)
    assert alone.shape == (2, 4 * factor, 3 * factor, 1)
    np.testing.assert_array_equal(enlarge(y, factor=factor), np.repeat(alone, 3, axis=-1))


@pytest.mark.parametrize("enlarge", ALL)
def test_channels_and_examples_are_independent(enlarge):
    y = uniform(3, 4, 5, 3)
    whole = enlarge(y, factor=2)
    np.testing.assert_allclose(
        enlarge(y[1:2, :, :, 2:], factor=2, channels=1)[0, :, :, 0], whole[1, :, :, 2], atol=FLOAT32
    )


@pytest.mark.parametrize("enlarge", ALL)
@pytest.mark.parametrize(
    ("y", "options", "message"),
    [
        (jnp.zeros((1, 4, 4, 3), jnp.uint8), {}, "y: found dtype uint8"),
        (jnp.zeros((4, 4, 3)), {}, "y: found shape"),
        (jnp.zeros((1, 3, 8, 8)), {}, "y: found shape .* NCHW"),
        (jnp.zeros((1, 4, 4, 2)), {}, "y: found 2 channels, expected 1 or 3"),
        (jnp.zeros((1, 4, 4, 3)), {"channels": 1}, "y: found 3 channels, expected 1 or 1"),
        (jnp.full((1, 4, 4, 3), jnp.nan), {}, "y: found 48 NaN"),
        (jnp.zeros((1, 4, 4, 3)), {"factor": 0}, "factor: found 0"),
        (jnp.zeros((1, 4, 4, 3)), {"factor": 2.0}, "factor: found 2.0"),
    ],
)
def test_bad_input_is_refused(enlarge, y, options, message):
    with pytest.raises(InputError, match=message):
        enlarge(y, **({"factor": 2} | options))
