"""Degradations that treat every pixel alone: nothing, missing pixels, missing colour."""

import math
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from jaxpr.core import HIGHEST, Array, ArrayLike, InputError, check_count, check_floats, is_traced
from jaxpr.degradations.linear import (
    SVD,
    LinearOperator,
    Shape,
    check_batch,
    check_coefficients,
    check_same_count,
    check_shape,
    flat_svd,
    register_operator,
    set_fields,
)
from jaxpr.numerics.cosines import cosine_basis

__all__ = ["Grayscale", "Identity", "Inpainting"]


@register_operator
@dataclass(frozen=True, init=False, eq=False)
class Identity(LinearOperator):
    """A x = x, the linear part of denoising and of JPEG restoration.

    Args:
        shape: (H, W, C) of x and of y.

    Raises:
        InputError: shape is not three positive integers.
    """

    shape: Shape = field(metadata={"static": True})

    def __init__(self, shape: Shape) -> None:
        set_fields(self, shape=check_shape(shape))

    @property
    def output_shape(self) -> Shape:
        """(H, W, C) of y."""
        return self.shape

    def __call__(self, x: ArrayLike) -> Array:
        """X itself, (N, H, W, C)."""
        return check_batch("x", x, self.shape)

    def adjoint(self, y: ArrayLike) -> Array:
        """Y itself."""
        return check_batch("y", y, self.shape)

    def pinv(self, y: ArrayLike) -> Array:
        """Y itself."""
        return check_batch("y", y, self.shape)

    def svd(self) -> SVD:
        """All singular values are one; the bases are the pixels."""
        return flat_svd(self.shape, np.ones(math.prod(self.shape), np.float32))


@register_operator
@dataclass(frozen=True, init=False, eq=False)
class Inpainting(LinearOperator):
    """Known pixels stay, unknown ones become zero; y has the shape of x.

    Calls take any number of channels; `svd`, `shape` and `output_shape` speak of `channels`.

    Args:
        mask: (H, W), true (or one) where the pixel is known.
        channels: C of x, used by `svd` only.

    Raises:
        InputError: mask is not a concrete (H, W) array of booleans or of zeros and ones.
    """

    mask: ArrayLike
    order: ArrayLike = field(repr=False)
    """Positions of the flattened mask, known ones first."""
    size: tuple[int, int] = field(metadata={"static": True})
    channels: int = field(default=3, metadata={"static": True})

    def __init__(self, mask: ArrayLike, *, channels: int = 3) -> None:
        if is_traced(mask):
            raise InputError("mask: found a traced array, expected concrete values; build the operator outside jit")
        values = np.asarray(mask)
        if values.ndim != 2 or values.size == 0:
            raise InputError(f"mask: found shape {values.shape}, expected (H, W)")
        if not np.isin(values, (0, 1)).all():
            raise InputError("mask: found values other than 0 and 1, expected true where the pixel is known")
        check_count("channels", channels)
        known = values.astype(bool)
        order = np.argsort(~known.ravel(), kind="stable").astype(np.int32)
        set_fields(self, mask=known, order=order, size=known.shape, channels=int(channels))

    @property
    def shape(self) -> Shape:
        """(H, W, channels) of x."""
        return (*self.size, self.channels)

    @property
    def output_shape(self) -> Shape:
        """(H, W, channels) of y."""
        return self.shape

    def __call__(self, x: ArrayLike) -> Array:
        """X with zeros at unknown pixels, whatever x holds there. (N, H, W, any C)."""
        return self._keep_known("x", x)

    def adjoint(self, y: ArrayLike) -> Array:
        """Y with zeros at unknown pixels."""
        return self._keep_known("y", y)

    def pinv(self, y: ArrayLike) -> Array:
        """Y with zeros at unknown pixels."""
        return self._keep_known("y", y)

    def project(self, x: ArrayLike, y: ArrayLike) -> Array:
        """Known pixels of y, the others from x; exact, both (N, H, W, C) of one shape.

        Raises:
            InputError: a shape or dtype does not fit the mask, or the two differ.
        """
        x, y = self._check("x", x), self._check("y", y)
        check_same_count(x, y)
        check_batch("y", y, (*self.size, x.shape[-1]))
        return jnp.where(self._known(), y, x)

    def svd(self) -> SVD:
        """Singular values one (known) and zero (unknown); the bases are the pixels, known ones first."""
        height, width = self.size
        pixels = height * width
        flat = flat_svd((pixels, 1, self.channels), np.ones(1))
        order = jnp.asarray(self.order)
        back = jnp.argsort(order)

        def take(images: ArrayLike) -> Array:
            images = check_batch("x", images, self.shape)
            return flat.vt(images.reshape(-1, pixels, 1, self.channels)[:, order])

        def put(coefficients: ArrayLike) -> Array:
            return flat.v(coefficients)[:, back].reshape(-1, *self.shape)

        known = jnp.asarray(self.mask).reshape(pixels)[order]
        return SVD(jnp.repeat(known.astype(jnp.float32), self.channels), take, put, take, put)

    def _known(self) -> Array:
        return jnp.asarray(self.mask)[None, :, :, None]

    def _check(self, name: str, images: ArrayLike) -> Array:
        found = check_floats(name, images, expected="a batch of images (N, H, W, C)")
        return check_batch(name, images, (*self.size, found[-1] if found else 0))

    def _keep_known(self, name: str, images: ArrayLike) -> Array:
        images = self._check(name, images)
        return jnp.where(self._known(), images, jnp.zeros((), images.dtype))


@register_operator
@dataclass(frozen=True, init=False, eq=False)
class Grayscale(LinearOperator):
    """The mean of the channels, (N, H, W, C) -> (N, H, W, 1): the colourisation degradation of DDRM and DDNM.

    Args:
        shape: (H, W, C) of x.

    Raises:
        InputError: shape is not three positive integers.
    """

    shape: Shape = field(metadata={"static": True})

    def __init__(self, shape: Shape) -> None:
        set_fields(self, shape=check_shape(shape))

    @property
    def output_shape(self) -> Shape:
        """(H, W, 1) of y."""
        return (*self.shape[:2], 1)

    def __call__(self, x: ArrayLike) -> Array:
        """The mean over channels, (N, H, W, 1)."""
        return jnp.mean(check_batch("x", x, self.shape), axis=-1, keepdims=True)

    def adjoint(self, y: ArrayLike) -> Array:
        """Y / C in every channel."""
        return self.pinv(y) / self.shape[-1]

    def pinv(self, y: ArrayLike) -> Array:
        """Y in every channel."""
        return jnp.repeat(check_batch("y", y, self.output_shape), self.shape[-1], axis=-1)

    def svd(self) -> SVD:
        """Singular values 1 / sqrt(C); the bases are pixels times the cosine basis of the channels."""
        height, width, channels = self.shape
        pixels = height * width
        basis = cosine_basis(channels)
        y_svd = flat_svd(self.output_shape, np.full(pixels, channels**-0.5, np.float32))

        def vt(x: ArrayLike) -> Array:
            x = check_batch("x", x, self.shape)
            mixed = jnp.einsum("kc,nhwc->nkhw", jnp.asarray(basis, x.dtype), x, precision=HIGHEST)
            return mixed.reshape(-1, channels * pixels)

        def v(coefficients: ArrayLike) -> Array:
            c = check_coefficients(coefficients, channels * pixels).reshape(-1, channels, height, width)
            return jnp.einsum("kc,nkhw->nhwc", jnp.asarray(basis, c.dtype), c, precision=HIGHEST)

        return SVD(y_svd.singular_values, vt, v, y_svd.ut, y_svd.u)
