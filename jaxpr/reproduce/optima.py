"""The optimum of distortion against perception for a mixture on the plane, and laws compared by their moments."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, Key
from jaxpr.toys import JointMixture, Pairs

__all__ = ["balanced_draws", "beside_least", "least_error", "moment_gaps", "optimal_curve"]

_CELLS, _REACH = 160, 7.0  # along each axis of the grid of measurements, and its ends in deviations


def least_error(law: JointMixture) -> float:
    """The least mean squared error E tr Cov(x|y), by the midpoint rule; exact but for float32.

    Args:
        law: with y on the plane.
    """
    marginal = law.components.marginal_y
    far = _REACH * jnp.sqrt(jnp.diagonal(marginal.covariance, axis1=1, axis2=2))
    low, high = (np.asarray(a, np.float64) for a in ((marginal.mean - far).min(0), (marginal.mean + far).max(0)))
    width = (high - low) / _CELLS
    axes = [low[i] + width[i] * (np.arange(_CELLS) + 0.5) for i in (0, 1)]
    y = jnp.asarray(np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2), marginal.mean.dtype)

    @jax.jit
    def errors(y: Array) -> Array:
        return jnp.trace(law.posterior_covariance(y), axis1=1, axis2=2) * jnp.exp(law.log_density_y(y))

    return float(np.sum(np.asarray(errors(y), np.float64)) * width.prod())


def balanced_draws(key: Key, law: JointMixture, count: int) -> Pairs:
    """About `count` draws with as many of every component as its weight says, so that no distance is due to shares."""
    shares = np.exp(np.asarray(law.log_weights, np.float64))
    chosen = np.repeat(np.arange(len(shares)), np.round(count * shares).astype(int))

    @jax.jit
    @jax.vmap
    def draw(key: Key, component: Array) -> Pairs:
        pair = jax.tree.map(lambda field: field[component], law.components).sample(key, 1)
        return Pairs(pair.x[0], pair.y[0])

    return draw(jax.random.split(key, len(chosen)), jnp.asarray(chosen))


def optimal_curve(least: float, distance: float, *, count: int = 101) -> np.ndarray:
    """Least MSE and W2 along the optimal restorers, (count, 2): D + (W - P)² and P, [adrai2023, Section 3.2].

    Args:
        least: D, the error of the MMSE estimate, where the curve begins.
        distance: W, the W2 of its outputs from x; the curve ends at P = 0.
        count: points.
    """
    perception = distance * np.linspace(1, 0, count)
    return np.stack([least + (distance - perception) ** 2, perception], axis=1)


def beside_least(errors: Mapping[str, np.ndarray], *, best: str, least: float) -> dict[str, np.ndarray]:
    """Errors as the exact least one plus what was measured beyond the best restorer's, on the same draws.

    All restorers of a seed are measured on the same draws of (x, y), whose luck moves their errors alike. The curve of
    `optimal_curve` knows nothing of it, so errors as measured may lie left of it. These have the best restorer at
    `least`, where the curve begins.

    Args:
        errors: for each restorer (S, ...), one MSE for each seed.
        best: the restorer of least error, (S,) or (S, 1).
        least: its exact error.
    """
    shift = least - errors[best]
    return {name: each + shift.reshape(-1, *[1] * (each.ndim - 1)) for name, each in errors.items()}


def moment_gaps(points: np.ndarray, real: np.ndarray) -> np.ndarray:
    """How far moments of points (N, d) are from those of others (M, d): orders one to four, (4,).

    In coordinates in which `real` has covariance I: norms of the differences of means and of the central moments of
    orders two to four. A linear map can make the first two zero; the others tell shape.
    """
    points, real = np.asarray(points, np.float64), np.asarray(real, np.float64)
    whiten = np.linalg.inv(np.linalg.cholesky(np.cov(real.T)))
    moments = [_moments(each @ whiten.T) for each in (points, real)]
    return np.array([np.linalg.norm((a - b).ravel()) for a, b in zip(*moments, strict=True)])


def _moments(points: np.ndarray) -> list[np.ndarray]:
    """Mean and central moments of orders two to four, one axis (d,) for each order."""
    mean, count = points.mean(axis=0), len(points)
    centred = points - mean
    pairs = np.einsum("ni,nj->nij", centred, centred)
    third, fourth = np.einsum("nij,nk->ijk", pairs, centred), np.einsum("nij,nkl->ijkl", pairs, pairs)
    return [mean, pairs.mean(axis=0), third / count, fourth / count]
