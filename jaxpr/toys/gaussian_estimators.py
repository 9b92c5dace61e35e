r"""Closed-form estimators of jointly Gaussian x from y: least error, posterior sampler, D_max and what lies between.

All of them are affine in y plus independent Gaussian noise, $\hat x = M y + b + R z$, so their errors, output laws and
residual noises are in closed form too. [ohayon2024, Appendix D.2] has the scalar case, [adrai2023, Section 3] transport
and interpolation.
"""

import functools
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, AnyArray, Array, InputError, Key, check_points, example_keys, in_float64, is_traced
from jaxpr.toys.gaussian import JointGaussian, factor_fields, from_fields
from jaxpr.toys.normal import check_matrix, to_device

__all__ = [
    "AffineEstimator",
    "Tradeoff",
    "gaussian_conditional_mse",
    "gaussian_dmax",
    "gaussian_interpolation",
    "gaussian_mmse",
    "gaussian_mse",
    "gaussian_output_law",
    "gaussian_posterior",
    "gaussian_residual_law",
    "gaussian_tradeoff",
]

# Laws come in float32: directions whose deviation is smaller than this share of the largest are rounding.
_ROUNDING = float(np.finfo(np.float32).eps)


class AffineEstimator(NamedTuple):
    """x̂ = matrix y + offset + root z with z ~ N(0, I) independent of everything else.

    Attributes:
        matrix: (d, m).
        offset: (d,).
        root: (d, d); zero for a deterministic estimator.
    """

    matrix: Array
    offset: Array
    root: Array

    def mean(self, y: Array) -> Array:
        """The part without noise, (N, d) for y (N, m): an Estimator.

        Raises:
            InputError: y is not finite points of m coordinates.
        """
        check_points("y", y, width=self.matrix.shape[1])
        return jnp.matmul(y, self.matrix.T, precision=HIGHEST) + self.offset[None]

    def sample(self, key: Key, y: Array) -> Array:
        """One x̂ for each y, (N, d): a Sampler.

        Args:
            key: one key, or an array of N keys, one for each y.
            y: (N, m).

        Raises:
            InputError: y does not fit, or the key is not one of `jax.random.key`.
        """
        noise = jax.vmap(lambda k: jax.random.normal(k, self.offset.shape, self.offset.dtype))
        drawn = noise(example_keys(key, y.shape[0]))
        return self.mean(y) + jnp.matmul(drawn, self.root.T, precision=HIGHEST)


class Tradeoff(NamedTuple):
    """A point of the plane of distortion and perception.

    Attributes:
        mse: E|x - x̂|².
        w2: Wasserstein-2 distance of the laws of x and x̂, in units of x.
    """

    mse: Array
    w2: Array


def gaussian_mmse(law: JointGaussian) -> AffineEstimator:
    """E[x|y], of least mean squared error: [ohayon2024, Eq. (81)] in any dimension; deterministic."""
    return _around_means(law, law.gain, jnp.zeros_like(law.residual.root))


def gaussian_posterior(law: JointGaussian) -> AffineEstimator:
    """The sampler of p(x|y): [ohayon2024, Eq. (82)] in any dimension. The law of (x̂, y) is that of (x, y)."""
    return _around_means(law, law.gain, law.residual.root)


def gaussian_dmax(law: JointGaussian) -> AffineEstimator:
    r"""D_max: of least mean squared error among the estimators whose outputs have the law of x.

    It is the optimal transport of E[x|y] to the law of x: [adrai2023, Eqs. (2), (3) and (5)], [ohayon2024, Eq. (83)]
    in the scalar case. With $\Sigma_x^{1/2}$ and $F F^\top$ the covariance of E[x|y], it maps through the orthogonal
    factor of $\Sigma_x^{1/2} F$, which needs no inverse of an ill-conditioned covariance. Directions of x of which
    E[x|y] says nothing are drawn at random, independently of y.

    Args:
        law: of any dimensions and rank.

    Returns:
        The estimator; its root is zero, up to rounding, where E[x|y] has a covariance of full rank.
    """
    found = in_float64(_dmax)(law.marginal_x.root, law.marginal_y.root, law.gain)
    matrix, root = to_device(found, law.gain.dtype)
    return _around_means(law, matrix, root)


