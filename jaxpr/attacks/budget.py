"""How large a perturbation is: PSNR of attacked measurements, and the radii that bound it."""

import math

import jax.numpy as jnp

from jaxpr.core import (
    Array,
    InputError,
    check_count,
    check_examples,
    check_positive,
    check_same_shape,
    described,
    floating_dtype,
    is_number,
    is_traced,
)
from jaxpr.numerics.errors import peak_ratio

__all__ = ["alpha_psnr", "epsilon_for_psnr", "input_psnr"]

# Noise and attacks leave the range, though not so far as images in another range do, 0..255 say.
_NOISE = 9.0


def input_psnr(y: Array, y_adv: Array, *, data_range: float) -> Array:
    r"""PSNR between measurements and attacked measurements, the AI-PSNR of [ohayon2023], Section 6.1.

    $20 \log_{10}(\text{range} \sqrt{d} / \|y_{adv} - y\|_2)$ with d entries per example.

    Args:
        y: images (N, H, W, C) in [0, data_range] with noise, points (N, d) or numbers (N,).
        y_adv: the same shape.
        data_range: largest minus smallest valid value; 1 for images of this library.

    Returns:
        (N,), decibels, dtype of y (computed in float32 or wider); infinite where nothing moved.

    Raises:
        InputError: not floating, NaN, NCHW, shapes differ, data_range is not positive, or images in another range.
    """
    check_positive("data_range", data_range, scalar=True)
    limit = None if is_traced(data_range) else float(data_range)
    check_examples("y", y, data_range=limit, overshoot=_NOISE)
    check_examples("y_adv", y_adv, data_range=limit, overshoot=_NOISE)
    check_same_shape("y", y, "y_adv", y_adv)
    return peak_ratio(y, y_adv, data_range=data_range).astype(y.dtype)


def alpha_psnr(alpha: float | Array, *, data_range: float) -> Array:
    """The smallest PSNR that a perturbation of at most α per entry can have: -20 log10(α / range) decibels.

    48.13 dB for α = 1/255 and range 1 ([ohayon2024], Section 4.2). Traced.
    """
    check_positive("alpha", alpha, or_zero=True)
    check_positive("data_range", data_range, scalar=True)
    return -20 * jnp.log10(jnp.asarray(alpha, floating_dtype(alpha)) / data_range)


def epsilon_for_psnr(psnr: float, shape: tuple[int, ...], *, data_range: float) -> float:
    """Radius of the l2 ball inside which every perturbation has at least the given PSNR.

    With d entries ε = range · √d · 10^(-psnr / 20). For 64×64×3 and 32.9 dB it is 2.5, as in [ohayon2023], E.2.3.

    Args:
        psnr: decibels.
        shape: of one measurement, without the axis of examples.
        data_range: largest minus smallest valid value.

    Raises:
        InputError: psnr is not finite, shape is empty, or data_range is not positive.
    """
    check_positive("data_range", data_range, scalar=True)
    if not is_number(psnr) or not math.isfinite(psnr):
        raise InputError(f"psnr: found {described(psnr)}, expected a finite number of decibels")
    if not isinstance(shape, tuple | list) or not shape:
        raise InputError(f"shape: found {shape!r}, expected the shape of one measurement")
    for size in shape:
        check_count("shape", size)
    return float(data_range * math.sqrt(math.prod(shape)) * 10 ** (-psnr / 20))
