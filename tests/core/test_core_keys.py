"""Per-example keys: results that do not depend on how examples are batched."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError, example_keys


def data(keys):
    return np.asarray(jax.random.key_data(keys))


def test_one_key_is_folded_with_the_index():
    key = jax.random.key(3)
    found = example_keys(key, 4)
    assert found.shape == (4,)
    np.testing.assert_array_equal(data(found), [data(jax.random.fold_in(key, i)) for i in range(4)])


def test_keys_do_not_depend_on_the_count():
    key = jax.random.key(0)
    np.testing.assert_array_equal(data(example_keys(key, 7))[:3], data(example_keys(key, 3)))


def test_one_key_per_example_passes_unchanged():
    keys = jax.random.split(jax.random.key(1), 5)
    assert example_keys(keys, 5) is keys


def test_slices_of_folded_keys_give_what_the_whole_gives():
    keys = example_keys(jax.random.key(2), 6)
    whole = jax.vmap(jax.random.normal)(keys)
    parts = [jax.vmap(jax.random.normal)(example_keys(part, len(part))) for part in (keys[:1], keys[1:6])]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_under_jit():
    key = jax.random.key(5)
    np.testing.assert_array_equal(data(jax.jit(lambda k: example_keys(k, 3))(key)), data(example_keys(key, 3)))


@pytest.mark.parametrize("shape", [(3,), (5,), (2, 2)])
def test_wrong_number_of_keys(shape):
    with pytest.raises(InputError, match="expected one key or one for each of 4 examples"):
        example_keys(jax.random.split(jax.random.key(0), shape), 4)


@pytest.mark.parametrize("legacy", [jnp.zeros(2, jnp.uint32), np.zeros((4, 2), np.uint32), 0])
def test_legacy_keys_are_refused(legacy):
    with pytest.raises(InputError, match=r"key: found (uint32|int), expected a key made by jax\.random"):
        example_keys(legacy, 4)
