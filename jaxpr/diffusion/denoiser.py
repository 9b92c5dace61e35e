"""One form for all denoisers, and adapters from what networks predict: the noise, the image, or their mixture v.

Images here are on [-1, 1], (N, H, W, C) or points (N, d); timesteps are the original ones, integers.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, described
from jaxpr.diffusion.schedule import ReverseCoefficients, Schedule, reverse_between

__all__ = ["Denoiser", "LearnedVariance", "Prediction", "check_schedule", "from_eps", "from_v", "from_x0", "levels"]

LearnedVariance: TypeAlias = Literal["range", "log"]
"""How a network's second half of channels tells the variance of a step: between two bounds, or as its logarithm."""


class Prediction(NamedTuple):
    """What a denoiser says of x_t; x_t = √ᾱ x0 + √(1 - ᾱ) eps.

    Attributes:
        x0: the expected image, shape of x_t, not clipped.
        eps: the expected noise, shape of x_t.
        log_variance: of the step to the timestep before in the adapter's schedule, if the network learned it.
        variance_mix: where that variance lies between the smallest (0) and β (1), in logarithms, if the network learned
            it so. A sampler that visits other timesteps takes this, with bounds of its own.
    """

    x0: Array
    eps: Array
    log_variance: Array | None = None
    variance_mix: Array | None = None


Denoiser: TypeAlias = Callable[[Array, Array], Prediction]
"""Maps (x_t on [-1, 1], original timesteps (N,) or one) to a `Prediction`; an example depends on itself only."""

Network: TypeAlias = Callable[[Array, Array], Array]
"""Maps (x_t, timesteps) to channels. Bind parameters with `functools.partial`."""


def levels(schedule: Schedule, x: Array, t: Array) -> tuple[Array, Array]:
    """√ᾱ_t and √(1 - ᾱ_t), which broadcast against x.

    Args:
        schedule: tells ᾱ of all original timesteps.
        x: (N, ...), floating; decides dtype and rank.
        t: original timesteps, (N,) or one; integers.

    Raises:
        InputError: schedule is none, or t has another shape or is not integral.
    """
    check_schedule(schedule)
    alpha_bar = schedule.original_alpha_bar
    return _at(np.sqrt(alpha_bar), x, t), _at(np.sqrt(1 - alpha_bar), x, t)


def from_eps(model: Network, *, schedule: Schedule, learned_variance: LearnedVariance | bool | None = None) -> Denoiser:
    """A denoiser from a network that predicts the noise: the DDPM U-Net, ADM.

    Args:
        model: maps (x_t, t) to the noise, or with a learned variance to twice the channels, the noise first.
        schedule: the network's; if it is thinned out, `log_variance` is of its own steps.
        learned_variance: "range" (or True) for ADM's interpolation between log β and the smallest variance, "log" for
            the logarithm itself, None (or False) for networks without one. DDRM and DDNM ignore it.

    Returns:
        The denoiser.

    Raises:
        InputError: schedule or learned_variance is none of these; when called, the network gives other shapes.
    """
    check_schedule(schedule)
    kind = "range" if learned_variance is True else learned_variance or None
    if kind not in ("range", "log", None):
        raise InputError(f"learned_variance: found {described(learned_variance)}, expected 'range', 'log' or None")
    bounds = _original_bounds(schedule)

    def denoise(x: Array, t: Array) -> Prediction:
        signal, noise = levels(schedule, x, t)
        found = _called(model, x, t, factor=1 if kind is None else 2)
        eps, second = (found, None) if kind is None else jnp.split(found, 2, axis=-1)
        x0 = (x - noise * eps) / signal
        if second is None:
            return Prediction(x0, eps)
        if kind == "log":
            return Prediction(x0, eps, second)
        mix = (second + 1) / 2
        low, high = _at(bounds.log_variance, x, t), _at(bounds.log_beta, x, t)
        return Prediction(x0, eps, mix * high + (1 - mix) * low, mix)

    return denoise


def from_x0(model: Network, *, schedule: Schedule) -> Denoiser:
    """A denoiser from a network that predicts the image.

    Args:
        model: maps (x_t, t) to x_0, shape of x_t.
        schedule: the network's.

    Raises:
        InputError: schedule is none; when called, the network gives another shape.
    """
    check_schedule(schedule)

    def denoise(x: Array, t: Array) -> Prediction:
        signal, noise = levels(schedule, x, t)
        x0 = _called(model, x, t, factor=1)
        return Prediction(x0, (x - signal * x0) / noise)

    return denoise


def from_v(model: Network, *, schedule: Schedule) -> Denoiser:
    """A denoiser from a network that predicts v = √ᾱ ε - √(1 - ᾱ) x_0.

    Paper: Salimans, Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", ICLR 2022.

    Args:
        model: maps (x_t, t) to v, shape of x_t.
        schedule: the network's.

    Raises:
        InputError: schedule is none; when called, the network gives another shape.
    """
    check_schedule(schedule)

    def denoise(x: Array, t: Array) -> Prediction:
        signal, noise = levels(schedule, x, t)
        v = _called(model, x, t, factor=1)
        return Prediction(signal * x - noise * v, noise * x + signal * v)

    return denoise


def check_schedule(schedule: Any) -> None:
    """Raise unless this is a `Schedule`."""
    if not isinstance(schedule, Schedule):
        raise InputError(f"schedule: found {described(schedule)}, expected a Schedule, as linear_schedule() makes one")


def _original_bounds(schedule: Schedule) -> ReverseCoefficients:
    """For every original timestep the step to the nearest visited one before it."""
    visited = np.asarray(schedule.timesteps)
    before = np.searchsorted(visited, np.arange(schedule.original_steps)) - 1
    previous = np.where(before < 0, 1.0, schedule.alpha_bar[np.maximum(before, 0)])
    return reverse_between(schedule.original_alpha_bar, previous)


def _at(table: np.ndarray, x: Array, t: Array) -> Array:
    """Entries of a table of all original timesteps, in the rank and dtype of x."""
    t = jnp.asarray(t)
    if not jnp.issubdtype(t.dtype, jnp.integer) or t.shape not in ((), (x.shape[0],)):
        raise InputError(f"t: found {described(t)}, expected integers, one or ({x.shape[0]},)")
    return jnp.asarray(table, x.dtype)[t].reshape(-1, *[1] * (x.ndim - 1))


def _called(model: Network, x: Array, t: Array, *, factor: int) -> Array:
    found = model(x, t)
    wanted = (*x.shape[:-1], factor * x.shape[-1])
    if not isinstance(found, jax.Array) or found.shape != wanted:
        shape = getattr(found, "shape", type(found).__name__)
        hint = "; is learned_variance as the network was trained?" if x.ndim == 4 else ""
        raise InputError(f"model: found an output {shape} for images {x.shape}, expected {wanted}{hint}")
    return found
