"""Noise levels of a diffusion: x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε, for timesteps t that a sampler visits.

A schedule is a value of the host: float64 tables, equal and hashable, static under `jit`. It always knows the levels of
all original timesteps, because networks were trained with those, and which of them a sampler visits.

Papers: Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020 (linear, posterior); Nichol,
Dhariwal, "Improved Denoising Diffusion Probabilistic Models", ICML 2021 (cosine, respacing).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import numpy as np

from jaxpr.core import InputError, check_count, check_positive, described, is_traced

__all__ = [
    "ReverseCoefficients",
    "Schedule",
    "cosine_schedule",
    "linear_schedule",
    "respaced",
    "reverse_between",
    "strided",
]

_LARGEST_BETA = 0.999
_COSINE_OFFSET = 0.008


class ReverseCoefficients(NamedTuple):
    """Of the Gaussian q(x_s | x_t, x_0) from a visited timestep t to the one before it, s; each (steps,), float64.

    Attributes:
        of_x0: what multiplies x_0 in the mean, β √ᾱ_s / (1 - ᾱ_t), β the noise added between s and t.
        of_x: what multiplies x_t in the mean, (1 - ᾱ_s) √(1 - β) / (1 - ᾱ_t).
        log_variance: of its variance β (1 - ᾱ_s) / (1 - ᾱ_t); at the first timestep, where that is zero, the second's.
        log_beta: log β, the larger choice of a variance.
    """

    of_x0: np.ndarray
    of_x: np.ndarray
    log_variance: np.ndarray
    log_beta: np.ndarray


@jax.tree_util.register_static
@dataclass(frozen=True, init=False)
class Schedule:
    """Which timesteps are visited, and how much noise each has.

    Args:
        betas: β of every original timestep, (T,) in (0, 1): ᾱ_t is the product of 1 - β up to t.
        timesteps: the original timesteps that are visited, ascending; all if not given.

    Raises:
        InputError: betas are no such numbers, or timesteps are not ascending integers in 0..T-1.
    """

    original_betas: tuple[float, ...]
    timesteps: tuple[int, ...]
    """Visited original timesteps, ascending."""

    def __init__(self, betas: Sequence[float] | np.ndarray, *, timesteps: Sequence[int] | None = None) -> None:
        if is_traced(betas):
            raise InputError("betas: found a traced array, expected concrete values; make the schedule outside jit")
        try:
            values = np.asarray(betas, np.float64)
        except (TypeError, ValueError):
            raise InputError(f"betas: found {described(betas)}, expected numbers (T,)") from None
        if values.ndim != 1 or values.size == 0 or not ((values > 0) & (values < 1)).all():
            raise InputError(f"betas: found {described(values)}, expected (T,) numbers between 0 and 1")
        visited = range(values.size) if timesteps is None else timesteps
        for t in visited:
            check_count("timesteps", t, at_least=0)
        visited = tuple(int(t) for t in visited)
        if not visited or visited[-1] >= values.size or any(a >= b for a, b in itertools.pairwise(visited)):
            raise InputError(f"timesteps: found {described(visited)}, expected ascending integers below {values.size}")
        object.__setattr__(self, "original_betas", tuple(values.tolist()))
        object.__setattr__(self, "timesteps", visited)

    @property
    def steps(self) -> int:
        """How many timesteps are visited."""
        return len(self.timesteps)

    @property
    def original_steps(self) -> int:
        """T, how many timesteps there are."""
        return len(self.original_betas)

    @property
    def original_alpha_bar(self) -> np.ndarray:
        """ᾱ of all original timesteps, (T,) float64."""
        return np.cumprod(1 - np.asarray(self.original_betas))

    @property
    def alpha_bar(self) -> np.ndarray:
        """ᾱ of the visited timesteps, (steps,) float64, falling."""
        return self.original_alpha_bar[list(self.timesteps)]

    @property
    def previous_alpha_bar(self) -> np.ndarray:
        """ᾱ of the timestep visited before each (nearer to the image), one for the first; (steps,) float64."""
        return np.append(1.0, self.alpha_bar[:-1])

    @property
    def betas(self) -> np.ndarray:
        """Noise added between visited timesteps, 1 - ᾱ_t / ᾱ_s, (steps,) float64."""
        return 1 - self.alpha_bar / self.previous_alpha_bar

    def reverse_coefficients(self) -> ReverseCoefficients:
        """Of q(x_s | x_t, x_0) for neighbouring visited timesteps s < t, equations (6) and (7) of DDPM."""
        return reverse_between(self.alpha_bar, self.previous_alpha_bar)


def reverse_between(alpha_bar: np.ndarray, previous: np.ndarray) -> ReverseCoefficients:
    """The coefficients of q(x_s | x_t, x_0) where ᾱ_t is `alpha_bar` and ᾱ_s is `previous`, elementwise."""
    betas = 1 - alpha_bar / previous
    variance = betas * (1 - previous) / (1 - alpha_bar)
    # The step to ᾱ = 1 has no noise; networks that learned a variance saw the next one's logarithm there.
    least = variance[variance > 0].min(initial=np.inf)
    variance = np.where(variance > 0, variance, least if np.isfinite(least) else betas)
    return ReverseCoefficients(
        betas * np.sqrt(previous) / (1 - alpha_bar),
        (1 - previous) * np.sqrt(1 - betas) / (1 - alpha_bar),
        np.log(variance),
        np.log(betas),
    )


def linear_schedule(steps: int = 1000, start: float = 1e-4, end: float = 0.02) -> Schedule:
    """Β from `start` to `end` in equal steps: the schedule of DDPM, and of all published networks here.

    Args:
        steps: T.
        start: the first β, in (0, 1).
        end: the last β, in (0, 1).

    Raises:
        InputError: steps is no positive integer, or a β is outside of (0, 1).
    """
    check_count("steps", steps)
    for name, value in (("start", start), ("end", end)):
        check_positive(name, value, scalar=True)
        if value >= 1:
            raise InputError(f"{name}: found {described(value)}, expected a number between 0 and 1")
    return Schedule(np.linspace(start, end, steps))


def cosine_schedule(*, steps: int = 1000) -> Schedule:
    """ᾱ along a squared cosine, each β at most 0.999, equation (17) of Nichol and Dhariwal.

    Args:
        steps: T.

    Raises:
        InputError: steps is no positive integer.
    """
    check_count("steps", steps)
    angle = (np.arange(steps + 1) / steps + _COSINE_OFFSET) / (1 + _COSINE_OFFSET) * np.pi / 2
    alpha_bar = np.cos(angle) ** 2
    return Schedule(np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], _LARGEST_BETA))


def respaced(schedule: Schedule, steps: int) -> Schedule:
    """Visit only `steps` of the visited timesteps, evenly from the first to the last, as DPS and RePaint do.

    Networks still get the original timestep; β is what lies between those that stay.

    Args:
        schedule: what to thin out.
        steps: how many stay, at least 2 (or all).

    Raises:
        InputError: steps is not such an integer or more than there are.
    """
    count = _check_steps(schedule, steps)
    if count == schedule.steps:
        return schedule
    if count < 2:
        raise InputError(f"steps: found {steps}, expected at least 2 to keep the first and the last timestep")
    stride = (schedule.steps - 1) / (count - 1)
    kept = [schedule.timesteps[round(i * stride)] for i in range(count)]
    return Schedule(schedule.original_betas, timesteps=kept)


def strided(schedule: Schedule, steps: int) -> Schedule:
    """Visit every (T // steps)-th timestep from the first on, as DDRM and DDNM do: of 1000 by 20 0, 50, ..., 950.

    Args:
        schedule: what to thin out.
        steps: how many stay.

    Raises:
        InputError: steps is no positive integer or more than there are.
    """
    count = _check_steps(schedule, steps)
    stride = schedule.steps // count
    return Schedule(schedule.original_betas, timesteps=schedule.timesteps[::stride][:count])


def _check_steps(schedule: Schedule, steps: int) -> int:
    if not isinstance(schedule, Schedule):
        raise InputError(f"schedule: found {described(schedule)}, expected a Schedule")
    check_count("steps", steps)
    if steps > schedule.steps:
        raise InputError(f"steps: found {steps}, expected at most the {schedule.steps} of the schedule")
    return int(steps)
