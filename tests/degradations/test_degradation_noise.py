"""Gaussian noise: its distribution, and that it does not depend on batching."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError, example_keys
from jaxpr.degradations import gaussian_noise

X = jnp.full((4, 32, 32, 3), 0.5)


def test_mean_and_standard_deviation():
    noise = np.asarray(gaussian_noise(jax.random.key(0), X, std=0.2) - X)
    count = noise.size
    assert abs(noise.mean()) < 4 * 0.2 / np.sqrt(count)  # four standard errors
    assert abs(noise.std() - 0.2) < 4 * 0.2 / np.sqrt(2 * count)
    assert abs(np.corrcoef(noise[0].ravel(), noise[1].ravel())[0, 1]) < 4 / np.sqrt(noise[0].size)


def test_noise_is_not_clipped():
    found = gaussian_noise(jax.random.key(0), X, std=1.0)
    assert found.min() < 0
    assert found.max() > 1


def test_batches_with_their_own_keys_give_what_one_batch_gives():
    key = jax.random.key(3)
    whole = gaussian_noise(key, X, std=0.1)
    keys = example_keys(key, 4)
    parts = [gaussian_noise(keys[i : i + 2], X[i : i + 2], std=0.1) for i in (0, 2)]
    np.testing.assert_array_equal(jnp.concatenate(parts), whole)


def test_std_zero_is_the_identity_and_dtype_is_kept():
    np.testing.assert_array_equal(gaussian_noise(jax.random.key(0), X, std=0), X)
    assert gaussian_noise(jax.random.key(0), X.astype(jnp.bfloat16), std=0.1).dtype == jnp.bfloat16


def test_std_is_traced():
    grad = jax.jit(jax.grad(lambda s: gaussian_noise(jax.random.key(0), X, std=s).sum()))(0.1)
    expected = (gaussian_noise(jax.random.key(0), X, std=1.0) - X).sum()
    np.testing.assert_allclose(grad, expected, rtol=1e-3)  # float32 sum of 12288 terms that cancel


@pytest.mark.parametrize(
    ("x", "std", "message"),
    [
        (X, -0.1, "std: found -0.1, expected a non-negative"),
        (X, jnp.ones(4), r"std: found an array of shape \(4,\)"),
        (jnp.ones((2, 2, 2, 3), jnp.uint8), 0.1, "x: found dtype uint8"),
        (jnp.float32(1), 0.1, r"x: found shape \(\)"),
    ],
)
def test_errors(x, std, message):
    with pytest.raises(InputError, match=message):
        gaussian_noise(jax.random.key(0), x, std=std)


def test_key_errors():
    with pytest.raises(InputError, match="key: found keys of shape"):
        gaussian_noise(jax.random.split(jax.random.key(0), 3), X, std=0.1)
