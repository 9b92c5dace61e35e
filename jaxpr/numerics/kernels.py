"""Weighted sums of the cubic polynomial kernel over all pairs of points, in blocks: no (N, M) matrix is ever stored."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, AnyArray, Array, InputError, check_count, check_points, scan

__all__ = ["KernelSums", "kernel_sums"]


class KernelSums(NamedTuple):
    r"""Sums of a kernel between the groups of two sets; a point is never paired with itself.

    Attributes:
        real: (G, G), $\sum_{i \ne j} w_{ig} w_{jh} k(a_i, a_j)$.
        fake: (G, G), likewise for the other set.
        cross: (G, G), $\sum_{i,j} w_{ig} w'_{jh} k(a_i, b_j)$.
    """

    real: Array
    fake: Array
    cross: Array


def kernel_sums(
    real: AnyArray, fake: AnyArray, real_weights: AnyArray, fake_weights: AnyArray, *, block: int = 1024
) -> KernelSums:
    r"""Sums of the kernel $k(a, b) = (a^\top b / d + 1)^3$, centred, between groups of points.

    What is summed is $k(a, b) - k(a, \mu) - k(b, \mu) + k(\mu, \mu)$ with μ the mean of all points. Unbiased estimates
    of the squared maximum mean discrepancy do not change by terms that depend on one argument only, and without them
    float32 sums lose no digits to a large common part.

    Args:
        real: (N, d).
        fake: (M, d).
        real_weights: (N, G); columns of zeros and ones select groups or subsets.
        fake_weights: (M, G).
        block: points of each set per step. Static; the memory beyond the data is O(block · (block + d) + G²).

    Raises:
        InputError: not points, or shapes that do not fit.
    """
    check_count("block", block)
    check_points("real", real)
    check_points("fake", fake, width=real.shape[1])
    check_points("real_weights", real_weights)
    check_points("fake_weights", fake_weights, width=real_weights.shape[1])
    for name, weights, points in (("real", real_weights, real), ("fake", fake_weights, fake)):
        if weights.shape[0] != points.shape[0]:
            raise InputError(f"{name}_weights: found {weights.shape[0]} rows, expected {points.shape[0]} as in {name}")
    arrays = (jnp.asarray(a) for a in (real, fake, real_weights, fake_weights))
    return _sums(*arrays, block=block)


class _Piece(NamedTuple):
    """Centred points α = a - μ; aᵀb/d = αᵀβ/d + linear(a) + linear(b); terms that depend on one argument; weights."""

    points: Array
    linear: Array
    terms: Array
    weights: Array


class _Blocks(NamedTuple):
    """A set in blocks of one size; the last overlaps the one before, and its repeated points weigh nothing."""

    points: Array
    weights: Array
    offset: Array
    size: int

    @property
    def number(self) -> int:
        return -(-self.points.shape[0] // self.size)

    def read(self, index: Array) -> _Piece:
        """One block, centred."""
        start = jnp.minimum(index * self.size, self.points.shape[0] - self.size)
        points = jax.lax.dynamic_slice_in_dim(self.points, start, self.size).astype(self.offset.dtype)
        weights = jax.lax.dynamic_slice_in_dim(self.weights, start, self.size)
        fresh = start + jnp.arange(self.size, dtype=jnp.int32) >= index * self.size
        points = points - self.offset[None]
        constant = jnp.sum(self.offset**2) / (2 * len(self.offset))
        linear = jnp.matmul(points, self.offset, precision=HIGHEST) / len(self.offset) + constant
        terms = _cubic(linear + constant) - _cubic(2 * constant) / 2
        return _Piece(points, linear, terms, jnp.where(fresh[:, None], weights, 0))


def _cubic(s: Array) -> Array:
    """(s + 1)³ - 1; the constant is a term that depends on one argument only."""
    return s * (s * (s + 3) + 3)


@functools.partial(jax.jit, static_argnames=("block",))
def _sums(real: Array, fake: Array, real_weights: Array, fake_weights: Array, *, block: int) -> KernelSums:
    dtype = jnp.promote_types(real.dtype, jnp.float32)
    share = real.shape[0] / (real.shape[0] + fake.shape[0])
    centre = share * jnp.mean(real, axis=0, dtype=dtype) + (1 - share) * jnp.mean(fake, axis=0, dtype=dtype)
    a = _Blocks(real, real_weights.astype(dtype), centre, min(block, real.shape[0]))
    b = _Blocks(fake, fake_weights.astype(dtype), centre, min(block, fake.shape[0]))
    return KernelSums(_within(a), _within(b), _between(a, b))


def _block_sums(a: _Piece, b: _Piece, *, itself: bool = False) -> Array:
    products = jnp.matmul(a.points, b.points.T, precision=HIGHEST) / a.points.shape[1]
    kernel = _cubic(products + a.linear[:, None] + b.linear[None]) - a.terms[:, None] - b.terms[None]
    if itself:
        kernel = jnp.where(jnp.eye(kernel.shape[0], dtype=bool), 0, kernel)
    half = jnp.matmul(kernel, b.weights, precision=HIGHEST)
    return jnp.matmul(a.weights.T, half, precision=HIGHEST)


def _within(a: _Blocks) -> Array:
    """Each pair of blocks once, by symmetry."""

    def diagonal(total: Array, i: Array) -> tuple[Array, None]:
        piece = a.read(i)
        return total + _block_sums(piece, piece, itself=True), None

    def pair(total: Array, ij: Array) -> tuple[Array, None]:
        sums = _block_sums(a.read(ij[0]), a.read(ij[1]))
        return total + (sums + sums.T), None

    total = jnp.zeros((a.weights.shape[1],) * 2, a.offset.dtype)
    total, _ = jax.lax.scan(diagonal, total, jnp.arange(a.number, dtype=jnp.int32))
    upper = np.stack(np.triu_indices(a.number, 1), axis=1).astype(np.int32)
    return scan(pair, total, jnp.asarray(upper))[0]


def _between(a: _Blocks, b: _Blocks) -> Array:
    def pair(total: Array, ij: Array) -> tuple[Array, None]:
        return total + _block_sums(a.read(ij[0]), b.read(ij[1])), None

    total = jnp.zeros((a.weights.shape[1], b.weights.shape[1]), a.offset.dtype)
    both = np.indices((a.number, b.number)).reshape(2, -1).T.astype(np.int32)
    return jax.lax.scan(pair, total, jnp.asarray(both))[0]
