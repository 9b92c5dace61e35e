"""Consistency and residual noise against closed forms and constructed noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter

from jaxpr.core import InputError
from jaxpr.degradations import AverageDownsample
from jaxpr.metrics import measurement_deviation, measurement_psnr, measurement_rmse, residual_noise

STD = 0.1


def clean(count: int = 3, size: int = 48) -> np.ndarray:
    noise = np.random.default_rng(0).random((count, size, size, 3))
    smooth = gaussian_filter(noise, (0, 3, 3, 0), mode="wrap")
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


def white(shape, seed: int = 1) -> np.ndarray:
    return STD * np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_three_measures_of_one_disagreement():
    operator, x = AverageDownsample((48, 48, 3), 2), jnp.asarray(clean())
    y = operator(x)
    shifted = x + 0.02
    np.testing.assert_allclose(measurement_rmse(operator, shifted, y), 0.02, rtol=1e-4)  # float32 sums
    np.testing.assert_allclose(measurement_deviation(operator, shifted, y), 0.02 * np.sqrt(24 * 24 * 3), rtol=1e-4)
    expected = -20 * np.log10(0.02)
    np.testing.assert_allclose(measurement_psnr(operator, shifted, y, data_range=1.0), expected, rtol=1e-5)
    assert np.isinf(measurement_psnr(operator, x, y, data_range=1.0)).all()
    assert (measurement_deviation(operator, x, y) == 0).all()


@pytest.mark.thorough
def test_true_noise_is_white_and_of_the_right_size():
    x = clean()
    found = residual_noise(jnp.asarray(x), jnp.asarray(x + white(x.shape)), std=STD)
    # 6,912 values and 40 lags per image: standard errors are below these.
    np.testing.assert_allclose(found.std_ratio, 1, atol=0.03)
    np.testing.assert_allclose(found.whiteness, 1, atol=0.4)
    np.testing.assert_allclose(found.correlation, 0, atol=0.06)


@pytest.mark.thorough
def test_whiteness_averages_to_one_over_many_noises():
    y = white((400, 24, 24, 1))
    found = residual_noise(jnp.zeros_like(y), jnp.asarray(y), std=STD)
    # 400 images with 40 lags each: the standard error of the mean square is about 1 %.
    assert float(jnp.mean(found.whiteness**2)) == pytest.approx(1, abs=0.05)


def test_autocorrelation_equals_the_direct_sum():
    residual = white((1, 12, 12, 2)) - 0.3 * white((1, 12, 12, 2), seed=2)
    y = clean(1, 12)[..., :2]
    found = residual_noise(jnp.asarray(y - residual), jnp.asarray(y), std=STD, radius=2)
    r = residual - residual.mean((1, 2), keepdims=True)
    lags = [
        float(np.sum(r * np.roll(r, (-i, -j), (1, 2))) / np.sum(r**2))
        for i in range(3)
        for j in range(-2, 3)
        if i > 0 or j > 0
    ]
    np.testing.assert_allclose(found.whiteness, np.sqrt(288 * np.mean(np.square(lags))), rtol=1e-4)


def test_blurring_leaves_structure_in_the_residual():
    x = clean()
    y = x + white(x.shape)
    blurred = uniform_filter(y, (0, 9, 9, 0), mode="wrap")
    best, poor = (residual_noise(jnp.asarray(e), jnp.asarray(y), std=STD) for e in (x, blurred))
    assert (poor.whiteness > 3 * best.whiteness).all()
    copied = residual_noise(jnp.asarray(0.5 * y), jnp.asarray(y), std=STD)
    np.testing.assert_allclose(copied.correlation, 1, rtol=1e-5)


def test_jit_equals_eager_and_errors_name_the_argument():
    x = clean(1)
    y = jnp.asarray(x + white(x.shape))
    eager = residual_noise(jnp.asarray(x), y, std=STD)
    for a, b in zip(jax.jit(lambda a, b: residual_noise(a, b, std=STD))(jnp.asarray(x), y), eager, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    with pytest.raises(InputError, match="std: found 0"):
        residual_noise(y, y, std=0.0)
    with pytest.raises(InputError, match="radius: found 30 for images of 48×48"):
        residual_noise(y, y, std=STD, radius=30)
    with pytest.raises(InputError, match="restored and y: found shapes"):
        residual_noise(y[:, :24], y, std=STD)
