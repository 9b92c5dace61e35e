"""One JAX configuration for all tests, set before JAX is first used."""

import os

os.environ["MPLBACKEND"] = "Agg"

import jax
import pytest

jax.config.update("jax_num_cpu_devices", 8)  # several devices on one host, for the sharding tests
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def rank_promotion_allowed():
    """JAX's own default, for tests of functions that do not run under "raise"."""
    with jax.numpy_rank_promotion("allow"):
        yield
