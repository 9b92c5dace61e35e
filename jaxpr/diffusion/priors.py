"""Exact denoisers of Gaussian and mixture priors in any dimension: what samplers can be checked against.

Covariances are diagonal in the pixels or in any orthonormal basis, such as the cosine basis, in which photographs are
nearly so.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, Array, ArrayLike, InputError, check_count, check_finite, check_floats, is_traced
from jaxpr.diffusion.denoiser import Denoiser, Prediction, check_schedule, levels
from jaxpr.diffusion.schedule import Schedule
from jaxpr.numerics.cosines import cosine_basis

__all__ = ["PIXELS", "Basis", "cosine_transform", "gaussian_denoiser", "mixture_denoiser"]


class Basis(NamedTuple):
    """An orthonormal change of coordinates of single examples, mapped over batches by its user.

    Attributes:
        forward: maps a batch (N, ...) to coefficients of the same shape; linear and orthonormal.
        inverse: maps them back.
    """

    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]


PIXELS = Basis(lambda x: x, lambda c: c)
"""The values themselves."""


def cosine_transform(height: int, width: int) -> Basis:
    """The orthonormal two-dimensional cosine transform (DCT-II) of every channel, for images (N, height, width, C).

    Raises:
        InputError: a size is no positive integer.
    """
    check_count("height", height)
    check_count("width", width)
    rows, columns = cosine_basis(height), cosine_basis(width)

    def apply(images: Array, equation: str) -> Array:
        r, c = (jnp.asarray(m, images.dtype) for m in (rows, columns))
        return jnp.einsum(equation, r, c, images, precision=HIGHEST)

    return Basis(lambda x: apply(x, "ki,lj,nijc->nklc"), lambda c: apply(c, "ki,lj,nklc->nijc"))


def gaussian_denoiser(*, mean: ArrayLike, variance: ArrayLike, schedule: Schedule, basis: Basis = PIXELS) -> Denoiser:
    r"""The exact denoiser of x_0 ~ N(mean, covariance), the covariance diagonal in `basis`.

    E[x_0 | x_t] = m + √ᾱ C (ᾱ C + (1 - ᾱ) I)⁻¹ (x_t - √ᾱ m).

    Args:
        mean: of an example's shape, on [-1, 1], in pixels.
        variance: of the same shape, non-negative: of each coefficient in `basis`.
        schedule: which noise there is at each timestep.
        basis: in which the covariance is diagonal; pixels if not given.

    Returns:
        The denoiser; both x0 and eps are computed without a division by a small number.

    Raises:
        InputError: mean and variance have different shapes, are not finite, or the variance is negative.
    """
    check_schedule(schedule)
    _check_moments("mean", mean, "variance", variance)
    centre, spread = jnp.asarray(mean)[None], jnp.asarray(variance)[None]

    def denoise(x: Array, t: Array) -> Prediction:
        signal, noise = levels(schedule, x, t)
        x0, eps, _ = _component(x, signal, noise, centre.astype(x.dtype), spread.astype(x.dtype), basis)
        return Prediction(x0, eps)

    return denoise


def mixture_denoiser(
    *, means: ArrayLike, variances: ArrayLike, weights: ArrayLike, schedule: Schedule, basis: Basis = PIXELS
) -> Denoiser:
    r"""The exact denoiser of a mixture of Gaussians, their covariances diagonal in `basis`.

    The parts' denoisers averaged with the probabilities of the parts given x_t.

    Args:
        means: (K, ...), K examples on [-1, 1], in pixels.
        variances: of the same shape, non-negative: of each coefficient in `basis`.
        weights: (K,), non-negative, not all zero; they are divided by their sum.
        schedule: which noise there is at each timestep.
        basis: in which the covariances are diagonal; pixels if not given.

    Raises:
        InputError: shapes do not fit, values are not finite, or a variance or weight is negative.
    """
    check_schedule(schedule)
    shape = _check_moments("means", means, "variances", variances)
    if len(shape) < 2:
        raise InputError(f"means: found shape {shape}, expected (K, ...) for K parts")
    if check_floats("weights", weights, expected=f"({shape[0]},)") != shape[:1]:
        raise InputError(f"weights: found shape {jnp.shape(weights)}, expected ({shape[0]},)")
    _check_not_negative("weights", weights)
    if not is_traced(weights) and not np.sum(weights) > 0:
        raise InputError("weights: found no positive one, expected at least one")
    centres, spreads = jnp.asarray(means)[:, None], jnp.asarray(variances)[:, None]
    shares = jnp.log(jnp.asarray(weights))

    def denoise(x: Array, t: Array) -> Prediction:
        signal, noise = levels(schedule, x, t)

        def part(centre: Array, spread: Array) -> tuple[Array, Array, Array]:
            return _component(x, signal, noise, centre.astype(x.dtype), spread.astype(x.dtype), basis)

        x0, eps, log_density = jax.vmap(part)(centres, spreads)
        share = jax.nn.softmax(log_density + shares.astype(x.dtype)[:, None], axis=0)
        share = share.reshape(*share.shape, *[1] * (x.ndim - 1))
        return Prediction(jnp.sum(share * x0, axis=0), jnp.sum(share * eps, axis=0))

    return denoise


def _component(
    x: Array, signal: Array, noise: Array, mean: Array, variance: Array, basis: Basis
) -> tuple[Array, Array, Array]:
    """E[x_0 | x_t], E[ε | x_t] and log p(x_t) without its constant for one Gaussian; (N, ...), (N, ...), (N,)."""
    total = signal**2 * variance + noise**2
    deviation = basis.forward(x - signal * mean)
    scaled = deviation / total
    x0 = mean + basis.inverse(signal * variance * scaled)
    eps = basis.inverse(noise * scaled)
    terms = deviation * scaled + jnp.log(total)
    return x0, eps, -jnp.sum(terms.reshape(x.shape[0], -1), axis=1) / 2


def _check_moments(mean_name: str, mean: ArrayLike, variance_name: str, variance: ArrayLike) -> tuple[int, ...]:
    shape = check_floats(mean_name, mean, expected="of an image's shape")
    found = check_floats(variance_name, variance, expected=f"of the shape of {mean_name}")
    if found != shape:
        raise InputError(f"{variance_name}: found shape {found}, expected {shape}, as {mean_name}")
    check_finite(mean_name, mean)
    _check_not_negative(variance_name, variance)
    return shape


def _check_not_negative(name: str, values: ArrayLike) -> None:
    check_finite(name, values)
    if not is_traced(values) and np.any(np.asarray(values) < 0):
        raise InputError(f"{name}: found negative values, expected none")
