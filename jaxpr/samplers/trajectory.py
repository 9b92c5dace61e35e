"""What the four samplers share: states of sets, one scan over all transitions, the result and its status."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import (
    Array,
    ArrayLike,
    InputError,
    Key,
    check_count,
    check_images,
    check_positive,
    described,
    is_traced,
)
from jaxpr.degradations import Degradation, Inpainting, LinearOperator
from jaxpr.diffusion import CachedDenoiser, Denoiser, Prediction, Schedule
from jaxpr.samplers.guidance import Convention, Guidance, Rule, check_convention, paper_rule, push_apart
from jaxpr.samplers.noise import Noise, Purpose, supply
from jaxpr.samplers.units import image_outside

__all__ = [
    "Method",
    "PosteriorSamples",
    "SetState",
    "SamplingTask",
    "Trace",
    "check_share",
    "merged",
    "checked_task",
    "refuse_degradation",
    "sample_sets",
    "split",
    "visited",
]

Draw: TypeAlias = Callable[[Purpose], Array]
Numbers: TypeAlias = Mapping[str, Array]


class Trace(NamedTuple):
    """The whole way, inside: images on [-1, 1] at their noise levels.

    Attributes:
        start: the first state, (samples, N, H, W, C).
        x: the state after each transition, (transitions, samples, N, H, W, C).
        x0: the last prediction of the image, guided, after each transition; same shape.
    """

    start: Array
    x: Array
    x0: Array


class PosteriorSamples(NamedTuple):
    """Answers to N measurements, and what became of them.

    Attributes:
        x: (samples, N, H, W, C), in units of [0, 1], not clipped.
        finite: (samples, N), false where an image has NaN or infinite values.
        saturated: (samples, N), share of values outside of [0, 1].
        residual: (samples, N), root of the mean squared A x - y over what was measured, in units of [0, 1]: about the
            noise level for a consistent answer, about zero without noise.
        pushed: (samples, N), share of predictions that guidance moved; zero without it.
        network_calls: how often the network was asked for each image of each sample; an integer, known before the run
            (see `network_calls`), under `jit` an array like all results.
        trace: the way, if asked for.
    """

    x: Array
    finite: Array
    saturated: Array
    residual: Array
    pushed: Array
    network_calls: int
    trace: Trace | None = None


class FeatureMemory(NamedTuple):
    """What a denoiser's network is to remember along a trajectory.

    Attributes:
        features: of the last call of the whole network.
        calls: of the denoiser so far.
    """

    features: Any
    calls: Array


class SetState(NamedTuple):
    """What a transition takes and gives; sets of images on [-1, 1].

    Attributes:
        x: (samples, N, H, W, C), at its noise level.
        x0: the last prediction of the image, same shape.
        memory: of a denoiser that reuses features; None for others.
    """

    x: Array
    x0: Array
    memory: FeatureMemory | None = None


class Method(NamedTuple):
    """A sampler as an iterative method.

    Attributes:
        init: standard normal draws -> the first state's x.
        step: (state, numbers of this transition, draws by purpose) -> (state, which predictions guidance moved).
        plan: the numbers of all transitions, each (transitions,).
        purposes: for what each transition draws.
        network_calls: how many transitions ask the network.
    """

    init: Callable[[Array], Array]
    step: Callable[[SetState, Numbers, Draw], tuple[SetState, Array]]
    plan: Mapping[str, np.ndarray]
    purposes: list[tuple[Purpose, ...]]
    network_calls: int


class SamplingTask(NamedTuple):
    """What is asked of a sampler, checked.

    Attributes:
        denoiser: on [-1, 1].
        y: (N, h, w, c), in units of [0, 1], float32 or wider.
        operator: what made y of an image on [0, 1].
        shape: (H, W, C) of one image.
        samples: of each set.
        schedule: with the visited timesteps.
        guidance: None also where it is known to change nothing.
        convention: for all that is not guidance.
        clip: whether predictions are clipped to [-1, 1].
    """

    denoiser: Denoiser
    y: Array
    operator: Callable[[Array], Array]
    shape: tuple[int, ...]
    samples: int
    schedule: Schedule
    guidance: Guidance | None
    convention: Convention
    clip: bool

    @property
    def set_shape(self) -> tuple[int, ...]:
        """(samples, N, H, W, C)."""
        return (self.samples, self.y.shape[0], *self.shape)

    def predict(self, x: Array, t: Array, memory: FeatureMemory | None) -> tuple[Prediction, FeatureMemory | None]:
        """The denoiser on sets, x0 clipped if asked for; the network sees one batch (N * samples, H, W, C)."""
        images, times = merged(x), jnp.full(x.shape[0] * x.shape[1], t, jnp.int32)
        denoiser = self.denoiser
        if memory is None or not isinstance(denoiser, CachedDenoiser):
            found = denoiser(images, times)
        else:
            features, calls = memory
            found, features = jax.lax.cond(
                calls % denoiser.every == 0,
                lambda: denoiser.whole(images, times),
                lambda: (denoiser.shallow(images, times, features), features),
            )
            memory = FeatureMemory(features, calls + 1)
        found = jax.tree.map(lambda part: split(part, self.samples), found)
        return found._replace(x0=self.clipped(found.x0)), memory

    def blank_memory(self) -> FeatureMemory | None:
        """Of features that the first call replaces."""
        if not isinstance(self.denoiser, CachedDenoiser) or self.denoiser.every == 1:
            return None
        images = jax.ShapeDtypeStruct((self.samples * self.y.shape[0], *self.shape), self.y.dtype)
        times = jax.ShapeDtypeStruct(images.shape[:1], jnp.int32)
        _, features = jax.eval_shape(self.denoiser.whole, images, times)
        blank = jax.tree.map(lambda part: jnp.zeros(part.shape, part.dtype), features)
        return FeatureMemory(blank, jnp.zeros((), jnp.int32))

    def clipped(self, x0: Array) -> Array:
        """X0 within [-1, 1] if asked for."""
        return jnp.clip(x0, -1, 1) if self.clip else x0

    def rule(self, t: np.ndarray, official: Rule) -> Rule:
        """The documented convention for predictions at timesteps t, (transitions,), or that of a sampler's program."""
        if self.guidance is None or self.guidance.convention == "paper":
            return paper_rule(self.operator, self.shape, t / self.schedule.original_steps)
        return official

    def guided(self, rule: Rule | None, x0: Array, now: Numbers) -> tuple[Array, Array]:
        """Predictions after guidance, and which of them it moved."""
        if self.guidance is None or rule is None:
            return x0, jnp.zeros(x0.shape[:2], bool)
        moved, which = push_apart(self.guidance, rule, x0, now["factor"], now["first"])
        return self.clipped(moved), which

    def repeated(self, y: Array) -> Array:
        """(N, ...) for every sample, (N * samples, ...)."""
        return merged(jnp.broadcast_to(y[None], (self.samples, *y.shape)))


