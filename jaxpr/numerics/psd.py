"""Square roots and overlaps of symmetric positive semi-definite matrices, by symmetric eigenproblems in float64.

General matrix square roots are avoided: the product of two covariances is not symmetric, its root can come out complex,
and it has no accelerated implementation.
"""

from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from jaxpr.core import AnyArray, Array, InputError, in_float64, is_float32, is_traced, rounding_unit
from jaxpr.numerics.bures import bures

__all__ = ["bures_term", "psd_sqrt", "scaled_cholesky", "squared_gap"]

# A matrix whose Cholesky factor has a smaller ratio of diagonal entries is treated as singular. The eigenproblem below
# squares singular values, which would cost more than half of the digits of the smallest ones.
_WELL_CONDITIONED = 1e-4
# The overlap by that eigenproblem is kept if its rounding is estimated below this share of it.
_ROUNDING = 1e-11
# Squared pivots of a correlation matrix up to so many roundings are taken for rounding themselves.
_PIVOT = 4
_EPSILON = np.finfo(np.float64).eps


def psd_sqrt(matrix: AnyArray) -> AnyArray:
    """The symmetric square root of a symmetric PSD matrix.

    Note:
        In float32, in a program for a TPU, off by 1e-6 of its norm where eigenvalues lie within a factor of ten, and by
        3e-4 where they span six decades or end in zeros (d = 4 to 512, with LAPACK's float32).

    Args:
        matrix: (d, d), symmetric; eigenvalues that rounding made negative count as zero.

    Returns:
        (d, d), symmetric PSD; NumPy float64 for concrete input, the input's dtype under a transformation.

    Raises:
        InputError: not a square matrix, or not finite.
    """
    _check_square("matrix", matrix)
    return in_float64(_psd_sqrt)(matrix)


def bures_term(cov_a: AnyArray, cov_b: AnyArray) -> AnyArray:
    r"""Overlap $\operatorname{tr}\,(A^{1/2} B A^{1/2})^{1/2}$ of two covariances; symmetric in A and B.

    It is the cross term of the Wasserstein-2 distance between Gaussians and so of the Fréchet distance. For any factors
    $A = FF^\top$, $B = GG^\top$ it equals the sum of the singular values of $F^\top G$, which needs no square root of a
    product and loses no digits when A or B is singular. The gradient is half the optimal transport map between the
    two Gaussians.

    Note:
        In float32, in a program for a TPU, off by 1e-6 of itself where eigenvalues lie within a factor of ten, 5e-6
        where half of them are zero, and 4e-6, 2e-4, 9e-4 for d = 4, 64, 512 where they span six decades: those below
        d roundings of the largest count as zero (with LAPACK's float32).

    Args:
        cov_a: (d, d) symmetric PSD, of any rank.
        cov_b: (d, d) likewise.

    Returns:
        Scalar; NumPy float64 for concrete input, the input's dtype under a transformation.

    Raises:
        InputError: the matrices are not square, not finite, or differ in size.
    """
    _check_square("cov_a", cov_a)
    _check_square("cov_b", cov_b)
    if np.shape(cov_a) != np.shape(cov_b):
        raise InputError(f"cov_a and cov_b: found shapes {np.shape(cov_a)} and {np.shape(cov_b)}, expected one shape")
    return in_float64(_bures_term)(cov_a, cov_b)


def _psd_sqrt(xp: ModuleType, matrix: Any) -> Any:
    values, vectors = xp.linalg.eigh(matrix)
    return (vectors * xp.sqrt(xp.maximum(values, 0))[None]) @ vectors.T


def squared_gap(xp: ModuleType, start: Any, cov_a: Any, cov_b: Any) -> Any:
    """`start` plus the squared Wasserstein-2 distance of two centred Gaussians; for use inside `in_float64`.

    A difference of traces in float64, where it has digits to spare; a sum of squares in float32.

    Args:
        xp: NumPy or `jax.numpy`.
        start: what is added to the traces first, >= 0.
        cov_a: (d, d) symmetric PSD.
        cov_b: (d, d) likewise.
    """
    if is_float32(cov_a):
        return start + bures(cov_a, cov_b).squared
    # The distance cannot be negative; rounding can make it so when the two Gaussians coincide.
    return xp.maximum(start + xp.trace(cov_a) + xp.trace(cov_b) - 2 * _bures_term(xp, cov_a, cov_b), 0)


