r"""Uniform laws on regions of the plane, measured without noise by their first coordinate, y = x₁.

Given y, x lies on a vertical line: its first coordinate is y and its second is uniform on one interval or two. Where
the line misses the region nothing is defined, and posterior mean and samples continue at the centre, so that a step
of an attack beyond the border is no jump. A joint density of (x, y) does not exist; `log_posterior` is the density of
x₂ given y. Uniform densities have no useful score: it is zero inside and undefined on the border. Points are float32,
x (N, 2) and y (N, 1).
"""

import abc
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    Array,
    ArrayLike,
    InputError,
    Key,
    check_points,
    check_positive,
    floating_dtype,
    is_traced,
)
from jaxpr.numerics import safe_sqrt
from jaxpr.toys.laws import JointLaw, Pairs
from jaxpr.toys.normal import check_joint_points

__all__ = ["EllipticRing", "PlanarLaw", "Slice", "UniformSquare", "elliptic_ring", "uniform_disk", "uniform_square"]

# A draw of the outer ellipse misses a ring that fills the share s of it with probability 1 - s; after so many misses
# in a row, of which a ring of one hundredth of the area has odds of 1e-18, the point is NaN.
_MOST_TRIALS = 4096


class Slice(NamedTuple):
    """Where the second coordinate can be, given the first: at a distance in [inner, outer] from the centre.

    Attributes:
        centre: (N,).
        inner: (N,), >= 0.
        outer: (N,), >= inner; where both are zero the line misses the region.
    """

    centre: Array
    inner: Array
    outer: Array


class PlanarLaw(JointLaw):
    """Uniform law on a region of the plane; y is the first coordinate of x."""

    def contains(self, x: Array) -> Array:
        """True for points of the region, (N,).

        Raises:
            InputError: x (N, 2) or y (N, 1) do not fit, here and in the other methods.
        """
        check_points("x", x, width=2)
        return self._inside(x)

    def slices(self, y: Array) -> Slice:
        """The second coordinates that are possible given y (N, 1)."""
        check_points("y", y, width=1)
        return self._along(y[:, 0])

    def log_density_x(self, x: Array) -> Array:
        """Log of p(x), (N,); -inf outside."""
        return jnp.where(self.contains(x), -self._log_area(), -jnp.inf)

    def log_density_y(self, y: Array) -> Array:
        """Log of p(y), (N,): the length of the line inside the region over the area; -inf outside."""
        return jnp.log(_length(self.slices(y))) - self._log_area()

    def log_posterior(self, x: Array, y: Array) -> Array:
        """Log density of x₂ given y, (N,), on the line x₁ = y; -inf where x is not on it or outside the region."""
        check_joint_points(x, y, dim_x=2, dim_y=1)
        on_it = self._inside(x) & (x[:, 0] == y[:, 0])
        return jnp.where(on_it, -jnp.log(_length(self.slices(y))), -jnp.inf)

    def posterior_mean(self, y: Array) -> Array:
        """E[x|y] = (y, c), the estimator of least mean squared error, (N, 2); in a ring it lies in the hole."""
        return jnp.stack([y[:, 0], self.slices(y).centre], axis=1)

    def posterior_covariance(self, y: Array) -> Array:
        """Covariance of x given y, (N, 2, 2); only x₂ varies."""
        found = self.slices(y)
        # The square of a distance uniform on [i, o] has mean (o² + o i + i²) / 3.
        variance = (found.outer**2 + found.outer * found.inner + found.inner**2) / 3
        return variance[:, None, None] * jnp.diag(jnp.array([0, 1], variance.dtype))[None]

    def _draw(self, key: Key) -> Pairs:
        x = self._draw_x(key)
        return Pairs(x, x[:1])

    def _given(self, y: Array) -> tuple[Array, Slice]:
        return y, self.slices(y)

    def _draw_given(self, key: Key, given: tuple[Array, Slice]) -> Array:
        (first,), (centre, inner, outer) = given
        k_side, k_distance = jax.random.split(key)
        side = jnp.where(jax.random.bernoulli(k_side, jnp.asarray(0.5, jnp.float32)), 1, -1).astype(centre.dtype)
        share = jax.random.uniform(k_distance, (), centre.dtype)
        return jnp.stack([first, centre + side * (inner + share * (outer - inner))])

    @abc.abstractmethod
    def _inside(self, x: Array) -> Array:
        """Whether points (N, 2) are in the region, (N,)."""

    @abc.abstractmethod
    def _along(self, first: Array) -> Slice:
        """The region along the vertical lines at some first coordinates (N,)."""

    @abc.abstractmethod
    def _log_area(self) -> Array:
        """Of the region."""

    @abc.abstractmethod
    def _draw_x(self, key: Key) -> Array:
        """One point, (2,)."""


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class EllipticRing(PlanarLaw):
    """Uniform law between two concentric ellipses around zero; make it with `elliptic_ring` or `uniform_disk`.

    Attributes:
        inner: (2,), half axes of the hole along x₁ and x₂; zeros for none.
        outer: (2,), half axes of the outline, larger than those of the hole.
    """

    inner: Array
    outer: Array

    @property
    def area(self) -> Array:
        """Area of the region."""
        return jnp.pi * (jnp.prod(self.outer) - jnp.prod(self.inner))

    def _log_area(self) -> Array:
        return jnp.log(self.area)

    def _along(self, first: Array) -> Slice:
        half = [height * _arch(first, axis) for axis, height in (self.inner, self.outer)]
        return Slice(jnp.zeros_like(half[0]), *half)

    def _inside(self, x: Array) -> Array:
        (inner_a, inner_b), (outer_a, outer_b) = self.inner, self.outer
        in_hole = (inner_b * x[:, 0]) ** 2 + (inner_a * x[:, 1]) ** 2 < (inner_a * inner_b) ** 2
        in_outline = (x[:, 0] / outer_a) ** 2 + (x[:, 1] / outer_b) ** 2 <= 1
        return in_outline & ~in_hole

    def _draw_x(self, key: Key) -> Array:
        """By rejection from the outer ellipse."""

        def draw(trial: Array) -> Array:
            k_radius, k_angle = jax.random.split(jax.random.fold_in(key, trial))
            radius = jnp.sqrt(jax.random.uniform(k_radius, (), self.outer.dtype))
            angle = jax.random.uniform(k_angle, (), self.outer.dtype, 0, 2 * jnp.pi)
            return radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)]) * self.outer

        def missed(state: tuple[Array, Array]) -> Array:
            trial, point = state
            return ~self._inside(point[None])[0] & (trial < _MOST_TRIALS)

        first = jnp.asarray(0, jnp.int32)
        start = (first, draw(first))
        trial, point = jax.lax.while_loop(missed, lambda state: (state[0] + 1, draw(state[0] + 1)), start)
        return jnp.where(trial < _MOST_TRIALS, point, jnp.nan)


