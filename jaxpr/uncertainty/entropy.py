"""Differential entropies in nats, and the entropy power that turns them into a variance."""

import math
from types import ModuleType
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma

from jaxpr.core import (
    AnyArray,
    Array,
    InputError,
    check_count,
    check_floats,
    check_points,
    check_square,
    in_float64,
    is_float32,
    is_number,
    is_traced,
)
from jaxpr.numerics import nearest_distances
from jaxpr.numerics.psd import scaled_cholesky

__all__ = ["entropy_power", "gaussian_entropy", "knn_entropy"]

_ROWS = 512


def entropy_power(entropy: AnyArray | float, dim: int) -> Array:
    r"""$N = e^{2h/d} / (2\pi e)$: the variance of white Gaussian noise with this entropy ([cohen2024up]).

    Args:
        entropy: differential entropy h in nats, any shape; -inf (a singular distribution) gives 0, NaN gives NaN.
        dim: dimension d. Static.

    Returns:
        Squared units of the variable, shape of `entropy`.

    Raises:
        InputError: dim is not a positive integer, or the entropy is neither a number nor floats.
    """
    check_count("dim", dim)
    if not is_number(entropy):
        check_floats("entropy", entropy, expected="nats")
    # The constant goes into the exponent: the power of a large entropy does not overflow before it is divided.
    return jnp.exp(2 * jnp.asarray(entropy) / dim - math.log(2 * math.pi * math.e))


def gaussian_entropy(cov: AnyArray) -> AnyArray:
    r"""Entropy of a Gaussian, $h = \frac12 \ln\det(2\pi e\,\Sigma)$; the largest of all with this covariance.

    Note:
        In float32, in a program for a TPU, off by 1e-7 nats per dimension where eigenvalues lie within a factor of ten,
        by 8e-4 where they span six decades (d = 4 to 512, with LAPACK's float32), whatever the coordinates' units. A
        correlation matrix that is singular up to four roundings gives -inf.

    Args:
        cov: (d, d) symmetric PSD.

    Returns:
        Scalar, nats; -inf for a singular covariance. NumPy float64 for concrete input.

    Raises:
        InputError: not a finite square matrix.
    """
    check_square("cov", cov)
    return in_float64(_gaussian_entropy)(cov)


def _gaussian_entropy(xp: ModuleType, cov: Any) -> Any:
    if is_float32(cov):
        factor, scale, regular = scaled_cholesky(cov)
        logdet = 2 * xp.sum(xp.log(xp.diagonal(factor)) + xp.log(scale))
    else:
        sign, logdet = xp.linalg.slogdet(cov)
        regular = sign > 0
    return xp.where(regular, 0.5 * (cov.shape[0] * math.log(2 * math.pi * math.e) + logdet), -xp.inf)


def knn_entropy(samples: Array, *, k: int) -> Array:
    r"""Kozachenko-Leonenko estimate $\psi(N) - \psi(k) + \ln V_d + \frac{d}{N} \sum_i \ln \varepsilon_i$.

    $\varepsilon_i$ is the distance of point i to its k-th neighbour, itself excluded, and $V_d$ the volume of the unit
    ball. The bias falls slowly with N in high dimensions; whiten the data first (see `conditional_knn_entropy`).

    Args:
        samples: (N, d), N > k.
        k: neighbour; 3 to 5 are usual. Static.

    Returns:
        Scalar, nats; -inf where more than k points coincide. Distances are computed in float64 on the host for
        concrete samples, and in their own dtype under a transformation.

    Raises:
        InputError: not points, or at most k of them.
    """
    check_count("k", k)
    check_points("samples", samples)
    count, dim = samples.shape
    if count <= k:
        raise InputError(f"samples: found {count} points, expected more than k = {k}")
    if is_traced(samples):
        distances = nearest_distances(samples, samples, k=k + 1)[:, k]
    else:
        # Neighbours in few dimensions are so close that float32 cannot tell them from the point itself.
        distances = jnp.asarray(_neighbour_distances(np.asarray(samples, np.float64), k), samples.dtype)
    log_volume = 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim + 1)
    bias = digamma(float(count)) - digamma(float(k)) + log_volume
    return bias + dim * jnp.mean(jnp.log(distances))


def _neighbour_distances(points: np.ndarray, k: int) -> np.ndarray:
    """Distance from each point to its k-th neighbour, itself excluded, a block of rows at a time."""
    points = points - points.mean(axis=0)
    squares = np.sum(points**2, axis=1)
    found = []
    for start in range(0, len(points), _ROWS):
        rows = slice(start, start + _ROWS)
        squared = squares[rows, None] + squares[None] - 2 * points[rows] @ points.T
        found.append(np.partition(squared, k, axis=1)[:, k])
    return np.sqrt(np.maximum(np.concatenate(found), 0))
