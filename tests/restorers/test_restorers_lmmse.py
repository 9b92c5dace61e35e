"""Linear patches: recovery of a known map, numpy.linalg.lstsq, pooling over images, photographs, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.data import photos
from jaxpr.degradations import parse_degradation
from jaxpr.metrics import mse
from jaxpr.restorers import Lmmse, PatchGrid, bicubic, fit_lmmse, lmmse
from jaxpr.restorers.training_patches import training_patches

GRID = PatchGrid(factor=2, core=2, margin=1, stride=1)
FLOAT32 = 1e-5  # float32 sums of 48 terms of size one, and float32 coefficients


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def local_map(y: np.ndarray) -> np.ndarray:
    """A known x: every one of its pixels is an affine function of the 3x3 neighbourhood in y (h, w, 2), mirrored."""
    taps = np.random.default_rng(7).normal(size=(2, 2, 3, 3, 2, 3)) / 5  # phase (2), shift (2), channels in, out
    x = np.full((*y.shape[:2], 2, 2, 3), 0.25)
    padded = np.pad(y, ((1, 1), (1, 1), (0, 0)), mode="symmetric")
    for i in range(3):
        for j in range(3):
            shifted = padded[i : i + y.shape[0], j : j + y.shape[1]]
            x += np.einsum("hwc,abco->hwabo", shifted, taps[:, :, i, j])
    return x.swapaxes(1, 2).reshape(2 * y.shape[0], 2 * y.shape[1], 3).astype(np.float32)


def test_a_known_linear_map_is_recovered():
    y = uniform(24, 24, 2)
    params = fit_lmmse([(local_map(y), y)], grid=GRID, ridge=1e-9)
    other = uniform(12, 11, 2, seed=1)
    found = lmmse(params, jnp.asarray(other)[None], grid=GRID)
    assert found.shape == (1, 24, 22, 3)
    # At the very border, predictions of patches whose core overhangs it are averaged in; they see less than the map.
    np.testing.assert_allclose(found[0, 2:-2, 2:-2], local_map(other)[2:-2, 2:-2], rtol=0, atol=1e-3)


def test_fit_equals_least_squares():
    x, y = uniform(48, 40, 3), uniform(24, 20, 1, seed=1)
    params = fit_lmmse([(x, y)], grid=GRID, ridge=0.0)
    contexts, targets = training_patches(x.astype(np.float64), y.astype(np.float64), grid=GRID)
    design = np.concatenate([contexts, np.ones((len(contexts), 1))], axis=1)
    solution = np.linalg.lstsq(design, targets, rcond=None)[0]
    np.testing.assert_allclose(params.matrix, solution[:-1], rtol=0, atol=FLOAT32)
    np.testing.assert_allclose(params.offset, solution[-1], rtol=0, atol=FLOAT32)
    assert params.matrix.dtype == params.offset.dtype == jnp.float32


def test_two_images_equal_their_pooled_patches():
    pairs = [(uniform(32, 24, 3), uniform(16, 12, 3, seed=1)), (uniform(20, 36, 3, seed=2), uniform(10, 18, 3, seed=3))]
    params = fit_lmmse(iter(pairs), grid=GRID, ridge=0.01)
    parts = [training_patches(x, y, grid=GRID) for x, y in pairs]
    contexts, targets = (np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    centred = contexts - contexts.mean(axis=0)
    covariance = centred.T @ centred
    ridge = 0.01 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    matrix = np.linalg.solve(covariance + ridge, centred.T @ (targets - targets.mean(axis=0)))
    np.testing.assert_allclose(params.matrix, matrix, rtol=0, atol=FLOAT32)
    np.testing.assert_allclose(params.offset, targets.mean(axis=0) - contexts.mean(axis=0) @ matrix, atol=FLOAT32)


def test_an_infinite_ridge_leaves_the_mean():
    x, y = uniform(24, 24, 3), uniform(12, 12, 3, seed=1)
    params = fit_lmmse([(x, y)], grid=GRID, ridge=1e12)
    found = lmmse(params, jnp.asarray(y)[None], grid=GRID)
    np.testing.assert_allclose(found.mean(), x[2:-2, 2:-2].mean(), rtol=0, atol=0.02)  # border patches count less often
    np.testing.assert_allclose(params.matrix, 0, rtol=0, atol=1e-9)


def test_restoration_is_affine_and_examples_are_independent():
    params = Lmmse(jnp.asarray(uniform(48, 48) - 0.5), jnp.asarray(uniform(48, seed=1)))
    y = jnp.asarray(uniform(3, 5, 6, 3))
    whole = lmmse(params, y, grid=GRID)
    np.testing.assert_allclose(lmmse(params, y[1:2], grid=GRID)[0], whole[1], rtol=0, atol=FLOAT32)
    middle = lmmse(params, (y[:1] + y[1:2]) / 2, grid=GRID)
    np.testing.assert_allclose(middle[0], (whole[0] + whole[1]) / 2, rtol=0, atol=FLOAT32)


@pytest.mark.thorough
def test_held_out_photographs_are_restored_better_than_by_bicubic():
    degradation, key = parse_degradation("bicubic-x4"), jax.random.key(0)

    def pair(image: np.ndarray, side: int) -> tuple[jax.Array, jax.Array]:
        x = jnp.asarray(image[40 : 40 + side, 100 : 100 + side])[None]
        return x, degradation(key, x)

    grid = PatchGrid(4, core=2, margin=1, stride=1)
    fitted = [pair(image, 256) for image in photos("train")]
    restore = functools.partial(lmmse, fit_lmmse([(x[0], y[0]) for x, y in fitted], grid=grid), grid=grid)
    for index, name in enumerate(photos("test").names):
        if name in ("astronaut", "chelsea", "coffee"):
            x, y = pair(photos("test")[index], 128)
            assert mse(restore(y), x)[0] < 0.98 * mse(bicubic(y, factor=4), x)[0], name


@pytest.mark.parametrize(
    ("pairs", "options", "message"),
    [
        ([], {}, "pairs: found none"),
        ([(uniform(8, 8, 3), uniform(8, 8, 3))], {}, "x: found 8×8 pixels"),
        ([(uniform(6, 6, 3)[0], uniform(3, 3, 3))], {}, "x: found shape"),
        ([(uniform(16, 16, 3), uniform(8, 8, 3))], {"ridge": -1.0}, "ridge: found -1.0"),
        ([(uniform(16, 16, 3), np.full((8, 8, 3), np.nan))], {}, "y: found 192 NaN or infinite values"),
        ([(uniform(16, 16, 3), uniform(8, 8, 3)), (uniform(16, 16, 3), uniform(8, 8, 1))], {}, "features: found width"),
    ],
)
def test_pairs_that_cannot_be_fitted_are_refused(pairs, options, message):
    with pytest.raises(InputError, match=message):
        fit_lmmse(pairs, grid=GRID, **options)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (jnp.zeros((1, 8, 8, 1)), "y: found 1 channels, expected 3 as in training"),
        (jnp.zeros((1, 8, 8, 3), jnp.uint8), "y: found dtype uint8"),
        (jnp.zeros((8, 8, 3)), "y: found shape"),
        (jnp.full((1, 8, 8, 3), jnp.nan), "y: found 192 NaN"),
    ],
)
def test_measurements_that_do_not_fit_are_refused(y, message):
    params = Lmmse(jnp.zeros((48, 48)), jnp.zeros(48))
    with pytest.raises(InputError, match=message):
        lmmse(params, y, grid=GRID)
