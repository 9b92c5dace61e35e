"""Degradations that act on rows and columns by one small matrix each: averaging and bicubic downsampling."""

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, Array, ArrayLike, InputError, check_count, is_traced
from jaxpr.degradations.linear import (
    SVD,
    LinearOperator,
    Shape,
    check_batch,
    check_coefficients,
    check_shape,
    descending,
    inverse_or_zero,
    register_operator,
    set_fields,
)
from jaxpr.numerics.resampling import BOX, CUBIC, resize_matrix

__all__ = ["AverageDownsample", "BicubicDownsample", "Separable"]


class _Factors(NamedTuple):
    """Complete singular value decomposition of one axis' matrix (m, n)."""

    u: ArrayLike  # (m, m)
    s: ArrayLike  # (min(m, n),)
    v: ArrayLike  # (n, n)


@register_operator
@dataclass(frozen=True, init=False, eq=False)
class Separable(LinearOperator):
    """Y = rows x columnsᵀ in every channel, a Kronecker product of two small matrices.

    Its decomposition is made of the two small ones, so construction costs O(h H² + w W²) on the host and `svd` never
    forms the big matrix. Singular values of an axis that are zero in float64 are stored as exact zeros.

    Args:
        shape: (H, W, C) of x.
        rows: (h, H), acts along the height.
        columns: (w, W), acts along the width.

    Raises:
        InputError: shape is not three positive integers, or a matrix is traced, not finite or does not fit.
    """

    rows: ArrayLike = field(repr=False)
    columns: ArrayLike = field(repr=False)
    row_factors: _Factors = field(repr=False)
    column_factors: _Factors = field(repr=False)
    shape: Shape = field(metadata={"static": True})
    output_shape: Shape = field(metadata={"static": True})

    def __init__(self, shape: Shape, rows: ArrayLike, columns: ArrayLike) -> None:
        shape = check_shape(shape)
        r = _check_matrix("rows", rows, shape[0])
        c = r if columns is rows and shape[0] == shape[1] else _check_matrix("columns", columns, shape[1])
        row_factors = _factorise(r)
        set_fields(
            self,
            rows=r.astype(np.float32),
            columns=c.astype(np.float32),
            row_factors=row_factors,
            column_factors=row_factors if c is r else _factorise(c),
            shape=shape,
            output_shape=(r.shape[0], c.shape[0], shape[2]),
        )

    def __call__(self, x: ArrayLike) -> Array:
        """Rows x columnsᵀ: (N, H, W, C) -> (N, h, w, C)."""
        return _apply(self.rows, self.columns, check_batch("x", x, self.shape))

    def adjoint(self, y: ArrayLike) -> Array:
        """Rowsᵀ y columns: (N, h, w, C) -> (N, H, W, C)."""
        return _apply(_transpose(self.rows), _transpose(self.columns), check_batch("y", y, self.output_shape))

    def pinv(self, y: ArrayLike) -> Array:
        """A† y with singular values below `CUTOFF` of the largest taken as zero: (N, h, w, C) -> (N, H, W, C)."""
        y = check_batch("y", y, self.output_shape)
        row, column = self.row_factors, self.column_factors
        inverse = inverse_or_zero(self._singular_grid()).astype(y.dtype)
        coefficients = _apply(_transpose(_leading(row.u, row.s)), _transpose(_leading(column.u, column.s)), y)
        return _apply(_leading(row.v, row.s), _leading(column.v, column.s), coefficients * inverse[None, :, :, None])

    def svd(self) -> SVD:
        """Products of the singular vectors of the two axes."""
        row, column = self.row_factors, self.column_factors
        paired = (jnp.shape(row.s)[0], jnp.shape(column.s)[0])
        values = jnp.repeat(self._singular_grid().reshape(-1), self.shape[2])
        # A map that shrinks one axis and grows the other has fewer products than min(dim x, dim y).
        missing = min(math.prod(self.shape), math.prod(self.output_shape)) - values.shape[0]

        def vt(x: ArrayLike) -> Array:
            x = check_batch("x", x, self.shape)
            return _flatten(_apply(_transpose(row.v), _transpose(column.v), x), paired)

        def v(coefficients: ArrayLike) -> Array:
            return _apply(row.v, column.v, _unflatten(coefficients, self.shape, paired))

        def ut(y: ArrayLike) -> Array:
            y = check_batch("y", y, self.output_shape)
            return _flatten(_apply(_transpose(row.u), _transpose(column.u), y), paired)

        def u(coefficients: ArrayLike) -> Array:
            return _apply(row.u, column.u, _unflatten(coefficients, self.output_shape, paired))

        return descending(SVD(jnp.pad(values, (0, missing)), vt, v, ut, u))

    def _singular_grid(self) -> Array:
        return jnp.asarray(self.row_factors.s)[:, None] * jnp.asarray(self.column_factors.s)[None]


