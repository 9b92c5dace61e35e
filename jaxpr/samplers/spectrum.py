"""The singular values of an operator and its measurements in that basis, for the samplers that work there."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

from jaxpr.core import Array, InputError, check_positive
from jaxpr.degradations import LinearOperator
from jaxpr.degradations.linear import SVD
from jaxpr.samplers.trajectory import SamplingTask, merged, refuse_degradation, split
from jaxpr.samplers.units import measurement_inside

__all__ = ["Spectrum", "check_linear", "spectrum_of"]


class Spectrum(NamedTuple):
    """A = U diag(s) Vᵀ, d the entries of an image.

    Attributes:
        values: s, (1, 1, d): singular values, zeros for the null space and for values below the cutoff.
        observed: (1, 1, d), where they are not zero.
        inverse: 1 / s where observed, else zero.
        data: Uᵀ y / s on [-1, 1], (1, N, d); zero where nothing is observed.
        svd: the maps.
    """

    values: Array
    observed: Array
    inverse: Array
    data: Array
    svd: SVD

    def to(self, x: Array) -> Array:
        """Vᵀ x of a set, (samples, N, H, W, C) -> (samples, N, d)."""
        return split(self.svd.vt(merged(x)), x.shape[0])

    def back(self, coefficients: Array) -> Array:
        """V c, (samples, N, d) -> (samples, N, H, W, C)."""
        return split(self.svd.v(merged(coefficients)), coefficients.shape[0])


def check_linear(operator: Any, *, sampler: str) -> LinearOperator:
    """The operator, if it is one with a known spectrum.

    Raises:
        InputError: it is none; the message names a sampler that takes it.
    """
    refuse_degradation(operator)
    if not isinstance(operator, LinearOperator):
        kind = type(operator).__name__
        raise InputError(
            f"operator: found {kind}, expected a linear operator of jaxpr.degradations for {sampler}; "
            "dps takes any differentiable function"
        )
    return operator


def spectrum_of(task: SamplingTask, operator: LinearOperator, *, cutoff: float) -> Spectrum:
    """The spectrum and the measurements of a task in it.

    Args:
        task: tells y.
        operator: with a decomposition.
        cutoff: singular values below this fraction of the largest count as zero.

    Raises:
        InputError: cutoff is negative or no number.
    """
    check_positive("cutoff", cutoff, or_zero=True, scalar=True)
    svd, y = operator.svd(), measurement_inside(operator, task.y)
    s = svd.singular_values.astype(y.dtype)
    s = jnp.where(s > cutoff * jnp.max(s), s, 0)
    return _padded(s, svd.ut(y)[:, : s.shape[0]], math.prod(task.shape), svd)


def _padded(s: Array, coefficients: Array, size: int, svd: SVD) -> Spectrum:
    """Zeros for the part of the null space beyond the r singular values."""
    missing = ((0, 0), (0, size - s.shape[0]))
    values, y = jnp.pad(s[None], missing), jnp.pad(coefficients, missing)
    observed = values > 0
    inverse = jnp.where(observed, 1 / jnp.where(observed, values, 1), 0)
    return Spectrum(values[None], observed[None], inverse[None], (inverse * y)[None], svd)
