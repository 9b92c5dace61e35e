r"""Overlapping patches of latents, and what a linear map of all of them does to the latents.

Latents are (N, h, w, c) floats. The p × p patch number (i, j) is a vector of d = p² c entries, rows first, channels
last. One is centred on every latent pixel, with the edge repeated p // 2 times around, and where moved patches overlap
they are averaged. They are not formed where it can be avoided: cutting, mapping and averaging is, away from the border,
one convolution with a kernel of (2p - 1) × (2p - 1).

Paper: [adrai2023], Section 4.1 and Appendix B.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, AnyArray, Array, InputError, Key, check_count

__all__ = ["PatchMap", "check_patch", "move_latents"]


class PatchMap(NamedTuple):
    """What happens to each patch: v ↦ matrix v + offset + noise_root · N(0, I).

    Attributes:
        matrix: (d, d).
        offset: (d,).
        noise_root: (d, k); None for no noise.
    """

    matrix: AnyArray
    offset: AnyArray
    noise_root: AnyArray | None = None


def check_patch(patch: int) -> None:
    """Raise unless this is a positive odd integer: a patch has a pixel in its middle."""
    check_count("patch", patch)
    if patch % 2 == 0:
        raise InputError(f"patch: found {patch}, expected an odd number")


def move_latents(keys: Key | None, latents: Array, moves: PatchMap, *, patch: int) -> Array:
    """Move every patch, and average where the moved ones overlap.

    Args:
        keys: one for each of N latents, from which every patch draws its own noise; None where there is no noise.
        latents: (N, h, w, c) of any size.
        moves: of patches of p² c entries.
        patch: p, odd. Static.

    Returns:
        (N, h, w, c).

    Raises:
        InputError: maps of other patches, or no keys where there is noise.
    """
    check_patch(patch)
    dim = patch * patch * latents.shape[3]
    if np.shape(moves.matrix) != (dim, dim):
        raise InputError(f"moves: found a matrix {np.shape(moves.matrix)}, expected {(dim, dim)} for such latents")
    matrix, offset = (jnp.asarray(part, latents.dtype) for part in (moves.matrix, moves.offset))
    moved = _moved(latents, matrix, offset, patch)
    if moves.noise_root is None:
        return moved
    if keys is None:
        raise InputError("keys: found None, expected one for each of the latents: their patches draw noise")
    root = jnp.asarray(moves.noise_root, latents.dtype)
    return moved + _averaged(_patch_noise(keys, root, latents.shape), patch)


def _patch_noise(keys: Key, root: Array, shape: tuple[int, ...]) -> Array:
    """Noise for the patches around all pixels, (N, h, w, d); each from a key of its own."""
    number, height, width, _ = shape
    positions = jnp.arange(height * width)
    folded = jax.vmap(jax.vmap(jax.random.fold_in, in_axes=(None, 0)), in_axes=(0, None))(keys, positions)
    normal = jax.vmap(jax.vmap(lambda key: jax.random.normal(key, root.shape[1:], root.dtype)))(folded)
    return jnp.matmul(normal, root.T, precision=HIGHEST).reshape(number, height, width, -1)


def _moved(latents: Array, matrix: Array, offset: Array, patch: int) -> Array:
    """Without noise: a convolution, and patch by patch where the border changes what overlaps."""
    margin, (height, width) = patch // 2, latents.shape[1:3]
    padded = jnp.pad(latents, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")

    def one_by_one(part: Array) -> Array:
        return _averaged(
            jnp.matmul(_patches(part, patch), matrix.T, precision=HIGHEST) + offset[None, None, None], patch
        )

    # Near the border fewer patches overlap. Where both borders are near everywhere, nothing is left to be gained.
    strip = 4 * margin
    if min(height, width) <= strip:
        return one_by_one(padded)
    six = matrix.reshape(patch, patch, latents.shape[3], patch, patch, latents.shape[3])
    bias = offset.reshape(patch, patch, -1)
    middle = _convolved(padded, six, bias)
    if not margin:
        return middle
    top, bottom = _edge_rows(padded, six, bias)
    turned = jnp.swapaxes(padded, 1, 2), six.transpose(1, 0, 2, 4, 3, 5), jnp.swapaxes(bias, 0, 1)
    left, right = (jnp.swapaxes(edge, 1, 2) for edge in _edge_rows(*turned))
    near, far = slice(None, strip), slice(-strip, None)
    corners = [[one_by_one(padded[:, i, j]) for j in (near, far)] for i in (near, far)]
    first, last = slice(None, margin), slice(-margin, None)
    upper = jnp.concatenate([corners[0][0][:, first, first], top, corners[0][1][:, first, last]], axis=2)
    lower = jnp.concatenate([corners[1][0][:, last, first], bottom, corners[1][1][:, last, last]], axis=2)
    return jnp.concatenate([upper, jnp.concatenate([left, middle, right], axis=2), lower], axis=1)


def _convolved(padded: Array, six: Array, bias: Array) -> Array:
    """What happens to the pixels of which all p² patches are inside, as one product and a sum over rows.

    Args:
        padded: (N, h, w, c).
        six: the matrix, (p, p, c, p, p, c): row, column and channel of the moved patch, and of the patch.
        bias: the offset, (p, p, c).
    """
    patch, channels = six.shape[1:3]
    reach, shifts = 2 * patch - 1, _shifts(patch, six.dtype)
    rows = jnp.einsum("abomni,ame->ebnoi", six, shifts, precision=HIGHEST)
    kernel = jnp.einsum("ebnoi,bnf->fieo", rows, shifts, precision=HIGHEST) / patch**2
    parts = _columns(padded, reach)
    product = jnp.matmul(parts, kernel.reshape(reach * channels, -1), precision=HIGHEST)
    product = product.reshape(*parts.shape[:3], reach, channels)
    height = padded.shape[1] - reach + 1
    total = product[:, :height, :, 0]
    for i in range(1, reach):
        total = total + product[:, i : i + height, :, i]
    return total + jnp.mean(bias, axis=(0, 1))[None, None, None]


def _edge_rows(padded: Array, six: Array, bias: Array) -> tuple[Array, Array]:
    """The first and the last p // 2 rows, less the columns near the border: each row has a kernel of its own."""
    patch, margin = six.shape[0], six.shape[0] // 2
    reach, shifts = 2 * patch - 1, _shifts(patch, six.dtype)
    # Row y of the first ones is row a of the patches that are centred at y + margin - a, which must be inside.
    inside = np.arange(patch)[None] <= np.arange(margin)[:, None] + margin
    inside = np.concatenate([inside, inside[::-1, ::-1]])
    weights = jnp.asarray(inside / inside.sum(axis=1, keepdims=True), six.dtype)
    rows = jnp.einsum("ya,abomni,ame->yebnoi", weights, six, shifts, precision=HIGHEST)
    kernels = jnp.einsum("yebnoi,bnf->yefio", rows, shifts, precision=HIGHEST) / patch
    offsets = jnp.einsum("ya,abo->yo", weights, bias, precision=HIGHEST) / patch
    # Rows that no kernel reaches stand outside, so that all windows have one size.
    outside = ((0, 0), (margin, margin), (0, 0), (0, 0))
    both = jnp.concatenate([padded[:, : 4 * margin], padded[:, -4 * margin :]], axis=1)
    parts = jnp.pad(_columns(both, reach), outside)
    starts = [*range(margin), *range(5 * margin, 6 * margin)]
    windows = jnp.stack([parts[:, start : start + reach] for start in starts])
    windows = jnp.moveaxis(windows, 2, 3).reshape(len(starts), -1, reach * parts.shape[3])
    found = jnp.matmul(windows, kernels.reshape(len(starts), windows.shape[2], -1), precision=HIGHEST)
    found = (found + offsets[:, None]).reshape(len(starts), padded.shape[0], parts.shape[2], -1)
    found = jnp.moveaxis(found, 0, 1)
    return found[:, :margin], found[:, margin:]


