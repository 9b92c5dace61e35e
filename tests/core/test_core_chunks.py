"""Chunked maps: equal to the whole, in pieces of the asked size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError, map_chunks

N = 7
X = np.arange(N * 6, dtype=np.float32).reshape(N, 2, 3)


def row_sums(x):
    return 2 * jnp.sum(x, axis=2) + 1  # small integers: exact in float32


@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit])
@pytest.mark.parametrize("size", [1, 2, 3, N - 1, N, N + 1, 100])
def test_equals_the_whole(size, wrap):
    found = wrap(lambda x: map_chunks(row_sums, x, size=size))(X)
    assert found.shape == (N, 2)
    np.testing.assert_array_equal(found, row_sums(X))


@pytest.mark.parametrize(
    ("size", "pieces"), [(1, {1}), (2, {2, 1}), (3, {3, 1}), (4, {4, 3}), (N, {N}), (N + 1, {N}), (5, {5, 2})]
)
def test_pieces(size, pieces):
    seen = set()

    def fn(x):
        seen.add(x.shape[0])
        return x

    map_chunks(fn, jnp.asarray(X), size=size)
    assert seen == pieces


def test_gradient_and_dtype():
    gradient = jax.grad(lambda x: jnp.sum(map_chunks(jnp.square, x, size=3)))(jnp.asarray(X))
    np.testing.assert_array_equal(gradient, 2 * X)
    assert map_chunks(lambda x: x > 3, jnp.asarray(X), size=2).dtype == bool


@pytest.mark.parametrize("size", [0, -1, 2.0, True])
def test_size_is_checked(size):
    with pytest.raises(InputError, match="size: found"):
        map_chunks(row_sums, X, size=size)
