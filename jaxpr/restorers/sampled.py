"""Diffusion samplers as restorers: each draw is an answer to y from the prior that a denoiser is.

Papers: those of `jaxpr.samplers`; [cohen2024md] compares them.
"""

import functools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from jaxpr.core import Array, InputError, check_count, is_number
from jaxpr.degradations import Degradation, Inpainting
from jaxpr.diffusion import Denoiser, LearnedVariance, Schedule, cached_denoiser
from jaxpr.models.adm_unet import SplitUNet
from jaxpr.models.functional import Model
from jaxpr.restorers.guided import PublishedGuidance, guidance_at, guidance_record
from jaxpr.restorers.priors import Prior, adapter_of
from jaxpr.restorers.restorer import Restorer, joined_variant
from jaxpr.samplers import Guidance, ddnm, ddrm, dps, network_calls, repaint

__all__ = ["SAMPLERS", "Sampler", "SamplingOptions", "guided", "sampled_restorer", "sampling_options"]


class Sampler(NamedTuple):
    """A sampler that restorers can be made of.

    Attributes:
        sample: its function.
        steps: visited timesteps if none are asked for, as published.
        options: what else can be chosen, numbers with their defaults; integers are counts.
        jumps: the options that say how long jumps back in time are, and how often each stretch is walked.
    """

    sample: Callable[..., Any]
    steps: int
    options: Mapping[str, float]
    jumps: tuple[str, str] | None = None

    def calls(self, steps: int, options: Mapping[str, float]) -> int:
        """Calls of the network for one answer."""
        length, repeats = (1, 1) if self.jumps is None else (int(options[name]) for name in self.jumps)
        return network_calls(steps, length=length, repeats=repeats)


SAMPLERS = {
    "ddrm": Sampler(ddrm, 20, {"eta": 0.85, "eta_b": 1.0}),
    "ddnm": Sampler(
        ddnm, 100, {"eta": 0.85, "travel_length": 1, "travel_repeat": 1}, jumps=("travel_length", "travel_repeat")
    ),
    "dps": Sampler(dps, 1000, {"scale": 1.0}),
    "repaint": Sampler(repaint, 250, {"jump_length": 10, "jump_repeat": 10}, jumps=("jump_length", "jump_repeat")),
}
"""By the words of the command line; defaults are the published ones."""


@dataclass(frozen=True)
class _Sets:
    """Draws sets of answers to measurements; no arrays of parameters are held."""

    sampler: str
    model: Model
    schedule: Schedule
    prediction: str
    learned_variance: LearnedVariance | None
    channels: int
    multiple: int
    degradation: Degradation
    steps: int
    options: tuple[tuple[str, float], ...]
    guidance: Guidance | PublishedGuidance | None = None
    split: SplitUNet | None = None
    cache: int = 1

    def denoiser(self, params: Any) -> Denoiser:
        """With its parameters, and with cached features if they are asked for."""
        adapter = adapter_of(self.prediction, schedule=self.schedule, learned_variance=self.learned_variance)
        if self.split is None or self.cache == 1:
            return adapter(functools.partial(self.model.apply, params))
        whole, shallow = functools.partial(self.split.whole, params), functools.partial(self.split.shallow, params)
        return cached_denoiser(whole, shallow, adapter=adapter, every=self.cache)

    def __call__(self, params: Any, keys: Any, y: Array, count: int) -> Array:
        height, width = (self.degradation.factor * side for side in y.shape[1:3])
        if height % self.multiple or width % self.multiple:
            found = f"found {height}×{width} pixels of x"
            raise InputError(f"y: {found}, expected multiples of {self.multiple}, as the denoiser needs")
        shape = (height, width, self.channels)
        found = SAMPLERS[self.sampler].sample(
            keys,
            self.denoiser(params),
            y,
            self.degradation.operator(shape),
            schedule=self.schedule,
            samples=count,
            noise_std=self.degradation.noise_std,
            guidance=guidance_at(self.guidance, shape),
            steps=self.steps,
            **dict(self.options),
        )
        return found.x


@dataclass(frozen=True)
class _Single:
    """One answer to each measurement; the sampler refuses it where answers are driven apart."""

    sets: _Sets

    def __call__(self, params: Any, key: Any, y: Array) -> Array:
        return self.sets(params, key, y, 1)[0]


