"""`jaxpr explore`: what else an image could be."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from jaxpr.core import InputError, check_count, check_folder, given_path, printable, seed_key
from jaxpr.data.decode import read_image
from jaxpr.data.words import PACKAGED, named_images
from jaxpr.degradations import Degradation, parse_degradation
from jaxpr.doctor import warn_of_idle_accelerator
from jaxpr.evaluation.measure import degrader
from jaxpr.exploration import SPACES, explore
from jaxpr.exploration.explored import check_exploration_folder
from jaxpr.restorers import Restorer, Training, build_restorers

__all__ = ["Explore"]

_DICTIONARY = 4096
_BITS = 8  # of measurements, as in a file and in `evaluate`
_SPACE = "How answers are compared. " + "; ".join(f"{name}: {means}" for name, means in SPACES.items())


@dataclass(frozen=True, kw_only=True)
class Explore:
    """Draw many answers to one measurement; write a page with the few that show what else the image could be."""

    image: tyro.conf.Positional[str]
    """A file, or DATA:NUMBER for an image of the packaged test sets, such as digits:3."""

    degradation: str
    """Of the measurement, as for evaluate."""

    restorers: tuple[str, ...]
    """Words of `jaxpr restorers` for restorers that draw answers; outputs:FOLDER reads answers that were drawn."""

    out: Path
    """Folder for explore.html, explore.json and the answers. An earlier exploration in it is replaced."""

    degraded: bool = False
    """The image is the measurement already, and is not degraded."""

    answers: int = 100
    """How many to draw."""

    shown: int = 5
    """How many to show at a time."""

    held_out: int = 20
    """Further answers, by which the coverage of the shown ones is measured."""

    space: Annotated[Literal[tuple(SPACES)], tyro.conf.arg(help=_SPACE)] = "vgg16"

    overlap: float | None = None
    """Branches of the tree with more than so many times --shown answers share look-alikes with other branches."""

    crop: int | None = None
    """Take the middle square of so many pixels of the image."""

    channels: Literal[1, 3] | None = None
    """Of the answers; by default 1 for images without colour, else 3."""

    seed: int = 0
    """Decides noise, draws and choices."""

    batch_size: int = 8
    """Answers drawn at once; changes memory and speed, not the answers."""

    progress: bool = True
    """Show progress bars."""

    def run(self) -> None:
        """Draw, choose, write the page, and say where it is."""
        key, out = seed_key("seed", self.seed), given_path(self.out)
        for name, least in (("answers", 3), ("shown", 2), ("held_out", 0), ("batch_size", 1)):
            check_count(name, getattr(self, name), at_least=least)
        if self.crop is not None:
            check_count("crop", self.crop)
        if self.overlap is not None and not 0 < self.overlap < np.inf:
            raise InputError(f"overlap: found {self.overlap:g}, expected a positive number")
        check_folder("out", out)
        check_exploration_folder("out", out)
        degradation = parse_degradation(self.degradation)
        name, image = _image(self.image, self.crop, self.channels)
        k_noise, k_explore, k_fit = jax.random.split(key, 3)
        if self.degraded:
            y, truth = jnp.asarray(image[None]), None
        else:
            truth = jnp.asarray(_whole(image, degradation.factor)[None])
            y = degrader(degradation, bits=_BITS, compiled=jax.jit)(k_noise[None], truth)
        channels = self.channels or image.shape[-1]
        warn_of_idle_accelerator()
        restorers = self._restorers(k_fit, degradation, channels)
        print(_announced(restorers, self.answers + self.held_out, self.shown))
        explored = explore(
            k_explore,
            restorers,
            y,
            degradation,
            image=name,
            truth=truth,
            channels=channels,
            answers=self.answers,
            shown=self.shown,
            held_out=self.held_out,
            space=self.space,
            overlap=self.overlap,
            batch_size=self.batch_size,
            progress=self.progress,
        )
        explored = explored._replace(settings={**explored.settings, "seed": self.seed})
        print(f"Page: {explored.save(out)}")

    def _restorers(self, key: jax.Array, degradation: Degradation, channels: int) -> dict[str, Restorer]:
        training = Training(
            images=lambda: named_images("digits" if channels == 1 else "photos", "train"),
            degrade=degrader(degradation, bits=_BITS, compiled=jax.jit),
            degradation=degradation,
            channels=channels,
            dictionary=_DICTIONARY,
            key=key,
        )
        return build_restorers(self.restorers, training)


def _image(word: str, crop: int | None, channels: int | None) -> tuple[str, np.ndarray]:
    """Name and image (H, W, C); C is 1 where there is no colour, unless it was asked for."""
    packaged = re.fullmatch(rf"({'|'.join(PACKAGED)}):(\d{{1,9}})", word)
    if packaged:
        source, number = named_images(packaged[1], "test"), int(packaged[2])
        if number >= len(source):
            raise InputError(f"image: found {word}, expected a number below {len(source)}")
        name, image = f"{packaged[1]}-{number}", source[number]
    else:
        name, image = printable(Path(word).stem), read_image(word, channels=channels or 3)
    if crop is not None:
        height, width = image.shape[:2]
        if min(height, width) < crop:
            raise InputError(f"crop: found {crop} for an image of {height}×{width} pixels, expected at most its sides")
        top, left = (height - crop) // 2, (width - crop) // 2
        image = image[top : top + crop, left : left + crop]
    grey = image.shape[-1] == 1 or bool((image == image[..., :1]).all())
    wanted = channels or (1 if grey else 3)
    if wanted == 1 and not grey:
        raise InputError(f"channels: found 1 for {word}, which has colours, expected 3")
    return name, image[..., :1] if wanted == 1 else np.broadcast_to(image, (*image.shape[:2], 3))


def _whole(image: np.ndarray, factor: int) -> np.ndarray:
    """Cut to a multiple of the scale factor, as evaluate does."""
    height, width = (side // factor * factor for side in image.shape[:2])
    if not height or not width:
        found = f"{image.shape[0]}×{image.shape[1]} pixels"
        raise InputError(f"image: found {found}, expected at least the scale factor, {factor}, on a side")
    return image[:height, :width]


def _announced(restorers: dict[str, Restorer], count: int, shown: int) -> str:
    """What will be done, before it takes time."""
    parts = []
    for name, restorer in restorers.items():
        calls = f", {restorer.cost} calls of the network each" if restorer.cost > 1 else ""
        number = shown if restorer.together else count
        parts.append(f"{name}: {number} answers{calls}")
    return "\n".join(parts)
