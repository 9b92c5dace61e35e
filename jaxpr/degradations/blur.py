"""Blur with a circular boundary, diagonal in the Fourier basis."""

import math
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, InputError, check_count, check_positive, is_traced
from jaxpr.degradations.linear import (
    SVD,
    LinearOperator,
    Shape,
    check_batch,
    check_coefficients,
    check_shape,
    descending,
    inverse_or_zero,
    register_operator,
    set_fields,
)

__all__ = ["Blur", "gaussian_kernel"]

_AXES = (1, 2)


@register_operator
@dataclass(frozen=True, init=False, eq=False)
class Blur(LinearOperator):
    """Circular convolution of every channel with one kernel.

    y[i] = sum over k of kernel[k] x[i - (k - centre)], indices modulo the image size, centre = size // 2 per axis. The
    kernel is taken as given: it need not be symmetric, positive or normalised. Its spectrum is computed on the host
    in float64. The pseudo-inverse takes singular values below `CUTOFF` (1e-5) of the largest as zero; a product such
    as A† A A† loses digits in float32 as the square of the remaining condition number.

    Args:
        shape: (H, W, C) of x and of y.
        kernel: (kh, kw), or (k,) for the outer product of the vector with itself.

    Raises:
        InputError: the shape is not three positive integers, or the kernel is traced, not finite, of another rank or
            larger than the image.
    """

    spectrum: ArrayLike = field(repr=False)
    """Fourier transform of the centred kernel, non-negative horizontal frequencies, (H, W // 2 + 1) complex64."""
    phase: ArrayLike = field(repr=False)
    """spectrum / |spectrum|, one where the spectrum is zero, same shape."""
    singular_grid: ArrayLike = field(repr=False)
    """|spectrum| at all frequencies, (H, W) float32."""
    shape: Shape = field(metadata={"static": True})

    def __init__(self, shape: Shape, kernel: ArrayLike) -> None:
        shape = check_shape(shape)
        spectrum = _spectrum(_check_kernel(kernel, shape), shape)
        size = np.abs(spectrum)
        phase = np.where(size > 0, spectrum / np.where(size > 0, size, 1), 1)
        half = shape[1] // 2 + 1
        set_fields(
            self,
            spectrum=spectrum[:, :half].astype(np.complex64),
            phase=phase[:, :half].astype(np.complex64),
            singular_grid=size.astype(np.float32),
            shape=shape,
        )

    @property
    def output_shape(self) -> Shape:
        """(H, W, C) of y."""
        return self.shape

    def __call__(self, x: ArrayLike) -> Array:
        """The blurred batch, shape of x."""
        return _filter(check_batch("x", x, self.shape), jnp.asarray(self.spectrum))

    def adjoint(self, y: ArrayLike) -> Array:
        """Correlation with the kernel, shape of y."""
        return _filter(check_batch("y", y, self.shape), jnp.conj(jnp.asarray(self.spectrum)))

    def pinv(self, y: ArrayLike) -> Array:
        """Deconvolution at the frequencies that the kernel passes, zero at the others; shape of y."""
        y = check_batch("y", y, self.shape)
        half = self.shape[1] // 2 + 1
        inverse = inverse_or_zero(jnp.asarray(self.singular_grid))[:, :half]
        return _filter(y, inverse.astype(jnp.complex64) * jnp.conj(jnp.asarray(self.phase)))

    def svd(self) -> SVD:
        """Real orthonormal bases: V is the Hartley transform, U the Hartley transform with the kernel's phase."""
        phase = jnp.asarray(self.phase)

        def vt(x: ArrayLike) -> Array:
            return _flatten(_hartley(check_batch("x", x, self.shape)))

        def v(coefficients: ArrayLike) -> Array:
            return _hartley(_unflatten(coefficients, self.shape))

        def ut(y: ArrayLike) -> Array:
            return vt(_filter(check_batch("y", y, self.shape), jnp.conj(phase)))

        def u(coefficients: ArrayLike) -> Array:
            return _filter(v(coefficients), phase)

        values = jnp.repeat(jnp.asarray(self.singular_grid).reshape(-1), self.shape[2])
        return descending(SVD(values, vt, v, ut, u))


