"""Diversity guidance of sampled restorers: what is published for a degradation, and the words that choose it.

Paper: [cohen2024md] Cohen, Manor, Bahat, Michaeli, "From Posterior Sampling to Meaningful Diversity in Image
Restoration", ICLR 2024.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from jaxpr.core import InputError
from jaxpr.degradations import AverageDownsample, BicubicDownsample, Degradation, Inpainting
from jaxpr.samplers import Guidance, guidance_preset

__all__ = ["PublishedGuidance", "guidance_at", "guidance_record", "named_guidance", "published_guidance"]

_PUBLISHED_SHAPE = (256, 256, 3)
_TRIED = (48, 48, 1)


@dataclass(frozen=True)
class PublishedGuidance:
    """A setting of [cohen2024md], Tables 4 and 5, for images of 256×256 in colour.

    Attributes:
        task: of `samplers.GUIDED_TASKS`.
        guidance: with D for such images.
    """

    task: str
    guidance: Guidance

    def at(self, shape: tuple[int, ...]) -> Guidance:
        """The same for images of another shape (H, W, C).

        D bounds a norm over its number of entries S; for one and the same difference per entry that is in proportion
        to 1 / √S, and so is D here.
        """
        distance = self.guidance.distance
        if distance is None or tuple(shape) == _PUBLISHED_SHAPE:
            return self.guidance
        return replace(self.guidance, distance=distance * math.sqrt(math.prod(_PUBLISHED_SHAPE) / math.prod(shape)))


def published_guidance(sampler: str, degradation: Degradation) -> PublishedGuidance:
    """What [cohen2024md] uses for a sampler and a degradation.

    Its settings are for inpainting without noise (those of faces are taken here), and for super-resolution by 16 of
    faces and by 4 of objects, without noise and with a standard deviation of 0.05. Here any noise has those with
    noise, and factors other than 4 have those by 16.

    Raises:
        InputError: there is nothing for these.
    """
    noisy = "-noisy" if degradation.noise_std > 0 else ""
    task, operator = None, degradation.operator(_TRIED) if degradation.has_operator else None
    if isinstance(operator, Inpainting):
        task = f"faces-inpainting{noisy}"
    elif isinstance(operator, AverageDownsample | BicubicDownsample):
        task = f"objects-x4{noisy}" if degradation.factor == 4 else f"faces-x16{noisy}"
    try:
        return PublishedGuidance(task or "none", guidance_preset(sampler, task or "none"))
    except InputError as error:
        found = f"guidance: found nothing published for {sampler} with degradation {degradation.name!r}"
        raise InputError(f"{found}, expected its numbers, +guidance:ETA:DISTANCE (such as :0.8:0.0004)") from error


def named_guidance(
    sampler: str, degradation: Degradation, eta: str | None, distance: str | None
) -> Guidance | PublishedGuidance:
    """The guidance that words choose.

    Args:
        sampler: the word of the sampler.
        degradation: of the measurements.
        eta: a number; None for what is published.
        distance: a number, or "none" for no limit.

    Raises:
        InputError: no such numbers, or nothing is published.
    """
    if eta is None or distance is None:
        return published_guidance(sampler, degradation)
    return Guidance(_number("eta", eta), None if distance == "none" else _number("distance", distance))


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{name}: found {text!r}, expected a number that is not negative") from error


def guidance_at(guidance: Guidance | PublishedGuidance | None, shape: tuple[int, ...]) -> Guidance | None:
    """The guidance for images of this shape."""
    return guidance.at(shape) if isinstance(guidance, PublishedGuidance) else guidance


def guidance_record(guidance: Guidance | PublishedGuidance) -> dict[str, Any]:
    """What records hold of a guidance; a published distance is that for 256×256 colour images."""
    if isinstance(guidance, PublishedGuidance):
        return {"preset": guidance.task, **guidance_record(guidance.guidance)}
    return {"eta": guidance.eta, "distance": guidance.distance, "convention": guidance.convention}