def sampled_restorer(
    sampler: str,
    prior: Prior,
    degradation: Degradation,
    *,
    steps: int | None = None,
    options: Mapping[str, float] = {},
    guidance: Guidance | PublishedGuidance | None = None,
    attacked: bool = False,
    cache: int = 1,
) -> Restorer:
    """A stochastic restorer (key, y) -> x̂ of posterior samples, which draws sets: `draws(key, y, count=)`.

    Noise belongs to image, sample and step: with one key a guided and a plain restorer start from the same noises,
    and answer i of a plain one does not depend on how many there are.

    Args:
        sampler: one of `SAMPLERS`.
        prior: of the images.
        degradation: what made y; linear, with or without Gaussian noise.
        steps: visited timesteps; None for the published number, which an evaluation's budget may lower.
        options: of the sampler, see there.
        guidance: drives the answers of a set apart; there are no single draws then.
        attacked: whether an evaluation may attack it, which differentiates through all steps.
        cache: the deep part of the prior's network is asked at every so many-th call only, see `cached_denoiser`; 1 for
            all of them.

    Returns:
        The restorer; one key for all of y, or one for each.

    Raises:
        InputError: no such sampler or option, a degradation that the sampler is not for, with the one that is,
            guidance of what may be attacked, or a cache for a sampler or prior that cannot use it.
    """
    if sampler not in SAMPLERS:
        raise InputError(f"sampler: found {sampler!r}, expected one of {', '.join(SAMPLERS)}")
    chosen = SAMPLERS[sampler]
    for name, value in options.items():
        if name not in chosen.options or not is_number(value):
            raise InputError(f"options: found {name}={value}, expected numbers for {', '.join(chosen.options)}")
    _check_degradation(sampler, degradation)
    _check_cache(cache, sampler, prior, attacked=attacked)
    given = {**chosen.options, **options}
    sets = _Sets(
        sampler,
        prior.model,
        prior.schedule,
        prior.prediction,
        prior.learned_variance,
        prior.channels,
        prior.multiple,
        degradation,
        chosen.steps if steps is None else steps,
        tuple(given.items()),
        split=prior.split,
        cache=cache,
    )
    if cache > 1:
        given["cache"] = cache
    plain = Restorer(
        _Single(sets),
        prior.params,
        stochastic=True,
        scale=degradation.factor,
        differentiable=None if attacked else False,
        weights={**prior.record, "sampler": sampler, "noise_std": degradation.noise_std, **given},
        steps_chosen=steps is not None,
    )
    made = _walking(plain, sets)
    return made if guidance is None else guided(made, guidance)


def guided(found: Restorer, guidance: Guidance | PublishedGuidance) -> Restorer:
    """A sampled restorer whose answers are driven apart, as its variant "guidance".

    Args:
        found: of `sampled_restorer`, with nothing done to its images.
        guidance: how far.

    Raises:
        InputError: another restorer, or one that may be attacked.
    """
    if not isinstance(found.apply, _Single):
        raise InputError("guidance: found no sampler or one that was changed, expected it right behind the sampler")
    if found.together:
        raise InputError("guidance: found it twice, expected it once")
    if found.differentiable is not False:
        raise InputError(
            "guidance: found attack=yes, expected attack=no: an attack follows single draws, and guided answers come "
            "in sets"
        )
    weights = {**(found.weights or {}), "guidance": guidance_record(guidance)}
    variant = joined_variant(found.variant, "guidance")
    sets = replace(found.apply.sets, guidance=guidance)
    return _walking(replace(found, apply_set=sets, together=True, weights=weights, variant=variant), sets)


def _walking(found: Restorer, sets: _Sets) -> Restorer:
    """The restorer with these sets, and with what follows from their steps."""
    return replace(
        found,
        apply=_Single(sets),
        apply_set=sets,
        cost=SAMPLERS[sets.sampler].calls(sets.steps, dict(sets.options)),
        weights={**(found.weights or {}), "steps": sets.steps},
        steps=sets.steps,
        with_steps=_WithSteps(found, sets),
    )


@dataclass(frozen=True)
class _WithSteps:
    found: Restorer
    sets: _Sets

    def __call__(self, steps: int) -> Restorer:
        return _walking(self.found, replace(self.sets, steps=steps))


class SamplingOptions(NamedTuple):
    """Arguments of `sampled_restorer` of these names."""

    steps: int | None
    options: dict[str, float]
    attacked: bool
    cache: int


def sampling_options(sampler: str, text: str) -> SamplingOptions:
    """What is chosen by text like `steps=20&eta=0.85&attack=yes`.

    Raises:
        InputError: an option that the sampler does not have, twice, or with another kind of value.
    """
    known = {"steps": SAMPLERS[sampler].steps, "cache": 1, **SAMPLERS[sampler].options}
    found: dict[str, float] = {}
    attacked = False
    for part in filter(None, text.split("&")):
        name, _, value = part.partition("=")
        if part in ("attack=yes", "attack=no"):
            attacked = value == "yes"
            continue
        whole = isinstance(known.get(name), int)
        if name not in known or name in found or not re.fullmatch(r"\d+" if whole else r"\d+(\.\d+)?", value):
            raise InputError(
                f"options: found {part!r}, expected NAME=NUMBER, once each of {', '.join(known)}, or attack=yes"
            )
        found[name] = int(value) if whole else float(value)
    steps, cache = found.pop("steps", None), int(found.pop("cache", 1))
    return SamplingOptions(None if steps is None else int(steps), found, attacked, cache)


def _check_cache(cache: int, sampler: str, prior: Prior, *, attacked: bool) -> None:
    check_count("cache", cache)
    if cache == 1:
        return
    if sampler == "dps" or attacked:
        found = "dps" if sampler == "dps" else "attack=yes"
        raise InputError(f"cache: found {cache} with {found}, expected 1 where a gradient goes through the network")
    if prior.split is None:
        raise InputError(f"cache: found {cache}, expected 1 for a prior that is not a U-Net of ADM by itself")


def _check_degradation(sampler: str, degradation: Degradation) -> None:
    found = f"degradation: found {degradation.name!r} with {sampler}"
    if not degradation.has_operator or degradation.jpeg_quality is not None:
        raise InputError(f"{found}, expected a linear one, with Gaussian noise or none")
    inpainting = isinstance(degradation.operator((16, 16, 1)), Inpainting)
    if sampler == "repaint" and not (inpainting and degradation.noise_std == 0):
        raise InputError(f"{found}, expected inpainting without noise; ddnm or ddrm take others")
