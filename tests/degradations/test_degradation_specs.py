"""Whole degradations and the strings that name them."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import (
    AverageDownsample,
    BicubicDownsample,
    Blur,
    Degradation,
    Grayscale,
    Identity,
    Inpainting,
    gaussian_kernel,
    gaussian_noise,
    jpeg,
    parse_degradation,
)

KEY = jax.random.key(7)
X = np.random.default_rng(0).random((2, 16, 24, 3), np.float32)
SHAPE = X.shape[1:]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("identity", Identity(SHAPE)),
        ("grayscale", Grayscale(SHAPE)),
        ("average-x4", AverageDownsample(SHAPE, 4)),
        ("blur-1.5", Blur(SHAPE, gaussian_kernel(1.5))),
        *((f"bicubic-x{factor}", BicubicDownsample(SHAPE, factor)) for factor in (2, 3, 4, 8, 16)),
    ],
)
def test_linear_terms(spec, expected):
    degradation = parse_degradation(spec)
    assert degradation.name == spec
    assert type(degradation.operator(SHAPE)) is type(expected)
    np.testing.assert_array_equal(degradation(KEY, X), expected(X))


def test_inpaint_center_hides_a_square():
    operator = parse_degradation("inpaint-center-0.5").operator((16, 24, 3))
    assert isinstance(operator, Inpainting)
    expected = np.ones((16, 24), bool)
    expected[4:12, 8:16] = False
    np.testing.assert_array_equal(operator.mask, expected)
    assert parse_degradation("inpaint-center-.25").operator((8, 8, 1)).output_shape == (8, 8, 1)


def test_inpaint_top_hides_the_upper_rows():
    operator = parse_degradation("inpaint-top-0.75").operator((8, 12, 3))
    assert isinstance(operator, Inpainting)
    np.testing.assert_array_equal(operator.mask, np.repeat(np.arange(8)[:, None] >= 6, 12, axis=1))


def test_terms_are_applied_in_order():
    found = parse_degradation("bicubic-x2+noise-0.1+jpeg-40")(KEY, X)
    noisy = gaussian_noise(KEY, BicubicDownsample(SHAPE, 2)(X), std=0.1)
    expected = jpeg(np.clip(noisy, 0, 1), quality=40)
    np.testing.assert_array_equal(found, expected)
    assert isinstance(found, jax.Array)
    assert found.dtype == jnp.float32


def test_noise_alone_and_jpeg_alone():
    np.testing.assert_array_equal(parse_degradation("noise-0.2")(KEY, X), gaussian_noise(KEY, X, std=0.2))
    np.testing.assert_array_equal(parse_degradation("jpeg-10")(KEY, X), jpeg(X, quality=10))
    np.testing.assert_array_equal(parse_degradation("identity+noise-0")(KEY, X), X)
    assert parse_degradation("noise-1e-2").noise_std == 0.01


def test_operators_are_cached_per_shape():
    degradation = parse_degradation("bicubic-x4")
    assert degradation.operator((16, 16, 3)) is degradation.operator([16, 16, 3])
    assert degradation.operator((16, 16, 3)) is not degradation.operator((16, 17, 3))


def test_degradations_travel_between_processes():
    degradation = pickle.loads(pickle.dumps(parse_degradation("bicubic-x4+jpeg-30")))
    np.testing.assert_array_equal(degradation(KEY, X), parse_degradation("bicubic-x4+jpeg-30")(KEY, X))


def test_without_jpeg_it_jits():
    degradation = Degradation("mine", lambda shape: AverageDownsample(shape, 2), noise_std=0.1)
    np.testing.assert_allclose(jax.jit(degradation)(KEY, X), degradation(KEY, X), atol=1e-6)  # float32
    with pytest.raises(InputError, match="outside jit"):
        jax.jit(parse_degradation("jpeg-30"))(KEY, X)


@pytest.mark.parametrize(
    ("spec", "term"),
    [
        ("", ""),
        ("bicubic", "bicubic"),
        ("bicubic-x5", "bicubic-x5"),
        ("bicubic-4", "bicubic-4"),
        ("bicubic-x", "bicubic-x"),
        ("average-x0", "average-x0"),
        ("average-x2.5", "average-x2.5"),
        ("blur-0", "blur-0"),
        ("blur-x2", "blur-x2"),
        ("blur-1.2.3", "blur-1.2.3"),
        ("inpaint-center-1", "inpaint-center-1"),
        ("inpaint-0.5", "inpaint-0.5"),
        ("grayscale-2", "grayscale-2"),
        ("noise", "noise"),
        ("noise-1.5", "noise-1.5"),
        ("noise--0.1", "noise--0.1"),
        ("jpeg-0", "jpeg-0"),
        ("jpeg-101", "jpeg-101"),
        ("jpeg-50.5", "jpeg-50.5"),
        ("sharpen-2", "sharpen-2"),
        ("bicubic-x4+", ""),
        ("bicubic-x4 + noise-0.1", "bicubic-x4 "),
        ("jpeg-50+noise-0.1", "noise-0.1"),
        ("noise-0.1+bicubic-x4", "bicubic-x4"),
        ("bicubic-x4+grayscale", "grayscale"),
        ("noise-0.1+noise-0.1", "noise-0.1"),
    ],
)
def test_spec_errors_are_one_line_and_list_the_terms(spec, term):
    with pytest.raises(InputError) as caught:
        parse_degradation(spec)
    message = str(caught.value)
    assert message.startswith("spec: found ")
    assert f"{term!r} in {spec!r}" in message
    assert "bicubic-x{2,3,4,8,16}" in message
    assert "\n" not in message


def test_other_errors():
    with pytest.raises(InputError, match="spec: found 4, expected a string"):
        parse_degradation(4)
    with pytest.raises(InputError, match="factor: found 4, which does not divide images of 15x24"):
        parse_degradation("average-x4")(KEY, X[:, :15])
    with pytest.raises(InputError, match=r"kernel: found shape \(61, 61\), expected at most the image"):
        parse_degradation("blur-10")(KEY, X)
    with pytest.raises(InputError, match="x: found values"):
        parse_degradation("identity")(KEY, 255 * X)
    with pytest.raises(InputError, match="noise_std: found -1"):
        Degradation("bad", Identity, noise_std=-1)
    with pytest.raises(InputError, match="quality: found 200"):
        Degradation("bad", Identity, jpeg_quality=200)
