"""Scoped float64: double precision inside, the caller's dtype outside, and no global switch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import in_float64

LARGE = np.float32(1e8)  # its float32 neighbours are 8 away, so adding 1 is lost in float32


@in_float64
def step_of_one(xp, x):
    return (x + 1) - x


@in_float64
def difference_of_squares(xp, x):
    return (x + 1) ** 2 - x**2


@pytest.fixture(autouse=True)
def float64_stays_off():
    yield
    assert not jax.config.jax_enable_x64
    assert jnp.ones(1).dtype == jnp.float32


def test_float32_would_lose_it():
    assert (jnp.asarray(LARGE) + 1) - LARGE == 0


@pytest.mark.parametrize("make", [np.asarray, jnp.asarray, float, int])
def test_concrete_input_runs_in_numpy(make):
    found = step_of_one(make(LARGE))
    assert isinstance(found, np.ndarray | np.float64)
    assert found.dtype == np.float64
    assert found == 1


def test_concrete_input_is_given_numpy():
    seen = []
    in_float64(lambda xp, x: seen.append((xp, x.dtype)) or x)(jnp.ones(2, jnp.float32))
    assert seen == [(np, np.float64)]


def test_jit():
    found = jax.jit(step_of_one)(LARGE)
    assert found.dtype == jnp.float32
    assert found == 1


def test_vmap():
    found = jax.vmap(step_of_one)(jnp.array([LARGE, 3 * LARGE]))
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, [1, 1])


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
def test_grad(wrap):
    # 2(x + 1) - 2x; in float32 it would be 0.
    found = wrap(jax.grad(difference_of_squares))(jnp.asarray(LARGE))
    assert found.dtype == jnp.float32
    assert found == 2


def test_grad_through_a_diagonal():
    @in_float64
    def squares(xp, x):
        return xp.sum(xp.diagonal(xp.outer(x, x)))

    np.testing.assert_array_equal(jax.grad(squares)(jnp.array([1.0, 2.0, 3.0])), [2, 4, 6])


def test_trees_and_mixed_inputs():
    @in_float64
    def fn(xp, pair, scale):
        a, b = pair
        return {"sum": (a + b) * scale, "a": a}

    concrete = fn((np.float32(1), 2.0), jnp.float32(3))
    assert concrete == {"sum": 9, "a": 1}
    traced = jax.jit(lambda b: fn((np.float64(1), b), 3.0))(jnp.float32(2))
    assert traced["sum"] == 9
    assert {leaf.dtype for leaf in jax.tree.leaves(traced)} == {np.dtype(np.float32)}


def test_an_error_inside_leaves_float64_off():
    @in_float64
    def fails(xp, x):
        raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        jax.jit(fails)(1.0)
    assert jnp.ones(1).dtype == jnp.float32


@pytest.mark.parametrize("constant", [np.float64(1 / 3), np.array([[1 / 3, 1e300]]), np.array([0.1, np.nan]), 1 / 3, 7])
@pytest.mark.parametrize("wrap", [jax.jit, jax.vmap, lambda f: jax.vmap(jax.jit(f))])
def test_constants_of_the_host_keep_their_digits(constant, wrap):
    @in_float64
    def sensitive(xp, x, given):
        return x + xp.sum(xp.sin(1e6 * xp.log(given)))  # the last digits of float32 turn the angle by a tenth

    found = wrap(lambda x: sensitive(x, constant))(jnp.zeros(2))
    np.testing.assert_allclose(found, sensitive(np.zeros(2), constant), rtol=1e-5)


@pytest.mark.parametrize("transform", [lambda f: jax.vmap(jax.jit(f)), lambda f: jax.jit(jax.vmap(jax.jit(f)))])
def test_vmap_of_jit_stays_in_float64(transform):
    @in_float64
    def product(xp, x):
        return ((x + 1)[None] @ (x + 1)[:, None])[0, 0] - xp.sum(x * (x + 2))

    points = jnp.array([[1e6, 1e6], [1e6, 3e6]])  # their squares have 13 digits
    np.testing.assert_array_equal(transform(product)(points), [2, 2])
    assert transform(jax.grad(product))(points).shape == (2, 2)


def test_name_is_kept():
    assert step_of_one.__name__ == "step_of_one"
