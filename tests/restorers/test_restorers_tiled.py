"""Tiles give what the whole image gives: any size, any scale, borders, gradients; with less overlap, off the seams."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.core.versions import enable_x64
from jaxpr.models.layers import pixel_shuffle, upsample_nearest
from jaxpr.numerics import conv
from jaxpr.restorers import bicubic, lanczos
from jaxpr.restorers.tiled import tiled

FLOAT32 = 1e-5  # convolutions of tiles may sum in another order than those of the whole image
REACH = 3
LAYERS = 3  # 3×3 each


def uniform(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, np.float32)


def kernels(outputs: int) -> list[np.ndarray]:
    widths = [3, 4, 4, outputs]
    return [uniform(3, 3, a, b, seed=a * b) - 0.5 for a, b in itertools.pairwise(widths)]


def network(y, *, scale: int = 1, mode: str = "constant"):
    """Three convolutions, zeros or mirrored pixels around every one of their inputs, and a change of scale."""
    for kernel in kernels(3 * scale**2):
        y = conv(
            jnp.tanh(jnp.pad(y, ((0, 0), (1, 1), (1, 1), (0, 0)), mode=mode)), jnp.asarray(kernel), padding="VALID"
        )
    return pixel_shuffle(y, scale)


# Below a tile, one tile, a pixel more, several, on both axes differently.
SIZES = [(5, 7), (16, 16), (17, 16), (16, 40), (37, 53), (61, 18)]


@pytest.mark.thorough
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("scale", "mode"), [(1, "constant"), (2, "constant"), (3, "reflect")])
def test_tiles_that_overlap_enough_change_nothing(size, scale, mode):
    estimator = functools.partial(network, scale=scale, mode=mode)
    y = uniform(2, *size, 3)
    found = jax.jit(tiled(estimator, tile=16, overlap=2 * REACH, scale=scale))(y)
    np.testing.assert_allclose(found, estimator(y), rtol=0, atol=FLOAT32)


@pytest.mark.parametrize("overlap", [2 * REACH + 1, 9, 15])
@pytest.mark.parametrize("feather", [1, 2, 3])
def test_so_do_tiles_that_pass_into_each_other(overlap, feather):
    y = uniform(1, 37, 20, 3)
    estimator = functools.partial(network, scale=2)
    found = tiled(estimator, tile=16, overlap=overlap, scale=2, feather=min(feather, overlap - 2 * REACH))(y)
    np.testing.assert_allclose(found, estimator(y), rtol=0, atol=FLOAT32)


def test_less_overlap_is_seen_near_the_seams_only():
    y = uniform(1, 36, 40, 3)
    error = np.abs(tiled(network, tile=16, overlap=2 * REACH - 2)(y) - network(y))[0].max(axis=2)
    # Tiles begin at 0, 12, 20 and 0, 12, 24; cuts lie in the middle of the overlaps.
    rows, columns = error.max(axis=1) > FLOAT32, error.max(axis=0) > FLOAT32
    assert set(np.flatnonzero(error[:, :8].max(axis=1) > FLOAT32)) == {13, 14}
    assert rows[[13, 14]].all()
    assert set(np.flatnonzero(error[:8].max(axis=0) > FLOAT32)) == {13, 14, 25, 26}
    assert columns[[13, 14, 25, 26]].all()


@pytest.mark.parametrize("enlarge", [bicubic, lanczos])
def test_interpolation_in_tiles(enlarge):
    y = uniform(1, 30, 25, 3)
    estimator = functools.partial(enlarge, factor=4)
    np.testing.assert_allclose(tiled(estimator, tile=12, overlap=6, scale=4)(y), estimator(y), rtol=0, atol=FLOAT32)


def strided(y):
    """Sees blocks of 4×4 pixels that are counted from the upper left corner, and pads to whole ones."""
    height, width = y.shape[1:3]
    padded = jnp.pad(y, ((0, 0), (0, -height % 4), (0, -width % 4), (0, 0)), mode="edge")
    blocks = padded.reshape(y.shape[0], padded.shape[1] // 4, 4, padded.shape[2] // 4, 4, 3).mean(axis=(2, 4))
    return y + upsample_nearest(blocks, 4)[:, :height, :width]


@pytest.mark.thorough
@pytest.mark.parametrize("size", [(40, 32), (41, 39), (22, 31), (13, 14)], ids=str)
@pytest.mark.parametrize("tile", [12, 14])
def test_tiles_begin_at_multiples(size, tile):
    y = uniform(1, *size, 3)
    found = tiled(strided, tile=tile, overlap=6, multiple=4)(y)
    np.testing.assert_allclose(found, strided(y), rtol=0, atol=FLOAT32)


@pytest.mark.thorough
@pytest.mark.parametrize("feather", [0, 3])
@pytest.mark.parametrize("length", [1, 8, 9, 12, 17, 24, 31, 59])
def test_every_pixel_is_counted_once(length, feather):
    y = uniform(1, length, 3, 1)
    for tile, overlap, multiple in [(8, 3, 1), (8, 7, 1), (9, 5, 4), (16, 4, 8)]:
        found = tiled(lambda z: 2 * z, tile=tile, overlap=overlap, feather=min(feather, overlap), multiple=multiple)(y)
        np.testing.assert_allclose(found, 2 * y, rtol=1e-6)


def test_all_tiles_have_one_shape_and_are_traced_once():
    shapes = []

    def estimator(y):
        shapes.append(y.shape)
        return y

    jax.jit(tiled(estimator, tile=10, overlap=3))(uniform(2, 50, 7, 3))
    assert set(shapes) == {(2, 10, 7, 3)}
    assert len(shapes) <= 3


def test_gradients():
    y, estimator = uniform(1, 30, 21, 3), functools.partial(network, scale=2)
    weights = uniform(1, 60, 42, 3, seed=1)
    pieces = tiled(estimator, tile=16, overlap=7, scale=2, feather=1)
    found, expected = (jax.jit(jax.grad(lambda z, f=f: jnp.sum(f(z) * weights)))(y) for f in (pieces, estimator))
    np.testing.assert_allclose(found, expected, rtol=0, atol=10 * FLOAT32)


def test_vmap():
    y = uniform(3, 1, 20, 18, 3)
    pieces = tiled(network, tile=16, overlap=6)
    np.testing.assert_allclose(jax.vmap(pieces)(y)[:, 0], network(y[:, 0]), rtol=0, atol=FLOAT32)


def test_memory_is_that_of_a_tile():
    def heavy(y):
        features = jnp.broadcast_to(y[..., :1], (*y.shape[:3], 64))
        for _ in range(4):
            features = jnp.sin(conv(features, jnp.ones((1, 1, 64, 64)) / 64, padding="VALID"))
        return features[..., :3]

    def temporary(estimator):
        y = jax.ShapeDtypeStruct((1, 256, 256, 3), jnp.float32)
        compiled = jax.jit(jax.grad(lambda z: jnp.sum(estimator(z) ** 2))).lower(y).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(tiled(heavy, tile=64, overlap=0)) < temporary(heavy) / 5


def test_nan_of_a_tile_stays_where_the_tile_is_kept():
    def estimator(y):
        broken = jnp.zeros_like(y).at[:, -1].set(jnp.nan)
        return y + broken

    found = tiled(estimator, tile=8, overlap=2)(uniform(1, 20, 8, 1))
    assert set(np.flatnonzero(np.isnan(found).any(axis=(0, 2, 3)))) == {19}


@pytest.mark.parametrize("dtype", ["bfloat16", "float64"])
def test_dtype(dtype):
    with enable_x64(dtype == "float64"):
        found = tiled(lambda y: y, tile=8, overlap=2)(jnp.asarray(uniform(1, 20, 9, 3), dtype))
    assert found.dtype == dtype


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 0}, "tile: found 0"),
        ({"overlap": -1}, "overlap: found -1"),
        ({"overlap": 8}, "overlap: found 8, expected at most tile - multiple = 7"),
        ({"multiple": 8}, "overlap: found 2, expected at most tile - multiple = 0"),
        ({"feather": 3}, "feather: found 3, expected at most overlap = 2"),
        ({"scale": 1.5}, "scale: found 1.5"),
        ({"scale": 2}, r"estimator: found output \(1, 8, 8, 3\) for a tile \(1, 8, 8, 3\), expected scale = 2"),
    ],
)
def test_errors(options, message):
    with pytest.raises(InputError, match=message):
        tiled(lambda y: y, **({"tile": 8, "overlap": 2} | options))(uniform(1, 20, 20, 3))


def test_images_are_checked():
    with pytest.raises(InputError, match="looks like NCHW"):
        tiled(lambda y: y, tile=8, overlap=2)(uniform(1, 3, 20, 20))
