"""A restorer's place on the uncertainty-perception plane, from streamed moments."""

from typing import NamedTuple

import numpy as np

from jaxpr.core import InputError, check_count, check_positive
from jaxpr.numerics.moments import Moments
from jaxpr.uncertainty.conditional import conditional_gaussian, conditional_renyi
from jaxpr.uncertainty.entropy import entropy_power, gaussian_entropy

__all__ = ["PlanePoint", "plane_point"]

_ORDER = 0.5


class PlanePoint(NamedTuple):
    """A restorer on the plane of [cohen2024up], with everything Gaussian given y.

    Attributes:
        uncertainty: N(X̂ - X | Y), entropy power of the error given y, squared units.
        divergence: E_y D_{1/2}(X̂|y, X|y), nats.
        mse: mean squared error per coordinate; never below the uncertainty.
        gaussian: N(X_G | Y), entropy power of a Gaussian with x's covariance given y; a property of the problem.
    """

    uncertainty: float
    divergence: float
    mse: float
    gaussian: float


def plane_point(moments: Moments, *, width: int, noise_floor: float) -> PlanePoint:
    """Uncertainty, divergence and error from the moments of (x, x̂, y).

    With moments per photograph, their merged leave-one-out versions give jackknife errors.

    Args:
        moments: of points (x, x̂, y) of dimension 2 d + m.
        width: d. Static.
        noise_floor: variance added to every coordinate of x, of x̂ and of the error given y. Exactly consistent
            restorations of noiseless measurements have singular errors, whose entropy power is zero; on 8-bit images
            rounding alone has variance (1/255)²/12, and nothing finer is meaningful.

    Raises:
        InputError: the dimension leaves nothing for y, fewer than two points, or a negative noise_floor.
    """
    check_count("width", width)
    check_positive("noise_floor", noise_floor, or_zero=True, scalar=True)
    total = moments.mean.shape[0]
    if total <= 2 * width:
        raise InputError(f"moments: found dimension {total}, expected more than twice the width {width}")
    real = _mapped(moments, np.eye(total)[np.r_[0:width, 2 * width : total]])
    fake = _mapped(moments, np.eye(total)[width:])
    selection = np.eye(total)[width:]
    selection[:width, :width] = -np.eye(width)
    error = _mapped(moments, selection)
    dither = noise_floor * np.eye(width)
    given_y = [conditional_gaussian(m.mean, m.covariance, width=width).covariance + dither for m in (error, real)]
    powers = [float(entropy_power(float(gaussian_entropy(cov)), width)) for cov in given_y]
    second = np.diagonal(error.covariance)[:width] * (error.count - 1) / error.count + error.mean[:width] ** 2
    divergence = conditional_renyi(real, fake, width=width, order=_ORDER, noise_floor=noise_floor)
    return PlanePoint(powers[0], float(divergence), float(second.mean() + noise_floor), powers[1])


def _mapped(moments: Moments, matrix: np.ndarray) -> Moments:
    """Moments of `matrix @ point`."""
    return Moments(moments.count, matrix @ moments.mean, matrix @ moments.scatter @ matrix.T)
