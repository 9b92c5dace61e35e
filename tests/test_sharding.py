"""Inputs sharded over eight devices give what one device gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxpr.attacks import ifgsm, lipschitz_ratio, output_shift
from jaxpr.core import example_keys
from jaxpr.degradations import BicubicDownsample
from jaxpr.metrics import extract_patches, psnr, ssim
from jaxpr.numerics import nearest_distances
from jaxpr.restorers import Exemplars, PatchGrid, bicubic, exemplar
from jaxpr.weights import feature_extractor

COUNT = 8
FLOAT32 = 1e-5  # relative; products of matrices of another height may be summed in another order


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def sharded(x):
    """The same array, its leading axis spread over the eight devices."""
    mesh = Mesh(np.array(jax.devices()), ("examples",))
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec("examples")))


def assert_sharding_changes_nothing(fn, *arrays, still_sharded: bool = True, atol: float = FLOAT32) -> None:
    run = jax.jit(fn)
    found = run(*(sharded(array) for array in arrays))
    np.testing.assert_allclose(found, run(*arrays), rtol=FLOAT32, atol=atol)
    if still_sharded:
        assert len(found.sharding.device_set) == COUNT
        assert not found.sharding.is_fully_replicated


def test_there_are_eight_devices():
    assert len(jax.devices()) == COUNT
    assert len(sharded(uniform(16, 3)).addressable_shards) == COUNT


GRID = PatchGrid(factor=2, core=2, margin=1, stride=2)
PARAMS = Exemplars(jnp.asarray(uniform(10, 48, seed=1) - 0.5), jnp.asarray(uniform(10, 48, seed=2) - 0.5))
RESTORERS = {
    "bicubic": lambda y: bicubic(y, factor=2),
    "exemplar": lambda y: exemplar(PARAMS, y, grid=GRID, temperature=0.2),
}


@pytest.mark.parametrize("name", RESTORERS)
def test_attack(name):
    estimator = RESTORERS[name]

    def attack(keys, y):
        y_adv = ifgsm(keys, output_shift(estimator, y), y, alpha=0.1, steps=3, bounds=(0.0, 1.0))
        return jnp.concatenate([y_adv.reshape(COUNT, -1), lipschitz_ratio(estimator, y, y_adv)[:, None]], axis=1)

    assert_sharding_changes_nothing(attack, example_keys(jax.random.key(0), COUNT), uniform(COUNT, 6, 6, 3))


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_distortion(measure):
    def measured(a, b):
        return measure(a, b, data_range=1.0)

    # `ssim` scans over the examples, so its result may lie on every device.
    assert_sharding_changes_nothing(
        measured, uniform(COUNT, 16, 16, 3), uniform(COUNT, 16, 16, 3, seed=1), still_sharded=measure is psnr
    )


def test_bicubic_downsampling():
    operator = BicubicDownsample((16, 12, 3), 4)
    assert_sharding_changes_nothing(operator, uniform(COUNT, 16, 12, 3))
    assert_sharding_changes_nothing(operator.project, uniform(COUNT, 16, 12, 3), uniform(COUNT, 4, 3, 3))


def test_patch_features():
    extract = feature_extractor("pixels").apply
    assert_sharding_changes_nothing(
        lambda x: extract(extract_patches(x, size=16, stride=8)), uniform(COUNT, 24, 24, 3), still_sharded=False
    )


def test_nearest_distances():
    queries, points = uniform(16, 6), uniform(24, 6, seed=1)
    assert_sharding_changes_nothing(lambda q, p: nearest_distances(q, p, k=3), queries, points, still_sharded=False)


@pytest.mark.thorough
def test_eager_calls_take_sharded_arrays():
    x, other = uniform(COUNT, 16, 16, 3), uniform(COUNT, 16, 16, 3, seed=1)
    found = psnr(sharded(x), sharded(other), data_range=1.0)
    np.testing.assert_allclose(found, psnr(jnp.asarray(x), jnp.asarray(other), data_range=1.0), rtol=FLOAT32)
    assert len(found.sharding.device_set) == COUNT
