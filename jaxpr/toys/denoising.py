r"""The scalar denoising toy of [ohayon2024, Appendix D.2], formula by formula: x ~ N(0, 1), y = x + n, n ~ N(0, σ²).

All functions work entry by entry on arrays of any shape; σ is `noise_std`. The same estimators in any dimension, as
Estimators and Samplers on batches, are in `toy_gaussian`, and the law is `toys.denoising_gaussian`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import Array, Key, check_positive, example_keys, floating_dtype

__all__ = [
    "ResidualMoments",
    "denoising_dmax",
    "denoising_mmse",
    "denoising_posterior",
    "dmax_conditional_mse",
    "dmax_residual_noise",
    "independent_conditional_mse",
    "mmse_conditional_mse",
    "mmse_residual_noise",
    "posterior_conditional_mse",
    "posterior_residual_noise",
    "posterior_second_moment",
]


class ResidualMoments(NamedTuple):
    """Second moments of the residual noise n̂ = y - x̂, which has mean zero; jointly Gaussian with x̂.

    The true noise has variance σ² and no covariance with x.

    Attributes:
        variance: E[n̂²].
        covariance: E[n̂ x̂].
    """

    variance: Array
    covariance: Array


def denoising_mmse(y: Array, *, noise_std: float | Array) -> Array:
    """Multiply y by 1 / (1 + σ²): the least mean squared error, Eq. (81).

    Args:
        y: any shape.
        noise_std: σ >= 0, here and in all functions of this file. Traced.

    Raises:
        InputError: noise_std is negative or not finite, here and in all functions of this file.
    """
    return y / (1 + _variance(noise_std))


def denoising_posterior(key: Key, y: Array, *, noise_std: float | Array) -> Array:
    """A draw of p(x|y) for each entry of y, Eq. (82).

    Args:
        key: one key, or an array of N keys, one for each example.
        y: (N, ...), the leading axis examples.
        noise_std: σ >= 0. Traced.
    """
    noise = jax.vmap(lambda k: jax.random.normal(k, y.shape[1:], y.dtype))(example_keys(key, y.shape[0]))
    deviation = jnp.sqrt(mmse_conditional_mse(noise_std=noise_std))
    return denoising_mmse(y, noise_std=noise_std) + deviation * noise


def denoising_dmax(y: Array, *, noise_std: float | Array) -> Array:
    """Multiply y by 1 / √(1 + σ²): the least error of all estimators whose outputs have the law of x, Eq. (83)."""
    return y / jnp.sqrt(1 + _variance(noise_std))


def mmse_conditional_mse(*, noise_std: float | Array) -> Array:
    """E[(x - x̂)² given y] of the estimator of least error, Eqs. (84) and (87): 1 - 1 / (1 + σ²) at every y."""
    variance = _variance(noise_std)
    return variance / (1 + variance)


def posterior_conditional_mse(*, noise_std: float | Array) -> Array:
    """E[(x - x̂)² given y] of the posterior sampler, Eqs. (85) and (93): twice the least, at every y."""
    return 2 * mmse_conditional_mse(noise_std=noise_std)


def dmax_conditional_mse(y: Array, *, noise_std: float | Array) -> Array:
    """E[(x - x̂)² given y] of D_max, Eqs. (86) and (99): the least plus a multiple of y², so worst for rare y."""
    slope = _excess(noise_std) / (1 + _variance(noise_std))
    return mmse_conditional_mse(noise_std=noise_std) + (slope * y) ** 2


def posterior_second_moment(y: Array, *, noise_std: float | Array) -> Array:
    """E[x² given y], Eq. (94)."""
    return mmse_conditional_mse(noise_std=noise_std) + denoising_mmse(y, noise_std=noise_std) ** 2


def independent_conditional_mse(mean: Array, second: Array, estimate_mean: Array, estimate_second: Array) -> Array:
    """E[(x - x̂)² given y] of any x̂ that is independent of x given y, Eqs. (88)-(89).

    Args:
        mean: E[x|y].
        second: E[x²|y].
        estimate_mean: E[x̂|y], same shape.
        estimate_second: E[x̂²|y], same shape.
    """
    return second + estimate_second - 2 * mean * estimate_mean


def mmse_residual_noise(*, noise_std: float | Array) -> ResidualMoments:
    """Residual noise of the estimator of least error: σ⁴ / (1 + σ²) and covariance σ² / (1 + σ²), Appendix D.2.2."""
    variance = _variance(noise_std)
    share = variance / (1 + variance)
    return ResidualMoments(variance * share, share)


def posterior_residual_noise(*, noise_std: float | Array) -> ResidualMoments:
    """Residual noise of the posterior sampler: that of the true noise, Eqs. (100)-(105)."""
    variance = _variance(noise_std)
    return ResidualMoments(variance, jnp.zeros_like(variance))


def dmax_residual_noise(*, noise_std: float | Array) -> ResidualMoments:
    """Residual noise of D_max: (√(1 + σ²) - 1) x̂, a multiple of the output, Appendix D.2.2 and Figure 7."""
    excess = _excess(noise_std)
    return ResidualMoments(excess**2, excess)


def _variance(noise_std: float | Array) -> Array:
    check_positive("noise_std", noise_std, or_zero=True)
    return jnp.square(jnp.asarray(noise_std, floating_dtype(noise_std)))


def _excess(noise_std: float | Array) -> Array:
    """√(1 + σ²) - 1, without the difference that loses a small σ."""
    variance = _variance(noise_std)
    return variance / (jnp.sqrt(1 + variance) + 1)
