"""Boundary checks: every refusal names the argument, what was found and what was expected."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import (
    InputError,
    check_count,
    check_examples,
    check_images,
    check_points,
    check_positive,
    check_same_shape,
    is_traced,
)


def images(*shape, value=0.5, dtype=np.float32):
    return np.full(shape, value, dtype)


def one_nan():
    batch = images(2, 8, 8, 3)
    batch[1, 2, 3, 1] = np.nan
    return batch


@pytest.mark.parametrize(
    ("batch", "options", "message"),
    [
        (images(8, 8, 3), {}, "x: found shape (8, 8, 3), expected a batch of images (N, H, W, C)"),
        (images(1, 1, 8, 8, 3), {}, "x: found shape (1, 1, 8, 8, 3), expected a batch"),
        (images(1, 8, 8, 3, dtype=np.uint8), {}, "x: found dtype uint8, expected floating point"),
        (images(1, 8, 8, 3, dtype=np.int32), {}, "x: found dtype int32"),
        (images(1, 8, 8, 3, dtype=bool), {}, "x: found dtype bool"),
        (images(2, 3, 16, 12), {}, "x: found shape (2, 3, 16, 12), which looks like NCHW; expected NHWC"),
        (images(2, 1, 28, 28), {}, "which looks like NCHW"),
        (images(1, 8, 8, 1), {"channels": 3}, "x: found 1 channels in shape (1, 8, 8, 1), expected 3"),
        (images(1, 8, 8, 4), {"channels": 3}, "x: found 4 channels"),
        (one_nan(), {}, "x: found 1 NaN or infinite values, expected none"),
        (one_nan(), {"data_range": None}, "x: found 1 NaN or infinite values"),
        (images(2, 4, 4, 3, value=np.nan), {}, "x: found 96 NaN or infinite values"),
        (images(1, 8, 8, 3, value=200), {}, "x: found values in [200, 200], expected [0, 1]"),
        (images(1, 8, 8, 3, value=-0.01), {}, "x: found values in [-0.01, -0.01], expected [0, 1]"),
        (images(1, 8, 8, 3, value=1.01), {}, "x: found values in [1.01, 1.01], expected [0, 1]"),
        (images(1, 8, 8, 3, value=np.inf), {}, "x: found 192 NaN or infinite values, expected none"),
        (images(1, 8, 8, 3, value=300), {"data_range": 255.0}, "x: found values in [300, 300], expected [0, 255]"),
        (images(1, 8, 8, 3, value=1.6), {"overshoot": 0.5}, "x: found values in [1.6, 1.6]"),
        (images(1, 8, 8, 3, value=-0.6), {"overshoot": 0.5}, "x: found values in [-0.6, -0.6]"),
    ],
)
def test_check_images_refuses(batch, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_images("x", batch, **options)


@pytest.mark.parametrize(
    ("batch", "options"),
    [
        (images(2, 8, 8, 1), {}),
        (images(2, 8, 8, 2), {}),
        (images(2, 8, 8, 4), {}),
        (images(2, 3, 8, 3), {}),  # three rows, not three channels
        (images(2, 8, 8, 3, dtype=np.float64), {}),
        (jnp.full((1, 8, 8, 3), 0.5, jnp.bfloat16), {}),
        (images(1, 8, 8, 3), {"channels": 3}),
        (images(1, 8, 8, 3, value=0.0), {}),
        (images(1, 8, 8, 3, value=1.0), {}),
        (images(1, 8, 8, 3, value=1.0005), {}),  # inside the default overshoot of 1e-3
        (images(1, 8, 8, 3, value=-0.0005), {}),
        (images(1, 8, 8, 3, value=1.4), {"overshoot": 0.5}),
        (images(1, 8, 8, 3, value=255), {"data_range": 255.0}),
        (images(1, 8, 8, 3, value=300), {"data_range": 255.0, "overshoot": 0.5}),
        (images(1, 8, 8, 3, value=-1e6), {"data_range": None}),
        (images(0, 8, 8, 3), {}),
    ],
)
def test_check_images_accepts(batch, options):
    assert check_images("x", batch, **options) is None


def test_check_images_refuses_seven_channels():
    with pytest.raises(InputError, match="channels"):
        check_images("x", images(1, 8, 8, 7))


def test_check_images_refuses_infinity_without_a_range():
    with pytest.raises(InputError, match="inf"):
        check_images("x", images(1, 8, 8, 3, value=np.inf), data_range=None)


def under_jit(check):
    def body(x):
        check(x)
        return x

    return jax.jit(body)


def test_values_are_not_checked_under_jit_but_shapes_are():
    wild = images(1, 8, 8, 3, value=np.nan)
    assert np.isnan(under_jit(lambda x: check_images("x", x))(wild)).all()
    assert np.isnan(under_jit(lambda x: check_points("x", x))(wild.reshape(-1, 3))).all()
    assert under_jit(lambda x: check_positive("x", x))(-1.0) == -1
    with pytest.raises(InputError, match="NCHW"):
        under_jit(lambda x: check_images("x", x))(images(1, 3, 8, 8))
    with pytest.raises(InputError, match="expected points"):
        under_jit(lambda x: check_points("x", x))(wild)


@pytest.mark.parametrize(
    ("points", "options", "message"),
    [
        (images(3), {}, "x: found shape (3,), expected points (N, d)"),
        (images(3, 2, 2), {}, "x: found shape (3, 2, 2)"),
        (images(3, 2, dtype=np.int64), {}, "x: found dtype int"),
        (images(3, 2), {"width": 4}, "x: found width 2, expected 4"),
        (images(3, 2), {"at_least": 4}, "x: found 3 points, expected at least 4"),
        (images(0, 2), {}, "x: found 0 points, expected at least 1"),
        (images(3, 2, value=np.nan), {}, "x: found NaN or infinite values"),
        (images(3, 2, value=-np.inf), {}, "x: found NaN or infinite values"),
    ],
)
def test_check_points_refuses(points, options, message):
    with pytest.raises(InputError, match=re.escape(message)):
        check_points("x", points, **options)


def test_check_points_accepts():
    check_points("x", images(3, 2, value=-1e30), width=2, at_least=3)
    check_points("x", images(0, 2), at_least=0)


@pytest.mark.parametrize("value", [0, -1, 1.0, "1", None, True, np.float32(1), np.bool_(True)])
def test_check_count_refuses(value):
    with pytest.raises(InputError, match=re.escape(f"n: found {value!r}, expected an integer of at least 1")):
        check_count("n", value)


def test_check_count_accepts():
    check_count("n", 1)
    check_count("n", np.int64(7))
    check_count("n", 0, at_least=0)
    with pytest.raises(InputError, match="at least 3"):
        check_count("n", 2, at_least=3)


@pytest.mark.parametrize("value", [-1, -1e-9, np.nan, np.inf, -np.inf, np.array([1.0, -1.0])])
@pytest.mark.parametrize("or_zero", [True, False])
def test_check_positive_refuses(value, or_zero):
    with pytest.raises(InputError, match="expected a non-negative" if or_zero else "expected a positive"):
        check_positive("r", value, or_zero=or_zero)


def test_check_positive_and_zero():
    check_positive("r", 1e-30)
    check_positive("r", jnp.array([1.0, 2.0]))
    check_positive("r", 0, or_zero=True)
    with pytest.raises(InputError, match="r: found 0, expected a positive number"):
        check_positive("r", 0)


def test_check_same_shape():
    check_same_shape("a", images(2, 3), "b", images(2, 3))
    with pytest.raises(InputError, match=re.escape("a and b: found shapes (2, 3) and (1, 3), expected one shape")):
        check_same_shape("a", images(2, 3), "b", images(1, 3))


def test_input_error_is_a_value_error():
    assert issubclass(InputError, ValueError)


def test_is_traced_looks_into_trees():
    assert not is_traced({"a": jnp.ones(2)}, 1.0, None)
    found = []
    jax.jit(lambda x: found.append(is_traced(1.0, {"a": (np.ones(1), x)})) or x)(1.0)
    jax.vmap(lambda x: found.append(is_traced(x)) or x)(jnp.ones(2))
    jax.grad(lambda x: found.append(is_traced(x)) or x)(1.0)
    assert found == [True] * 3


def test_one_nan_among_many_values_is_found():
    many = images(1, 192, 192, 3)
    many[0, 100, 100, 1] = np.nan
    for batch in (many, jnp.asarray(many)):
        with pytest.raises(InputError, match="x: found 1 NaN"):
            check_images("x", batch)


@pytest.mark.parametrize("value", [[[0.5]], (0.5,), "photo.png", None, 0.5, np.array(["a"])])
def test_what_is_no_array_is_named_by_its_type(value):
    for check in (check_images, check_points, check_examples):
        with pytest.raises(InputError, match=r"x: found (list|tuple|str|NoneType|float|dtype <U1), expected"):
            check("x", value)


@pytest.mark.parametrize("value", ["1", None, True, 1j, [1.0], np.array([True]), "a" * 999])
def test_what_is_no_number_is_not_positive(value):
    with pytest.raises(InputError, match=r"r: found .{1,60}, expected a positive number$"):
        check_positive("r", value)


def test_arrays_are_no_scalars():
    check_positive("r", jnp.asarray(1.0), scalar=True)
    with pytest.raises(InputError, match=r"r: found an array of shape \(2,\) and dtype float32"):
        check_positive("r", jnp.ones(2), scalar=True)
