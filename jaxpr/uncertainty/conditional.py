"""Conditional distributions: Gaussian by the Schur complement, any other by nearest neighbours."""

import functools
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    AnyArray,
    Array,
    InputError,
    check_count,
    check_finite,
    check_floats,
    check_points,
    check_positive,
    check_square,
    in_float64,
)
from jaxpr.numerics.moments import Moments
from jaxpr.uncertainty.divergence import renyi_between
from jaxpr.uncertainty.entropy import knn_entropy

__all__ = ["ConditionalGaussian", "conditional_gaussian", "conditional_knn_entropy", "conditional_renyi"]


class ConditionalGaussian(NamedTuple):
    """X given Y = y for jointly Gaussian X and Y: normal with mean `gain @ y + offset`.

    Attributes:
        gain: (d, m), Σ_xy Σ_yy⁺.
        offset: (d,).
        covariance: (d, d), the Schur complement Σ_xx - Σ_xy Σ_yy⁺ Σ_yx.
    """

    gain: AnyArray
    offset: AnyArray
    covariance: AnyArray


def conditional_gaussian(mean: AnyArray, cov: AnyArray, *, width: int) -> ConditionalGaussian:
    """The law of the first `width` coordinates of a Gaussian given the others; singular Σ_yy by pseudo-inverse.

    Args:
        mean: (d + m,).
        cov: (d + m, d + m), symmetric PSD.
        width: d, from 1 to d + m - 1. Static.

    Raises:
        InputError: shapes do not fit, or width out of range.
    """
    check_count("width", width)
    if len(check_floats("mean", mean, expected="a mean (d + m,)")) != 1:
        raise InputError(f"mean: found shape {mean.shape}, expected a mean (d + m,)")
    check_square("cov", cov)
    check_finite("mean", mean)
    if cov.shape != (mean.shape[0], mean.shape[0]) or width >= mean.shape[0]:
        raise InputError(
            f"cov and width: found shape {cov.shape} and {width} for a mean of {mean.shape[0]} coordinates, expected a "
            "square matrix of that size and a smaller width"
        )
    return ConditionalGaussian(*in_float64(functools.partial(_condition, width=width))(mean, cov))


def _condition(xp: ModuleType, mean: Any, cov: Any, *, width: int) -> tuple[Any, Any, Any]:
    gain = cov[:width, width:] @ xp.linalg.pinv(cov[width:, width:], hermitian=True)
    covariance = cov[:width, :width] - gain @ cov[width:, :width]
    return gain, mean[:width] - gain @ mean[width:], (covariance + covariance.T) / 2


def conditional_renyi(real: Moments, fake: Moments, *, width: int, order: float, noise_floor: float) -> AnyArray:
    r"""Mean over y of the Rényi divergence between x̂ given y and x given y, for Gaussian joint laws.

    Both conditional laws have covariances that do not depend on y and means linear in y, so the mean over
    y ~ N(μ_y, Σ_y) is in closed form: only $E[\Delta\Delta^\top] = D\Sigma_y D^\top +
    \bar\Delta\bar\Delta^\top$ enters, with D the difference of the two gains.

    Args:
        real: moments of (x, y).
        fake: moments of (x̂, y), with the same y.
        width: dimension of x. Static.
        order: α > 0; [cohen2024up] uses 1/2. Static.
        noise_floor: variance added to every coordinate of x and x̂ given y; (1/255)²/12 is that of rounding to 8 bits.

    Returns:
        Scalar >= 0, nats.

    Raises:
        InputError: see `conditional_gaussian`; a negative noise_floor; order <= 0.
    """
    check_positive("order", order, scalar=True)
    check_positive("noise_floor", noise_floor, or_zero=True, scalar=True)
    sides = [conditional_gaussian(m.mean, m.covariance, width=width) for m in (real, fake)]
    run = functools.partial(_conditional_renyi, order=float(order), floor=float(noise_floor))
    return in_float64(run)(tuple(sides[1]), tuple(sides[0]), real.mean[width:], real.covariance[width:, width:])


def _conditional_renyi(xp: ModuleType, a: Any, b: Any, mean_y: Any, cov_y: Any, *, order: float, floor: float) -> Any:
    (gain_a, offset_a, cov_a), (gain_b, offset_b, cov_b) = a, b
    gain, dither = gain_a - gain_b, floor * xp.eye(cov_a.shape[0])
    shift = gain @ mean_y + offset_a - offset_b
    moment = gain @ cov_y @ gain.T + xp.outer(shift, shift)
    return renyi_between(xp, cov_a + dither, cov_b + dither, moment, order=order)


def conditional_knn_entropy(x: Array, y: Array, *, k: int) -> Array:
    """h(X|Y) = h(X, Y) - h(Y) by nearest neighbours, after whitening.

    The part of x that is linear in y is taken off, which changes no conditional entropy, and both parts are whitened,
    which changes it by a known determinant: the neighbour estimate is best for round clouds.

    Args:
        x: (N, d).
        y: (N, m), same N > k. Points that coincide in both make it -inf: dither quantised data first.
        k: neighbour. Static.

    Returns:
        Scalar, nats; -inf if x is an exact linear function of y in some direction.

    Raises:
        InputError: not points, other counts, or too few.
    """
    check_points("x", x)
    check_points("y", y)
    if x.shape[0] != y.shape[0]:
        raise InputError(f"y: found {y.shape[0]} points, expected {x.shape[0]} as x")
    residual, context, logdet = _whitened(np.asarray(x, np.float64), np.asarray(y, np.float64))
    if not np.isfinite(logdet):
        return jnp.asarray(-jnp.inf)
    both = jnp.asarray(np.concatenate([residual, context], axis=1), x.dtype)
    return knn_entropy(both, k=k) - knn_entropy(jnp.asarray(context, x.dtype), k=k) + logdet


def _whitened(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Residual of x after regression on y, and y, both white; the log determinant of the residual's scale."""
    width = x.shape[1]
    moments = Moments.zero(width + y.shape[1]).update(np.concatenate([x, y], axis=1))
    gain, offset, covariance = conditional_gaussian(moments.mean, moments.covariance, width=width)
    values, vectors = np.linalg.eigh(covariance)
    if values[0] <= 1e-12 * max(values[-1], np.finfo(np.float64).tiny):
        return x, y, -np.inf
    residual = (x - y @ gain.T - offset) @ (vectors / np.sqrt(values))
    values_y, vectors_y = np.linalg.eigh(moments.covariance[width:, width:])
    kept = values_y > 1e-12 * values_y[-1]
    context = (y - moments.mean[width:]) @ (vectors_y[:, kept] / np.sqrt(values_y[kept]))
    return residual, context, 0.5 * float(np.log(values).sum())
