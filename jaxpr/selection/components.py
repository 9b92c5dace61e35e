"""Principal components of deep features, on which images are compared ([cohen2024md], Section 4.1, Appendix A)."""

from typing import NamedTuple

import jax.numpy as jnp

from jaxpr.core import HIGHEST, Array, check_count, check_points
from jaxpr.numerics.guards import widened

__all__ = ["PrincipalComponents", "principal_components"]


class PrincipalComponents(NamedTuple):
    """The directions along which points vary most, and the points along them.

    Attributes:
        features: (N, k) coordinates of the points, the largest variance first.
        mean: (d,) of the points.
        axes: (k, d) orthonormal; the entry of the largest magnitude of each is positive. Zero where the points do not
            vary any more.
    """

    features: Array
    mean: Array
    axes: Array

    def project(self, points: Array) -> Array:
        """Coordinates (M, k) of other points (M, d)."""
        check_points("points", points, width=self.mean.shape[0])
        return jnp.matmul(widened(points) - self.mean[None], self.axes.T, precision=HIGHEST)


def principal_components(features: Array, *, count: int = 25) -> PrincipalComponents:
    """The first principal components; the authors keep 25 of 100 answers' features.

    From the eigenvectors of the smaller of the two matrices of products, so features may have many thousand entries.

    Args:
        features: (N, d), at least two points.
        count: components; never more than N - 1 or d. Static.

    Raises:
        InputError: not points, fewer than two, NaN, or a count that is not positive.
    """
    check_points("features", features, at_least=2)
    check_count("count", count)
    points = widened(features)
    size, width = points.shape
    kept = min(count, size - 1, width)
    mean = jnp.mean(points, axis=0)
    centred = points - mean[None]
    if width <= size:
        values, vectors = jnp.linalg.eigh(jnp.matmul(centred.T, centred, precision=HIGHEST))
        axes = vectors[:, ::-1][:, :kept].T
    else:
        values, vectors = jnp.linalg.eigh(jnp.matmul(centred, centred.T, precision=HIGHEST))
        axes = jnp.matmul(vectors[:, ::-1][:, :kept].T, centred, precision=HIGHEST)
        lengths = jnp.linalg.norm(axes, axis=1, keepdims=True)
        axes = axes / jnp.where(lengths > 0, lengths, 1)
    varies = values[::-1][:kept] > size * jnp.finfo(points.dtype).eps * values[-1]
    largest = jnp.take_along_axis(axes, jnp.argmax(jnp.abs(axes), axis=1)[:, None], axis=1)
    axes = jnp.where(varies[:, None], axes * jnp.where(largest < 0, -1, 1), 0)
    return PrincipalComponents(jnp.matmul(centred, axes.T, precision=HIGHEST), mean, axes)
