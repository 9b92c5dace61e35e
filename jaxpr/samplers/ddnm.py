"""DDNM and DDNM+: the null space from the denoiser, the rest from y.

Paper: Wang, Yu, Zhang, "Zero-Shot Image Restoration Using Denoising Diffusion Null-Space Model", ICLR 2023.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, InputError, Key, check_count, is_traced
from jaxpr.degradations import CUTOFF, LinearOperator
from jaxpr.diffusion import Denoiser, Schedule, strided
from jaxpr.samplers.guidance import Convention, Guidance, Rule, unknown_entries, unknown_pixels
from jaxpr.samplers.noise import Noise, Purpose
from jaxpr.samplers.spectrum import Spectrum, check_linear, spectrum_of
from jaxpr.samplers.times import travel_times
from jaxpr.samplers.trajectory import (
    Draw,
    Method,
    Numbers,
    PosteriorSamples,
    SamplingTask,
    SetState,
    check_share,
    checked_task,
    merged,
    sample_sets,
    split,
    visited,
)
from jaxpr.samplers.units import measurement_inside, std_inside

__all__ = ["ddnm"]

_STEPS = 100


def ddnm(
    key: Key,
    denoiser: Denoiser,
    y: ArrayLike,
    operator: LinearOperator,
    *,
    schedule: Schedule,
    samples: int,
    noise_std: float,
    guidance: Guidance | None = None,
    noise: Noise | None = None,
    steps: int | None = None,
    eta: float = 0.85,
    travel_length: int = 1,
    travel_repeat: int = 1,
    clip: bool = False,
    cutoff: float = CUTOFF,
    convention: Convention | None = None,
    trace: bool = False,
) -> PosteriorSamples:
    r"""Answers to y whose measured part is y's: DDNM without noise, DDNM+ with it.

    Without noise each prediction is projected, x̂ ← x̂ - A†(A x̂ - y), before the step; the answers agree with y to
    rounding. With noise the correction and the noise of a step are weighed for each singular value, V f(s) Vᵀ, so that
    y's noise is a part of the step's: for every operator of `degradations`, bicubic downsampling included, and whatever
    basis its decomposition has.

    Note:
        The published program weighs noise without Vᵀ before (harmless) and ε too (a change of basis that the paper does
        not have); that depends on its bases and is not reproduced. The weight of ε is zero on all of A's row space, as
        there.

    Args:
        key: one key, or one for each image of y.
        denoiser: on [-1, 1].
        y: measurements (N, h, w, c), in units of [0, 1].
        operator: A, that made y of images on [0, 1].
        schedule: noise levels; a thinned one is visited as it is.
        samples: answers to each y.
        noise_std: of y, in units of [0, 1] (the published program doubles it, too). Static: zero chooses DDNM.
        guidance: drives the answers apart; needs two samples.
        noise: given draws, "start" and, for each transition in either direction, "step" and "undo".
        steps: visited timesteps of a whole schedule, every (T // steps)-th; 100 if not given.
        eta: share of fresh noise in a step, 0 to 1.
        travel_length: positions of a jump back in time.
        travel_repeat: how often each stretch is walked; 1 for no jumps.
        clip: whether predictions are clipped to [-1, 1]; the published program does not.
        cutoff: smaller fractions of the largest singular value count as zero, with noise.
        convention: that of the guidance, or "paper", if not given; the two do not differ here without guidance.
        trace: whether the result has the whole way.

    Returns:
        The answers and their status.

    Raises:
        InputError: an argument is none of these; y does not fit the operator; one sample with guidance.
    """
    operator = check_linear(operator, sampler="ddnm")
    chosen = visited(schedule, steps, strided, _STEPS)
    if is_traced(noise_std):
        raise InputError("noise_std: found a traced value, expected a number: it chooses between DDNM and DDNM+")
    task = checked_task(
        denoiser,
        y,
        operator,
        schedule=chosen,
        samples=samples,
        noise_std=noise_std,
        guidance=guidance,
        convention=convention,
        clip=clip,
    )
    check_share("eta", eta)
    check_count("travel_length", travel_length)
    check_count("travel_repeat", travel_repeat)
    times = travel_times(chosen.steps, length=travel_length, repeats=travel_repeat)
    method = _method(task, operator, times, eta=eta, noise_std=float(noise_std), cutoff=cutoff)
    return sample_sets(key, task, method, noise=noise, trace=trace)


def _method(
    task: SamplingTask, operator: LinearOperator, times: list[int], *, eta: float, noise_std: float, cutoff: float
) -> Method:
    now, following = np.asarray(times[:-1]), np.asarray(times[1:])
    falls = following < now
    timesteps, levels = np.asarray(task.schedule.timesteps), np.append(task.schedule.alpha_bar, 1.0)
    plan = {
        "t": timesteps[np.minimum(now, len(timesteps) - 1)],
        "falls": falls.astype(np.int32),
        "signal": np.sqrt(levels[following]),  # position -1 is the image itself
        "noise": np.sqrt(1 - levels[following]),
    }
    factors = np.where(following < 0, 0, timesteps[np.maximum(following, 0)]) / task.schedule.original_steps
    official = Rule(unknown_pixels(operator), None, unknown_entries(operator, task.shape), factors)
    rule = task.rule(plan["t"], official)
    plan["factor"] = rule.factors
    spectrum = spectrum_of(task, operator, cutoff=cutoff) if noise_std > 0 else None
    y = task.repeated(measurement_inside(operator, task.y))
    noise_level = std_inside(noise_std).astype(task.y.dtype)
    share = jnp.asarray(eta, task.y.dtype)
    rest = jnp.sqrt(1 - share**2)

    def reverse(state: SetState, now: Numbers, z: Array) -> tuple[SetState, Array]:
        found, memory = task.predict(state.x, now["t"], state.memory)
        x0, moved = task.guided(rule, found.x0, now)
        if spectrum is None:
            projected = split(operator.project(merged(x0), y), task.samples)
            x = now["signal"] * projected + now["noise"] * (share * z + rest * found.eps)
        else:
            x = _noisy_step(spectrum, x0, found.eps, z, now, noise_level, (share, rest))
        return SetState(x, x0, memory), moved

    def travel(state: SetState, now: Numbers, z: Array) -> tuple[SetState, Array]:
        x = now["signal"] * state.x0 + now["noise"] * z
        return state._replace(x=x), jnp.zeros(x.shape[:2], bool)

    def step(state: SetState, now: Numbers, draw: Draw) -> tuple[SetState, Array]:
        if falls.all():
            return reverse(state, now, draw("step"))
        return jax.lax.cond(
            now["falls"] > 0,
            lambda: reverse(state, now, draw("step")),
            lambda: travel(state, now, draw("undo")),
        )

    purposes: list[tuple[Purpose, ...]] = [("step",) if fall else ("undo",) for fall in falls]
    return Method(lambda z: z, step, plan, purposes, int(falls.sum()))


def _noisy_step(
    spectrum: Spectrum, x0: Array, eps: Array, z: Array, now: Numbers, noise_level: Array, shares: tuple[Array, Array]
) -> Array:
    """DDNM+: where the step's noise level is below y's, y corrects less; else y's noise is a part of the step's."""
    (signal, level), (share, rest) = (now["signal"], now["noise"]), shares
    from_y = signal * noise_level * spectrum.inverse  # the level of y's noise in each coefficient of the next x
    below = level < from_y
    correction = jnp.where(below, rest * level / jnp.where(below, from_y, 1), 1)
    fresh = jnp.where(spectrum.observed & ~below, jnp.sqrt(jnp.maximum(level**2 - from_y**2, 0)), share * level)
    predicted = spectrum.to(x0)
    corrected = predicted - correction * jnp.where(spectrum.observed, predicted - spectrum.data, 0)
    kept = jnp.where(spectrum.observed, 0, rest * level)
    return spectrum.back(signal * corrected + fresh * spectrum.to(z) + kept * spectrum.to(eps))
