r"""Jointly Gaussian x and y in any dimension, also singular, with the posterior in closed form.

Points are float32, x (N, d) and y (N, m); densities are in nats. The toy denoising problem of [ohayon2024, Section 4.1
and Appendix D.2] is `denoising_gaussian`.
"""

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    HIGHEST,
    AnyArray,
    Array,
    InputError,
    Key,
    check_count,
    check_points,
    check_positive,
    floating_dtype,
    in_float64,
    may_be_undefined,
)
from jaxpr.toys.laws import JointLaw, Pairs
from jaxpr.toys.normal import (
    Normal,
    check_covariance,
    check_joint_points,
    check_matrix,
    check_mean,
    factored,
    rounding,
    swapped,
    to_device,
)

__all__ = ["JointGaussian", "denoising_gaussian", "joint_gaussian", "linear_gaussian"]


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class JointGaussian(JointLaw):
    """Jointly Gaussian x and y; make it with `joint_gaussian`, `linear_gaussian` or `denoising_gaussian`.

    Leading axes of all fields together are a batch of laws, for `jax.vmap`.

    Attributes:
        marginal_x: law of x, in d dimensions.
        marginal_y: law of y, in m dimensions.
        gain: (d, m), Σ_xy Σ_yy⁺.
        residual: law of x - E[x|y], with mean zero; the same at every y.
    """

    marginal_x: Normal
    marginal_y: Normal
    gain: Array
    residual: Normal

    @property
    def dim_x(self) -> int:
        """Coordinates of x."""
        return self.gain.shape[-2]

    @property
    def dim_y(self) -> int:
        """Coordinates of y."""
        return self.gain.shape[-1]

    @may_be_undefined
    def log_density(self, x: Array, y: Array) -> Array:
        """Log of p(x, y), (N,); NaN where the joint covariance is singular.

        Raises:
            InputError: x (N, d) and y (N, m) do not fit, here and in the other methods.
        """
        return self.log_posterior(x, y) + self.log_density_y(y)

    @may_be_undefined
    def log_density_x(self, x: Array) -> Array:
        """Log of p(x), (N,); NaN where its covariance is singular."""
        return self.marginal_x.log_density(x)

    @may_be_undefined
    def log_density_y(self, y: Array) -> Array:
        """Log of p(y), (N,); NaN where its covariance is singular."""
        check_points("y", y, width=self.dim_y)
        return self.marginal_y.log_density(y)

    @may_be_undefined
    def log_posterior(self, x: Array, y: Array) -> Array:
        """Log of p(x|y), (N,); NaN where the posterior covariance is singular."""
        check_joint_points(x, y, dim_x=self.dim_x, dim_y=self.dim_y)
        return self.residual.log_density(x - self.posterior_mean(y))

    @may_be_undefined
    def log_likelihood(self, x: Array, y: Array) -> Array:
        """Log of p(y|x), (N,); NaN where the joint covariance is singular."""
        return self.log_density(x, y) - self.log_density_x(x)

    @may_be_undefined
    def score_x(self, x: Array) -> Array:
        """Gradient of log p(x), (N, d)."""
        return self.marginal_x.score(x)

    @may_be_undefined
    def score_y(self, y: Array) -> Array:
        """Gradient of log p(y), (N, m)."""
        check_points("y", y, width=self.dim_y)
        return self.marginal_y.score(y)

    @may_be_undefined
    def score_posterior(self, x: Array, y: Array) -> Array:
        """Gradient of log p(x|y) in x, which is also that of log p(x, y); (N, d)."""
        check_joint_points(x, y, dim_x=self.dim_x, dim_y=self.dim_y)
        return self.residual.score(x - self.posterior_mean(y))

    def posterior_mean(self, y: Array) -> Array:
        """E[x|y], the estimator of least mean squared error, (N, d). [ohayon2024, Eq. (81)] for the toy."""
        check_points("y", y, width=self.dim_y)
        shift = jnp.matmul(y - self.marginal_y.mean[None], self.gain.T, precision=HIGHEST)
        return self.marginal_x.mean[None] + shift

    def posterior_covariance(self, y: Array) -> Array:
        """Covariance of x given y, (N, d, d); every one is the same."""
        check_points("y", y, width=self.dim_y)
        return jnp.broadcast_to(self.residual.covariance[None], (y.shape[0], self.dim_x, self.dim_x))

    def _given(self, y: Array) -> Array:
        return self.posterior_mean(y)

    def _draw_given(self, key: Key, given: Array) -> Array:
        return given + self.residual._draw(key)

    def _draw(self, key: Key) -> Pairs:
        k_y, k_x = jax.random.split(key)
        y = self.marginal_y._draw(k_y)
        return Pairs(self.posterior_mean(y[None])[0] + self.residual._draw(k_x), y)


