"""One attack at several strengths, compiled once."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.attacks.boundary import check_measurements, restorations
from jaxpr.attacks.ifgsm import ifgsm
from jaxpr.attacks.lipschitz import guarded_ratio
from jaxpr.attacks.objectives import output_shift
from jaxpr.core import (
    Array,
    ArrayLike,
    Estimator,
    InputError,
    Key,
    Objective,
    check_positive,
    defined_where,
    described,
)
from jaxpr.numerics.convolution import canonical_convolutions
from jaxpr.numerics.errors import peak_ratio
from jaxpr.numerics.guards import widened

__all__ = ["ALPHAS", "AttackSweep", "attack_sweep"]

ALPHAS = tuple(grey / 255 for grey in (1, 2, 4, 8, 16, 32))
"""The strengths of Figure 8 of [ohayon2023] and of Choi et al. 2019."""


class AttackSweep(NamedTuple):
    """What an attack does as it grows stronger.

    Attributes:
        alphas: the strengths, (A,).
        y_adv: attacked measurements, (A, N, ...).
        input_psnr: of y_adv against y, (A, N), decibels; infinite where nothing moved.
        output_psnr: of f(y_adv) against f(y), (A, N), decibels; infinite where nothing moved.
        ratio: ‖f(y_adv) - f(y)‖ / ‖y_adv - y‖, (A, N); NaN where nothing moved.
    """

    alphas: Array
    y_adv: Array
    input_psnr: Array
    output_psnr: Array
    ratio: Array


def attack_sweep(
    key: Key,
    estimator: Estimator,
    y: Array,
    *,
    alphas: ArrayLike | Sequence[float],
    steps: int,
    bounds: tuple[float, float] | None,
    objective: Objective | None = None,
    data_range: float = 1.0,
) -> AttackSweep:
    """I-FGSM at each strength α, all from the same random start (scaled with α): Figure 8 of [ohayon2023].

    Strengths follow each other inside one compiled loop, so memory is that of one attack.

    Args:
        key: one key, or one per example.
        estimator: maps measurements (N, ...) to restorations (N, ...); deterministic. For a sampler bind a key, and
            give its `expected_output_shift` as the objective.
        y: measurements (N, ...), inside `bounds`.
        alphas: strengths in intensity units, (A,); the paper's are `ALPHAS`. Traced.
        steps: ascent steps for each; the paper takes 50. Static.
        bounds: valid (low, high) range of measurements, or None for no limit.
        objective: what to ascend; None for the shift of the output.
        data_range: of measurements and restorations, for the PSNR; 1 for images of this library.

    Raises:
        InputError: as `ifgsm`, or alphas are not (A,), or negative.
    """
    check_measurements(y, bounds=bounds)
    check_positive("data_range", data_range, scalar=True)
    strengths = _strengths(alphas, widened(y).dtype)
    restore = canonical_convolutions(lambda z: restorations(estimator, z))
    clean = restore(y)
    ascended = output_shift(estimator, y) if objective is None else objective

    def attack(alpha: Array) -> tuple[AttackSweep, Array]:
        y_adv = ifgsm(key, ascended, y, alpha=alpha, steps=steps, bounds=bounds)
        attacked = restore(y_adv)
        moved, ratio = guarded_ratio(clean, attacked, y, y_adv)
        found = AttackSweep(
            alphas=alpha,
            y_adv=y_adv,
            input_psnr=peak_ratio(y, y_adv, data_range=data_range),
            output_psnr=peak_ratio(clean, attacked, data_range=data_range),
            ratio=ratio,
        )
        return found, moved

    found, moved = jax.lax.map(attack, strengths)
    return found._replace(ratio=defined_where(moved, found.ratio))


def _strengths(alphas: ArrayLike | Sequence[float], dtype: jnp.dtype) -> Array:
    """The checked strengths (A,); of Python's numbers a flat tuple or list will do."""
    if isinstance(alphas, tuple | list):
        for alpha in alphas:
            check_positive("alphas", alpha, or_zero=True, scalar=True)
        alphas = np.array(alphas, np.float64)
    if not isinstance(alphas, jax.Array | np.ndarray) or alphas.ndim != 1 or not len(alphas):
        raise InputError(f"alphas: found {described(alphas)}, expected strengths (A,) with A >= 1")
    check_positive("alphas", alphas, or_zero=True)
    return jnp.asarray(alphas, dtype)