@jax.tree_util.register_dataclass
@dataclass(frozen=True, eq=False)
class UniformSquare(PlanarLaw):
    """Uniform law on [0, side]², [ohayon2023, Appendix C] with side 1; make it with `uniform_square`.

    Attributes:
        side: ().
    """

    side: Array

    def _log_area(self) -> Array:
        return 2 * jnp.log(self.side)

    def _along(self, first: Array) -> Slice:
        half = jnp.where((first >= 0) & (first <= self.side), self.side / 2, 0)
        return Slice(jnp.full_like(half, self.side / 2), jnp.zeros_like(half), half)

    def _inside(self, x: Array) -> Array:
        return jnp.all((x >= 0) & (x <= self.side), axis=1)

    def _draw_x(self, key: Key) -> Array:
        return self.side * jax.random.uniform(key, (2,), self.side.dtype)


def elliptic_ring(inner: ArrayLike, outer: ArrayLike) -> EllipticRing:
    """Uniform law between concentric ellipses, [ohayon2023, Appendix B.1], with y = x₁.

    Note:
        The paper's Figure 5 draws the ellipses and prints no sizes.

    Args:
        inner: (2,), half axes of the hole along x₁ and x₂, non-negative.
        outer: (2,), half axes of the outline, each larger than that of the hole.

    Raises:
        InputError: not two finite numbers each, negative ones, or a hole that touches the outline.
    """
    for name, axes in (("inner", inner), ("outer", outer)):
        if np.shape(axes) != (2,):
            raise InputError(f"{name}: found shape {np.shape(axes)}, expected two half axes (2,)")
        check_positive(name, axes if is_traced(axes) else np.asarray(axes), or_zero=name == "inner")
    if not is_traced(inner, outer) and not (np.asarray(inner) < np.asarray(outer)).all():
        raise InputError(f"inner: found half axes {inner} in an outline of {outer}, expected smaller ones")
    dtype = floating_dtype(inner, outer)
    return EllipticRing(jnp.asarray(inner, dtype), jnp.asarray(outer, dtype))


def uniform_disk(*, radius: float | Array = 1.0) -> EllipticRing:
    """Uniform law on a disk around zero with y = x₁, [ohayon2023, Section 4]: a ring without a hole.

    Args:
        radius: positive; the paper's is 1.

    Raises:
        InputError: radius is not positive.
    """
    check_positive("radius", radius)
    radius = jnp.asarray(radius, floating_dtype(radius))
    return EllipticRing(jnp.zeros(2, radius.dtype), jnp.stack([radius, radius]))


def uniform_square(*, side: float | Array = 1.0) -> UniformSquare:
    """Uniform law on the square [0, side]² with y = x₁, [ohayon2023, Appendix C].

    Args:
        side: positive; the paper's is 1.

    Raises:
        InputError: side is not positive.
    """
    check_positive("side", side)
    return UniformSquare(jnp.asarray(side, floating_dtype(side)))


def _arch(y: Array, axis: Array) -> Array:
    """Height at y of the half circle of radius `axis` scaled to height one; zero outside and for axis zero."""
    ratio = y / jnp.where(axis > 0, axis, 1)
    inside = (axis > 0) & (jnp.abs(ratio) < 1)
    return safe_sqrt(jnp.where(inside, (1 - ratio) * (1 + ratio), 0))


def _length(found: Slice) -> Array:
    return 2 * (found.outer - found.inner)
