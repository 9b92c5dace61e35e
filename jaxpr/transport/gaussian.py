r"""Optimal transport between Gaussians in closed form, and the path between distortion and perception.

With $F = \Sigma_s^{1/2}$, $G = \Sigma_t^{1/2}$ and the singular value decomposition $FG = PSQ^\top$ all is known:
the squared distance between centred Gaussians is $\|F - G Q P^\top\|^2$, the map is $G Q P^\top F^\dagger$, and what a
singular source cannot reach, $G (I - Q Q^\top) G$ over the directions with $S > 0$, is the covariance of the noise.
Computed in float64 on the host, and in float64 inside `jit`; in float32 where a program is lowered for a TPU.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    HIGHEST,
    AnyArray,
    Array,
    ArrayLike,
    InputError,
    Key,
    check_finite,
    check_floats,
    check_points,
    check_positive,
    described,
    example_keys,
    in_float64,
    is_float32,
    is_number,
    is_traced,
    rounding_unit,
)
from jaxpr.numerics.bures import bures, bures_forward, eigen_root, inverse_roots, transposed

__all__ = ["GaussianMap", "gaussian_map", "gaussian_w2", "transport_points"]

# Two Gaussians closer than this many roundings have distance zero for the gradient.
_COINCIDENT = 64


class GaussianMap(NamedTuple):
    """The optimal transport of one centred Gaussian to another: x ↦ matrix x + w, w ~ N(0, noise_covariance).

    Attributes:
        matrix: (..., d, d). Symmetric where the source covariance is well conditioned.
        noise_covariance: (..., d, d), symmetric PSD; exactly zero where the source covariance is well conditioned.
    """

    matrix: AnyArray
    noise_covariance: AnyArray


def gaussian_w2(mean_a: AnyArray, cov_a: AnyArray, mean_b: AnyArray, cov_b: AnyArray) -> AnyArray:
    r"""Wasserstein-2 distance between two Gaussians (the distance, not its square).

    $W_2^2 = \|m_a - m_b\|^2 + \operatorname{tr}\,(A + B - 2 (A^{1/2} B A^{1/2})^{1/2})$, the optimum of Eq. (1) of
    [adrai2023]. The second term is computed as the squared norm of a matrix, not as a difference of traces, so that
    distances far below the square root of the rounding unit are right. Covariances may be singular.

    The gradient is that of the optimal maps; it is zero where the Gaussians coincide up to rounding, and leaves out
    the null spaces of the covariances, where the distance has no derivative. Reverse mode only.

    Note:
        In float32, in a program for a TPU, off by 3e-6 of itself where eigenvalues lie within a factor of ten or end in
        zeros, by 2e-4 where they span six decades, and by 2e-4 between covariances that differ by one per cent (d = 4
        to 512, with LAPACK's float32).

    Args:
        mean_a: (..., d).
        cov_a: (..., d, d), symmetric PSD; eigenvalues that rounding made negative count as zero.
        mean_b: likewise; leading axes broadcast.
        cov_b: likewise.

    Returns:
        Distances of the leading shape; NumPy float64 for concrete input, the input's dtype under a transformation.

    Raises:
        InputError: shapes do not fit, or values are not finite.
    """
    dim = _check_covariance("cov_a", cov_a)
    _check_covariance("cov_b", cov_b, dim)
    _check_mean("mean_a", mean_a, dim)
    _check_mean("mean_b", mean_b, dim)
    shapes = [np.shape(mean_a)[:-1], np.shape(mean_b)[:-1], np.shape(cov_a)[:-2], np.shape(cov_b)[:-2]]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise InputError(
            f"means and covariances: found leading shapes {shapes}, expected ones that broadcast"
        ) from None
    return in_float64(_gaussian_w2)(mean_a, cov_a, mean_b, cov_b)


def gaussian_map(cov_source: AnyArray, cov_target: AnyArray, *, rcond: float | None = None) -> GaussianMap:
    r"""The optimal transport map between centred Gaussians, deterministic or with noise.

    A well-conditioned source has the deterministic map
    $\Sigma_s^{-1/2} (\Sigma_s^{1/2} \Sigma_t \Sigma_s^{1/2})^{1/2} \Sigma_s^{-1/2}$, Eq. (2) of [adrai2023]. A singular
    one cannot fill the target's directions by itself; it gets the stochastic map of Eq. (5) with the pseudo-inverse
    $\Sigma_s^\dagger$. Always `matrix cov_source matrixᵀ + noise_covariance = cov_target`, and no other map with this
    property moves points less. The gradient (reverse mode) exists for well-conditioned sources and is NaN for singular
    ones, around which the map jumps.

    Note:
        The authors' code decides for a whole batch at once; here each matrix of the batch decides for itself. It adds
        1e-5 to diagonals; nothing is added here. The target may be singular: its inverse in Eq. (5) is avoided.

        In float32, in a program for a TPU, the law of the transported points is off by 4e-6 of the target where
        eigenvalues lie within a factor of ten or end in zeros and by 1e-4 where they span six decades; the matrix
        itself by 2e-6, 2e-3 and 3e-2 (d = 4 to 512, with LAPACK's float32). `rcond` is then at least d roundings.

    Args:
        cov_source: (..., d, d), symmetric PSD.
        cov_target: (..., d, d), symmetric PSD; leading axes broadcast.
        rcond: source eigenvalues up to `rcond` times the largest count as zero; if there is one, the source is
            singular. Static. None: d times the rounding unit of `cov_source`'s dtype.

    Returns:
        `GaussianMap`; NumPy float64 for concrete input, the input's dtype under a transformation.

    Raises:
        InputError: shapes do not fit, values are not finite, or rcond is not positive.
    """
    dim = _check_covariance("cov_source", cov_source)
    _check_covariance("cov_target", cov_target, dim)
    shapes = [np.shape(cov_source)[:-2], np.shape(cov_target)[:-2]]
    try:
        leading = np.broadcast_shapes(*shapes)
    except ValueError:
        raise InputError(f"covariances: found leading shapes {shapes}, expected ones that broadcast") from None
    if rcond is None:
        dtype = cov_source.dtype if hasattr(cov_source, "dtype") else np.dtype(np.float64)
        rcond = dim * float(jnp.finfo(dtype if jnp.issubdtype(dtype, jnp.floating) else np.float64).eps)
    check_positive("rcond", rcond, scalar=True)
    shape = (*leading, dim, dim)

    def solve(xp: Any, source: Any, target: Any) -> GaussianMap:
        source, target = xp.broadcast_to(source, shape), xp.broadcast_to(target, shape)
        if xp is np:
            return GaussianMap(*_map_forward(np, source, target, rcond)[:2])
        return GaussianMap(*_differentiable_map(rcond, source, target))

    return in_float64(solve)(cov_source, cov_target)


def transport_points(
    key: Key, x: Array, mapping: GaussianMap, mean_source: AnyArray, mean_target: AnyArray, *, alpha: ArrayLike
) -> Array:
    r"""Move points along the path from the transported points (alpha = 0) to themselves (alpha = 1).

    $\hat x_P = (1 - \alpha) \hat x_0 + \alpha x^*$, Eq. (4) of [adrai2023], where $\hat x_0 = T(x^* - m_s) + m_t + w$
    is the optimal transport of $x^*$. The noise of the path therefore has covariance $(1 - \alpha)^2 \Sigma_w$. Each
    point draws its own noise, from a key folded with its position, so batching does not change results.

    Note:
        The authors' code scales the covariance by $(1 - \alpha)^{1/2}$, adds one draw to all points of a batch, and
        keeps the target's mean at every alpha; Eq. (4) moves it too. At alpha = 0 the distributions agree.

    Args:
        key: one key, or an array of N keys, one for each point.
        x: (N, d) points of the source.
        mapping: of `gaussian_map`, matrices (d, d). Batches of maps: `jax.vmap`.
        mean_source: (d,).
        mean_target: (d,).
        alpha: 0 best perception, 1 least distortion; values outside [0, 1] extrapolate. Traced.

    Returns:
        (N, d), x's dtype.

    Raises:
        InputError: shapes do not fit, values are not finite, or the key is not one of `jax.random.key`.
    """
    check_points("x", x)
    count, dim = jnp.shape(x)
    for name, matrix in zip(("mapping.matrix", "mapping.noise_covariance"), mapping, strict=True):
        _check_covariance(name, matrix, dim)
        if np.ndim(matrix) != 2:
            raise InputError(f"{name}: found shape {np.shape(matrix)}, expected ({dim}, {dim}); batches go by jax.vmap")
    for name, mean in (("mean_source", mean_source), ("mean_target", mean_target)):
        _check_mean(name, mean, dim)
        if np.ndim(mean) != 1:
            raise InputError(f"{name}: found shape {np.shape(mean)}, expected ({dim},)")
    number = is_number(alpha) or (isinstance(alpha, jax.Array | np.ndarray) and alpha.ndim == 0)
    if not number or not (is_traced(alpha) or np.isfinite(np.asarray(alpha, np.float64))):
        raise InputError(f"alpha: found {described(alpha)}, expected one finite number")
    x = jnp.asarray(x)
    root = in_float64(lambda xp, cov: _psd_root(np, cov) if xp is np else _differentiable_root(cov))
    matrix, noise_root = (jnp.asarray(m, x.dtype) for m in (mapping.matrix, root(mapping.noise_covariance)))
    keys = example_keys(key, count)
    noise = jax.vmap(lambda k: jax.random.normal(k, (dim,), x.dtype))(keys)
    centred = x - jnp.asarray(mean_source, x.dtype)[None]
    moved = jnp.matmul(centred, matrix.T, precision=HIGHEST) + jnp.asarray(mean_target, x.dtype)[None]
    moved = moved + jnp.matmul(noise, noise_root.T, precision=HIGHEST)
    alpha = jnp.asarray(alpha, x.dtype)
    return (1 - alpha) * moved + alpha * x


def _gaussian_w2(xp: Any, mean_a: Any, cov_a: Any, mean_b: Any, cov_b: Any) -> Any:
    dim = mean_a.shape[-1]
    leading = np.broadcast_shapes(cov_a.shape[:-2], cov_b.shape[:-2])
    cov_a, cov_b = (xp.broadcast_to(c, (*leading, dim, dim)) for c in (cov_a, cov_b))
    gap = bures_forward(np, cov_a, cov_b)[0] if xp is np else bures(cov_a, cov_b)
    squared = xp.sum((mean_a - mean_b) ** 2, axis=-1) + gap.squared
    if xp is np:
        return np.sqrt(squared)
    coincident = squared <= _COINCIDENT**2 * gap.rounding
    root = jnp.sqrt(jnp.where(coincident, 1, squared))
    return jnp.where(coincident, jnp.sqrt(jax.lax.stop_gradient(squared)), root)


def _psd_root(xp: Any, cov: Any) -> Any:
    roots, vectors = eigen_root(xp, cov)
    return (vectors * roots[..., None, :]) @ transposed(xp, vectors)


def _map_forward(xp: Any, source: Any, target: Any, rcond: float) -> tuple[Any, Any, tuple[Any, ...]]:
    """(matrix, noise covariance, residuals) of the map, for each matrix of the batch."""
    dim = source.shape[-1]
    if is_float32(source):
        rcond = max(rcond, dim * rounding_unit(source))
    roots, vectors = eigen_root(xp, source)
    kept, inverse = inverse_roots(xp, roots, rcond)
    roots = xp.where(kept, roots, 0)
    root_t = _psd_root(xp, target)
    # In the source's eigenbasis its null space is rows of exact zeros.
    left, overlap, right = xp.linalg.svd(roots[..., :, None] * (transposed(xp, vectors) @ root_t))
    limit = dim * np.finfo(np.dtype(overlap.dtype)).eps * xp.max(overlap, axis=-1, keepdims=True)
    regular = xp.all(kept, axis=-1)[..., None, None]
    used = xp.where(regular | (overlap > limit)[..., None, :], 1, 0).astype(overlap.dtype)
    turned = root_t @ transposed(xp, right)
    inverse_half = (vectors * inverse[..., None, :]) @ left
    matrix = (turned * used) @ transposed(xp, inverse_half)
    matrix = xp.where(regular, (matrix + transposed(xp, matrix)) / 2, matrix)
    missed = turned * (1 - used)  # G (I − QQᵀ) G = (G Q₀)(G Q₀)ᵀ over the directions Q₀ that are not reached
    noise = missed @ transposed(xp, missed)
    return matrix, noise, (matrix, (vectors * roots[..., None, :]) @ left, inverse_half, overlap, regular)


def _differentiable_map_primal(rcond: float, source: Array, target: Array) -> tuple[Array, Array]:
    return _map_forward(jnp, source, target, rcond)[:2]


_differentiable_map = jax.custom_vjp(_differentiable_map_primal, nondiff_argnums=(0,))


def _map_backward(rcond: float, residuals: tuple[Any, ...], cotangents: tuple[Array, Array]) -> tuple[Array, Array]:
    """The derivative of T A T = B is a Lyapunov equation, diagonal in the basis of the overlap: no differences."""
    matrix, half, inverse_half, overlap, regular = residuals
    cotangent = (cotangents[0] + transposed(jnp, cotangents[0])) / 2
    sums = overlap[..., :, None] + overlap[..., None, :]
    positive = sums > 0
    inner = transposed(jnp, inverse_half) @ cotangent @ inverse_half
    inner = jnp.where(positive, inner / jnp.where(positive, sums, 1), 0)
    grad_target = half @ inner @ transposed(jnp, half)
    grad_source = -matrix @ grad_target @ matrix
    return jnp.where(regular, grad_source, jnp.nan), jnp.where(regular, grad_target, jnp.nan)


def _map_residuals(rcond: float, source: Array, target: Array) -> tuple[tuple[Array, Array], tuple[Any, ...]]:
    matrix, noise, residuals = _map_forward(jnp, source, target, rcond)
    return (matrix, noise), residuals


_differentiable_map.defvjp(_map_residuals, _map_backward)


@jax.custom_vjp
def _differentiable_root(cov: Array) -> Array:
    return _psd_root(jnp, cov)


def _root_forward(cov: Array) -> tuple[Array, tuple[Array, Array]]:
    roots, vectors = eigen_root(jnp, cov)
    return (vectors * roots[..., None, :]) @ transposed(jnp, vectors), (roots, vectors)


def _root_backward(residuals: tuple[Array, Array], cotangent: Array) -> tuple[Array]:
    """The derivative of R R = C, zero inside the null space, where there is none."""
    roots, vectors = residuals
    sums = roots[..., :, None] + roots[..., None, :]
    inner = transposed(jnp, vectors) @ ((cotangent + transposed(jnp, cotangent)) / 2) @ vectors
    inner = jnp.where(sums > 0, inner / jnp.where(sums > 0, sums, 1), 0)
    return (vectors @ inner @ transposed(jnp, vectors),)


_differentiable_root.defvjp(_root_forward, _root_backward)


def _check_covariance(name: str, cov: AnyArray, dim: int | None = None) -> int:
    shape = check_floats(name, cov, expected="square matrices (..., d, d)")
    expected = "d" if dim is None else dim
    if len(shape) < 2 or shape[-1] != shape[-2] or (dim is not None and shape[-1] != dim) or shape[-1] == 0:
        raise InputError(f"{name}: found shape {shape}, expected square matrices (..., {expected}, {expected})")
    check_finite(name, cov)
    return int(shape[-1])


def _check_mean(name: str, mean: AnyArray, dim: int) -> None:
    shape = check_floats(name, mean, expected=f"means (..., {dim})")
    if not shape or shape[-1] != dim:
        raise InputError(f"{name}: found shape {shape}, expected (..., {dim}) as the covariances")
    check_finite(name, mean)
