"""Resizing: closed forms, and numbers of MATLAB-like, torch and Pillow implementations (tests/golden/resize)."""

import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.numerics.resampling import BOX, CUBIC, CUBIC_SHARP, LANCZOS3, LINEAR, clamp, mirror, resize, resize_matrix

GOLDEN = np.load(Path(__file__).parents[1] / "golden" / "resize" / "golden.npz")
FLOAT32 = 1e-6  # both sides are float32 sums of at most 32 x 32 terms of size one
KERNELS = [BOX, LINEAR, CUBIC, CUBIC_SHARP, LANCZOS3]


def nhwc(name, side=None):
    return np.asarray(GOLDEN[name]).transpose(0, 2, 3, 1)[:, :side, :side]


def nchw(images):
    return np.asarray(images).transpose(0, 3, 1, 2)


def by_scale(images, scale, *, kernel=CUBIC, antialias=True):
    """As MATLAB does when it is given a scale: the size is rounded up, the scale is not changed."""
    matrices = [
        resize_matrix(n, math.ceil(n * scale), kernel=kernel, antialias=antialias, scale=scale)
        for n in images.shape[1:3]
    ]
    return np.einsum("hi,wj,nijc->nhwc", *matrices, images)


@pytest.mark.parametrize(
    ("name", "source", "side", "scale", "antialias"),
    [
        ("pyiqa_down4", "in", None, 1 / 4, True),
        ("pyiqa_down2", "in", None, 1 / 2, True),
        ("pyiqa_down3", "in", None, 1 / 3, True),
        ("pyiqa_down4_odd", "in_odd", None, 1 / 4, True),
        ("pyiqa_down4_noaa", "in", None, 1 / 4, False),
        ("pyiqa_up2", "in", 8, 2, True),
        ("pyiqa_up4", "in", 6, 4, True),
        ("basicsr_down4", "in", None, 1 / 4, True),
        ("basicsr_down2", "in", None, 1 / 2, True),
        ("basicsr_down4_odd", "in_odd", None, 1 / 4, True),
        ("basicsr_up4", "in", 6, 4, True),
        ("basicsr_up4_noaa", "in", 6, 4, False),
        ("resizer_down4", "in", None, 1 / 4, True),
    ],
)
def test_bicubic_equals_matlab_like_implementations(name, source, side, scale, antialias):
    found = nchw(by_scale(nhwc(source, side), scale, antialias=antialias))
    expected = GOLDEN[name].reshape(found.shape)
    np.testing.assert_allclose(found, expected, atol=FLOAT32, rtol=0)


@pytest.mark.parametrize(
    ("name", "side", "shape"),
    [("pyiqa_down4", None, (6, 8)), ("pyiqa_down2", None, (12, 16)), ("pyiqa_up4", 6, (24, 24))],
)
def test_resize_equals_matlab_like_implementations_where_the_factor_is_exact(name, side, shape):
    found = resize(nhwc("in", side), shape, kernel=CUBIC)
    np.testing.assert_allclose(nchw(found), GOLDEN[name], atol=FLOAT32, rtol=0)


@pytest.mark.parametrize(
    ("name", "kernel"),
    [("torch_bicubic_aa_down4", CUBIC), ("torch_bilinear_aa_down4", LINEAR), ("torchvision_resize_6x8", LINEAR)],
)
def test_interior_equals_torch_which_clips_its_support_at_borders(name, kernel):
    found = nchw(resize(nhwc("in"), (6, 8), kernel=kernel))
    np.testing.assert_allclose(found[..., 2:-2, 2:-2], GOLDEN[name][..., 2:-2, 2:-2], atol=FLOAT32, rtol=0)


@pytest.mark.parametrize(
    ("name", "kernel"), [("bicubic", CUBIC), ("lanczos", LANCZOS3), ("box", BOX), ("bilinear", LINEAR)]
)
def test_interior_equals_pillow_which_rounds_to_bytes_after_each_axis(name, kernel):
    found = resize(GOLDEN["in_uint8"][None].astype(np.float32), (6, 8), kernel=kernel)[0]
    expected = GOLDEN[f"pillow_{name}_6x8"].astype(np.float32)
    # Two roundings of half a level each, the first weighted by kernels of absolute sum below 1.3.
    np.testing.assert_allclose(found[2:-2, 2:-2], expected[2:-2, 2:-2], atol=1.2, rtol=0)


def test_the_given_scale_moves_samples_when_the_size_rounds():
    given = resize_matrix(23, 6, kernel=CUBIC, scale=0.25)
    fitted = resize_matrix(23, 6, kernel=CUBIC)
    assert np.abs(given - fitted).max() > 0.01


@pytest.mark.parametrize("factor", [2, 3, 4, 5])
def test_box_without_antialias_repeats_pixels(factor):
    x = np.random.default_rng(0).random((2, 5, 7, 3), np.float32)
    found = resize(x, (5 * factor, 7 * factor), kernel=BOX, antialias=False)
    np.testing.assert_array_equal(found, x.repeat(factor, axis=1).repeat(factor, axis=2))


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_box_with_antialias_averages_blocks(factor):
    np.testing.assert_allclose(
        resize_matrix(6 * factor, 6, kernel=BOX),
        np.kron(np.eye(6), np.full((1, factor), 1 / factor)),
        atol=1e-15,
    )