def merged(x: Array) -> Array:
    """(samples, N, ...) -> (N * samples, ...): images first, so that a batch spread over devices stays so."""
    return jnp.swapaxes(x, 0, 1).reshape(-1, *x.shape[2:])


def split(x: Array, samples: int) -> Array:
    """(N * samples, ...) -> (samples, N, ...), the inverse of `merged`."""
    return jnp.swapaxes(x.reshape(-1, samples, *x.shape[1:]), 0, 1)


def checked_task(
    denoiser: Denoiser,
    y: ArrayLike,
    operator: Any,
    *,
    shape: Sequence[int] | None = None,
    schedule: Schedule,
    samples: int,
    noise_std: ArrayLike,
    guidance: Guidance | None,
    convention: Convention | None,
    clip: bool,
) -> SamplingTask:
    """Check what all samplers are given; nothing is computed yet but shapes.

    Linear operators tell the shapes of images and of y; for a function `shape` is that of an image.

    Raises:
        InputError: y does not fit the operator, samples is no positive integer or 1 with guidance, noise_std is
            negative, guidance is none, or the denoiser gives no `Prediction` of the images' shape.
    """
    check_images("y", y, overshoot=1.0)
    if np.shape(y)[0] == 0:
        raise InputError("y: found no measurements, expected at least one")
    if isinstance(operator, LinearOperator):
        shape, made = operator.shape, operator.output_shape
        if np.shape(y)[1:] != tuple(made):
            raise InputError(f"y: found shape {np.shape(y)}, expected (N, {', '.join(map(str, made))})")
    check_count("samples", samples)
    check_positive("noise_std", noise_std, or_zero=True, scalar=True)
    if guidance is not None and not isinstance(guidance, Guidance):
        raise InputError(f"guidance: found {described(guidance)}, expected a Guidance or None")
    if guidance is not None and samples < 2:
        raise InputError("samples: found 1, expected at least 2 with guidance, which moves answers of a set apart")
    if convention is None:
        convention = "paper" if guidance is None else guidance.convention
    check_convention(convention)
    y = jnp.asarray(y)
    y = y if y.dtype == jnp.float64 else y.astype(jnp.float32)
    y = operator(y) if isinstance(operator, Inpainting) else y  # zeros where nothing is known, whatever is there
    plain = guidance is None or guidance.is_plain
    shape = tuple(shape or ())
    task = SamplingTask(denoiser, y, operator, shape, samples, schedule, None if plain else guidance, convention, clip)
    _check_denoiser(denoiser, (samples * y.shape[0], *shape), y.dtype)
    return task


def refuse_degradation(operator: Any) -> None:
    """Raise for a `Degradation`, which draws noise as well; it tells its operator for images of a shape."""
    if isinstance(operator, Degradation):
        raise InputError("operator: found a Degradation, expected its linear part, operator(shape), and its noise_std")