def gaussian_interpolation(law: JointGaussian, *, alpha: float | Array) -> AffineEstimator:
    """(1 - α) D_max + α E[x|y], [adrai2023, Eq. (4)]: of least error at its distance from the law of x.

    Args:
        law: of any dimensions and rank.
        alpha: 0 best perception, 1 least distortion; values outside [0, 1] extrapolate. Traced.

    Raises:
        InputError: alpha is not one finite number.
    """
    _check_alpha(alpha)
    ends = gaussian_dmax(law), gaussian_mmse(law)
    return jax.tree.map(lambda at_zero, at_one: (1 - alpha) * at_zero + alpha * at_one, *ends)


def gaussian_tradeoff(law: JointGaussian, *, alpha: float | Array) -> Tradeoff:
    """Distortion and perception of `gaussian_interpolation`, [adrai2023, Section 3.2].

    With W the Wasserstein-2 distance between the laws of x and E[x|y], and D the least mean squared error, they are
    D + (1 - α)² W² and α W.

    Args:
        law: of any dimensions and rank.
        alpha: from 0 to 1. Traced.

    Raises:
        InputError: alpha is not one number in [0, 1].
    """
    _check_alpha(alpha)
    if not is_traced(alpha) and not 0 <= float(alpha) <= 1:
        raise InputError(f"alpha: found {alpha}, expected a number in [0, 1]")
    dmax = gaussian_dmax(law)
    least = _squares(law.residual.root)
    moved = _squares(_times(dmax.matrix - law.gain, law.marginal_y.root)) + _squares(dmax.root)
    return Tradeoff(least + (1 - alpha) ** 2 * moved, alpha * jnp.sqrt(moved))


def gaussian_conditional_mse(law: JointGaussian, estimator: AffineEstimator, y: Array) -> Array:
    """E[|x - x̂|² given y], (N,): [ohayon2024, Eqs. (84)-(89)] in any dimension.

    Args:
        law: of x and y.
        estimator: affine; its noise is independent of x given y.
        y: (N, m).

    Raises:
        InputError: the shapes of law, estimator and y do not fit.
    """
    _check_fit(law, estimator)
    bias = estimator.mean(y) - law.posterior_mean(y)
    return _squares(law.residual.root) + _squares(estimator.root) + jnp.sum(bias * bias, axis=1)


def gaussian_mse(law: JointGaussian, estimator: AffineEstimator) -> Array:
    """E|x - x̂|², the mean of `gaussian_conditional_mse` over y; scalar.

    Raises:
        InputError: the shapes of law and estimator do not fit.
    """
    _check_fit(law, estimator)
    at_mean = gaussian_conditional_mse(law, estimator, law.marginal_y.mean[None])[0]
    return at_mean + _squares(_times(estimator.matrix - law.gain, law.marginal_y.root))


def gaussian_output_law(law: JointGaussian, estimator: AffineEstimator) -> JointGaussian:
    """The law of (x̂, y), to compare with that of (x, y); degenerate for a deterministic estimator.

    Raises:
        InputError: the shapes of law and estimator do not fit.
    """
    _check_fit(law, estimator)
    fields = in_float64(_output)(tuple(estimator), law.marginal_y.mean, law.marginal_y.root)
    return from_fields(fields, law.gain.dtype)


