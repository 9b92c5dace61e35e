"""Published settings of guidance, in the programs' own units and converted to one.

Tables 4 and 5 of [cohen2024md], for sets of five colour images. The programs divide the norm in the threshold by
different numbers: DDRM by all entries; DDNM by the unknown ones; DPS by unknown pixels, without channels; RePaint by
the unknown entries of all five images together. The paper's convention divides by the unknown entries of one image.
"""

from typing import NamedTuple

from jaxpr.core import InputError, described
from jaxpr.samplers.guidance import Convention, Guidance, check_convention

__all__ = ["GUIDED_TASKS", "guidance_preset"]

_SET, _CHANNELS = 5, 3


class _Setting(NamedTuple):
    eta: float
    distance: float
    """As published."""
    factor: float = 1.0
    """What the published distance is multiplied by for the paper's convention."""


_PER_PIXEL, _PER_SET = 1 / _CHANNELS, float(_SET)
_SETTINGS: dict[tuple[str, str], _Setting] = {
    ("ddrm", "faces-x16-noisy"): _Setting(0.8, 4e-4),
    ("ddrm", "faces-x16"): _Setting(0.8, 4e-4),
    ("ddrm", "objects-x4-noisy"): _Setting(0.8, 4e-4),
    ("ddrm", "objects-x4"): _Setting(0.8, 4e-4),
    ("ddnm", "faces-x16"): _Setting(0.8, 5e-4),
    ("ddnm", "faces-inpainting"): _Setting(0.9, 1.5e-3),
    ("ddnm", "objects-x4"): _Setting(0.8, 3e-4),
    ("ddnm", "objects-inpainting"): _Setting(0.9, 8e-4),
    ("dps", "faces-x16-noisy"): _Setting(0.5, 0.06),
    ("dps", "faces-x16"): _Setting(0.3, 1e-3),
    ("dps", "faces-inpainting"): _Setting(0.5, 9e-3, _PER_PIXEL),
    ("dps", "objects-x4-noisy"): _Setting(0.5, 5e-4),
    ("dps", "objects-x4"): _Setting(0.5, 5e-4),
    ("dps", "objects-inpainting"): _Setting(0.5, 9e-3, _PER_PIXEL),
    ("repaint", "faces-inpainting"): _Setting(0.3, 2.8e-4, _PER_SET),
    ("repaint", "objects-inpainting"): _Setting(0.3, 2.8e-4, _PER_SET),
}

GUIDED_TASKS = tuple(sorted({task for _, task in _SETTINGS}))
"""CelebAMask-HQ (faces) and PartImageNet (objects); "noisy" is a standard deviation of 0.05 in units of [0, 1]."""


def guidance_preset(sampler: str, task: str, *, convention: Convention = "paper") -> Guidance:
    """The guidance that [cohen2024md] used.

    Args:
        sampler: "ddrm", "ddnm", "dps" or "repaint".
        task: one of `GUIDED_TASKS`.
        convention: "paper" for the converted distance, "official" for the published number, which the sampler then
            takes as its program does.

    Raises:
        InputError: the paper has no such setting.
    """
    check_convention(convention)
    found = _SETTINGS.get((sampler, task)) if isinstance(sampler, str) and isinstance(task, str) else None
    if found is None:
        pairs = [t for s, t in sorted(_SETTINGS) if s == sampler]
        expected = f"one of {', '.join(pairs)} for {sampler}" if pairs else "sampler ddrm, ddnm, dps or repaint"
        raise InputError(f"sampler and task: found {described(sampler)} and {described(task)}, expected {expected}")
    distance = found.distance * (found.factor if convention == "paper" else 1)
    return Guidance(found.eta, distance, convention=convention)
