"""Softmax attention, over all positions or inside shifted windows, in blocks where its logits would fill the memory."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array
from jaxpr.models.layers import Compute

__all__ = [
    "attention",
    "in_windows",
    "join_heads",
    "join_windows",
    "relative_position_index",
    "shift_regions",
    "split_heads",
    "split_windows",
    "window_attention",
]

_OUTSIDE = -100.0
"""Added to the logits of pairs that the shift brought together, as in the published code; not minus infinity."""


def attention(q: Array, k: Array, v: Array, *, scale: float, compute: Compute) -> Array:
    """softmax(scale · q kᵀ) v, computed for blocks of queries where all logits at once would be too many.

    Args:
        q: (N, heads, L, d).
        k: (N, heads, S, d).
        v: (N, heads, S, d).
        scale: of the logits.
        compute: precision, and how many logits are held at once.

    Returns:
        (N, heads, L, d).
    """
    n, heads, length, _ = q.shape
    per_query = n * heads * k.shape[2]

    def one(query: Array) -> Array:  # (N, heads, d)
        return _attend(query[:, :, None], k, v, scale, None, compute)[:, :, 0]

    if length * per_query <= compute.attention_limit:
        return _attend(q, k, v, scale, None, compute)
    out = jax.lax.map(jax.checkpoint(one), jnp.moveaxis(q, 2, 0), batch_size=_block(per_query, compute))
    return jnp.moveaxis(out, 0, 2)


def window_attention(
    q: Array,
    k: Array,
    v: Array,
    *,
    scale: float,
    bias: Array,
    regions: np.ndarray | None,
    compute: Compute,
) -> Array:
    """softmax(scale · q kᵀ + bias) v inside each window, for blocks of windows where they are many.

    Args:
        q: (N, windows, heads, L, d).
        k: as q.
        v: as q.
        scale: of the logits.
        bias: added to the logits, (heads, L, L).
        regions: of `shift_regions`, (windows, L); positions of different regions do not see each other.
        compute: precision, and how many logits are held at once.

    Returns:
        (N, windows, heads, L, d).
    """
    n, windows, heads, length, _ = q.shape
    labels = np.zeros((windows, length), np.int8) if regions is None else regions

    def one(inputs: tuple[Array, Array, Array, Array]) -> Array:  # (N, heads, L, d) thrice, (L,)
        q, k, v, label = inputs
        outside = jnp.where(label[:, None] == label[None, :], 0.0, _OUTSIDE)
        added = bias if regions is None else bias + outside[None].astype(bias.dtype)
        return _attend(q, k, v, scale, added[None], compute)

    if windows * (per_window := n * heads * length**2) <= compute.attention_limit:
        return jax.vmap(one, in_axes=((1, 1, 1, 0),), out_axes=1)((q, k, v, jnp.asarray(labels)))
    inputs = (*(jnp.moveaxis(array, 1, 0) for array in (q, k, v)), jnp.asarray(labels))
    out = jax.lax.map(jax.checkpoint(one), inputs, batch_size=_block(per_window, compute))
    return jnp.moveaxis(out, 0, 1)


def in_windows(x: Array, fn: Callable[[Array, np.ndarray | None], Array], *, window: int, shift: int) -> Array:
    """Apply `fn` to windows of an image that is first rolled by -shift and rolled back afterwards.

    Args:
        x: (N, H, W, C), H and W multiples of the window.
        fn: maps windows (N, windows, window², C) and their regions (None without a shift) to windows.
        window: side of the windows.
        shift: in pixels, 0 for none.
    """
    height, width = x.shape[1:3]
    if shift:
        x = jnp.roll(x, (-shift, -shift), (1, 2))
    regions = shift_regions(height, width, window=window, shift=shift) if shift else None
    x = join_windows(fn(split_windows(x, window), regions), height, width)
    return jnp.roll(x, (shift, shift), (1, 2)) if shift else x


def split_windows(x: Array, window: int) -> Array:
    """Cut (N, H, W, C) into windows (N, H/w · W/w, w², C), row by row."""
    n, height, width, channels = x.shape
    x = x.reshape(n, height // window, window, width // window, window, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, window**2, channels)


def join_windows(windows: Array, height: int, width: int) -> Array:
    """The inverse of `split_windows`: (N, windows, w², C) to (N, height, width, C)."""
    n, _, area, channels = windows.shape
    side = math.isqrt(area)
    x = windows.reshape(n, height // side, width // side, side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(n, height, width, channels)


def split_heads(qkv: Array, heads: int) -> tuple[Array, Array, Array]:
    """Queries, keys and values, (N, windows, heads, L, d) each, out of (N, windows, L, 3 · heads · d)."""
    n, windows, length, width = qkv.shape
    q, k, v = qkv.reshape(n, windows, length, 3, heads, width // (3 * heads)).transpose(3, 0, 1, 4, 2, 5)
    return q, k, v


def join_heads(x: Array) -> Array:
    """Bring (N, windows, heads, L, d) to (N, windows, L, heads · d)."""
    n, windows, heads, length, width = x.shape
    return x.transpose(0, 1, 3, 2, 4).reshape(n, windows, length, heads * width)


def shift_regions(height: int, width: int, *, window: int, shift: int) -> np.ndarray:
    """Numbers, (windows, window²), of the nine parts of an image that a roll by -shift has made neighbours."""

    def bands(size: int) -> np.ndarray:
        positions = np.arange(size)
        return (positions >= size - window).astype(np.int8) + (positions >= size - shift)

    labels = 3 * bands(height)[:, None] + bands(width)[None, :]
    labels = labels.reshape(height // window, window, width // window, window)
    return labels.transpose(0, 2, 1, 3).reshape(-1, window**2)


def relative_position_index(window: int) -> np.ndarray:
    """For each pair of positions in a window, (w², w²), the row of the table of biases that belongs to their offset."""
    rows, columns = (axis.ravel() for axis in np.mgrid[:window, :window])
    down = rows[:, None] - rows[None, :] + window - 1  # query minus key
    right = columns[:, None] - columns[None, :] + window - 1
    return down * (2 * window - 1) + right


def _attend(q: Array, k: Array, v: Array, scale: float, bias: Array | None, compute: Compute) -> Array:
    """Attention with float32 logits; q (N, heads, L, d), bias (1, heads, L, S)."""
    product = functools.partial(jnp.einsum, precision=compute.precision, preferred_element_type=jnp.float32)
    logits = product("nhld,nhsd->nhls", q * scale, k)
    if bias is not None:
        logits = logits + bias.astype(logits.dtype)
    weights = jax.nn.softmax(logits, axis=-1).astype(v.dtype)
    return product("nhls,nhsd->nhld", weights, v).astype(v.dtype)


def _block(logits: int, compute: Compute) -> int:
    """How many pieces of so many logits each fit."""
    return max(1, compute.attention_limit // logits)
