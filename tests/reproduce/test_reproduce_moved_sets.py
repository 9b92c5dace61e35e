"""Crops, tallies and mixtures of what experiments on transport measure, against sums by hand in float64."""

import jax
import numpy as np
import pytest

from jaxpr.data import from_arrays
from jaxpr.degradations import parse_degradation
from jaxpr.metrics import frechet_distance_from_features, lpips
from jaxpr.numerics.statistics import jackknife_error
from jaxpr.reproduce import moved_sets as ms
from jaxpr.reproduce.transported import gaussian_ddrm, readable_encoders
from jaxpr.restorers import Restorer, fit_transport, pixel_encoder
from jaxpr.weights import perceptual_network

pytestmark = pytest.mark.filterwarnings("ignore::jaxpr.metrics.SmallSampleWarning")
GROUPS = np.repeat(np.arange(4), 2)


def tally_of(features, values):
    tally = ms.Tally(GROUPS)
    for start in (0, 6):  # in two batches
        part = np.arange(start, min(start + 6, 8))
        tally.add(part, {"psnr": values[part]}, features[part])
    return tally


@pytest.fixture(scope="module")
def sets():
    """Features of 8 images in 4 photographs, 9 patches each: of truths, and of two restorations."""
    rng = np.random.default_rng(0)
    real = rng.standard_normal((8, 9, 5))
    return real, 0.7 * real + 0.2, 0.9 * real + 0.1 * rng.standard_normal((8, 9, 5))


def by_hand(real, fake):
    """FD of all photographs, and without each in turn."""
    kept = [GROUPS >= 0, *(g != GROUPS for g in range(4))]
    return [
        float(frechet_distance_from_features(*(s[k].reshape(-1, 5).astype(np.float64) for s in (real, fake))))
        for k in kept
    ]


@pytest.mark.parametrize("kept", [4000, 5])
def test_tallies_leave_photographs_out_with_their_truths(sets, kept, monkeypatch):
    monkeypatch.setattr(ms, "_KEPT", kept)  # fewer than there are: moments, not features
    psnr = np.arange(8.0) ** 2
    real, near, far = (tally_of(features, psnr + shift) for features, shift in zip(sets, (0, 1, 3), strict=True))
    first, second = near.metrics(real), far.metrics(real)
    whole, *left_out = by_hand(sets[0], sets[1])
    np.testing.assert_allclose([first["fd"].value, *first["fd"].left_out], [whole, *left_out], rtol=1e-6)  # float32
    assert first["fd"].stderr == pytest.approx(jackknife_error(left_out), rel=1e-5)
    apart, other = ms.change_from(second, first, "fd"), by_hand(sets[0], sets[2])
    assert apart.value == pytest.approx(other[0] - whole, rel=1e-5)
    assert apart.stderr == pytest.approx(jackknife_error(np.subtract(other[1:], left_out)), rel=1e-5)
    assert ms.change_from(second, first, "psnr")[:2] == pytest.approx((2.0, 0.0), abs=1e-9)
    assert real.metrics(real)["fd"].value == pytest.approx(0, abs=1e-6)


def test_differences_of_what_is_not_finite_are_undefined(sets):
    real = tally_of(sets[0], np.full(8, np.inf))
    found = real.metrics(real)
    assert found["psnr"].value == np.inf
    assert np.isnan(ms.change_from(found, found, "psnr").stderr)


def test_crops_are_equally_many_of_each_photograph():
    images = [np.full((side, 40, 3), k / 10, np.float32) for k, side in enumerate((16, 40, 24))]
    source = from_arrays(images, name="made", names=("a", "b[1]", "c"))
    found = ms.photo_crops(source, 8, each=4)
    np.testing.assert_array_equal(found.groups, np.repeat(np.arange(3), 4))
    np.testing.assert_allclose(found.arrays()[:, 0, 0, 0], found.groups / 10, rtol=1e-6)
    positions, batches = zip(*found.batches(5), strict=True)
    np.testing.assert_array_equal(np.concatenate(positions), np.arange(12))
    np.testing.assert_array_equal(np.concatenate(batches), found.arrays())
    few = ms.photo_crops(source, 8, each=1, photographs=2)
    np.testing.assert_allclose(few.arrays()[:, 0, 0, 0], (0, 0.2), rtol=1e-6)


@pytest.mark.thorough
def test_noise_and_draws_are_those_of_positions():
    restorer = Restorer(lambda _, keys, y: y + jax.vmap(lambda k: jax.random.normal(k, y.shape[1:]))(keys), (), True)
    x = np.full((5, 4, 4, 3), 0.5, np.float32)
    problem = ms.Problem(parse_degradation("noise-0.1"), parse_degradation("noise-0.1"), jax.random.key(0))
    whole, parts = (problem.restored_all(restorer, x, batch=size, part=1) for size in (5, 2))
    np.testing.assert_allclose(whole, parts, atol=1e-6)
    y = problem.measured(np.arange(5), x, part=0)
    assert not np.allclose(y, problem.measured(np.arange(5), x, part=1))  # training has other noise
    assert np.std(y[0] - y[1]) > 0.05


def test_encoders_that_are_not_here_are_named():
    found, missing = readable_encoders(("pixels", "photos-none"))
    assert [encoder.name for encoder in found] == ["pixels"]
    assert len(missing) == 1
    assert "photos-none" in missing[0]


@pytest.mark.thorough
def test_distortion_along_alpha_is_that_of_the_mix_by_hand():
    rng = np.random.default_rng(1)
    x, star = (rng.random((2, 64, 64, 3), np.float32) for _ in range(2))
    natural = rng.random((3, 32, 32, 3), np.float32)
    fitted = fit_transport(0.2 + 0.5 * natural[::-1], natural, encoder=pixel_encoder())
    moved, meter = ms.moved_images(jax.random.key(0), fitted, star), ms.Meter("pixels", patch=32, stride=32)
    known, network = meter.known(x), perceptual_network("alexnet")
    for alpha in (-0.5, 0.3, 1.0, 1.7):
        exact = np.clip((1 - alpha) * moved.astype(np.float64) + alpha * star, 0, 1)
        values, features = meter(known, ms.mixed(moved, star, alpha))
        squares = np.mean((exact - x) ** 2, axis=(1, 2, 3))
        np.testing.assert_allclose(values["psnr"], -10 * np.log10(squares), atol=1e-3)  # float32 decibels
        np.testing.assert_allclose(values["mse"], 255**2 * squares, rtol=1e-4)
        shown = exact.astype(np.float32)
        np.testing.assert_allclose(values["lpips"], lpips(shown, x, network=network), rtol=1e-3)
        assert features.shape == (2, 4, 192)


@pytest.mark.thorough
def test_the_gaussian_sampler_explains_its_measurements():
    degradation = parse_degradation("bicubic-x4+noise-0.04")
    rng = np.random.default_rng(2)
    train = np.clip(0.5 + 0.1 * np.cumsum(rng.standard_normal((6, 16, 16, 3)), axis=1), 0, 1).astype(np.float32)
    restorer, x = gaussian_ddrm(degradation, train), train[:4]
    keys = jax.random.split(jax.random.key(0), 4)
    y = np.asarray(degradation(keys, x))
    first, second = (np.asarray(restorer(jax.random.split(jax.random.key(k), 4), y)) for k in (1, 2))
    assert first.shape == x.shape
    assert np.std(first - second) > 0.01
    again = np.asarray(degradation.operator(x.shape[1:])(first)) - y
    assert 0.2 * 0.04 < np.std(again) < 2 * 0.04
