"""The patch grid: a partition of unity for any size, its counts and its gradient; training pairs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.restorers import PatchGrid
from jaxpr.restorers.training_patches import training_patches

FLOAT32 = 2e-6  # sums of up to 9 float32 numbers of size one, divided by their count
# (core, margin, stride), stride a divisor of core.
GEOMETRIES = [(1, 0, 1), (2, 2, 2), (3, 1, 1), (3, 0, 3), (4, 1, 2)]
SIZES = [(1, 2), (7, 4)]


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def cores(contexts, grid: PatchGrid, channels: int):
    """The inner part of every context, enlarged by repetition: patches of `np.repeat(y, factor)`."""
    patches = contexts.reshape(*contexts.shape[:3], grid.context, grid.context, channels)
    inner = patches[:, :, :, grid.margin : grid.margin + grid.core, grid.margin : grid.margin + grid.core]
    inner = jnp.repeat(jnp.repeat(inner, grid.factor, axis=3), grid.factor, axis=4)
    return inner.reshape(*inner.shape[:3], -1)


@functools.partial(jax.jit, static_argnames="grid")
def reassembled(y, *, grid: PatchGrid):
    return grid.assemble(cores(grid.contexts(y), grid, y.shape[-1]), y.shape[1:3])


def enlarged(y, factor: int):
    return np.repeat(np.repeat(np.asarray(y), factor, axis=1), factor, axis=2)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("core", "margin", "stride"), GEOMETRIES)
def test_assembled_cores_are_the_image(size, core, margin, stride):
    grid, y = PatchGrid(2, core, margin, stride), jnp.asarray(uniform(2, *size, 3))
    shape = jax.eval_shape(grid.contexts, y).shape
    assert shape == (2, grid.count(size[0]), grid.count(size[1]), (core + 2 * margin) ** 2 * 3)
    np.testing.assert_allclose(reassembled(y, grid=grid), enlarged(y, 2), rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("factor", [1, 3, 4])
def test_any_factor(factor):
    grid, y = PatchGrid(factor, 2, 1, 1), jnp.asarray(uniform(1, 5, 3, 1))
    np.testing.assert_allclose(reassembled(y, grid=grid), enlarged(y, factor), rtol=0, atol=FLOAT32)


@pytest.mark.parametrize(("core", "margin", "stride"), GEOMETRIES)
@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_count_is_the_number_of_patches_that_touch_the_image(core, margin, stride, side):
    starts = range(stride - core, side, stride)  # the first patch predicts the first `stride` pixels
    assert PatchGrid(1, core, margin, stride).count(side) == len(starts)


def test_contexts_are_windows_of_the_mirrored_image():
    grid, y = PatchGrid(2, 2, 1, 1), uniform(1, 4, 5, 2)
    padded = np.pad(y[0], ((2, 2), (2, 2), (0, 0)), mode="symmetric")
    found = np.asarray(grid.contexts(jnp.asarray(y)))
    assert found.shape == (1, 5, 6, 32)
    for i in range(5):
        for j in range(6):
            np.testing.assert_array_equal(found[0, i, j], padded[i : i + 4, j : j + 4].ravel())


@pytest.mark.parametrize(("core", "margin", "stride"), [(2, 1, 1), (4, 1, 2)])
def test_gradient_through_contexts_and_assemble_is_the_identity(core, margin, stride):
    grid, y, weights = (
        PatchGrid(2, core, margin, stride),
        jnp.asarray(uniform(1, 5, 4, 2)),
        uniform(1, 10, 8, 2, seed=1),
    )
    gradient = jax.jit(jax.grad(lambda z: jnp.sum(weights * reassembled(z, grid=grid))))(y)
    expected = weights.reshape(1, 5, 2, 4, 2, 2).sum(axis=(2, 4))
    np.testing.assert_allclose(gradient, expected, rtol=0, atol=10 * FLOAT32)  # up to 4 · 16 terms


def test_overlapping_predictions_are_averaged():
    grid = PatchGrid(1, 2, 0, 1)
    # Patch (i, j) predicts its own number everywhere.
    numbers = np.arange(9, dtype=np.float32).reshape(1, 3, 3, 1)
    found = grid.assemble(jnp.asarray(np.repeat(numbers, 4, axis=-1)), (2, 2))
    np.testing.assert_array_equal(found[0, :, :, 0], [[2, 3], [5, 6]])  # means of (0 1 3 4), (1 2 4 5), ...


@pytest.mark.parametrize(("core", "stride"), [(2, 3), (3, 2), (4, 3)])
def test_a_stride_that_does_not_divide_the_core_is_refused(core, stride):
    with pytest.raises(InputError, match=f"stride: found {stride}, expected a divisor of core = {core}"):
        PatchGrid(2, core, 1, stride).contexts(jnp.zeros((1, 8, 8, 3)))


@pytest.mark.parametrize(("core", "margin", "stride"), [(2, 1, 1), (2, 2, 2), (4, 0, 2)])
def test_training_patches_correspond(core, margin, stride):
    grid, y = PatchGrid(3, core, margin, stride), uniform(9, 8, 2)
    x = enlarged(y[None], 3)[0]
    contexts, targets = training_patches(x, y, grid=grid)
    rows, columns = ((side - core) // stride + 1 for side in (9, 8))
    assert contexts.shape == (rows * columns, grid.context**2 * 2)
    expected = cores(jnp.asarray(contexts)[None, None], grid, 2)[0, 0]
    np.testing.assert_array_equal(targets, expected)


def test_training_and_restoration_cut_the_same_contexts():
    grid, y = PatchGrid(2, 2, 1, 1), uniform(7, 6, 3)
    contexts, _ = training_patches(enlarged(y[None], 2)[0], y, grid=grid)
    inside = np.asarray(grid.contexts(jnp.asarray(y)[None]))[0, 1:-1, 1:-1]  # the others predict pixels outside
    np.testing.assert_array_equal(contexts, inside.reshape(-1, 48))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (uniform(12, 12, 3), uniform(6, 5, 3), "x: found 12×12 pixels for y of 6×5"),
        (uniform(12, 12, 3), uniform(12, 12, 3), "x: found 12×12 pixels for y of 12×12"),
        (255 * uniform(12, 12, 3), uniform(6, 6, 3), "x: found values in"),
    ],
)
def test_pairs_that_do_not_fit_are_refused(x, y, message):
    with pytest.raises(InputError, match=message):
        training_patches(x, y, grid=PatchGrid(2, 2, 1, 1))