def test_nearest_takes_one_pixel_also_half_way_between_two():
    for size_in, size_out in [(4, 3), (8, 4), (16, 5), (9, 6), (1, 4)]:
        matrix = resize_matrix(size_in, size_out, kernel=BOX, antialias=False)
        assert sorted(np.unique(matrix)) in ([0.0, 1.0], [1.0])


def test_linear_doubling_has_quarter_weights_and_repeats_the_edge():
    expected = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    np.testing.assert_allclose(resize_matrix(2, 4, kernel=LINEAR), expected, atol=1e-15)


def test_cubic_doubling_has_the_taps_of_keys():
    taps = np.array([-9, 111, 29, -3]) / 128
    np.testing.assert_allclose(resize_matrix(9, 18, kernel=CUBIC)[9, 3:7], taps, atol=1e-15)


@pytest.mark.parametrize("kernel", KERNELS, ids=lambda k: k.name)
@pytest.mark.parametrize(("size_in", "size_out"), [(1, 1), (1, 5), (2, 1), (3, 1), (5, 2), (2, 9), (17, 2), (7, 7)])
@pytest.mark.parametrize("antialias", [True, False])
def test_rows_sum_to_one_and_flipping_commutes(kernel, size_in, size_out, antialias):
    matrix = resize_matrix(size_in, size_out, kernel=kernel, antialias=antialias)
    assert matrix.shape == (size_out, size_in)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
    if kernel is not BOX:  # the box prefers one side at ties
        np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-12)
    if size_in == size_out:
        np.testing.assert_allclose(matrix, np.eye(size_in), atol=1e-12)


def test_mirror_wraps_several_times_on_tiny_images():
    # The kernel spans 32 pixels of a signal of three; mirroring explicitly before must change nothing.
    signal = np.array([0.1, 0.7, 0.4])
    period = np.concatenate([signal, signal[::-1]])
    long = np.tile(period, 21)
    centre = 60  # a multiple of the period
    direct = resize_matrix(3, 1, kernel=CUBIC, scale=1 / 8) @ signal
    position = 8 * 0.5 - 0.5
    index = np.arange(len(long))
    distance = np.abs(index - centre - position) / 8
    weight = np.where(
        distance <= 1,
        1.5 * distance**3 - 2.5 * distance**2 + 1,
        np.where(distance < 2, -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2, 0),
    )
    np.testing.assert_allclose(direct, [weight @ long / weight.sum()], atol=1e-12)


def test_linear_functions_survive_in_the_interior():
    for kernel in (LINEAR, CUBIC):
        found = resize_matrix(60, 20, kernel=kernel) @ np.arange(60)
        np.testing.assert_allclose(found[3:-3], (3 * np.arange(20) + 1)[3:-3], atol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_dtype_is_preserved(dtype):
    assert resize(jnp.ones((1, 4, 4, 1), dtype), (2, 3), kernel=CUBIC).dtype == dtype


def test_jit_vmap_and_transpose():
    x = jnp.asarray(nhwc("in"))
    f = lambda a: resize(a, (5, 9), kernel=CUBIC)  # noqa: E731
    np.testing.assert_allclose(jax.jit(f)(x), f(x), atol=FLOAT32)
    np.testing.assert_allclose(jax.vmap(f)(x[None])[0], f(x), atol=FLOAT32)
    y, pull = jax.vjp(f, x)
    w = jax.random.normal(jax.random.key(0), y.shape)
    np.testing.assert_allclose(jnp.sum(w * y), jnp.sum(pull(w)[0] * x), rtol=1e-4)  # float32 sums of 135 terms


@pytest.mark.parametrize(
    ("images", "shape", "message"),
    [
        (np.ones((4, 4, 3), np.float32), (2, 2), r"images: found shape \(4, 4, 3\)"),
        (np.ones((1, 4, 4, 3), np.uint8), (2, 2), "images: found dtype uint8"),
        (np.ones((1, 4, 4, 3), np.float32), (2, 0), "size_out: found 0"),
        (np.ones((1, 4, 4, 3), np.float32), (2, 2, 3), r"shape: found \(2, 2, 3\)"),
    ],
)
def test_resize_errors(images, shape, message):
    with pytest.raises(InputError, match=message):
        resize(images, shape, kernel=CUBIC)


def test_matrix_errors():
    with pytest.raises(InputError, match="size_in: found 0"):
        resize_matrix(0, 3, kernel=CUBIC)
    with pytest.raises(InputError, match="scale: found 0"):
        resize_matrix(4, 3, kernel=CUBIC, scale=0.0)


def test_borders():
    index = np.arange(-4, 7)
    np.testing.assert_array_equal(mirror(index, 3), [2, 2, 1, 0, 0, 1, 2, 2, 1, 0, 0])
    np.testing.assert_array_equal(clamp(index, 3), [0, 0, 0, 0, 0, 1, 2, 2, 2, 2, 2])


def test_the_sharper_cubic_with_edges_that_go_on():
    found = resize_matrix(3, 6, kernel=CUBIC_SHARP, antialias=False, border=clamp)
    # Keys' kernel with a = -3/4 at the distances 1.75, 0.75, 0.25 and 1.25.
    far, near, nearest, behind = np.array([-9, 67, 225, -27]) / 256
    expected = [
        [far + near + nearest, behind, 0],
        [behind + nearest, near, far],
        [far + near, nearest, behind],
        [behind, nearest, near + far],
        [far, near, nearest + behind],
        [0, behind, nearest + near + far],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-15)
