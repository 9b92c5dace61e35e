"""DPS: steps of DDPM, each followed by one along the gradient of the distance to y, through the denoiser.

Paper: Chung, Kim, McCann, Klasky, Ye, "Diffusion Posterior Sampling for General Noisy Inverse Problems", ICLR 2023.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, InputError, Key, check_positive, described
from jaxpr.degradations import Inpainting, LinearOperator
from jaxpr.degradations.linear import check_shape
from jaxpr.diffusion import CachedDenoiser, Denoiser, Prediction, Schedule, respaced
from jaxpr.numerics import safe_sqrt
from jaxpr.samplers.ancestral import ancestral_plan, ancestral_step
from jaxpr.samplers.guidance import Convention, Guidance, Rule, unknown_entries, unknown_pixels
from jaxpr.samplers.noise import Noise, Purpose
from jaxpr.samplers.trajectory import (
    Draw,
    Method,
    Numbers,
    PosteriorSamples,
    SamplingTask,
    SetState,
    checked_task,
    merged,
    refuse_degradation,
    sample_sets,
    split,
    visited,
)
from jaxpr.samplers.units import measurement_inside, residual_inside

__all__ = ["Conditioning", "dps"]

_STEPS = 1000

Conditioning: TypeAlias = Literal["ps", "mcg"]
"""Posterior sampling by the gradient alone, or manifold-constrained gradients, which project as well."""


def dps(
    key: Key,
    denoiser: Denoiser,
    y: ArrayLike,
    operator: LinearOperator | Callable[[Array], Array],
    *,
    schedule: Schedule,
    samples: int,
    noise_std: ArrayLike,
    guidance: Guidance | None = None,
    noise: Noise | None = None,
    steps: int | None = None,
    scale: ArrayLike = 1.0,
    conditioning: Conditioning = "ps",
    shape: tuple[int, int, int] | None = None,
    clip: bool = True,
    convention: Convention | None = None,
    trace: bool = False,
) -> PosteriorSamples:
    r"""Answers to y by Algorithm 1 of DPS: x ← x' - scale ∇ ‖y - A x̂(x_t)‖, x' a step of DDPM from x_t.

    The gradient goes through the denoiser, the clipping and the guidance; the norm is each image's own, on [-1, 1]. A
    gradient through the whole run keeps states alone and computes each step again.

    Note:
        As the published program, of the norm, not of its square: the paper's step ζ_i = ζ' / ‖y - A x̂‖ on the squared
        norm is a `scale` of 2 ζ'. The published program of DPS takes one norm of a batch; here, as in the program of
        [cohen2024md], an image's answers do not depend on others. Answers are biased whatever the number of steps.

    Args:
        key: one key, or one for each image of y.
        denoiser: on [-1, 1], differentiable; a learned variance is used.
        y: measurements (N, h, w, c), in units of [0, 1].
        operator: A: any differentiable function of images (N, H, W, C) in [0, 1], linear or not.
        schedule: noise levels; a thinned one is visited as it is.
        samples: answers to each y.
        noise_std: of y, in units of [0, 1]. The method does not use it, `scale` does that; it is checked.
        guidance: drives the answers apart; needs two samples.
        noise: given draws, "start" and "step", with "mcg" also "measurement".
        steps: visited timesteps of a whole schedule, evenly from first to last; 1000 if not given. Fewer need a larger
            scale.
        scale: of the gradient's step, on [-1, 1]. [cohen2024md] takes 2 for inpainting, 10 and 3 for faces and others
            without noise, 1 with noise.
        conditioning: "ps", or "mcg" for linear operators: after the gradient, what A sees becomes a noisy copy of y.
        shape: (H, W, C) of an image, where the operator does not tell.
        clip: whether predictions are clipped to [-1, 1], before and after guidance.
        convention: that of the guidance, or "paper", if not given; without guidance it matters to "mcg" on masks only,
            which the published program mistakes.
        trace: whether the result has the whole way.

    Returns:
        The answers and their status.

    Raises:
        InputError: an argument is none of these; y does not fit the operator; one sample with guidance.
    """
    if isinstance(denoiser, CachedDenoiser):
        raise InputError("denoiser: found a CachedDenoiser, expected a whole one: dps differentiates through it")
    linear = operator if isinstance(operator, LinearOperator) else None
    _check_conditioning(conditioning, linear)
    task = checked_task(
        denoiser,
        y,
        operator,
        shape=_shape_of(operator, shape),
        schedule=visited(schedule, steps, respaced, _STEPS),
        samples=samples,
        noise_std=noise_std,
        guidance=guidance,
        convention=convention,
        clip=clip,
    )
    _check_measured(task)
    check_positive("scale", scale, or_zero=True, scalar=True)
    method = _method(task, scale=scale, projected=linear if conditioning == "mcg" else None)
    return sample_sets(key, task, method, noise=noise, trace=trace)


def _check_conditioning(conditioning: str, linear: LinearOperator | None) -> None:
    if conditioning not in ("ps", "mcg"):
        raise InputError(f"conditioning: found {described(conditioning)}, expected 'ps' or 'mcg'")
    if conditioning == "mcg" and linear is None:
        raise InputError("conditioning: found 'mcg' with a function, expected 'ps', or a linear operator")


def _shape_of(operator: Any, shape: Any) -> tuple[int, ...]:
    refuse_degradation(operator)
    if not callable(operator):
        raise InputError(f"operator: found {described(operator)}, expected a function of images")
    own = tuple(operator.shape) if isinstance(operator, LinearOperator) else None
    if shape is None and own is None:
        raise InputError("shape: found None, expected (H, W, C) of an image, which this operator does not tell")
    given = own if shape is None else check_shape(shape)
    if own is not None and given != own:
        raise InputError(f"shape: found {given}, expected {own}, as the operator's")
    return given  # type: ignore[return-value]


def _check_measured(task: SamplingTask) -> None:
    images = jax.ShapeDtypeStruct((task.y.shape[0], *task.shape), task.y.dtype)
    made = jax.eval_shape(task.operator, images).shape
    if made != task.y.shape:
        raise InputError(f"y: found shape {task.y.shape}, expected {made}, as the operator makes it")


def _method(task: SamplingTask, *, scale: ArrayLike, projected: LinearOperator | None) -> Method:
    positions = np.arange(task.schedule.steps)[::-1]
    plan = ancestral_plan(task.schedule, positions)
    levels = np.append(1.0, task.schedule.alpha_bar)[positions]
    plan |= {"next_signal": np.sqrt(levels), "next_noise": np.sqrt(1 - levels)}
    rule = task.rule(plan["t"], _official_rule(task, positions))
    plan["factor"] = rule.factors
    y, length = task.repeated(task.y), jnp.asarray(scale, task.y.dtype)

    def step(state: SetState, now: Numbers, draw: Draw) -> tuple[SetState, Array]:
        def distance(x: Array) -> tuple[Array, tuple[Prediction, Array, Array]]:
            found, _ = task.predict(x, now["t"], None)
            x0, moved = task.guided(rule, found.x0, now)
            gaps = residual_inside(task.operator, merged(x0), y)
            norms = safe_sqrt(jnp.sum(gaps.reshape(gaps.shape[0], -1) ** 2, axis=1))
            return jnp.sum(norms), (found, x0, moved)

        slope, (found, x0, moved) = jax.grad(distance, has_aux=True)(state.x)
        x = ancestral_step(found, x0, state.x, now, draw("step")) - length * slope
        if projected is not None:
            x = _project(task, projected, x, now, draw("measurement"))
        return SetState(x, x0), moved

    purposes: list[tuple[Purpose, ...]] = [("step",) if projected is None else ("step", "measurement")]
    return Method(lambda z: z, step, plan, purposes * positions.size, positions.size)


def _project(task: SamplingTask, operator: LinearOperator, x: Array, now: Numbers, z: Array) -> Array:
    """What A sees becomes y at the noise level of x; as the published program has it, y at the level before it."""
    y = measurement_inside(operator, task.y)[None]
    if task.convention == "official" and isinstance(operator, Inpainting):
        noisy = merged(now["signal"] * y + now["noise"] * z)
        return split(noisy - operator.adjoint(operator(noisy)) - operator(merged(x)), task.samples)
    noisy = merged(now["next_signal"] * y + now["next_noise"] * z)
    return split(operator.project(merged(x), noisy), task.samples)


def _official_rule(task: SamplingTask, positions: np.ndarray) -> Rule:
    size = unknown_entries(task.operator, task.shape)
    if isinstance(task.operator, Inpainting):
        size /= task.shape[2]  # pixels, not entries
    return Rule(unknown_pixels(task.operator), None, size, positions / task.schedule.steps)
