r"""Deterministic estimators that fill regions of the plane by oscillating, [ohayon2023], and what bounds their errors.

The measurement is the first coordinate, y (N, 1), and every x̂ (N, 2) reproduces it: consistency is perfect, and what
looks like perceptual quality is bought with erratic outputs. Bind options with `functools.partial`.
"""

import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, check_points, check_positive, floating_dtype, is_traced
from jaxpr.numerics import safe_sqrt
from jaxpr.toys.planar import EllipticRing

__all__ = [
    "disk_wave",
    "ring_avoiding",
    "ring_crossing",
    "zigzag",
    "zigzag_transport",
    "zigzag_transport_cost",
    "zigzag_w2_bound",
]


def disk_wave(y: Array, *, alpha: float | Array) -> Array:
    r"""$\hat X_\alpha = (y, \sqrt{1 - y^2} \sin(\alpha y))$ for the unit disk, [ohayon2023, Section 4 and Figure 3].

    Args:
        y: (N, 1), in [-1, 1]; beyond, x̂ = (y, 0).
        alpha: radians per unit of y. The paper's robust estimator has 1, the erratic one 50. Traced.

    Returns:
        (N, 2).

    Raises:
        InputError: y is not finite points of one coordinate.
    """
    check_points("y", y, width=1)
    first = y[:, 0]
    height = safe_sqrt(jnp.maximum((1 - first) * (1 + first), 0))
    return jnp.stack([first, height * jnp.sin(alpha * first)], axis=1)


def ring_avoiding(law: EllipticRing, y: Array, *, alpha: float | Array) -> Array:
    """Wave between two ellipses that stays out of the hole, [ohayon2023, Appendix B.1, the first of Figure 5].

    Over the hole it stays on the upper side, so that all outputs are possible but none is on the lower side: precision
    for recall. It is continuous, and equals `ring_crossing` where there is no hole.

    Note:
        The paper draws its two estimators without formulas; these have the described properties.

    Args:
        law: of `elliptic_ring`.
        y: (N, 1).
        alpha: radians per unit of y; the larger, the more erratic. Traced.

    Returns:
        (N, 2).

    Raises:
        InputError: y is not finite points of one coordinate.
    """
    first, wave, over_hole = _ring_wave(law, y, alpha)
    found = law.slices(y)
    folded = found.inner + (found.outer - found.inner) * jnp.abs(wave)
    return jnp.stack([first, jnp.where(over_hole, folded, found.outer * wave)], axis=1)


def ring_crossing(law: EllipticRing, y: Array, *, alpha: float | Array) -> Array:
    """Wave between two ellipses that runs through the hole, [ohayon2023, Appendix B.1, the second of Figure 5].

    It reaches both sides, and a continuous curve that does has impossible outputs: recall for precision.

    Arguments, result, errors and note are those of `ring_avoiding`.
    """
    first, wave, _ = _ring_wave(law, y, alpha)
    return jnp.stack([first, law.slices(y).outer * wave], axis=1)


def zigzag(y: Array, *, frequency: int | Array) -> Array:
    r"""$(y, G_f(y))$ with $G_f(y) = \frac1\pi \arccos\cos(2\pi f y)$ for the unit square, [ohayon2023, Appendix C].

    $G_f$ is computed as the triangle wave that it is: the inverse cosine would lose half of the digits at the corners
    and has no gradient there.

    Args:
        y: (N, 1), in [0, 1].
        frequency: f, a positive integer: there are 2f straight pieces. Traced.

    Returns:
        (N, 2).

    Raises:
        InputError: y is not finite points of one coordinate, or frequency is not a positive integer.
    """
    check_points("y", y, width=1)
    _check_frequency(frequency)
    phase = jnp.mod(frequency * y[:, 0], 1)
    return jnp.stack([y[:, 0], 1 - jnp.abs(1 - 2 * phase)], axis=1)


def zigzag_transport(x: Array, *, frequency: int | Array) -> Array:
    """T₀ of [ohayon2023, Eqs. (12)-(13)]: moves points of the unit square along x₁ onto the zigzag.

    It turns the uniform law into that of the estimator's outputs and moves no point further than 1 / (2f).

    Args:
        x: (N, 2), in [0, 1].
        frequency: f, a positive integer. Traced.

    Returns:
        (N, 2).

    Raises:
        InputError: x is not finite points of the plane, or frequency is not a positive integer.
    """
    check_points("x", x, width=2)
    _check_frequency(frequency)
    # x₁ = 1 belongs to the last piece; the formula of the paper would start another one there.
    piece = jnp.minimum(jnp.floor(2 * frequency * x[:, 0]), 2 * frequency - 1)
    within = jnp.where(jnp.mod(piece, 2) == 1, 1 - x[:, 1], x[:, 1])
    return jnp.stack([(piece + within) / (2 * frequency), x[:, 1]], axis=1)


def zigzag_transport_cost(*, frequency: int | Array) -> Array:
    """E|x - T₀(x)|² = 1 / (24 f²), the right side of [ohayon2023, Eq. (14)].

    Within its piece of width 1 / (2f) a point and its image are independent and uniform, and the mean squared
    difference of two such numbers is a sixth of the width squared. The paper shows that it tends to zero.

    Args:
        frequency: f, a positive integer. Traced.

    Raises:
        InputError: frequency is not a positive integer.
    """
    _check_frequency(frequency)
    return 1 / (24 * jnp.square(jnp.asarray(frequency, floating_dtype(frequency))))


def zigzag_w2_bound(*, frequency: int | Array) -> Array:
    """Upper bound 1 / (√24 f) on the Wasserstein-2 distance of outputs and square, [ohayon2023, Eqs. (14) and (19)].

    Args:
        frequency: f, a positive integer. Traced.

    Raises:
        InputError: frequency is not a positive integer.
    """
    return jnp.sqrt(zigzag_transport_cost(frequency=frequency))


def _ring_wave(law: EllipticRing, y: Array, alpha: float | Array) -> tuple[Array, Array, Array]:
    """y, a wave in [-1, 1] that is zero where the hole begins, and whether y is over the hole."""
    check_points("y", y, width=1)
    beyond = jnp.abs(y[:, 0]) - law.inner[0]
    return y[:, 0], jnp.sin(alpha * beyond), beyond < 0


def _check_frequency(frequency: int | Array) -> None:
    check_positive("frequency", frequency)
    if not is_traced(frequency) and (np.asarray(frequency) % 1 != 0).any():
        raise InputError(f"frequency: found {frequency}, expected a positive integer")
