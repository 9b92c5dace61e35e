"""Diversity against plain loops; the protocol's crop and luma against scikit-image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kurtosis
from skimage.color import rgb2ycbcr

from jaxpr.core import InputError
from jaxpr.metrics import (
    crop_border,
    first_component_kurtosis,
    luma,
    pairwise_diversity,
    per_pixel_std,
    per_pixel_std_map,
    rmse,
)

SAMPLES = np.random.default_rng(0).random((5, 3, 6, 4, 2)).astype(np.float32)


def test_spread_is_the_unbiased_standard_deviation():
    np.testing.assert_allclose(per_pixel_std_map(jnp.asarray(SAMPLES)), SAMPLES.std(axis=0, ddof=1), rtol=1e-5)
    expected = SAMPLES.std(axis=0, ddof=1).mean((1, 2, 3))
    np.testing.assert_allclose(per_pixel_std(jnp.asarray(SAMPLES)), expected, rtol=1e-5)
    assert (per_pixel_std(jnp.ones((4, 2, 3, 3, 1))) == 0).all()


def test_pairwise_diversity_equals_a_loop():
    pairs = [(i, j) for i in range(5) for j in range(i)]
    expected = np.mean([np.sqrt(np.mean((SAMPLES[i] - SAMPLES[j]) ** 2, axis=(1, 2, 3))) for i, j in pairs], axis=0)
    np.testing.assert_allclose(pairwise_diversity(jnp.asarray(SAMPLES), rmse), expected, rtol=1e-5)
    jitted = jax.jit(lambda s: pairwise_diversity(s, rmse))(jnp.asarray(SAMPLES))
    np.testing.assert_allclose(jitted, expected, rtol=1e-5)


def test_features_are_samples_too():
    features = jnp.asarray(SAMPLES.reshape(5, 3, -1))
    found = pairwise_diversity(features, lambda a, b: jnp.linalg.norm(a - b, axis=1))
    expected = [np.linalg.norm(features[i] - features[j], axis=1) for i in range(5) for j in range(i)]
    np.testing.assert_allclose(found, np.mean(expected, axis=0), rtol=1e-5)


def test_kurtosis_is_that_of_the_projections_on_the_first_component():
    random = np.random.default_rng(1)
    # One direction varies most, with tails of different weight; the rest is noise.
    along = np.stack([random.standard_normal(40), random.uniform(-2, 2, 40), np.append(np.zeros(39), 6)], axis=1)
    draws = 0.5 + 0.01 * along[:, :, None] * random.standard_normal((1, 3, 24)) + 1e-4 * random.random((40, 3, 24))
    found = first_component_kurtosis(jnp.asarray(draws.reshape(40, 3, 3, 4, 2), jnp.float32))
    expected = []
    for of_one in np.moveaxis(draws, 1, 0):
        centred = of_one - of_one.mean(axis=0)
        expected.append(kurtosis(centred @ np.linalg.svd(centred)[2][0], fisher=False))
    np.testing.assert_allclose(found, expected, rtol=1e-3)  # of float32 images around 0.5
    assert found[1] < 2.5 < found[0] < 5 < 30 < found[2]


@pytest.mark.parametrize("size", [1e-25, 1.0, 1e18])
def test_kurtosis_does_not_depend_on_the_size_of_features(size):
    features = np.random.default_rng(2).standard_normal((9, 2, 5)).astype(np.float32)
    expected = first_component_kurtosis(jnp.asarray(features))
    np.testing.assert_allclose(first_component_kurtosis(jnp.asarray(features * np.float32(size))), expected, rtol=1e-4)


def test_kurtosis_is_undefined_for_few_or_equal_draws():
    assert np.isnan(first_component_kurtosis(jnp.asarray(SAMPLES[:3]))).all()
    varying = np.where(np.arange(3)[:, None, None, None] == 1, SAMPLES, 0.5).astype(np.float32)
    np.testing.assert_array_equal(np.isnan(first_component_kurtosis(jnp.asarray(varying))), [True, False, True])


@pytest.mark.parametrize("measure", [per_pixel_std, first_component_kurtosis, lambda s: pairwise_diversity(s, rmse)])
def test_one_draw_has_no_diversity(measure):
    with pytest.raises(InputError, match=r"samples: found shape \(1, 3, 6, 4, 2\), expected"):
        measure(jnp.asarray(SAMPLES[:1]))


def test_luma_is_matlabs():
    images = np.random.default_rng(1).random((2, 5, 7, 3)).astype(np.float32)
    np.testing.assert_allclose(luma(jnp.asarray(images))[..., 0], rgb2ycbcr(images)[..., 0] / 255, rtol=1e-5)
    with pytest.raises(InputError, match="expected 3"):
        luma(jnp.asarray(images[..., :1]))


def test_border_is_cut_on_every_side():
    images = jnp.asarray(SAMPLES[0])
    np.testing.assert_array_equal(crop_border(images, border=1), SAMPLES[0][:, 1:-1, 1:-1])
    np.testing.assert_array_equal(crop_border(images, border=0), SAMPLES[0])
    with pytest.raises(InputError, match="border: found 2 for images of 6×4"):
        crop_border(images, border=2)
