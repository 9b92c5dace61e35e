"""RePaint: inpainting by pasting noisy known pixels and going back and forth in time.

Paper: Lugmayr, Danelljan, Romero, Yu, Timofte, Van Gool, "RePaint: Inpainting using Denoising Diffusion Probabilistic
Models", CVPR 2022.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, InputError, Key, check_count, is_traced
from jaxpr.degradations import Inpainting, LinearOperator
from jaxpr.diffusion import Denoiser, Schedule, respaced
from jaxpr.samplers.ancestral import ancestral_plan, ancestral_step
from jaxpr.samplers.guidance import Convention, Guidance, Rule, unknown_entries, unknown_pixels
from jaxpr.samplers.noise import Noise, Purpose
from jaxpr.samplers.times import travel_times
from jaxpr.samplers.trajectory import (
    Draw,
    Method,
    Numbers,
    PosteriorSamples,
    SamplingTask,
    SetState,
    checked_task,
    refuse_degradation,
    sample_sets,
    visited,
)
from jaxpr.samplers.units import measurement_inside

__all__ = ["repaint"]

_STEPS = 250


def repaint(
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
    jump_length: int = 10,
    jump_repeat: int = 10,
    clip: bool = True,
    convention: Convention | None = None,
    trace: bool = False,
) -> PosteriorSamples:
    r"""Answers to an image with missing pixels, Algorithm 1 of RePaint; known pixels are y's exactly.

    Before each step of DDPM but the first the known pixels become y at the noise level of the state. Every
    `jump_length` steps the state goes back up by as many, `jump_repeat` times in all, so that both parts agree.

    Note:
        The published program pastes nothing after the last step, so its known pixels are nearly y's. That is the
        convention "official" here; in the paper's, as by default, they are.

    Args:
        key: one key, or one for each image of y.
        denoiser: on [-1, 1]; a learned variance is used.
        y: images in [0, 1], (N, H, W, C); whatever at unknown pixels.
        operator: Inpainting, which tells which pixels are known.
        schedule: noise levels; a thinned one is visited as it is.
        samples: answers to each y.
        noise_std: of y; must be zero.
        guidance: drives the answers apart; needs two samples.
        noise: given draws, "start" and, for each transition, "step" and "known" or "undo".
        steps: visited timesteps of a whole schedule, evenly from first to last; 250 if not given.
        jump_length: steps of one jump.
        jump_repeat: how often each stretch is walked; 1 for no jumps.
        clip: whether predictions are clipped to [-1, 1], before and after guidance.
        convention: "paper" or "official"; if not given, that of the guidance, or "paper".
        trace: whether the result has the whole way.

    Returns:
        The answers and their status.

    Raises:
        InputError: an argument is none of these; the operator is another or y noisy; one sample with guidance.
    """
    refuse_degradation(operator)
    if not isinstance(operator, Inpainting):
        kind = type(operator).__name__
        raise InputError(
            f"operator: found {kind}, expected Inpainting for repaint; ddrm and ddnm take other linear ones"
        )
    if is_traced(noise_std) or (np.ndim(noise_std) == 0 and noise_std != 0):
        raise InputError(
            f"noise_std: found {noise_std}, expected 0 for repaint, which keeps y as it is; use ddrm, ddnm or dps"
        )
    task = checked_task(
        denoiser,
        y,
        operator,
        schedule=visited(schedule, steps, respaced, _STEPS),
        samples=samples,
        noise_std=noise_std,
        guidance=guidance,
        convention=convention,
        clip=clip,
    )
    check_count("jump_length", jump_length)
    check_count("jump_repeat", jump_repeat)
    times = travel_times(task.schedule.steps, length=jump_length, repeats=jump_repeat)
    exact = None if task.convention == "official" else _known(operator)
    return sample_sets(key, task, _method(task, operator, times), noise=noise, trace=trace, exact=exact)


def _method(task: SamplingTask, operator: Inpainting, times: list[int]) -> Method:
    now, following = np.asarray(times[:-1]), np.asarray(times[1:])
    falls = following < now
    betas = task.schedule.betas[np.maximum(following, 0)]
    plan = {
        **ancestral_plan(task.schedule, now),
        "falls": falls.astype(np.int32),
        "kept": np.sqrt(1 - betas),  # of a step back in time
        "added": np.sqrt(betas),
    }
    size = task.samples * unknown_entries(operator, task.shape)
    official = Rule(unknown_pixels(operator), None, size, now / task.schedule.steps, free_first=True)
    rule = task.rule(plan["t"], official)
    plan["factor"] = rule.factors
    known = _known(operator)[None, None]
    y = measurement_inside(operator, task.y)[None]

    def reverse(state: SetState, now: Numbers, draw: Draw) -> tuple[SetState, Array]:
        z = draw("step")
        pasted = now["signal"] * y + now["noise"] * draw("known")
        x = jnp.where(known & ~now["first"], pasted, state.x)
        found, memory = task.predict(x, now["t"], state.memory)
        x0, moved = task.guided(rule, found.x0, now)
        return SetState(ancestral_step(found, x0, x, now, z), x0, memory), moved

    def undo(state: SetState, now: Numbers, draw: Draw) -> tuple[SetState, Array]:
        x = now["kept"] * state.x + now["added"] * draw("undo")
        return state._replace(x=x), jnp.zeros(x.shape[:2], bool)

    def step(state: SetState, now: Numbers, draw: Draw) -> tuple[SetState, Array]:
        if falls.all():
            return reverse(state, now, draw)
        return jax.lax.cond(now["falls"] > 0, lambda: reverse(state, now, draw), lambda: undo(state, now, draw))

    purposes: list[tuple[Purpose, ...]] = [("step", "known") if fall else ("undo",) for fall in falls]
    purposes[0] = ("step",)
    return Method(lambda z: z, step, plan, purposes, int(falls.sum()))


def _known(operator: Inpainting) -> Array:
    """(H, W, 1), true where a pixel is known."""
    return jnp.asarray(operator.mask)[:, :, None]
