"""Distortion: closed forms, scikit-image, and golden values of other implementations (tests/golden/image_metrics)."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from jaxpr.core import InputError
from jaxpr.metrics import mse, psnr, rmse, ssim

FOLDER = Path(__file__).parents[1] / "golden" / "image_metrics"
GOLDEN = np.load(FOLDER / "golden.npz")
VALUES = json.loads((FOLDER / "values.json").read_text())

FLOAT32 = 1e-5  # relative; float32 means of up to 13,000 squares, and for PSNR the log of one
SSIM = 1e-5  # absolute; float32 differences of window means against C2 = 9e-4
DECIBEL = 1e-4  # absolute; 10 log10 of a float32 mean


def golden(name, crop=0):
    images = (GOLDEN[name].transpose(0, 2, 3, 1) / 255).astype(np.float32)
    return images[:, crop : images.shape[1] - crop, crop : images.shape[2] - crop]


def pair(height, width, channels=3, *, n=2, seed=0, noise=0.1):
    """Smooth images with noise, so that neither luminance nor contrast is constant."""
    rng = np.random.default_rng(seed)
    rows, columns = np.linspace(0, 3, height)[:, None, None], np.linspace(0, 2, width)[None, :, None]
    phase = rng.uniform(0, 6, (n, 1, 1, channels))
    clean = 0.5 + 0.4 * np.sin(phase + rows + columns * (1 + rows))
    noisy = np.clip(clean + noise * rng.standard_normal(clean.shape), 0, 1)
    return noisy.astype(np.float32), clean.astype(np.float32)


def skimage_ssim(a, b):
    return [
        structural_similarity(
            x.astype(np.float64),
            y.astype(np.float64),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1,
            channel_axis=-1,
        )
        for x, y in zip(a, b, strict=True)
    ]


METRICS = [
    pytest.param(mse, id="mse"),
    pytest.param(rmse, id="rmse"),
    pytest.param(lambda a, b: psnr(a, b, data_range=1.0), id="psnr"),
    pytest.param(lambda a, b: ssim(a, b, data_range=1.0), id="ssim"),
]


@pytest.mark.parametrize("difference", [0.5, 0.1, -0.02])
def test_constant_difference(difference):
    reference = np.full((3, 4, 6, 3), 0.5, np.float32)
    restored = reference + np.float32(difference)
    np.testing.assert_allclose(mse(restored, reference), [difference**2] * 3, rtol=FLOAT32)
    np.testing.assert_allclose(rmse(restored, reference), [abs(difference)] * 3, rtol=FLOAT32)
    expected = -20 * np.log10(abs(difference))
    np.testing.assert_allclose(psnr(restored, reference, data_range=1.0), [expected] * 3, atol=DECIBEL)


def test_one_pixel_of_one_channel():
    reference = np.zeros((2, 4, 5, 3), np.float32)
    restored = reference.copy()
    restored[1, 2, 3, 0] = 1
    np.testing.assert_allclose(mse(restored, reference), [0, 1 / 60], rtol=FLOAT32)
    np.testing.assert_allclose(
        psnr(restored, reference, data_range=1.0), [np.inf, 10 * np.log10(60)], rtol=FLOAT32, atol=DECIBEL
    )


@pytest.mark.parametrize("metric", METRICS)
def test_equal_under_jit_and_image_by_image(metric):
    restored, reference = pair(20, 31, n=3)
    eager = metric(restored, reference)
    assert eager.shape == (3,)
    assert eager.dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(metric)(restored, reference), eager, rtol=FLOAT32)
    alone = [metric(restored[i : i + 1], reference[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(alone, eager, rtol=FLOAT32)
    mapped = jax.vmap(lambda a, b: metric(a[None], b[None])[0])(restored, reference)
    np.testing.assert_allclose(mapped, eager, rtol=FLOAT32)


@pytest.mark.parametrize("metric", METRICS)
def test_symmetric_and_blind_to_mirrors(metric):
    restored, reference = pair(20, 31)
    expected = metric(restored, reference)
    np.testing.assert_allclose(metric(reference, restored), expected, atol=SSIM, rtol=FLOAT32)
    np.testing.assert_allclose(metric(restored[:, ::-1], reference[:, ::-1]), expected, atol=SSIM, rtol=FLOAT32)


@pytest.mark.parametrize("metric", METRICS)
def test_gradient(metric):
    restored, reference = pair(12, 14, n=1)
    direction = np.random.default_rng(1).standard_normal(restored.shape).astype(np.float32)
    slope = np.sum(jax.grad(lambda x: metric(x, reference).sum())(restored) * direction)
    step = 1e-3  # truncation of order step², and float32 values divided by it
    forward, backward = metric(restored + step * direction, reference), metric(restored - step * direction, reference)
    np.testing.assert_allclose(slope, (forward - backward)[0] / (2 * step), rtol=2e-2)


@pytest.mark.parametrize("function", [psnr, ssim])
def test_units_do_not_matter(function):
    restored, reference = pair(16, 18)
    expected = function(restored, reference, data_range=1.0)
    np.testing.assert_allclose(function(255 * restored, 255 * reference, data_range=255.0), expected, rtol=FLOAT32)


def test_identical_images():
    image, _ = pair(20, 31)
    np.testing.assert_array_equal(mse(image, image), [0, 0])
    np.testing.assert_array_equal(psnr(image, image, data_range=1.0), [np.inf, np.inf])
    np.testing.assert_allclose(ssim(image, image, data_range=1.0), [1, 1], rtol=1e-6)  # a mean of float32 ratios


@pytest.mark.parametrize(
    ("height", "width", "channels"),
    [(11, 11, 3), (12, 40, 3), (43, 75, 3), (42, 42, 1), (74, 43, 1), (33, 107, 3), (16, 16, 4)],
)
def test_ssim_equals_scikit_image(height, width, channels):
    restored, reference = pair(height, width, channels, seed=height)
    found = ssim(restored, reference, data_range=1.0)
    np.testing.assert_allclose(found, skimage_ssim(restored, reference), atol=SSIM)


def test_ssim_of_constant_images():
    # No contrast: only luminance counts.
    a, b, c1 = 0.8, 0.3, 1e-4
    found = ssim(np.full((1, 16, 16, 3), a, np.float32), np.full((1, 16, 16, 3), b, np.float32), data_range=1.0)
    np.testing.assert_allclose(found, [(2 * a * b + c1) / (a * a + b * b + c1)], atol=SSIM)


def test_ssim_of_a_negative():
    # Contrast is opposite: the structure term is negative and is not clipped.
    restored, _ = pair(24, 24, 1)
    found = np.asarray(ssim(1 - restored, restored, data_range=1.0))
    np.testing.assert_allclose(found, skimage_ssim(1 - restored, restored), atol=SSIM)
    assert (found < 0).all()


@pytest.mark.parametrize(
    ("name", "crop"),
    [
        ("skimage_ssim", 0),
        ("pyiqa_ssim_rgb", 0),  # its clipping changes nothing here
        ("piq_ssim", 0),
        ("basicsr_ssim_crop4", 4),
    ],
)
def test_ssim_golden(name, crop):
    found = ssim(golden("dist", crop), golden("ref", crop), data_range=1.0)
    np.testing.assert_allclose(found, VALUES[name], atol=SSIM)


def test_ssim_golden_of_a_large_image():
    reference = np.random.default_rng(42).random((1, 3, 400, 420)).astype(np.float32)
    restored = 0.8 * reference + 0.2 * np.random.default_rng(43).random((1, 3, 400, 420)).astype(np.float32)
    found = ssim(restored.transpose(0, 2, 3, 1), reference.transpose(0, 2, 3, 1), data_range=1.0)
    np.testing.assert_allclose(found, VALUES["piq_ssim_big"], atol=SSIM)


@pytest.mark.parametrize(
    ("name", "crop"),
    [
        ("skimage_psnr", 0),
        ("basicsr_psnr", 0),
        ("basicsr_psnr_crop4", 4),
        ("piq_psnr", 0),  # its 1e-8 is 3e-6 of the error here
    ],
)
def test_psnr_golden(name, crop):
    found = psnr(golden("dist", crop), golden("ref", crop), data_range=1.0)
    np.testing.assert_allclose(found, VALUES[name], atol=DECIBEL)


def test_psnr_differs_from_piq_by_its_epsilon():
    # In float64: what the epsilon changes here, 1e-5 dB, is no more than a long sum in float32 may be wrong by.
    error = np.mean((np.float64(golden("dist")) - np.float64(golden("ref"))) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(-10 * np.log10(error + 1e-8), VALUES["piq_psnr"], atol=1e-5)
    identical = np.asarray(mse(golden("ref"), golden("ref")), np.float64)
    np.testing.assert_allclose(-10 * np.log10(identical + 1e-8), VALUES["piq_psnr_identical"])


def test_psnr_is_averaged_over_images_not_over_errors():
    found = psnr(golden("dist"), golden("ref"), data_range=1.0)
    np.testing.assert_allclose(np.mean(found), VALUES["torchmetrics_psnr"], atol=DECIBEL)


def test_psnr_equals_scikit_image_in_bytes():
    restored, reference = (np.rint(255 * x) for x in pair(13, 17))
    expected = [peak_signal_noise_ratio(b, a, data_range=255) for a, b in zip(restored, reference, strict=True)]
    np.testing.assert_allclose(psnr(restored, reference, data_range=255.0), expected, atol=DECIBEL)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("restored", "reference", "message"),
    [
        (np.zeros((1, 16, 16, 3)), np.zeros((2, 16, 16, 3)), "restored and reference: found shapes"),
        (np.zeros((1, 16, 16, 3)), np.zeros((1, 16, 16, 1)), "restored and reference: found shapes"),
        (np.zeros((16, 16, 3)), np.zeros((16, 16, 3)), "restored: found shape"),
        (np.zeros((1, 3, 16, 16)), np.zeros((1, 3, 16, 16)), "NCHW"),
        (np.zeros((1, 16, 16, 3)), np.zeros((1, 16, 16, 3), np.uint8), "reference: found dtype uint8"),
        (np.full((1, 16, 16, 3), np.nan), np.zeros((1, 16, 16, 3)), "restored: found 768 NaN or infinite values"),
    ],
)
def test_errors(metric, restored, reference, message):
    with pytest.raises(InputError, match=message):
        metric(restored, reference)


@pytest.mark.parametrize("function", [psnr, ssim])
def test_range_errors(function):
    image = np.full((1, 16, 16, 3), 0.5, np.float32)
    with pytest.raises(InputError, match=r"restored: found values in \[127.5, 127.5\], expected \[0, 1\]"):
        function(255 * image, image, data_range=1.0)
    with pytest.raises(InputError, match=r"reference: found values in \[-1.5, -1.5\]"):
        function(image, image - 2, data_range=1.0)
    with pytest.raises(InputError, match="data_range: found 0"):
        function(image, image, data_range=0)
    assert np.isfinite(function(image + 0.9, image, data_range=1.0)).all()  # overshoot is allowed


@pytest.mark.parametrize("shape", [(1, 10, 40, 3), (1, 40, 10, 3)])
def test_ssim_needs_a_window(shape):
    with pytest.raises(InputError, match="expected at least 11×11"):
        ssim(np.zeros(shape, np.float32), np.zeros(shape, np.float32), data_range=1.0)


@pytest.mark.parametrize("measure", [mse, rmse])
def test_images_in_another_range_are_refused(measure):
    x = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    with pytest.raises(InputError, match="restored: found values in"):
        measure(255 * x, x)


@pytest.mark.parametrize("error", [1e-25, 1e-4])
def test_errors_whose_squares_vanish(error):
    for dtype in (np.float32, np.float16)[: 1 if error < 1e-8 else 2]:
        x = np.zeros((1, 8, 8, 3), dtype)
        tolerance = 2e-3 if dtype == np.float16 else 1e-5
        np.testing.assert_allclose(rmse(x + dtype(error), x), error, rtol=tolerance)
        np.testing.assert_allclose(psnr(x + dtype(error), x, data_range=1.0), -20 * np.log10(error), rtol=tolerance)