def gaussian_residual_law(law: JointGaussian, estimator: AffineEstimator, matrix: AnyArray) -> JointGaussian:
    """The law of (n̂, x̂) for the residual noise n̂ = y - A x̂, [ohayon2024, Appendix D.2.2].

    `x` of the returned law is n̂, in m dimensions, and `y` is x̂, so that its `log_posterior` is the density of n̂ given
    x̂, Eq. (100). For the posterior sampler it is that of the noise at every x̂, Eq. (105); for no other estimator
    with the law of x.

    Args:
        law: of x and y = A x + n.
        estimator: affine.
        matrix: A, (m, d); the identity for denoising.

    Raises:
        InputError: the shapes do not fit.
    """
    _check_fit(law, estimator)
    check_matrix("matrix", matrix, rows=law.dim_y, columns=law.dim_x)
    run = in_float64(_residual)
    return from_fields(run(tuple(estimator), law.marginal_y.mean, law.marginal_y.root, matrix), law.gain.dtype)


def _around_means(law: JointGaussian, matrix: Array, root: Array) -> AffineEstimator:
    return AffineEstimator(matrix, law.marginal_x.mean - _times(matrix, law.marginal_y.mean), root)


def _dmax(xp: ModuleType, root_x: Any, root_y: Any, gain: Any) -> tuple[Any, Any]:
    values, vectors = xp.linalg.eigh(root_y)
    kept = values > root_y.shape[0] * _ROUNDING * values[-1]
    inverse_y = (vectors * xp.where(kept, 1 / xp.where(kept, values, 1), 0)[None]) @ vectors.T
    left, overlap, right = xp.linalg.svd(root_x @ gain @ root_y, full_matrices=False)
    kept = overlap > max(gain.shape) * _ROUNDING * xp.maximum(overlap[0], float(np.finfo(np.float32).tiny))
    left = left * xp.where(kept, 1, 0)[None]
    matrix = root_x @ left @ right @ inverse_y
    return matrix, root_x @ (xp.eye(root_x.shape[0]) - left @ left.T)


def _output(xp: ModuleType, estimator: Any, mean_y: Any, root_y: Any) -> Any:
    mean, factor = _stacked(xp, estimator, mean_y, root_y)
    return factor_fields(xp, mean, factor, estimator[0].shape[0])


def _residual(xp: ModuleType, estimator: Any, mean_y: Any, root_y: Any, matrix: Any) -> Any:
    mean, factor = _stacked(xp, estimator, mean_y, root_y)
    dim, count = estimator[0].shape
    upper = xp.concatenate([-matrix, xp.eye(count)], axis=1)
    turn = xp.concatenate([upper, xp.eye(dim, dim + count)], axis=0)
    return factor_fields(xp, turn @ mean, turn @ factor, count)


def _stacked(xp: ModuleType, estimator: Any, mean_y: Any, root_y: Any) -> tuple[Any, Any]:
    """Mean of (x̂, y) and its factor: (x̂, y) = mean + factor w, w white."""
    matrix, offset, root = estimator
    upper = xp.concatenate([matrix @ root_y, root], axis=1)
    lower = xp.concatenate([root_y, xp.zeros_like(root[:1] * mean_y[:, None])], axis=1)
    return xp.concatenate([matrix @ mean_y + offset, mean_y]), xp.concatenate([upper, lower], axis=0)


_times = functools.partial(jnp.matmul, precision=HIGHEST)


def _squares(matrix: Array) -> Array:
    return jnp.sum(matrix * matrix)


def _check_alpha(alpha: float | Array) -> None:
    if np.shape(alpha) != () or not (is_traced(alpha) or np.isfinite(alpha)):
        raise InputError(f"alpha: found {alpha!r}, expected one finite number")


def _check_fit(law: JointGaussian, estimator: AffineEstimator) -> None:
    if jnp.shape(estimator.matrix) != jnp.shape(law.gain):
        raise InputError(
            f"estimator: found a matrix of shape {jnp.shape(estimator.matrix)}, expected {jnp.shape(law.gain)} as the "
            "law's dimensions of x and y"
        )
