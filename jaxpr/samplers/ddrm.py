"""DDRM: diffusion in the singular vectors of A, with y's noise a part of the diffusion's.

Paper: Kawar, Elad, Ermon, Song, "Denoising Diffusion Restoration Models", NeurIPS 2022.
"""

import math

import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, Key
from jaxpr.degradations import CUTOFF, LinearOperator
from jaxpr.diffusion import Denoiser, Schedule, strided
from jaxpr.samplers.guidance import Convention, Guidance, Rule
from jaxpr.samplers.noise import Noise
from jaxpr.samplers.spectrum import check_linear, spectrum_of
from jaxpr.samplers.trajectory import (
    Draw,
    Method,
    Numbers,
    PosteriorSamples,
    SamplingTask,
    SetState,
    check_share,
    checked_task,
    sample_sets,
    visited,
)
from jaxpr.samplers.units import std_inside

__all__ = ["ddrm"]

_STEPS = 20


def ddrm(
    key: Key,
    denoiser: Denoiser,
    y: ArrayLike,
    operator: LinearOperator,
    *,
    schedule: Schedule,
    samples: int,
    noise_std: ArrayLike,
    guidance: Guidance | None = None,
    noise: Noise | None = None,
    steps: int | None = None,
    eta: float = 0.85,
    eta_b: float = 1.0,
    clip: bool = False,
    cutoff: float = CUTOFF,
    convention: Convention | None = None,
    trace: bool = False,
) -> PosteriorSamples:
    r"""Answers to y by equations (7) and (8) of DDRM, with σ = √(1 - ᾱ) / √ᾱ and ȳ = Uᵀ y / s.

    In each coefficient of Vᵀ x: where A sees nothing, a DDIM step with a share η of fresh noise; where y's noise
    σ_y / s is above the level of the step, the same towards ȳ; elsewhere η_b ȳ + (1 - η_b) x̂ with noise up to the
    level. Guidance moves the first kind only, so it does nothing where A has no null space.

    Note:
        The published program takes σ_y / s = σ for the first kind: without noise in y its last step drops y, and the
        result is the denoiser's. It scales the first state by 1 / σ_T for √ᾱ_T. Both in the convention "official" only.

    Args:
        key: one key, or one for each image of y.
        denoiser: on [-1, 1]; a learned variance is not used.
        y: measurements (N, h, w, c), in units of [0, 1].
        operator: A, that made y of images on [0, 1]; with its decomposition, of any size.
        schedule: noise levels; a thinned one is visited as it is.
        samples: answers to each y.
        noise_std: of y, in units of [0, 1] (the published program doubles it, too). Traced.
        guidance: drives the answers apart; needs two samples.
        noise: given draws, "start" and "step", in pixels: V z for coefficients z.
        steps: visited timesteps of a whole schedule, every (T // steps)-th; 20 if not given.
        eta: η_A and η_C, share of fresh noise, 0 to 1.
        eta_b: η_b, weight of ȳ, 0 to 1.
        clip: whether predictions are clipped to [-1, 1]; the published program does not.
        cutoff: smaller fractions of the largest singular value count as zero; without noise it bounds the consistency
            (the published program cuts bicubic downsampling at 0.03, which leaves about 54 dB).
        convention: "paper" or "official"; if not given, that of the guidance, or "paper".
        trace: whether the result has the whole way.

    Returns:
        The answers and their status.

    Raises:
        InputError: an argument is none of these; y does not fit the operator; one sample with guidance.
    """
    operator = check_linear(operator, sampler="ddrm")
    task = checked_task(
        denoiser,
        y,
        operator,
        schedule=visited(schedule, steps, strided, _STEPS),
        samples=samples,
        noise_std=noise_std,
        guidance=guidance,
        convention=convention,
        clip=clip,
    )
    check_share("eta", eta)
    check_share("eta_b", eta_b)
    method = _method(task, operator, eta=eta, eta_b=eta_b, noise_std=noise_std, cutoff=cutoff)
    return sample_sets(key, task, method, noise=noise, trace=trace)


def _method(
    task: SamplingTask, operator: LinearOperator, *, eta: float, eta_b: float, noise_std: ArrayLike, cutoff: float
) -> Method:
    levels = np.append(1.0, task.schedule.alpha_bar)
    now, following = levels[:0:-1], levels[-2::-1]
    timesteps = np.append(-1, task.schedule.timesteps)
    plan = {
        "t": timesteps[:0:-1],
        "signal": np.sqrt(now),
        "noise": np.sqrt(1 - now),
        "next_signal": np.sqrt(following),
        "level": np.sqrt((1 - following) / following),
    }
    factors = np.maximum(timesteps[-2::-1], 0) / task.schedule.original_steps
    rule = task.rule(plan["t"], Rule(None, None, jnp.float32(math.prod(task.shape)), factors))
    plan["factor"] = rule.factors
    spectrum, dtype = spectrum_of(task, operator, cutoff=cutoff), task.y.dtype
    noise_level = std_inside(noise_std).astype(dtype)
    share, weight = jnp.asarray(eta, dtype), jnp.asarray(eta_b, dtype)
    rest = jnp.sqrt(1 - share**2)
    from_y = noise_level * spectrum.inverse  # the level of y's noise in each observed coefficient

    def seen(level: Array) -> Array:
        """Where y is better than the level."""
        strictly = task.convention == "official"
        return spectrum.observed & ((level > from_y) if strictly else (level >= from_y))

    def init(z: Array) -> Array:
        level = float(np.sqrt((1 - levels[-1]) / levels[-1]))
        coefficients = spectrum.to(z)
        known = spectrum.data + jnp.sqrt(jnp.maximum(level**2 - from_y**2, 0)) * coefficients
        first = jnp.where(seen(jnp.asarray(level, dtype)), known, level * coefficients)
        scale = 1 / level if task.convention == "official" else float(np.sqrt(levels[-1]))
        return scale * spectrum.back(first)

    def step(state: SetState, now: Numbers, draw: Draw) -> tuple[SetState, Array]:
        found, memory = task.predict(state.x, now["t"], state.memory)
        x0, moved = task.guided(rule, found.x0, now)
        eps = found.eps if task.guidance is None else (state.x - now["signal"] * x0) / now["noise"]
        level, z, plain = now["level"], spectrum.to(draw("step")), spectrum.to(found.x0)
        unseen = spectrum.to(x0) + level * (rest * spectrum.to(eps) + share * z)
        towards = jnp.where(noise_level > 0, spectrum.data - plain, 0) / jnp.where(from_y > 0, from_y, 1)
        doubtful = plain + level * (rest * towards + share * z)
        spread = jnp.sqrt(jnp.maximum(level**2 - (weight * from_y) ** 2, 0))
        known = weight * spectrum.data + (1 - weight) * plain + spread * z
        below = spectrum.observed & (level < from_y)
        coefficients = jnp.where(seen(level), known, jnp.where(below, doubtful, unseen))
        x = now["next_signal"] * spectrum.back(coefficients)
        return SetState(x, x0, memory), moved

    steps = task.schedule.steps
    return Method(init, step, plan, [("step",)] * steps, steps)
