"""The normal law in a form that needs no factorisation at run time, and checks of what laws are made of.

Covariances are factored once, in float64, when a law is made. Points are (N, d) float32, the leading axis examples.
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
    check_points,
    floating_dtype,
    in_float64,
    is_float32,
    is_traced,
    may_be_undefined,
    rounding_unit,
)
from jaxpr.toys.laws import Law

__all__ = ["Normal", "normal"]

# In roundings, for each dimension: what eigenvalues are off by. Formed in float64 they have more behind them.
_ROUNDINGS, _ROUNDINGS_FLOAT32 = 32, 4
# A covariance that reaches us in float32 may be asymmetric or indefinite by this share of its largest entry.
_TOLERATED = 1e-5


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class Normal(Law[Array]):
    """A normal law; make it with `normal`. Leading axes of all fields together are a batch of laws, for `jax.vmap`.

    Attributes:
        mean: (d,).
        root: (d, d), the symmetric root of the covariance.
        whitening: (d, d), the inverse of `root`; NaN where the covariance is singular and there is no density.
        log_peak: (), the log density at the mean; NaN likewise.
    """

    mean: Array
    root: Array
    whitening: Array
    log_peak: Array

    @property
    def covariance(self) -> Array:
        """The covariance, (d, d)."""
        return jnp.matmul(self.root, jnp.swapaxes(self.root, -1, -2), precision=HIGHEST)

    @may_be_undefined
    def log_density(self, x: Array) -> Array:
        """Log density at points (N, d), nats, (N,); NaN for a singular covariance.

        Raises:
            InputError: x is not finite points of d coordinates.
        """
        check_points("x", x, width=self.mean.shape[-1])
        white = self._whiten(x)
        return self.log_peak - jnp.sum(white * white, axis=1) / 2

    @may_be_undefined
    def score(self, x: Array) -> Array:
        """Gradient of the log density at points (N, d), (N, d); NaN for a singular covariance.

        Raises:
            InputError: x is not finite points of d coordinates.
        """
        check_points("x", x, width=self.mean.shape[-1])
        return -jnp.matmul(self._whiten(x), self.whitening, precision=HIGHEST)

    def _draw(self, key: Key) -> Array:
        noise = jax.random.normal(key, self.mean.shape, self.mean.dtype)
        return self.mean + jnp.matmul(self.root, noise, precision=HIGHEST)

    def _whiten(self, x: Array) -> Array:
        # `whitening` is symmetric, so it may stand on the right of row vectors.
        return jnp.matmul(x - self.mean[None], self.whitening, precision=HIGHEST)


def normal(mean: AnyArray, cov: AnyArray) -> Normal:
    """The normal law of a mean and a covariance of any rank.

    Args:
        mean: (d,).
        cov: (d, d), symmetric PSD. Where it is singular there are draws but no density (NaN).

    Raises:
        InputError: shapes do not fit, values are not finite, or `cov` is not symmetric PSD.
    """
    check_covariance("cov", cov)
    check_mean("mean", mean, np.shape(cov)[-1])
    return Normal(*to_device(in_float64(factored)(mean, cov), floating_dtype(mean, cov)))


def factored(xp: ModuleType, mean: Any, cov: Any, scale: Any = None) -> tuple[Any, Any, Any, Any]:
    """The fields of `Normal`, batched over leading axes.

    `scale` (...,) is the variance whose rounding `cov` carries; by default its own largest.
    """
    dim = cov.shape[-1]
    values, vectors = xp.linalg.eigh((cov + swapped(xp, cov)) / 2)
    scale = values[..., -1] if scale is None else scale
    floor = dim * rounding(cov) * xp.maximum(scale, 0)
    values = xp.where(values > floor[..., None], values, 0)
    regular = values[..., 0] > 0
    safe = xp.where(regular[..., None], values, 1)
    root = (vectors * xp.sqrt(values)[..., None, :]) @ swapped(xp, vectors)
    inverse = (vectors / xp.sqrt(safe)[..., None, :]) @ swapped(xp, vectors)
    peak = -0.5 * (dim * np.log(2 * np.pi) + xp.sum(xp.log(safe), axis=-1))
    whitening = xp.where(regular[..., None, None], inverse, np.nan)
    return mean, root, whitening, xp.where(regular, peak, np.nan)


def rounding(matrix: Any) -> float:
    """The share of its largest eigenvalue, for each dimension, below which an eigenvalue is rounding."""
    return (_ROUNDINGS_FLOAT32 if is_float32(matrix) else _ROUNDINGS) * rounding_unit(matrix)


def swapped(xp: ModuleType, matrix: Any) -> Any:
    """Transpose of the last two axes."""
    return xp.swapaxes(matrix, -1, -2)


@may_be_undefined
def to_device(values: Any, dtype: np.dtype) -> Any:
    """Results of `in_float64` as arrays of the law's floating dtype."""
    return jax.tree.map(lambda a: jnp.asarray(a, dtype), values)


def check_covariance(name: str, cov: AnyArray, dim: int | None = None) -> None:
    """Raise unless `cov` is one or a batch of finite symmetric PSD matrices, (..., d, d)."""
    shape = np.shape(cov)
    expected = "d" if dim is None else dim
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] == 0 or (dim is not None and shape[-1] != dim):
        raise InputError(f"{name}: found shape {shape}, expected ({expected}, {expected})")
    if is_traced(cov):
        return
    values = np.asarray(cov, np.float64)
    if not np.isfinite(values).all():
        raise InputError(f"{name}: found NaN or infinite values, expected a finite matrix")
    limit = _TOLERATED * np.abs(values).max(axis=(-2, -1))
    if (np.abs(values - np.swapaxes(values, -1, -2)).max(axis=(-2, -1)) > limit).any():
        raise InputError(f"{name}: found an asymmetric matrix, expected a symmetric one")
    smallest = np.linalg.eigvalsh(values)[..., 0]
    if (smallest < -limit).any():
        raise InputError(f"{name}: found eigenvalue {np.min(smallest):.3g}, expected a positive semi-definite matrix")


def check_mean(name: str, vector: AnyArray, dim: int) -> None:
    """Raise unless `vector` is finite with shape (dim,)."""
    if np.shape(vector) != (dim,):
        raise InputError(f"{name}: found shape {np.shape(vector)}, expected ({dim},)")
    if not is_traced(vector) and not np.isfinite(np.asarray(vector)).all():
        raise InputError(f"{name}: found NaN or infinite values, expected finite ones")


def check_matrix(name: str, matrix: AnyArray, *, rows: int | None = None, columns: int) -> None:
    """Raise unless `matrix` is finite with shape (rows, columns); any number of rows if None."""
    shape = np.shape(matrix)
    if len(shape) != 2 or shape[0] == 0 or shape[1] != columns or (rows is not None and shape[0] != rows):
        raise InputError(f"{name}: found shape {shape}, expected ({rows or 'm'}, {columns})")
    if not is_traced(matrix) and not np.isfinite(np.asarray(matrix)).all():
        raise InputError(f"{name}: found NaN or infinite values, expected a finite matrix")


def check_joint_points(x: Array, y: Array, *, dim_x: int, dim_y: int) -> None:
    """Raise unless x (N, dim_x) and y (N, dim_y) are finite points, equally many."""
    check_points("x", x, width=dim_x)
    check_points("y", y, width=dim_y)
    if x.shape[0] != y.shape[0]:
        raise InputError(f"y: found {y.shape[0]} points, expected {x.shape[0]} as x")
