"""Each operator on its own: closed forms, golden numbers (tests/golden/resize) and errors."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxpr.core import InputError
from jaxpr.degradations import (
    AverageDownsample,
    BicubicDownsample,
    Blur,
    Grayscale,
    Identity,
    Inpainting,
    Separable,
    gaussian_kernel,
)
from jaxpr.numerics.resampling import CUBIC, resize

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "resize" / "golden.npz")
FLOAT32 = 1e-6
# DDRM's operators are built from float32 singular value decompositions.
DDRM_FLOAT32 = 2e-6


def nhwc(name):
    return np.asarray(GOLDEN[name]).transpose(0, 2, 3, 1)


def nchw_rows(images):
    images = np.asarray(images)
    return images.transpose(0, 3, 1, 2).reshape(images.shape[0], -1)


def images(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).random(shape, np.float32))


@pytest.mark.parametrize(
    ("name", "source", "factor"),
    [
        ("pyiqa_down2", "in", 2),
        ("pyiqa_down3", "in", 3),
        ("pyiqa_down4", "in", 4),
        ("pyiqa_down4_odd", "in_odd", 4),
        ("resizer_down4", "in", 4),
    ],
)
def test_bicubic_equals_matlab_like_implementations(name, source, factor):
    x = nhwc(source)
    found = BicubicDownsample(x.shape[1:], factor)(x)
    np.testing.assert_allclose(np.asarray(found).transpose(0, 3, 1, 2), GOLDEN[name], atol=FLOAT32, rtol=0)


def test_bicubic_and_average_equal_the_operators_of_ddrm():
    x = nhwc("ddrm_op_in")
    bicubic, average = BicubicDownsample((8, 8, 3), 2), AverageDownsample((8, 8, 3), 2)
    for operator, name in ((bicubic, "sr_bicubic2"), (average, "sr_avg2")):
        y = operator(x)
        np.testing.assert_allclose(nchw_rows(y), GOLDEN[f"ddrm_op_{name}_H"], atol=DDRM_FLOAT32)
        np.testing.assert_allclose(nchw_rows(operator.pinv(y)), GOLDEN[f"ddrm_op_{name}_pinv"], atol=DDRM_FLOAT32)
    np.testing.assert_allclose(
        nchw_rows(bicubic.adjoint(bicubic(x))), GOLDEN["ddrm_op_sr_bicubic2_Ht"], atol=DDRM_FLOAT32
    )
    np.testing.assert_allclose(
        bicubic.svd().singular_values, np.sort(GOLDEN["ddrm_op_sr_bicubic2_singulars"])[::-1], atol=DDRM_FLOAT32
    )
    x = nhwc("ddrm_bic4_in")
    operator = BicubicDownsample((16, 16, 3), 4)
    np.testing.assert_allclose(nchw_rows(operator(x)), GOLDEN["ddrm_bic4_H"], atol=DDRM_FLOAT32)
    np.testing.assert_allclose(nchw_rows(operator.pinv(operator(x))), GOLDEN["ddrm_bic4_pinvH"], atol=DDRM_FLOAT32)


@pytest.mark.parametrize(("name", "factor"), [("ddrm_bicubic_kernel", 2), ("ddrm_bic4_kernel", 4)])
def test_bicubic_taps_and_their_centre(name, factor):
    # Sample i covers pixels i f + f/2 - 2 f ... i f + f/2 + 2 f - 1.
    rows = np.asarray(BicubicDownsample((64, 64, 1), factor).rows)
    i = 64 // factor // 2
    first = i * factor + factor // 2 - 2 * factor
    np.testing.assert_allclose(rows[i, first : first + 4 * factor], GOLDEN[name], atol=1e-7)
    assert np.count_nonzero(rows[i]) == 4 * factor


@pytest.mark.parametrize("shape", [(24, 32, 3), (8, 8, 1), (16, 24, 3)])
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_bicubic_equals_resize_where_the_factor_divides(shape, factor):
    x = images(2, *shape)
    expected = resize(x, (shape[0] // factor, shape[1] // factor), kernel=CUBIC)
    np.testing.assert_allclose(BicubicDownsample(shape, factor)(x), expected, atol=FLOAT32)


@pytest.mark.parametrize("factor", [2, 3, 4, 8, 16])
def test_bicubic_rounds_the_size_up_and_keeps_constants(factor):
    operator = BicubicDownsample((37, 50, 3), factor)
    assert operator.output_shape == (-(-37 // factor), -(-50 // factor), 3)
    np.testing.assert_allclose(operator(jnp.full((1, 37, 50, 3), 0.3)), 0.3, atol=FLOAT32)


def test_average_is_the_block_mean():
    x = images(2, 6, 9, 3)
    expected = np.asarray(x).reshape(2, 2, 3, 3, 3, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(AverageDownsample((6, 9, 3), 3)(x), expected, atol=FLOAT32)
    np.testing.assert_allclose(AverageDownsample((6, 9, 3), 3).svd().singular_values, 1 / 3, atol=FLOAT32)


def test_grayscale_is_the_channel_mean():
    x = images(2, 4, 5, 3)
    operator = Grayscale((4, 5, 3))
    np.testing.assert_allclose(operator(x)[..., 0], np.asarray(x).mean(axis=-1), atol=FLOAT32)
    np.testing.assert_allclose(operator.svd().singular_values, 3**-0.5, atol=FLOAT32)
    np.testing.assert_array_equal(operator.pinv(operator(x)), operator(x).repeat(3, axis=-1))


def test_inpainting_keeps_known_pixels_and_takes_any_channels():
    known = np.array([[1, 0, 1], [0, 0, 1]])
    for channels in (1, 2, 3, 5):
        x = images(2, 2, 3, channels)
        np.testing.assert_array_equal(Inpainting(known)(x), np.asarray(x) * known[None, :, :, None])
        y = Inpainting(known)(images(2, 2, 3, channels, seed=1))
        projected = Inpainting(known.astype(bool)).project(x, y)
        np.testing.assert_array_equal(projected, np.where(known[None, :, :, None], y, x))


def test_inpainting_hides_what_unknown_pixels_hold():
    x = jnp.full((1, 2, 2, 3), jnp.nan).at[:, 0].set(0.5)
    y = Inpainting(np.array([[True, True], [False, False]]))(x)
    np.testing.assert_array_equal(y[0, :, :, 0], [[0.5, 0.5], [0, 0]])


def test_inpainting_svd_puts_known_pixels_first():
    svd = Inpainting(np.array([[0, 1], [1, 0]]), channels=2).svd()
    np.testing.assert_array_equal(svd.singular_values, [1, 1, 1, 1, 0, 0, 0, 0])
    x = jnp.arange(8.0).reshape(1, 2, 2, 2)
    np.testing.assert_array_equal(svd.vt(x)[0], [2, 3, 4, 5, 0, 1, 6, 7])


@pytest.mark.parametrize("kernel_shape", [(3, 3), (5, 3), (2, 4), (1, 1), (4, 5)])
def test_blur_is_circular_convolution_by_definition(kernel_shape):
    rng = np.random.default_rng(0)
    kernel, x = rng.standard_normal(kernel_shape), rng.random((1, 6, 5, 2))
    expected = np.zeros_like(x)
    for a in range(kernel_shape[0]):
        for b in range(kernel_shape[1]):
            shift = (a - kernel_shape[0] // 2, b - kernel_shape[1] // 2)
            expected += kernel[a, b] * np.roll(x, shift, axis=(1, 2))
    found = Blur((6, 5, 2), kernel)(x.astype(np.float32))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_blur_equals_scipy_on_odd_kernels():
    rng = np.random.default_rng(1)
    kernel, x = rng.random((5, 3)), rng.random((11, 8)).astype(np.float32)
    expected = scipy.ndimage.convolve(x, kernel, mode="wrap")
    found = Blur((11, 8, 1), kernel)(x[None, :, :, None])[0, :, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_blur_by_a_vector_is_the_outer_product():
    vector = np.array([0.2, 0.5, 0.3])
    x = images(1, 7, 6, 3)
    np.testing.assert_array_equal(Blur((7, 6, 3), vector)(x), Blur((7, 6, 3), np.outer(vector, vector))(x))


def test_blur_svd_at_exact_zeros_of_the_spectrum():
    # A mean of two neighbours removes the highest frequency of an even axis exactly.
    operator = Blur((4, 6, 1), np.array([0.5, 0.5]))
    values = np.asarray(operator.svd().singular_values)
    assert (values == 0).sum() == 4 + 6 - 1
    stripes = jnp.tile(jnp.array([1.0, -1.0]), 12).reshape(1, 4, 6, 1)
    np.testing.assert_allclose(operator(stripes), 0, atol=FLOAT32)
    np.testing.assert_allclose(operator.pinv(stripes), 0, atol=FLOAT32)


def test_blur_pinv_cuts_at_the_documented_fraction():
    # Kernels c + d (shift by one): singular values c + d at zero frequency, c - d at the highest.
    for ratio, kept in ((1e-4, True), (1e-6, False)):
        kernel = np.array([[0.0, (1 + ratio) / 2, (1 - ratio) / 2]])
        operator = Blur((1, 4, 1), kernel)
        highest = jnp.array([1.0, -1.0, 1.0, -1.0]).reshape(1, 1, 4, 1)
        found = np.abs(np.asarray(operator.pinv(highest))).max()
        np.testing.assert_allclose(found, 1 / ratio if kept else 0.0, rtol=1e-3, atol=1e-2)


def test_gaussian_kernel():
    kernel = gaussian_kernel(1.5)
    assert kernel.shape == (11, 11)
    np.testing.assert_allclose(kernel.sum(), 1, atol=1e-12)
    np.testing.assert_allclose(kernel, kernel[::-1, ::-1].T)
    np.testing.assert_allclose(kernel[5, 6] / kernel[5, 5], np.exp(-0.5 / 1.5**2))
    assert gaussian_kernel(0.5, size=7).shape == (7, 7)
    x = np.zeros((1, 41, 41, 1), np.float32)
    x[0, 20, 20] = 1
    found = Blur((41, 41, 1), kernel)(x)[0, :, :, 0]
    np.testing.assert_allclose(found[15:26, 15:26], kernel, atol=1e-7)


def test_identity_is_the_identity():
    x = images(2, 3, 4, 3)
    operator = Identity((3, 4, 3))
    for image in (operator(x), operator.adjoint(x), operator.pinv(x), operator.project(0 * x, x)):
        np.testing.assert_array_equal(image, x)


def test_construction_touches_no_device():
    operators = [
        Blur((6, 6, 1), gaussian_kernel(0.5)),
        BicubicDownsample((6, 6, 1), 2),
        Inpainting(np.ones((2, 2))),
    ]
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(operators))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Inpainting(np.ones((4, 4, 3))), r"mask: found shape \(4, 4, 3\), expected \(H, W\)"),
        (lambda: Inpainting(np.full((4, 4), 0.5)), "mask: found values other than 0 and 1"),
        (lambda: Inpainting(np.ones((4, 4)), channels=0), "channels: found 0"),
        (lambda: jax.jit(lambda m: Inpainting(m).mask)(jnp.ones((2, 2))), "mask: found a traced array"),
        (lambda: AverageDownsample((8, 8, 3), 3), "factor: found 3, which does not divide images of 8x8"),
        (lambda: AverageDownsample((8, 4, 3), 8), "factor: found 8, expected at most the side"),
        (lambda: AverageDownsample((8, 8, 3), 2.0), "factor: found 2.0, expected an integer"),
        (lambda: BicubicDownsample((8, 3, 3), 4), "factor: found 4, expected at most the side"),
        (lambda: BicubicDownsample((8, 8, 3), 0), "factor: found 0"),
        (lambda: BicubicDownsample((8, 8), 2), r"shape: found \(8, 8\), expected \(H, W, C\)"),
        (lambda: Grayscale((8, 0, 3)), "shape: found 0"),
        (lambda: Identity(8), r"shape: found 8, expected \(H, W, C\)"),
        (lambda: Blur((4, 4, 3), np.ones((5, 3))), r"kernel: found shape \(5, 3\), expected at most"),
        (lambda: Blur((4, 4, 3), np.ones(5)), r"kernel: found shape \(5, 5\), expected at most"),
        (lambda: Blur((4, 4, 3), np.ones((1, 2, 2))), r"kernel: found shape \(1, 2, 2\)"),
        (lambda: Blur((4, 4, 3), np.full(2, np.nan)), "kernel: found NaN"),
        (lambda: Separable((4, 4, 3), np.ones((2, 4)), np.ones((2, 5))), r"columns: found shape \(2, 5\)"),
        (lambda: Separable((4, 4, 3), np.ones(4), np.ones((2, 4))), r"rows: found shape \(4,\)"),
        (lambda: Separable((4, 4, 3), np.full((2, 4), np.inf), np.ones((2, 4))), "rows: found NaN or infinite"),
        (lambda: gaussian_kernel(0.0), "std: found 0.0"),
        (lambda: gaussian_kernel(1.0, size=4), "size: found 4, expected an odd"),
    ],
)
def test_construction_errors(build, message):
    with pytest.raises(InputError, match=message):
        build()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a, x, y: a(y), r"x: found shape \(2, 2, 2, 3\), expected \(N, 4, 4, 3\)"),
        (lambda a, x, y: a(x[0]), r"x: found shape \(4, 4, 3\)"),
        (lambda a, x, y: a(x.transpose(0, 3, 1, 2)), r"x: found shape \(2, 3, 4, 4\)"),
        (lambda a, x, y: a((255 * x).astype(jnp.uint8)), "x: found dtype uint8"),
        (lambda a, x, y: a.adjoint(x), r"y: found shape \(2, 4, 4, 3\), expected \(N, 2, 2, 3\)"),
        (lambda a, x, y: a.pinv(x), "y: found shape"),
        (lambda a, x, y: a.project(x, x), "y: found shape"),
        (lambda a, x, y: a.project(y, y), "x: found shape"),
        (lambda a, x, y: a.project(x, y[:1]), "x and y: found 2 and 1 examples"),
        (lambda a, x, y: a.svd().v(jnp.ones((2, 12))), r"coefficients: found shape \(2, 12\), expected \(N, 48\)"),
        (lambda a, x, y: a.svd().u(jnp.ones((2, 48))), r"coefficients: found shape \(2, 48\), expected \(N, 12\)"),
        (lambda a, x, y: a.svd().vt(y), "x: found shape"),
    ],
)
def test_call_errors(call, message):
    x, y = images(2, 4, 4, 3), images(2, 2, 2, 3)
    with pytest.raises(InputError, match=message):
        call(AverageDownsample((4, 4, 3), 2), x, y)


@pytest.mark.parametrize(
    "operator", [Identity((4, 4, 3)), Inpainting(np.ones((4, 4))), Grayscale((4, 4, 3)), Blur((4, 4, 3), np.ones(2))]
)
def test_wrong_shapes_are_errors_for_every_operator(operator):
    wrong = images(2, 5, 4, 3)
    for call in (operator, operator.adjoint, operator.pinv, operator.svd().vt, operator.svd().ut):
        with pytest.raises(InputError, match=r"found shape \(2, 5, 4, 3\)"):
            call(wrong)


def test_inpainting_wrong_channels_between_x_and_y():
    with pytest.raises(InputError, match=r"y: found shape \(2, 4, 4, 1\), expected \(N, 4, 4, 3\)"):
        Inpainting(np.ones((4, 4))).project(images(2, 4, 4, 3), images(2, 4, 4, 1))
