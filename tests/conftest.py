"""One JAX configuration for all tests, set before JAX is first used."""

import os

os.environ["MPLBACKEND"] = "Agg"

import jax

jax.config.update("jax_num_cpu_devices", 8)  # several devices on one host, for the sharding tests
jax.config.update("jax_numpy_rank_promotion", "raise")