@register_operator
@dataclass(frozen=True, init=False, eq=False)
class AverageDownsample(Separable):
    """The mean of every factor x factor block, (N, H, W, C) -> (N, H / factor, W / factor, C).

    Args:
        shape: (H, W, C) of x.
        factor: side of a block; divides H and W.

    Raises:
        InputError: shape or factor is no positive integer, or factor does not divide the image or is larger than it.
    """

    factor: int = field(metadata={"static": True})

    def __init__(self, shape: Shape, factor: int) -> None:
        shape = _check_factor(shape, factor)
        if shape[0] % factor or shape[1] % factor:
            raise InputError(f"factor: found {factor}, which does not divide images of {shape[0]}x{shape[1]}")
        rows = resize_matrix(shape[0], shape[0] // factor, kernel=BOX)
        columns = rows if shape[0] == shape[1] else resize_matrix(shape[1], shape[1] // factor, kernel=BOX)
        super().__init__(shape, rows, columns)
        set_fields(self, factor=int(factor))


@register_operator
@dataclass(frozen=True, init=False, eq=False)
class BicubicDownsample(Separable):
    """MATLAB's antialiased bicubic downsampling by 1 / factor, as `imresize(x, 1 / factor)` on doubles.

    Keys' kernel with a = -1/2 stretched by `factor`, mirrored borders with repeated edge, no rounding, no clipping.

    Args:
        shape: (H, W, C) of x, any size of at least `factor`.
        factor: usually 2, 3, 4, 8 or 16; y has ceil(H / factor) x ceil(W / factor) pixels.

    Raises:
        InputError: shape or factor is no positive integer, or factor is larger than the image.
    """

    factor: int = field(metadata={"static": True})

    def __init__(self, shape: Shape, factor: int) -> None:
        shape = _check_factor(shape, factor)
        rows = _bicubic_matrix(shape[0], factor)
        columns = rows if shape[0] == shape[1] else _bicubic_matrix(shape[1], factor)
        super().__init__(shape, rows, columns)
        set_fields(self, factor=int(factor))


def _bicubic_matrix(size: int, factor: int) -> np.ndarray:
    return resize_matrix(size, -(-size // factor), kernel=CUBIC, scale=1 / factor)


def _check_factor(shape: Shape, factor: int) -> Shape:
    shape = check_shape(shape)
    check_count("factor", factor)
    if factor > min(shape[:2]):
        raise InputError(f"factor: found {factor}, expected at most the side of an image of {shape[0]}x{shape[1]}")
    return shape


def _check_matrix(name: str, matrix: ArrayLike, size: int) -> np.ndarray:
    if is_traced(matrix):
        raise InputError(f"{name}: found a traced array, expected concrete values; build the operator outside jit")
    values = np.asarray(matrix, np.float64)
    if values.ndim != 2 or values.shape[1] != size or values.shape[0] == 0:
        raise InputError(f"{name}: found shape {values.shape}, expected (any, {size})")
    if not np.isfinite(values).all():
        raise InputError(f"{name}: found NaN or infinite values, expected a finite matrix")
    return values


def _factorise(matrix: np.ndarray) -> _Factors:
    u, s, vt = np.linalg.svd(matrix, full_matrices=False)
    # Rounding leaves 1e-17 where the rank is deficient; a sampler that divides by it must see a zero.
    s = np.where(s > s[0] * max(matrix.shape) * np.finfo(np.float64).eps, s, 0.0)
    return _Factors(*(part.astype(np.float32) for part in (_complete(u), s, _complete(vt.T))))


def _complete(basis: np.ndarray) -> np.ndarray:
    """Add orthonormal columns up to a square matrix, by QR, which is cheaper than a complete SVD."""
    rest = np.linalg.qr(basis, mode="complete")[0][:, basis.shape[1] :]
    return np.concatenate([basis, rest], axis=1)


def _transpose(matrix: ArrayLike) -> Array:
    return jnp.asarray(matrix).T


def _leading(basis: ArrayLike, s: ArrayLike) -> Array:
    return jnp.asarray(basis)[:, : jnp.shape(s)[0]]


def _apply(rows: ArrayLike, columns: ArrayLike, images: Array) -> Array:
    r, c = jnp.asarray(rows, images.dtype), jnp.asarray(columns, images.dtype)
    images = jnp.einsum("hi,niwc->nhwc", r, images, precision=HIGHEST)
    return jnp.einsum("wj,nhjc->nhwc", c, images, precision=HIGHEST)


def _flatten(grid: Array, paired: tuple[int, int]) -> Array:
    """(N, H, W, C) -> (N, H W C), the block of paired singular vectors first."""
    h, w = paired
    blocks = (grid[:, :h, :w], grid[:, :h, w:], grid[:, h:])
    return jnp.concatenate([block.reshape(grid.shape[0], math.prod(block.shape[1:])) for block in blocks], axis=1)


def _unflatten(coefficients: ArrayLike, shape: Shape, paired: tuple[int, int]) -> Array:
    """The inverse of `_flatten`."""
    height, width, channels = shape
    h, w = paired
    flat = check_coefficients(coefficients, math.prod(shape))
    n, first, second = flat.shape[0], h * w * channels, h * width * channels
    top = jnp.concatenate(
        [
            flat[:, :first].reshape(n, h, w, channels),
            flat[:, first:second].reshape(n, h, width - w, channels),
        ],
        axis=2,
    )
    return jnp.concatenate([top, flat[:, second:].reshape(n, height - h, width, channels)], axis=1)
