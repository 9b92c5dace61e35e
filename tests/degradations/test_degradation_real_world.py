"""The real-world mixture: per-image randomness, its parts against closed forms, and its place among degradations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError, example_keys
from jaxpr.degradations import BicubicDownsample, Degradation, RealWorldRanges, parse_degradation, real_world

KEY = jax.random.key(0)
CLEAN = RealWorldRanges(blur_std=(0, 0), read_noise=(0, 0), shot_noise=(0, 0), jpeg_quality=None)
NO_JPEG = RealWorldRanges(jpeg_quality=None)


def images(count=3, height=18, width=23, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random((count, height, width, 3)).astype(np.float32))


@pytest.mark.thorough
def test_without_blur_noise_and_compression_it_is_bicubic():
    x = images()
    expected = jnp.clip(BicubicDownsample((18, 23, 3), 4)(x), 0, 1)
    np.testing.assert_allclose(real_world(KEY, x, factor=4, ranges=CLEAN), expected, atol=1e-6)
    np.testing.assert_allclose(real_world(KEY, x, factor=1, ranges=CLEAN), x, atol=1e-6)


@pytest.mark.thorough
def test_blur_keeps_the_mean_and_removes_detail():
    x = images(height=64, width=64)
    blurred = real_world(KEY, x, factor=1, ranges=CLEAN._replace(blur_std=(1.5, 1.5)))
    # A Gaussian of deviation 1.5 leaves 1 / (4 π 1.5²) = 3.5 % of the variance of white noise.
    assert float(jnp.var(blurred) / jnp.var(x)) == pytest.approx(1 / (4 * np.pi * 1.5**2), rel=0.1)
    np.testing.assert_allclose(jnp.mean(blurred, (1, 2)), jnp.mean(x, (1, 2)), atol=0.01)


@pytest.mark.thorough
def test_noise_grows_with_brightness():
    ranges = CLEAN._replace(read_noise=(0.02, 0.02), shot_noise=(0.1, 0.1))
    for level in (0.3, 0.5):
        x = jnp.full((1, 200, 200, 1), level)
        noise = real_world(KEY, x, factor=1, ranges=ranges) - level
        assert float(jnp.std(noise)) == pytest.approx(np.sqrt(0.02**2 + 0.1**2 * level), rel=0.02)


@pytest.mark.thorough
@pytest.mark.parametrize("ranges", [NO_JPEG, RealWorldRanges()])
def test_an_image_depends_on_its_own_key_only(ranges):
    x, keys = images(), example_keys(KEY, 3)
    together = real_world(KEY, x, factor=2, ranges=ranges)
    alone = [real_world(keys[i : i + 1], x[i : i + 1], factor=2, ranges=ranges)[0] for i in range(3)]
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-6)
    other = real_world(jax.random.key(1), x, factor=2, ranges=ranges)
    assert float(jnp.max(jnp.abs(other - together))) > 0.01
    assert float(together.min()) >= 0
    assert float(together.max()) <= 1


@pytest.mark.thorough
def test_it_jits_without_jpeg_and_says_so_with_it():
    x = images()
    jitted = jax.jit(functools.partial(real_world, factor=2, ranges=NO_JPEG))
    np.testing.assert_allclose(jitted(KEY, x), real_world(KEY, x, factor=2, ranges=NO_JPEG), atol=1e-6)
    with pytest.raises(InputError, match="traced"):
        jax.jit(functools.partial(real_world, factor=2))(KEY, x)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"blur_std": (2.0, 1.0)}, r"ranges\.blur_std: found \(2\.0, 1\.0\), expected \(low, high\)"),
        ({"read_noise": (-0.1, 0.1)}, r"ranges\.read_noise"),
        ({"jpeg_quality": (50, 101)}, "quality: found 101"),
    ],
)
def test_ranges_are_checked(changes, message):
    with pytest.raises(InputError, match=message):
        real_world(KEY, images(1), factor=1, ranges=CLEAN._replace(**changes))


@pytest.mark.thorough
def test_it_has_a_name_but_no_operator():
    found = parse_degradation("realworld-x4")
    assert found.factor == 4
    assert not found.traceable
    assert not found.has_operator
    assert found(KEY, images(2, 16, 24)).shape == (2, 4, 6, 3)
    with pytest.raises(InputError, match="realworld-x4', which has no linear operator"):
        found.operator((16, 24, 3))
    with pytest.raises(InputError, match="realworld-x5"):
        parse_degradation("realworld-x5")


def test_any_function_of_key_and_image_is_a_degradation():
    mine = Degradation("mine", None, transform=lambda key, x: 1 - x)
    x = images(1)
    np.testing.assert_array_equal(mine(KEY, x), 1 - x)
    assert mine.traceable
    with pytest.raises(InputError, match="'given', which cannot degrade"):
        parse_degradation("given")(KEY, x)
