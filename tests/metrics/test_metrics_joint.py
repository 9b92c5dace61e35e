"""Patches and joint features: against plain loops, and the correspondence of y with x."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.metrics import extract_patches, joint_features


def images(n, height, width, channels=3):
    return np.random.default_rng(height * width).random((n, height, width, channels)).astype(np.float32)


def by_loop(batch, size, stride):
    return np.stack(
        [
            image[row : row + size, column : column + size]
            for image in batch
            for row in range(0, image.shape[0] - size + 1, stride)
            for column in range(0, image.shape[1] - size + 1, stride)
        ]
    )


@pytest.mark.parametrize(
    ("height", "width", "size", "stride", "count"),
    [(8, 8, 8, 8, 1), (8, 12, 4, 4, 6), (9, 13, 4, 2, 15), (7, 5, 3, 1, 15), (10, 7, 2, 5, 4), (6, 4, 1, 3, 4)],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_patches_equal_a_loop(height, width, size, stride, count, channels):
    batch = images(2, height, width, channels)
    found = extract_patches(batch, size=size, stride=stride)
    assert found.shape == (2 * count, size, size, channels)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, by_loop(batch, size, stride))
    np.testing.assert_array_equal(
        jax.jit(lambda x: extract_patches(x, size=size, stride=stride))(batch), by_loop(batch, size, stride)
    )


def test_patches_of_y_and_x_correspond():
    y = images(2, 10, 13)
    x = y.repeat(4, axis=1).repeat(4, axis=2)
    y_patches = np.asarray(extract_patches(y, size=4, stride=2))
    x_patches = np.asarray(extract_patches(x, size=16, stride=8))
    assert len(x_patches) == len(y_patches)
    np.testing.assert_array_equal(x_patches, y_patches.repeat(4, axis=1).repeat(4, axis=2))


def test_patches_correspond_where_x_is_not_a_multiple_of_the_factor():
    # x of 43 x 54 pixels, y of 10 x 13: the remainder of x is too small for another patch.
    assert len(extract_patches(images(1, 43, 54), size=16, stride=8)) == len(
        extract_patches(images(1, 10, 13), size=4, stride=2)
    )


def test_values_of_any_range_are_cut():
    batch = 300 * images(1, 8, 8)
    np.testing.assert_array_equal(extract_patches(batch, size=8, stride=1), batch)


@pytest.mark.parametrize(
    ("batch", "options", "message"),
    [
        (images(1, 8, 6), {"size": 7, "stride": 1}, "images: found 8×6 pixels, expected at least the patch size 7×7"),
        (images(1, 8, 6), {"size": 0, "stride": 1}, "size: found 0"),
        (images(1, 8, 6), {"size": 2, "stride": 0}, "stride: found 0"),
        (images(1, 8, 6), {"size": 2.0, "stride": 1}, "size: found 2.0"),
        (images(1, 8, 6)[0], {"size": 2, "stride": 1}, "images: found shape"),
        (images(1, 8, 6).transpose(0, 3, 1, 2), {"size": 2, "stride": 1}, "NCHW"),
        ((images(1, 8, 6) * 255).astype(np.uint8), {"size": 2, "stride": 1}, "images: found dtype uint8"),
        (images(1, 8, 6) * np.nan, {"size": 2, "stride": 1}, "images: found 144 NaN"),
    ],
)
def test_patch_errors(batch, options, message):
    with pytest.raises(InputError, match=message):
        extract_patches(batch, **options)


def test_joint_features():
    x, y = np.arange(6.0, dtype=np.float32).reshape(3, 2), -np.arange(3.0, dtype=np.float32).reshape(3, 1)
    found = joint_features(x, jnp.asarray(y))
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(found, [[0, 1, 0], [2, 3, -1], [4, 5, -2]])
    np.testing.assert_array_equal(jax.jit(joint_features)(x, y), found)


def test_joint_feature_errors():
    x, y = np.ones((3, 2), np.float32), np.ones((4, 2), np.float32)
    with pytest.raises(InputError, match="y_features: found 4 rows, expected 3 as x_features"):
        joint_features(x, y)
    with pytest.raises(InputError, match="x_features: found shape"):
        joint_features(x[0], x)
    with pytest.raises(InputError, match="y_features: found NaN"):
        joint_features(x, x * np.nan)
