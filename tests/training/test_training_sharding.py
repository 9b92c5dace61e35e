"""Members of an ensemble on many devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.training import sharded


@pytest.mark.thorough
@pytest.mark.parametrize(("count", "devices"), [(1, 1), (2, 2), (6, 6), (8, 8), (16, 8), (20, 5), (7, 7), (11, 1)])
def test_members_are_spread_over_as_many_devices_as_divide_them(count, devices):
    members = {"w": jnp.arange(3.0 * count).reshape(count, 3), "key": jax.random.split(jax.random.key(0), count)}
    spread = sharded(members)
    for name, leaf in spread.items():
        assert len(leaf.sharding.device_set) == devices
        assert leaf.shape == members[name].shape
        assert leaf.addressable_shards[0].data.shape[0] == count // devices
    np.testing.assert_array_equal(spread["w"], members["w"])
    np.testing.assert_array_equal(jax.random.key_data(spread["key"]), jax.random.key_data(members["key"]))


def test_programs_of_spread_members_stay_spread():
    spread = sharded(jnp.arange(16.0))
    doubled = jax.jit(jax.vmap(lambda x: 2 * x))(spread)
    assert len(doubled.sharding.device_set) == 8
    np.testing.assert_array_equal(doubled, 2 * np.arange(16))