def joint_gaussian(mean: AnyArray, cov: AnyArray, *, width: int) -> JointGaussian:
    """Jointly Gaussian x, the first `width` coordinates, and y, the others.

    Args:
        mean: (d + m,).
        cov: (d + m, d + m), symmetric PSD of any rank.
        width: d, from 1 to d + m - 1. Static.

    Raises:
        InputError: shapes do not fit, values are not finite, or `cov` is not symmetric PSD.
    """
    check_covariance("cov", cov)
    size = np.shape(cov)[-1]
    check_mean("mean", mean, size)
    check_count("width", width)
    if width >= size:
        raise InputError(f"width: found {width}, expected less than the {size} coordinates of mean")

    def blocks(xp: ModuleType, mean: Any, cov: Any) -> Any:
        cov = (cov + cov.T) / 2
        xx, xy, yy = cov[:width, :width], cov[:width, width:], cov[width:, width:]
        gain = _gain(xp, xy, yy)
        both = xp.concatenate([xp.eye(width), -gain], axis=1)
        return _fields(xp, mean[:width], mean[width:], xx, yy, gain, both @ cov @ both.T)

    return from_fields(in_float64(blocks)(mean, cov), floating_dtype(mean, cov))


def linear_gaussian(mean: AnyArray, cov: AnyArray, matrix: AnyArray, noise_cov: AnyArray) -> JointGaussian:
    """Gaussian x and its measurement y = A x + n with independent Gaussian noise of mean zero.

    Args:
        mean: (d,), of x.
        cov: (d, d), of x; symmetric PSD of any rank.
        matrix: (m, d), A, of any rank.
        noise_cov: (m, m), symmetric PSD; zero for a measurement without noise.

    Raises:
        InputError: shapes do not fit, values are not finite, or a covariance is not symmetric PSD.
    """
    check_covariance("cov", cov)
    check_mean("mean", mean, np.shape(cov)[-1])
    check_matrix("matrix", matrix, columns=np.shape(cov)[-1])
    check_covariance("noise_cov", noise_cov, np.shape(matrix)[0])
    given = mean, cov, matrix, noise_cov
    return from_fields(in_float64(linear_fields)(*given), floating_dtype(*given))


def denoising_gaussian(*, noise_std: float | Array, dim: int = 1) -> JointGaussian:
    """Denoise x ~ N(0, I) from y = x + n, n ~ N(0, noise_std² I): [ohayon2024, Section 4.1 and Appendix D.2].

    Args:
        noise_std: σ_N >= 0; Section 4.1 has 1.
        dim: coordinates of x; the paper's is 1. Static.

    Raises:
        InputError: noise_std is negative or not finite, or dim is not a positive integer.
    """
    check_positive("noise_std", noise_std, or_zero=True)
    check_count("dim", dim)
    dtype = floating_dtype(noise_std)
    eye = np.eye(dim, dtype=dtype)
    return linear_gaussian(np.zeros(dim, dtype), eye, eye, jnp.square(jnp.asarray(noise_std, dtype)) * eye)


def linear_fields(xp: ModuleType, mean: Any, cov: Any, matrix: Any, noise_cov: Any) -> Any:
    """The parts of `JointGaussian` for y = A x + n; mean and cov may have a leading batch axis."""
    xy = cov @ matrix.T
    noise_cov = xp.broadcast_to(noise_cov, (*cov.shape[:-2], *noise_cov.shape))
    yy = matrix @ xy + noise_cov
    gain = _gain(xp, xy, yy)
    rest = xp.broadcast_to(xp.eye(cov.shape[-1]), cov.shape) - gain @ matrix
    # Joseph's form: a sum of squares, where the Schur complement's difference would lose a small noise.
    conditional = rest @ cov @ swapped(xp, rest) + gain @ noise_cov @ swapped(xp, gain)
    return _fields(xp, mean, (matrix @ mean[..., None])[..., 0], cov, yy, gain, conditional)


def factor_fields(xp: ModuleType, mean: Any, factor: Any, width: int) -> Any:
    """The parts of `JointGaussian` for (x, y) = mean + factor w with white w; keeps digits that a covariance loses."""
    upper, lower = factor[:width], factor[width:]
    yy = lower @ lower.T
    gain = _gain(xp, upper @ lower.T, yy)
    rest = upper - gain @ lower
    return _fields(xp, mean[:width], mean[width:], upper @ upper.T, yy, gain, rest @ rest.T)


def from_fields(fields: Any, dtype: np.dtype) -> JointGaussian:
    """`JointGaussian` of what `linear_fields` returns."""
    x, y, gain, residual = to_device(fields, dtype)
    return JointGaussian(Normal(*x), Normal(*y), gain, Normal(*residual))


def _gain(xp: ModuleType, xy: Any, yy: Any) -> Any:
    """Σ_xy Σ_yy⁺, batched."""
    values, vectors = xp.linalg.eigh((yy + swapped(xp, yy)) / 2)
    kept = values > yy.shape[-1] * rounding(yy) * values[..., -1:]
    inverse = xp.where(kept, 1 / xp.where(kept, values, 1), 0)
    return ((xy @ vectors) * inverse[..., None, :]) @ swapped(xp, vectors)


def _fields(xp: ModuleType, mean_x: Any, mean_y: Any, xx: Any, yy: Any, gain: Any, conditional: Any) -> Any:
    scale = xp.max(xp.diagonal(xx, axis1=-2, axis2=-1), axis=-1)
    residual = factored(xp, xp.zeros_like(mean_x), conditional, scale)
    return factored(xp, mean_x, xx), factored(xp, mean_y, yy), gain, residual