def _check_denoiser(denoiser: Denoiser, shape: tuple[int, ...], dtype: Any) -> None:
    if not callable(denoiser):
        raise InputError(f"denoiser: found {described(denoiser)}, expected a function of images and timesteps")
    images, times = jax.ShapeDtypeStruct(shape, dtype), jax.ShapeDtypeStruct(shape[:1], jnp.int32)
    found = jax.eval_shape(denoiser, images, times)
    if not isinstance(found, Prediction):
        kind = type(found).__name__
        raise InputError(f"denoiser: found an output of type {kind}, expected a Prediction, as from_eps() gives one")
    for name, part in found._asdict().items():
        if part is not None and part.shape != shape:
            raise InputError(f"denoiser: found {name} of shape {part.shape} for images {shape}, expected the same")


def sample_sets(
    key: Key, task: SamplingTask, method: Method, *, noise: Noise | None, trace: bool, exact: Array | None = None
) -> PosteriorSamples:
    """Run a method from noise to images, in one scan.

    Args:
        key: one, or one for each image.
        task: what is asked.
        method: how.
        noise: given draws.
        trace: whether to keep the way.
        exact: (H, W, 1), true where the result is y itself.
    """
    shapes = {name: task.set_shape for name in ("start", "step", "undo", "known")}
    shapes["measurement"] = (task.samples, *task.y.shape)
    draws = supply(key, noise, purposes=method.purposes, shapes=shapes, dtype=task.y.dtype)
    start = method.init(draws.start)

    def transition(carry: tuple[SetState, Array], inputs: tuple[Any, ...]) -> tuple[Any, Any]:
        state, pushed = carry
        number, now, given = inputs
        now = {**now, "first": number == 0}
        state, moved = method.step(state, now, lambda purpose: draws.draw(purpose, number, given))
        return (state, pushed + moved.astype(jnp.int32)), ((state.x, state.x0) if trace else None)

    plan = {name: _numbers(values, task.y.dtype) for name, values in method.plan.items()}
    numbers = jnp.arange(len(method.purposes), dtype=jnp.int32)
    carry = (SetState(start, jnp.zeros_like(start), task.blank_memory()), jnp.zeros(start.shape[:2], jnp.int32))
    # A gradient through the run, as attacks take it, keeps states alone and computes each transition again.
    body = jax.checkpoint(transition, prevent_cse=False)
    (state, pushed), way = jax.lax.scan(body, carry, (numbers, plan, draws.given))
    kept = None if way is None else Trace(start, *way)
    x = image_outside(state.x)
    if exact is not None:
        x = jnp.where(exact[None, None], task.y[None], x)
    return PosteriorSamples(
        x=x,
        finite=jnp.all(jnp.isfinite(x), axis=(2, 3, 4)),
        saturated=jnp.mean(((x < 0) | (x > 1)).astype(x.dtype), axis=(2, 3, 4)),
        residual=_residual(task, x),
        pushed=pushed.astype(x.dtype) / method.network_calls,
        network_calls=method.network_calls,
        trace=kept,
    )


def _numbers(values: np.ndarray, dtype: Any) -> Array:
    return jnp.asarray(values, jnp.int32 if np.issubdtype(values.dtype, np.integer) else dtype)


def _residual(task: SamplingTask, x: Array) -> Array:
    """Of images in [0, 1], over what was measured: the known pixels alone where y has zeros for the others."""
    gaps = task.operator(merged(x)) - task.repeated(task.y)
    squares = jnp.sum(split(gaps, task.samples) ** 2, axis=(2, 3, 4))
    size = jnp.asarray(math.prod(task.y.shape[1:]), x.dtype)
    if isinstance(task.operator, Inpainting):
        known = jnp.sum(jnp.asarray(task.operator.mask), dtype=x.dtype)
        size = jnp.maximum(known, 1) * task.y.shape[-1]
    return jnp.sqrt(squares / size)


def visited(schedule: Any, steps: int | None, thin: Callable[[Schedule, int], Schedule], default: int) -> Schedule:
    """The timesteps a sampler visits.

    Args:
        schedule: all timesteps, or those to visit.
        steps: how many; if not given, the published number of a whole schedule, and all of a thinned one.
        thin: how the sampler's authors choose them.
        default: the published number.

    Raises:
        InputError: schedule is none, steps is no such number, or both choose.
    """
    if not isinstance(schedule, Schedule):
        raise InputError(f"schedule: found {described(schedule)}, expected a Schedule")
    if schedule.steps < schedule.original_steps:
        if steps is not None and steps != schedule.steps:
            raise InputError(f"steps: found {steps} with a schedule of {schedule.steps} visited ones, expected that")
        return schedule
    return thin(schedule, min(default, schedule.steps) if steps is None else steps)


def check_share(name: str, value: float) -> None:
    """Raise unless the value is a number from 0 to 1."""
    check_positive(name, value, or_zero=True, scalar=True)
    if not is_traced(value) and value > 1:
        raise InputError(f"{name}: found {value}, expected a number from 0 to 1")
