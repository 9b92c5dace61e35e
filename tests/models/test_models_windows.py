"""Attention and windows: against sums written out, in blocks, and masks against their definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.models.layers import Compute
from jaxpr.models.windows import (
    attention,
    in_windows,
    join_windows,
    relative_position_index,
    shift_regions,
    split_windows,
    window_attention,
)

FLOAT32 = 1e-5  # softmax sums of up to 36 terms
RANDOM = np.random.default_rng(0)


def normal(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def by_hand(q, k, v, scale, bias):
    logits = scale * np.einsum("...ld,...sd->...ls", q.astype(float), k.astype(float)) + bias
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.einsum("...ls,...sd->...ld", weights / weights.sum(axis=-1, keepdims=True), v)


@pytest.mark.parametrize("limit", [2**26, 250, 1])
def test_attention_at_once_and_in_blocks(limit):
    q, k, v = normal(2, 3, 10, 4), normal(2, 3, 7, 4), normal(2, 3, 7, 4)
    compute = Compute(attention_limit=limit)  # of 42 per query
    found = attention(q, k, v, scale=0.7, compute=compute)
    np.testing.assert_allclose(found, by_hand(q, k, v, 0.7, 0), rtol=0, atol=FLOAT32)

    def loss(q, compute):
        return jnp.sum(jnp.sin(attention(q, k, v, scale=0.7, compute=compute)))

    np.testing.assert_allclose(
        jax.grad(loss)(q, compute), jax.grad(loss)(q, Compute()), rtol=0, atol=FLOAT32
    )  # also through the blocks


@pytest.mark.parametrize("limit", [2**26, 500, 1])
@pytest.mark.parametrize("shifted", [False, True])
def test_window_attention_at_once_and_in_blocks(limit, shifted):
    q, k, v, bias = normal(2, 6, 3, 4, 5), normal(2, 6, 3, 4, 5), normal(2, 6, 3, 4, 5), normal(3, 4, 4)
    regions = shift_regions(4, 6, window=2, shift=1) if shifted else None
    mask = 0 if regions is None else -100.0 * (regions[:, :, None] != regions[:, None, :])[None, :, None]
    found = window_attention(
        q, k, v, scale=0.7, bias=jnp.asarray(bias), regions=regions, compute=Compute(attention_limit=limit)
    )
    np.testing.assert_allclose(found, by_hand(q, k, v, 0.7, bias + mask), rtol=0, atol=FLOAT32)


def test_blocks_hold_no_more_logits_than_allowed():
    def largest(limit):
        q = np.zeros((1, 64, 2, 16, 4), np.float32)
        program = jax.make_jaxpr(
            lambda q: window_attention(
                q, q, q, scale=1, bias=jnp.zeros((2, 16, 16)), regions=None, compute=Compute(attention_limit=limit)
            )
        )(q)
        return max(size for size in sizes(program.jaxpr) if size != q.size)

    assert largest(2**26) == 64 * 2 * 16 * 16
    assert largest(2048) == 2048


def sizes(program):
    for equation in program.eqns:
        yield from (var.aval.size for var in equation.outvars)
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from sizes(inner)


def test_windows_are_cut_row_by_row_and_joined_again():
    x = np.arange(2 * 4 * 6 * 1, dtype=np.float32).reshape(2, 4, 6, 1)
    windows = split_windows(x, 2)
    assert windows.shape == (2, 6, 4, 1)
    np.testing.assert_array_equal(windows[1, 4, :, 0], x[1, 2:4, 2:4, 0].ravel())
    np.testing.assert_array_equal(join_windows(windows, 4, 6), x)


def test_shifted_windows_are_rolled_back():
    x = normal(1, 6, 9, 2)
    seen = []

    def note(windows, regions):
        seen.append((windows, regions))
        return windows

    for shift in (0, 1):
        np.testing.assert_array_equal(in_windows(x, note, window=3, shift=shift), x)
    assert seen[0][1] is None
    np.testing.assert_array_equal(seen[1][0][0, 0, 0], x[0, 1, 1])
    assert seen[1][1].shape == (6, 9)


@pytest.mark.parametrize(("height", "width", "window", "shift"), [(8, 8, 4, 2), (14, 21, 7, 3), (4, 12, 4, 2)])
def test_positions_that_the_roll_brought_from_the_other_end_are_apart(height, width, window, shift):
    labels = shift_regions(height, width, window=window, shift=shift)
    rows, columns = np.mgrid[:height, :width]
    rolled = np.stack([np.roll(axis, (-shift, -shift), (0, 1)) < shift for axis in (rows, columns)], axis=-1)
    came = np.asarray(split_windows(rolled[None].astype(np.float32), window))[0]
    apart = (came[:, :, None] != came[:, None, :]).any(axis=-1)
    np.testing.assert_array_equal(labels[:, :, None] != labels[:, None, :], apart)


@pytest.mark.parametrize("window", [2, 7])
def test_relative_positions(window):
    index = relative_position_index(window)
    assert index.shape == (window**2, window**2)
    for query in range(window**2):
        for key in range(window**2):
            down, right = query // window - key // window, query % window - key % window
            assert index[query, key] == (down + window - 1) * (2 * window - 1) + right + window - 1
