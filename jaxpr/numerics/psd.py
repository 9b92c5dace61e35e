"""Square roots and overlaps of symmetric positive semi-definite matrices, by symmetric eigenproblems in float64.

General matrix square roots are avoided: the product of two covariances is not symmetric, its root can come out complex,
and it has no accelerated implementation.
"""

from types import ModuleType
from typing import Any

import numpy as np

from jaxpr._core import AnyArray, InputError, in_float64

__all__ = ["bures_term", "psd_sqrt"]

# A Cholesky factor with diagonal ratio above this is far enough from singular that squaring its singular values (in the
# eigenproblem below) costs at most half of the digits of the smallest ones, which the sum does not feel.
_WELL_CONDITIONED = 1e-4


def psd_sqrt(matrix: AnyArray) -> AnyArray:
    """The symmetric square root of a symmetric PSD matrix.

    Args:
        matrix: (d, d), symmetric; eigenvalues that rounding made negative count as zero.

    Returns:
        (d, d), symmetric PSD; NumPy float64 for concrete input, the input's dtype under a transformation.

    Raises:
        InputError: not a square matrix.
    """
    _check_square("matrix", matrix)
    return in_float64(_psd_sqrt)(matrix)


def bures_term(cov_a: AnyArray, cov_b: AnyArray) -> AnyArray:
    r"""Overlap $\operatorname{tr}\,(A^{1/2} B A^{1/2})^{1/2}$ of two covariances; symmetric in A and B.

    It is the cross term of the Wasserstein-2 distance between Gaussians and so of the Fréchet distance. For any factors
    $A = FF^\top$, $B = GG^\top$ it equals the sum of the singular values of $F^\top G$, which needs no square root of a
    product and loses no digits when A or B is singular.

    Args:
        cov_a: (d, d) symmetric PSD, of any rank.
        cov_b: (d, d) likewise.

    Returns:
        Scalar; NumPy float64 for concrete input, the input's dtype under a transformation.

    Raises:
        InputError: the matrices are not square or differ in size.
    """
    _check_square("cov_a", cov_a)
    _check_square("cov_b", cov_b)
    if np.shape(cov_a) != np.shape(cov_b):
        raise InputError(f"cov_a and cov_b: found shapes {np.shape(cov_a)} and {np.shape(cov_b)}, expected one shape")
    return in_float64(_bures_term)(cov_a, cov_b)


def _psd_sqrt(xp: ModuleType, matrix: Any) -> Any:
    values, vectors = xp.linalg.eigh(matrix)
    return (vectors * xp.sqrt(xp.maximum(values, 0))) @ vectors.T


def _bures_term(xp: ModuleType, cov_a: Any, cov_b: Any) -> Any:
    if xp is np:
        factor = _cholesky(cov_a)
        if factor is None:
            return np.linalg.svd(_thin_factor(cov_a).T @ _thin_factor(cov_b), compute_uv=False).sum()
    else:
        factor = _psd_sqrt(xp, cov_a)
    values = xp.linalg.eigvalsh(factor.T @ cov_b @ factor)
    # The inner `where` keeps the gradient of the square root finite at the eigenvalues that are zero.
    positive = values > 0
    return xp.sum(xp.where(positive, xp.sqrt(xp.where(positive, values, 1)), 0))


def _cholesky(cov: np.ndarray) -> np.ndarray | None:
    """Cholesky factor, or None where `cov` is singular or nearly so."""
    try:
        factor = np.linalg.cholesky(cov)
    except np.linalg.LinAlgError:
        return None
    diagonal = np.diagonal(factor)
    return factor if diagonal.min() > _WELL_CONDITIONED * diagonal.max() else None


def _thin_factor(cov: np.ndarray) -> np.ndarray:
    """F (d, r) with F Fᵀ = cov, dropping directions below rounding."""
    values, vectors = np.linalg.eigh(cov)
    keep = values > max(values[-1], 0) * len(values) * np.finfo(np.float64).eps
    return vectors[:, keep] * np.sqrt(values[keep])


def _check_square(name: str, matrix: AnyArray) -> None:
    shape = np.shape(matrix)
    if len(shape) != 2 or shape[0] != shape[1]:
        raise InputError(f"{name}: found shape {shape}, expected a square matrix (d, d)")