def gaussian_kernel(std: float, *, size: int | None = None) -> np.ndarray:
    """A sampled Gaussian that sums to one.

    Args:
        std: standard deviation in pixels, positive.
        size: odd side of the kernel; 2 ceil(3 std) + 1 if not given.

    Returns:
        (size, size), float64.

    Raises:
        InputError: std is not positive, or size not a positive odd integer (an even one would shift images by half a
            pixel).
    """
    check_positive("std", std, scalar=True)
    size = 2 * math.ceil(3 * std) + 1 if size is None else size
    check_count("size", size)
    if size % 2 == 0:
        raise InputError(f"size: found {size}, expected an odd integer")
    profile = np.exp(-0.5 * ((np.arange(size) - size // 2) / std) ** 2)
    profile /= profile.sum()
    return np.outer(profile, profile)


def _check_kernel(kernel: ArrayLike, shape: Shape) -> np.ndarray:
    if is_traced(kernel):
        raise InputError("kernel: found a traced array, expected concrete values; build the operator outside jit")
    values = np.asarray(kernel, np.float64)
    if values.ndim == 1:
        values = np.outer(values, values)
    if values.ndim != 2 or values.size == 0:
        raise InputError(f"kernel: found shape {values.shape}, expected (kh, kw) or (k,)")
    if values.shape[0] > shape[0] or values.shape[1] > shape[1]:
        raise InputError(f"kernel: found shape {values.shape}, expected at most the image's {shape[:2]}")
    if not np.isfinite(values).all():
        raise InputError("kernel: found NaN or infinite values, expected finite weights")
    return values


def _spectrum(kernel: np.ndarray, shape: Shape) -> np.ndarray:
    """Fourier transform (H, W) of the kernel with its centre at the origin; exactly Hermitian, zeros exact."""
    placed = np.zeros(shape[:2])
    placed[: kernel.shape[0], : kernel.shape[1]] = kernel
    placed = np.roll(placed, (-(kernel.shape[0] // 2), -(kernel.shape[1] // 2)), axis=(0, 1))
    spectrum = np.fft.fft2(placed)
    # Where the spectrum almost vanishes its phase is rounding noise; U is only orthonormal if the phases of opposite
    # frequencies are conjugate all the same.
    opposite = np.roll(spectrum[::-1, ::-1], (1, 1), axis=(0, 1))
    spectrum = (spectrum + np.conj(opposite)) / 2
    return np.where(np.abs(spectrum) > 1e-13 * np.abs(kernel).sum(), spectrum, 0)


def _filter(images: Array, spectrum: Array) -> Array:
    """Multiply the spectrum of every channel by `spectrum`, given at non-negative horizontal frequencies."""
    transformed = jnp.fft.rfft2(_wide(images), axes=_AXES)
    filtered = transformed * spectrum.astype(transformed.dtype)[None, :, :, None]
    return jnp.fft.irfft2(filtered, s=images.shape[1:3], axes=_AXES).astype(images.dtype)


def _hartley(images: Array) -> Array:
    """Orthonormal, real, and its own inverse."""
    transformed = jnp.fft.fft2(_wide(images), axes=_AXES, norm="ortho")
    return (transformed.real - transformed.imag).astype(images.dtype)


def _wide(images: Array) -> Array:
    """There are no Fourier transforms of half-width floats."""
    return images if images.dtype == jnp.float64 else images.astype(jnp.float32)


def _flatten(images: Array) -> Array:
    return images.reshape(images.shape[0], math.prod(images.shape[1:]))


def _unflatten(coefficients: ArrayLike, shape: Shape) -> Array:
    return check_coefficients(coefficients, math.prod(shape)).reshape(-1, *shape)
