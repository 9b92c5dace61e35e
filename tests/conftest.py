"""One JAX configuration for all tests, set before JAX is first used."""

import atexit
import gc
import importlib.metadata
import os
import shutil
import tempfile

os.environ["MPLBACKEND"] = "Agg"
# Most of the time goes into compiling the same programs for fresh closures, also in the processes that tests start.
# Each worker has a folder of its own, because JAX does not write its cache atomically.
os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxpr-tests-")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.1"
# Less effort on machine code, which runs once: what is compiled is the same. `make test-all` takes what users have.
_CHEAP = ["--xla_backend_optimization_level=0"]
if int(importlib.metadata.version("jaxlib").split(".")[1]) < 11:  # newer ones end the process at the word
    _CHEAP.append("--xla_cpu_use_fusion_emitters=false")  # takes half off the time of compiling
os.environ.setdefault("XLA_FLAGS", " ".join(_CHEAP))
atexit.register(shutil.rmtree, os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)

import jax  # noqa: E402 (reads the environment)
import pytest  # noqa: E402

jax.config.update("jax_num_cpu_devices", 8)  # several devices on one host, for the sharding tests
jax.config.update("jax_numpy_rank_promotion", "raise")

# Cached programs are millions of objects that stay; looking through all of them often takes a twentieth of the time.
gc.set_threshold(10_000, 20, 10)


@pytest.fixture(scope="module", autouse=True)
def forgotten():
    """Programs of one file are of little use to the next, and thousands of them slow down compiling and lowering."""
    yield
    jax.clear_caches()
