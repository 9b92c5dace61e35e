r"""Distance and overlap of two covariances without cancellation, one form for every precision.

With the roots $F = A^{1/2}$, $G = B^{1/2}$ and the singular value decomposition $FG = PSQ^\top$ the squared
Wasserstein-2 distance of the centred Gaussians is $\|F - G Q P^\top\|^2$: a sum of squares, not a difference of traces.
It holds in float32 too, where nothing is squared that would have to be rooted again.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import AnyArray, Array, rounding_unit

__all__ = ["Bures", "bures", "bures_forward", "eigen_root", "inverse_roots", "transposed"]


class Bures(NamedTuple):
    """How far two centred Gaussians are apart; leading axes are a batch.

    Attributes:
        squared: the squared Wasserstein-2 distance.
        rounding: squared size of what rounding may add to the distance.
        overlap: trace of the root of A^{1/2} B A^{1/2}.
    """

    squared: AnyArray
    rounding: AnyArray
    overlap: AnyArray


def transposed(xp: Any, matrix: Any) -> Any:
    """Transpose of the last two axes."""
    return xp.swapaxes(matrix, -1, -2)


def eigen_root(xp: Any, cov: Any) -> tuple[Any, Any]:
    """Square roots of the eigenvalues, negative ones clamped to zero, and the eigenvectors."""
    values, vectors = xp.linalg.eigh((cov + transposed(xp, cov)) / 2)
    return xp.sqrt(xp.maximum(values, 0)), vectors


def inverse_roots(xp: Any, roots: Any, rcond: float) -> tuple[Any, Any]:
    """Which roots of eigenvalues are not zero relative to the largest, and their inverses, zero for the others."""
    kept = roots**2 > rcond * xp.max(roots, axis=-1, keepdims=True) ** 2
    return kept, xp.where(kept, 1 / xp.where(kept, roots, 1), 0)


def bures_forward(xp: Any, cov_a: Any, cov_b: Any) -> tuple[Bures, tuple[Any, ...]]:
    """Distance and overlap, and the residuals of the gradient.

    It is the roots' least squared difference over rotations. Rounding turns the roots within their small eigenspaces.
    """
    dim, epsilon = cov_a.shape[-1], rounding_unit(cov_a)
    roots, vectors, inverses = [], [], []
    for cov in (cov_a, cov_b):
        found, basis = eigen_root(xp, cov)
        kept, inverse = inverse_roots(xp, found, dim * epsilon)
        roots.append(xp.where(kept, found, 0))
        vectors.append(basis)
        inverses.append(inverse)
    root_a, root_b = ((v * r[..., None, :]) @ transposed(xp, v) for r, v in zip(roots, vectors, strict=True))
    left, overlap, right = xp.linalg.svd(root_a @ root_b)  # right is Qᵀ
    difference = root_a - root_b @ transposed(xp, left @ right)
    largest = xp.maximum(xp.max(roots[0], axis=-1), xp.max(roots[1], axis=-1))
    rounding = (dim * epsilon * largest**2) ** 2 * xp.sum(inverses[0] ** 2 + inverses[1] ** 2, axis=-1)
    halves = (v * i[..., None, :] for v, i in zip(vectors, inverses, strict=True))
    turns = (transposed(xp, v) @ b for v, b in zip(vectors, (left, transposed(xp, right)), strict=True))
    inverse_halves = tuple(half @ turn for half, turn in zip(halves, turns, strict=True))
    found = Bures(xp.sum(difference**2, axis=(-2, -1)), rounding, xp.sum(overlap, axis=-1))
    return found, (*inverse_halves, overlap)


@jax.custom_vjp
def bures(cov_a: Array, cov_b: Array) -> Bures:
    """Distance and overlap in the dtype of the covariances, under a transformation; `rounding` has no gradient.

    The gradient leaves out null spaces, where there is none. Reverse mode only.

    Args:
        cov_a: (..., d, d), symmetric PSD; eigenvalues that rounding made negative count as zero.
        cov_b: of the same shape.
    """
    return bures_forward(jnp, cov_a, cov_b)[0]


def _backward(residuals: tuple[Array, ...], cotangents: Bures) -> tuple[Array, ...]:
    """Identity minus the optimal map, for each covariance, and half the map; no eigenvector is differentiated."""
    overlap = residuals[-1]
    identity = jnp.eye(overlap.shape[-1], dtype=overlap.dtype)
    maps = ((half * overlap[..., None, :]) @ transposed(jnp, half) for half in residuals[:2])
    squared, half = cotangents.squared[..., None, None], cotangents.overlap[..., None, None] / 2
    return tuple(squared * (identity - transport) + half * transport for transport in maps)


bures.defvjp(lambda a, b: bures_forward(jnp, a, b), _backward)
