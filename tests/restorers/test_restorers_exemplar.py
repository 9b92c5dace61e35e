"""Soft nearest exemplars: the weights, both limits of the temperature, gradients, and how the dictionary is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.restorers import Exemplars, PatchGrid, bicubic, exemplar, fit_exemplars
from jaxpr.restorers.training_patches import training_patches

GRID = PatchGrid(factor=2, core=2, margin=1, stride=1)
KEY = jax.random.key(0)
COUNT = 12
FLOAT32 = 1e-5  # energies of size one over τ² of size 0.1, then sums of 4 patches of details of size one


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def centred(contexts: np.ndarray) -> np.ndarray:
    pixels = contexts.reshape(*contexts.shape[:-1], 16, 3)
    return (pixels - pixels.mean(axis=-2, keepdims=True)).reshape(contexts.shape)


PARAMS = Exemplars(jnp.asarray(centred(uniform(COUNT, 48, seed=1))), jnp.asarray(uniform(COUNT, 48, seed=2) - 0.5))
Y = jnp.asarray(uniform(2, 5, 4, 3))
CONTEXTS = np.asarray(GRID.contexts(Y), np.float64)


def reference(weights: np.ndarray) -> np.ndarray:
    """Bicubic plus expected details under given float64 weights (N, rows, columns, M)."""
    details = jnp.asarray(weights @ np.asarray(PARAMS.details, np.float64), jnp.float32)
    return np.asarray(bicubic(Y, factor=2) + GRID.assemble(details, (5, 4)))


def squared_distances() -> np.ndarray:
    difference = centred(CONTEXTS)[..., None, :] - np.asarray(PARAMS.contexts, np.float64)
    return np.square(difference).sum(axis=-1)


def restore(temperature, y=Y):
    return exemplar(PARAMS, y, grid=GRID, temperature=temperature)


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_weights_against_float64(temperature):
    logits = -squared_distances() / (2 * temperature**2)
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    np.testing.assert_allclose(restore(temperature), reference(weights), rtol=0, atol=FLOAT32)


def test_a_high_temperature_adds_the_mean_detail():
    uniform_weights = np.full((*CONTEXTS.shape[:3], COUNT), 1 / COUNT)
    np.testing.assert_allclose(restore(1e4), reference(uniform_weights), rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("temperature", [1e-2, 1e-6])
def test_a_low_temperature_copies_the_nearest_exemplar(temperature):
    distances = squared_distances()
    gaps = np.diff(np.sort(distances, axis=-1)[..., :2])
    assert gaps.min() > 5e-3  # no ties in this example: exp(-gap / (2 τ²)) is zero
    nearest = np.eye(COUNT)[distances.argmin(axis=-1)]
    np.testing.assert_allclose(restore(temperature), reference(nearest), rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("temperature", [1e-20, 1e200])
def test_extreme_temperatures_give_the_limits(temperature):
    assert jnp.isfinite(restore(temperature)).all()


def test_colour_casts_pass_through():
    cast = jnp.array([0.1, -0.2, 0.3])[None, None, None]
    np.testing.assert_allclose(restore(0.3, Y + cast), restore(0.3) + cast, rtol=0, atol=FLOAT32)


def test_examples_are_independent():
    np.testing.assert_allclose(restore(0.3, Y[1:])[0], restore(0.3)[1], rtol=0, atol=FLOAT32)


def test_one_exemplar_is_always_chosen():
    params = Exemplars(PARAMS.contexts[:1], PARAMS.details[:1])
    found = [exemplar(params, Y, grid=GRID, temperature=t) for t in (1e-3, 1.0)]
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("temperature", [1e-3, 0.3])
def test_gradients_are_finite(temperature):
    gradient = jax.jit(
        jax.grad(lambda y: jnp.sum(jnp.square(exemplar(PARAMS, y, grid=GRID, temperature=temperature))))
    )(Y)
    assert jnp.isfinite(gradient).all()
    assert (gradient != 0).any()


@pytest.mark.thorough
@pytest.mark.parametrize("temperature", [1e-3])
def test_compiled_gradients_equal_eager_ones_at_low_temperatures(temperature):
    def gradient(y):
        return jax.grad(lambda z: jnp.sum(jnp.square(restore(temperature, z))))(y)

    expected = gradient(Y)
    np.testing.assert_allclose(jax.jit(gradient)(Y), expected, rtol=0, atol=1e-3 * float(jnp.abs(expected).max()))


@pytest.mark.parametrize("temperature", [1e-3, 1e-5])
def test_compiled_restorations_equal_eager_ones_at_low_temperatures(temperature):
    np.testing.assert_allclose(jax.jit(lambda y: restore(temperature, y))(Y), restore(temperature), atol=FLOAT32)


def test_gradient_against_a_finite_difference():
    direction, step = jnp.asarray(uniform(*Y.shape, seed=5) - 0.5), 1e-2
    restored = jax.jit(lambda y: exemplar(PARAMS, y, grid=GRID, temperature=0.7))
    weights = jnp.asarray(uniform(2, 10, 8, 3, seed=6))
    slope = jax.jit(lambda y: jax.jvp(restored, (y,), (direction,))[1])(Y)
    difference = (restored(Y + step * direction) - restored(Y - step * direction)) / (2 * step)
    # The error of the central difference is of order step², that of float32 FLOAT32 / step.
    np.testing.assert_allclose(jnp.sum(weights * slope), jnp.sum(weights * difference), rtol=1e-3)


def test_temperature_is_traced():
    temperatures = jnp.array([0.1, 1.0, 10.0])
    swept = jax.vmap(restore)(temperatures)
    for temperature, found in zip(temperatures, swept, strict=True):
        np.testing.assert_allclose(found, restore(float(temperature)), rtol=0, atol=FLOAT32)


def marked_pair(number: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """A pair whose every detail is `number / 2`, to see which image an exemplar is from."""
    y = uniform(height, width, 3, seed=number)
    return np.asarray(bicubic(jnp.asarray(y)[None], factor=2)[0]) + number / 2, y


def images_of(params: Exemplars) -> list[int]:
    return np.bincount(np.rint(2 * params.details).astype(int).mean(axis=1).astype(int), minlength=4)[1:].tolist()


PAIRS = [marked_pair(1, 20, 20), marked_pair(2, 6, 5), marked_pair(3, 12, 16)]  # with 361, 20 and 165 patches


@pytest.mark.parametrize(
    ("count", "shares"),
    [(9, [3, 3, 3]), (60, [20, 20, 20]), (120, [50, 20, 50]), (546, [361, 20, 165]), (1, None), (17, None)],
)
def test_images_share_the_dictionary(count, shares):
    params = fit_exemplars(KEY, iter(PAIRS), grid=GRID, count=count)
    assert params.contexts.shape == params.details.shape == (count, 48)
    found = images_of(params)
    assert sum(found) == count
    assert found == shares if shares else max(found) - min(found) <= 1


def test_all_patches_are_taken_where_there_are_fewer():
    assert fit_exemplars(KEY, [PAIRS[1]], grid=GRID, count=21).contexts.shape == (20, 48)


def test_exemplars_are_patches_without_their_mean_colour_and_drawn_once():
    params = fit_exemplars(KEY, [PAIRS[0]], grid=GRID, count=100)
    contexts, _ = training_patches(*PAIRS[0], grid=GRID)
    distances = np.abs(np.asarray(params.contexts)[:, None] - centred(contexts)[None]).max(axis=-1)
    assert distances.min(axis=1).max() < 1e-6  # float32 means of 16 numbers
    assert len(set(distances.argmin(axis=1))) == 100
    np.testing.assert_allclose(params.contexts.reshape(100, 16, 3).mean(axis=1), 0, atol=1e-6)


def test_the_key_decides_the_draw():
    first, again, other = (
        fit_exemplars(jax.random.key(seed), PAIRS, grid=GRID, count=30).contexts for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_flat_patches_are_passed_over():
    y = np.concatenate([np.full((20, 20, 3), 0.4, np.float32), uniform(20, 20, 3)], axis=1)
    x = np.asarray(bicubic(jnp.asarray(y)[None], factor=2)[0])
    params = fit_exemplars(KEY, [(x, y)], grid=GRID, count=200)
    assert np.abs(params.contexts).max(axis=1).min() > 0


@pytest.mark.parametrize(
    ("pairs", "options", "message"),
    [
        ([], {}, "pairs: found none"),
        ([PAIRS[1]], {"count": 0}, "count: found 0"),
        ([PAIRS[1]], {"contrast": 0.0}, "contrast: found 0.0"),
        ([(uniform(16, 16, 3), uniform(8, 8, 2))], {}, "y: found 2 channels"),
        ([(uniform(16, 16, 3), np.zeros((8, 8, 3), np.uint8))], {}, "y: found dtype uint8"),
    ],
)
def test_pairs_that_cannot_be_fitted_are_refused(pairs, options, message):
    with pytest.raises(InputError, match=message):
        fit_exemplars(KEY, pairs, grid=GRID, **({"count": 5} | options))


def test_sizes_that_do_not_fit_the_factor_are_refused():
    with pytest.raises(InputError, match="x: found 8×8 pixels"):
        fit_exemplars(KEY, [(uniform(8, 8, 3), uniform(8, 8, 3))], grid=GRID, count=5)


@pytest.mark.parametrize(
    ("y", "temperature", "message"),
    [
        (Y[..., :1], 1.0, "y: found 1 channels, expected 3 as in training"),
        (jnp.zeros((1, 8, 8, 3), jnp.uint8), 1.0, "y: found dtype uint8"),
        (Y[0], 1.0, "y: found shape"),
        (Y, 0.0, "temperature: found 0.0"),
        (Y, -1.0, "temperature: found -1.0"),
        (Y, float("nan"), "temperature: found nan"),
    ],
)
def test_bad_input_is_refused(y, temperature, message):
    with pytest.raises(InputError, match=message):
        restore(temperature, y)
