"""What every linear degradation offers: A, Aᵀ, A†, projection on {x : A x = y} and a singular value decomposition.

Images are float NHWC batches of any range; A acts on each image alone. Operators are frozen pytrees: their arrays are
leaves (float32, made on the host in float64), their shapes are static, so an operator may be closed over by a jitted
function or passed to it.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import fields
from typing import Any, NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, InputError, check_count, check_floats, described, is_traced

__all__ = ["CUTOFF", "SVD", "LinearOperator", "Shape"]

Shape: TypeAlias = tuple[int, int, int]
"""(H, W, C) of one image."""

CUTOFF = 1e-5
"""Singular values below this fraction of the largest count as zero in `pinv` and `project`.

Float32 measurements carry rounding errors of about 1e-7 of their largest part; dividing those by less than this would
return noise. The singular values that `svd` reports are not cut.
"""

T = TypeVar("T")


class SVD(NamedTuple):
    """Singular value decomposition A = U diag(s) Vᵀ by fast maps between batches and coefficient vectors.

    For every batch x, `ut(A(x))[:, :r] == singular_values * vt(x)[:, :r]` and the other columns of `ut(A(x))` are
    zero. Columns of `vt(x)` from r on lie in the null space of A. Both bases are real, orthonormal and complete.

    Attributes:
        singular_values: (r,), r = min(dim x, dim y), in descending order; may contain zeros.
        vt: x (N, H, W, C) -> coefficients (N, dim x).
        v: coefficients (N, dim x) -> x; the inverse of `vt`.
        ut: y -> coefficients (N, dim y).
        u: coefficients (N, dim y) -> y; the inverse of `ut`.
    """

    singular_values: Array
    vt: Callable[[ArrayLike], Array]
    v: Callable[[ArrayLike], Array]
    ut: Callable[[ArrayLike], Array]
    u: Callable[[ArrayLike], Array]


class LinearOperator(ABC):
    """A linear map y = A x from images of `shape` to images of `output_shape`, with exact algebra.

    Calls raise `InputError` on a batch of another shape or of an integer dtype.
    """

    shape: Any
    """(H, W, C) of x. Static."""
    output_shape: Any
    """(h, w, c) of y. Static."""

    @abstractmethod
    def __call__(self, x: ArrayLike) -> Array:
        """Y = A x: (N, *shape) -> (N, *output_shape)."""

    @abstractmethod
    def adjoint(self, y: ArrayLike) -> Array:
        """Aᵀ y: (N, *output_shape) -> (N, *shape)."""

    @abstractmethod
    def pinv(self, y: ArrayLike) -> Array:
        """Moore-Penrose A† y: the smallest of the x whose A x is nearest to y. (N, *output_shape) -> (N, *shape)."""

    @abstractmethod
    def svd(self) -> SVD:
        """The singular value decomposition of A; the matrix itself is never formed."""

    def project(self, x: ArrayLike, y: ArrayLike) -> Array:
        """The nearest x' to x with A x' = y (or, for y outside A's range, with A x' nearest to y).

        Args:
            x: (N, *shape).
            y: (N, *output_shape), same N.

        Returns:
            x + A† (y - A x), shape of x.

        Raises:
            InputError: a shape or dtype does not fit the operator, or N differs.
        """
        x, y = check_batch("x", x, self.shape), check_batch("y", y, self.output_shape)
        check_same_count(x, y)
        return x + self.pinv(y - self(x))


def register_operator(cls: type[T]) -> type[T]:
    """Register a frozen dataclass as a pytree; fields with metadata `static` are static, the others children.

    `jax.tree_util.register_dataclass` would rebuild operators through their constructor, which takes a shape and a
    factor, not the computed arrays. Here the fields are put back as they are, whatever JAX put into the leaves.
    """
    names = [f.name for f in fields(cls) if not f.metadata.get("static")]  # type: ignore[arg-type]
    static = [f.name for f in fields(cls) if f.metadata.get("static")]  # type: ignore[arg-type]

    def flatten(operator: T) -> tuple[list[tuple[Any, Any]], tuple[Any, ...]]:
        children = [(jax.tree_util.GetAttrKey(name), getattr(operator, name)) for name in names]
        return children, tuple(getattr(operator, name) for name in static)

    def unflatten(values: tuple[Any, ...], children: Any) -> T:
        operator = object.__new__(cls)
        set_fields(operator, **dict(zip(static, values, strict=True)), **dict(zip(names, children, strict=True)))
        return operator

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    return cls


def set_fields(operator: object, **values: Any) -> None:
    """Fill the fields of a frozen dataclass from its own constructor."""
    for name, value in values.items():
        object.__setattr__(operator, name, value)


def check_shape(shape: Any) -> Shape:
    """`shape` as a tuple (H, W, C) of positive integers."""
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise InputError(f"shape: found {described(shape)}, expected (H, W, C)")
    for size in shape:
        check_count("shape", size)
    height, width, channels = (int(size) for size in shape)
    return height, width, channels


def check_batch(name: str, images: ArrayLike, shape: Shape) -> Array:
    """`images` as a JAX array, if it is a floating-point batch of images of `shape`."""
    found = check_floats(name, images, expected=f"(N, {', '.join(map(str, shape))})")
    if len(found) != 4 or found[1:] != tuple(shape):
        raise InputError(f"{name}: found shape {found}, expected (N, {', '.join(map(str, shape))})")
    return jnp.asarray(images)


def check_same_count(x: Array, y: Array) -> None:
    """Raise unless both batches have the same number of examples; one y is not broadcast over many x."""
    if x.shape[0] != y.shape[0]:
        raise InputError(f"x and y: found {x.shape[0]} and {y.shape[0]} examples, expected one number")


def check_coefficients(coefficients: ArrayLike, size: int) -> Array:
    """`coefficients` as a JAX array, if it has shape (N, size)."""
    found = check_floats("coefficients", coefficients, expected=f"(N, {size})")
    if len(found) != 2 or found[1] != size:
        raise InputError(f"coefficients: found shape {found}, expected (N, {size})")
    return jnp.asarray(coefficients)


def inverse_or_zero(values: Array) -> Array:
    """1 / values, and zero for those below `CUTOFF` of the largest."""
    kept = values > CUTOFF * jnp.max(values)
    return jnp.where(kept, 1 / jnp.where(kept, values, 1), 0)


def flat_svd(shape: Shape, values: ArrayLike) -> SVD:
    """The decomposition of diag(values) on images of `shape`, `values` already descending."""
    size = math.prod(shape)

    def flatten(images: ArrayLike) -> Array:
        images = check_batch("images", images, shape)
        return images.reshape(images.shape[0], size)

    def unflatten(coefficients: ArrayLike) -> Array:
        return check_coefficients(coefficients, size).reshape(-1, *shape)

    return SVD(jnp.asarray(values), flatten, unflatten, flatten, unflatten)


def descending(svd: SVD) -> SVD:
    """The same decomposition with its r pairs in descending order of their singular values."""
    values = svd.singular_values
    # Concrete values are sorted on the host, so that a jitted caller embeds the order, not a sort of constants.
    xp: Any = jnp if is_traced(values) else np
    order = xp.argsort(-xp.asarray(values), stable=True)
    back = xp.argsort(order, stable=True)
    return SVD(
        jnp.asarray(xp.asarray(values)[order]),
        lambda x: _permute(svd.vt(x), order),
        lambda coefficients: svd.v(_permute(coefficients, back)),
        lambda y: _permute(svd.ut(y), order),
        lambda coefficients: svd.u(_permute(coefficients, back)),
    )


def _permute(coefficients: ArrayLike, order: Any) -> Array:
    c = jnp.asarray(coefficients)
    if c.ndim != 2 or c.shape[1] < len(order):
        raise InputError(f"coefficients: found shape {c.shape}, expected (N, d) with d >= {len(order)}")
    return jnp.concatenate([c[:, order], c[:, len(order) :]], axis=1)
