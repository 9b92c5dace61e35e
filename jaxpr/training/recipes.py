"""Recipes: what is trained, on what and how, as plain values that are stored beside the weights.

What any kind of recipe has is here; each kind (`RestorerRecipe`, `ClassifierRecipe`) says more. Recipes and their parts
check themselves when they are made, so that none can be wrong.
"""

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from jaxpr.core import InputError, check_count, check_positive, seed_key
from jaxpr.data import ImageSource, resized
from jaxpr.data.resizing import check_resize
from jaxpr.data.words import named_images

__all__ = ["Images", "Optimizer", "Recipe", "check_choice", "recipe_record"]

_NAME = re.compile(r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]{0,99}")
_SHOWN = 1000
_LATER = {"later": True}
"""A setting that recipes once did not have. A record leaves it out where it changes nothing, so that runs which were
begun before go on."""


@dataclass(frozen=True, kw_only=True)
class Images:
    """What is trained on."""

    source: str
    """photos, digits or digits28, a folder, classes:FOLDER, idx:IMAGES[:LABELS], tfds:NAME:SPLIT[:IMAGE_KEY], or
    split:SHARE:WORD of one of the last four."""

    resize: tuple[int, ...] = field(default=(), metadata=_LATER)
    """Images are resized first: () not, (side,) the shorter side, or (height, width); see `data.resized`."""

    centre: int | None = field(default=None, metadata=_LATER)
    """Side of the central square that is then cut out; None for the whole image."""

    def __post_init__(self) -> None:
        if not isinstance(self.source, str):
            raise InputError(f"source: found {self.source!r}, expected photos, digits, tfds:NAME:SPLIT or a folder")
        object.__setattr__(self, "resize", check_resize("resize", self.resize))
        if self.centre is not None:
            check_count("centre", self.centre)

    def read(self, split: Literal["train", "test"]) -> ImageSource:
        """The images; those of a split, where the source has such."""
        return resized(named_images(self.source, split), size=self.resize, centre=self.centre)

    def shown(self) -> ImageSource:
        """What pictures are made of: images that do not train, where the source has such; so many, spread evenly."""
        found = self.read("test")
        return found.select(np.linspace(0, len(found) - 1, min(len(found), _SHOWN)).round().astype(int).tolist())


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """How long is trained, and in which portions; each kind adds its rule."""

    steps: int
    """Updates."""

    batch: int
    """Examples per step."""

    rate: float
    """Learning rate."""

    average: float = 0.0
    """Decay of the moving average of weights, which is what is kept; 0 for the last weights."""

    def __post_init__(self) -> None:
        check_count("steps", self.steps)
        check_count("batch", self.batch)
        check_positive("rate", self.rate, scalar=True)
        if not 0 <= self.average < 1:
            raise InputError(f"average: found {self.average}, expected a number in [0, 1)")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one network is trained."""

    name: str
    """Unique in its config; the folder of the run has this name."""

    data: Images
    """What is trained on."""

    optimizer: Optimizer
    """How the losses are descended."""

    begin_with: str | None = None
    """Name of another recipe of the same config, whose weights are the first ones; None for new ones."""

    seed: int = 0
    """Decides everything that is drawn."""

    def __post_init__(self) -> None:
        for which, name in (("name", self.name), ("begin_with", self.begin_with)):
            if not (isinstance(name, str) and _NAME.fullmatch(name)) and (which, name) != ("begin_with", None):
                raise InputError(f"{which}: found {name!r}, expected letters, digits, '.', '+', '-', '_', no dot first")
        seed_key("seed", self.seed)


def check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    """Raise unless `value` is one of few."""
    if value not in allowed:
        raise InputError(f"{name}: found {value!r}, expected one of {', '.join(map(str, allowed))}")


def recipe_record(value: Any) -> Any:
    """A recipe, or any part of one, as JSON-able values; parts that have fields name their kind."""
    if dataclasses.is_dataclass(value):
        found = {part: getattr(value, part.name) for part in dataclasses.fields(value)}
        fields = {p.name: own for p, own in found.items() if not (p.metadata.get("later") and own == p.default)}
    elif hasattr(value, "_asdict"):  # sizes of networks
        fields = value._asdict()
    else:
        return value
    return {"kind": type(value).__name__} | {name: recipe_record(own) for name, own in fields.items()}
