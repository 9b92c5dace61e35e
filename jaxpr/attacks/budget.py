"""How large a perturbation is: PSNR of attacked measurements, and the radii that bound it."""

import math

import jax.numpy as jnp

from jaxpr._core import Array, InputError, check_positive, check_same_shape, floating_dtype

__all__ = ["alpha_psnr", "epsilon_for_psnr", "input_psnr"]


def input_psnr(y: Array, y_adv: Array, *, data_range: float) -> Array:
    r"""PSNR between measurements and attacked measurements, the AI-PSNR of [ohayon2023], Section 6.1.

    $20 \log_{10}(\text{range} \sqrt{d} / \|y_{adv} - y\|_2)$ with d entries per example; shapes of any rank.

    Args:
        y: (N, ...).
        y_adv: the same shape.
        data_range: largest minus smallest valid value; 1 for images of this library.

    Returns:
        (N,), decibels; infinite where nothing moved.

    Raises:
        InputError: shapes differ or data_range is not positive.
    """
    check_same_shape("y", y, "y_adv", y_adv)
    check_positive("data_range", data_range)
    error = jnp.mean(jnp.square((y_adv - y) / data_range).reshape(y.shape[0], -1), axis=1)
    moved = error != 0
    return jnp.where(moved, -10 * jnp.log10(jnp.where(moved, error, 1)), jnp.inf)


def alpha_psnr(alpha: float | Array, *, data_range: float) -> Array:
    """The smallest PSNR that a perturbation of at most α per entry can have: -20 log10(α / range) decibels.

    48.13 dB for α = 1/255 and range 1 ([ohayon2024], Section 4.2). Traced.
    """
    check_positive("alpha", alpha, or_zero=True)
    check_positive("data_range", data_range)
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
    check_positive("data_range", data_range)
    if not math.isfinite(psnr):
        raise InputError(f"psnr: found {psnr}, expected a finite number of decibels")
    if not shape or min(shape) < 1:
        raise InputError(f"shape: found {shape}, expected the shape of one measurement")
    return float(data_range * math.sqrt(math.prod(shape)) * 10 ** (-psnr / 20))