def _shifts(patch: int, dtype: Any) -> Array:
    """(p, p, 2p - 1): is entry m of a patch so far from entry a of the moved one?"""
    places = np.arange(patch)
    lags = places[None, :, None] - places[:, None, None] + patch - 1 == np.arange(2 * patch - 1)
    return jnp.asarray(lags, dtype)


def _columns(x: Array, size: int) -> Array:
    """Slices of `size` neighbours along a row, (N, h, w - size + 1, size · c)."""
    width = x.shape[2] - size + 1
    stacked = jnp.stack([x[:, :, i : i + width] for i in range(size)], axis=3)
    return stacked.reshape(*stacked.shape[:3], -1)


def _patches(x: Array, patch: int) -> Array:
    """All patches inside, (N, h - p + 1, w - p + 1, d)."""
    parts, height = _columns(x, patch), x.shape[1] - patch + 1
    stacked = jnp.stack([parts[:, i : i + height] for i in range(patch)], axis=3)
    return stacked.reshape(*stacked.shape[:3], -1)


def _averaged(patches: Array, patch: int) -> Array:
    """The mean of the patches around all pixels that they are centred on, (N, h, w, d) to (N, h, w, c)."""
    number, height, width, dim = patches.shape
    last, margin = patch - 1, patch // 2
    tiles = patches.reshape(number, height, width, patch, patch, dim // patch**2)
    none = (0, 0)
    spread = [jnp.pad(tiles[..., i, :], (none, none, (i, last - i), none, none)) for i in range(patch)]
    rows = functools.reduce(jnp.add, spread)
    spread = [jnp.pad(rows[:, :, :, i], (none, (i, last - i), none, none)) for i in range(patch)]
    total = functools.reduce(jnp.add, spread)
    counts = (np.convolve(np.ones(side), np.ones(patch))[margin : margin + side] for side in (height, width))
    inside = total[:, margin : margin + height, margin : margin + width]
    return inside / jnp.asarray(np.outer(*counts)[None, :, :, None], patches.dtype)