def scaled_cholesky(cov: Array) -> tuple[Array, Array, Array]:
    r"""L and s with $\Sigma = D L L^\top D$, $D = \operatorname{diag}(s)$; is Σ positive definite? JAX only.

    Units of the coordinates change nothing: the error is that of the correlation matrix, which has the least condition
    number of all scalings up to a factor d. A pivot that is rounding counts as zero.

    Args:
        cov: (d, d) symmetric.

    Returns:
        L (d, d), the unit matrix where Σ is singular or indefinite; s (d,), positive; a truth value.
    """
    diagonal = jnp.diagonal(cov)
    scale = jnp.sqrt(jnp.where(diagonal > 0, diagonal, 1))
    eye = jnp.eye(cov.shape[0], dtype=cov.dtype)
    correlation = cov / (scale[:, None] * scale[None])
    pivots = jnp.diagonal(jnp.linalg.cholesky(jax.lax.stop_gradient(correlation)))
    regular = jnp.all((diagonal > 0) & (pivots**2 > _PIVOT * rounding_unit(cov)))
    return jnp.linalg.cholesky(jnp.where(regular, correlation, eye)), scale, regular


def _bures_term(xp: ModuleType, cov_a: Any, cov_b: Any) -> Any:
    if is_float32(cov_a):
        return bures(cov_a, cov_b).overlap
    if xp is not np:
        return _differentiable_bures(cov_a, cov_b)
    factor = _cholesky(cov_a)
    if factor is not None:
        # Lᵀ B L, its lower triangle, at half the operations of two matrix products.
        product, _ = scipy.linalg.lapack.dsygst(cov_b, factor, itype=2, lower=1)
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(product), 0))
        # An eigenvalue is off by about ε times the largest, its root by that over the root.
        noise = _EPSILON * roots[-1] ** 2
        if noise == 0 or np.sum(noise / (roots + np.sqrt(noise))) < _ROUNDING * roots.sum():
            return roots.sum()
    return np.linalg.svd(_thin_factor(cov_a).T @ _thin_factor(cov_b), compute_uv=False).sum()


@jax.custom_vjp
def _differentiable_bures(cov_a: Array, cov_b: Array) -> Array:
    return _bures_forward(cov_a, cov_b)[0]


def _bures_forward(cov_a: Array, cov_b: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    root = _psd_sqrt(jnp, cov_a)
    values, vectors = jnp.linalg.eigh(root @ cov_b @ root)
    # A comparison with NaN is false: `values <= 0` keeps NaN, `values > 0` would turn it into zero.
    roots = jnp.where(values <= 0, 0, jnp.sqrt(jnp.where(values <= 0, 1, values)))
    return jnp.sum(roots), (root, roots, vectors)


def _bures_backward(residuals: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array, Array]:
    """Half the optimal transport maps: T = A^{-1/2} M^{1/2} A^{-1/2} for A and T⁻¹ for B, with M = A^{1/2} B A^{1/2}.

    Differentiating the eigenvectors instead would divide by differences of eigenvalues, which coincide for white
    covariances. In null spaces, where the overlap is not differentiable, the pseudo-inverse gives zero.
    """
    root, roots, vectors = residuals
    inverse_root = jnp.linalg.pinv(root, hermitian=True)
    limit = jnp.max(roots) * len(roots) * jnp.finfo(roots.dtype).eps
    inverse_roots = jnp.where(roots > limit, 1 / jnp.where(roots > limit, roots, 1), 0)
    half = inverse_root @ vectors
    grad_a = (half * roots[None]) @ half.T
    half = root @ vectors
    grad_b = (half * inverse_roots[None]) @ half.T
    return cotangent / 2 * grad_a, cotangent / 2 * grad_b


_differentiable_bures.defvjp(_bures_forward, _bures_backward)


def _cholesky(cov: np.ndarray) -> np.ndarray | None:
    """Cholesky factor, or None where `cov` is singular or nearly so."""
    try:
        factor = np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        return None
    diagonal = np.diagonal(factor)
    return factor if diagonal.min() > _WELL_CONDITIONED * diagonal.max() else None


def _thin_factor(cov: np.ndarray) -> np.ndarray:
    """F (d, r) with F Fᵀ = cov, dropping directions below rounding: Cholesky with pivots, d r² operations."""
    tolerance = max(np.max(np.diagonal(cov)), 0) * len(cov) * np.finfo(np.float64).eps
    if tolerance == 0:
        return np.zeros((len(cov), 0))
    packed, pivots, rank, _ = scipy.linalg.lapack.dpstrf(cov, tol=tolerance, lower=1)
    factor = np.empty((len(cov), rank))
    factor[pivots - 1] = np.tril(packed[:, :rank])
    return factor


def _check_square(name: str, matrix: AnyArray) -> None:
    shape = np.shape(matrix)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise InputError(f"{name}: found shape {shape}, expected a square matrix (d, d)")
    if not is_traced(matrix) and not np.isfinite(np.asarray(matrix)).all():
        raise InputError(f"{name}: found NaN or infinite values, expected a finite matrix")
