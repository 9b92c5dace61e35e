"""Restorers on the way from x* to x̂₀: fitted on training crops, measured on test crops, with several encoders at once.

Papers: [adrai2023], Sections 4 and 5.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, Key, first_line
from jaxpr.data import image_folder, photos
from jaxpr.degradations import Degradation
from jaxpr.diffusion import cosine_transform, gaussian_denoiser, linear_schedule
from jaxpr.records.results import Difference, Metric
from jaxpr.reproduce.moved_sets import (
    CropSet,
    Known,
    Meter,
    Problem,
    Tally,
    change_from,
    in_memory,
    mixed,
    moved_images,
    photo_crops,
    reconstructed,
)
from jaxpr.restorers import (
    LatentEncoder,
    LatentTransport,
    PatchStatistics,
    Restorer,
    TransportWarning,
    fit_transport,
    patch_statistics,
    pixel_encoder,
    read_encoder,
)
from jaxpr.samplers import ddrm
from jaxpr.weights import OFFICIAL_FILES, weights_folder
from jaxpr.weights.wheels import installed_copy

__all__ = [
    "PAPER_DATA",
    "Ground",
    "Held",
    "Traversal",
    "available",
    "both_sides",
    "gaussian_ddrm",
    "ground",
    "held",
    "readable_encoders",
    "traversed",
]

_STEPS, _MOST_SIDE = 20, 384
PAPER_DATA = Path("data/imagenet512")
"""Where images for scale paper lie, in the folders train and val, 512 × 512 each."""


class Ground(NamedTuple):
    """What all restorers share: crops, encoders, and what is known of natural crops.

    Attributes:
        test: crops that are measured.
        train: crops (N, H, W, C) that are restored to fit.
        natural: statistics of natural crops, by the name of the encoder.
        encoders: in the order of tables.
        patch: side of the transported patches.
        key: draws latents of all encoders but the pixels; None for the mode.
        meter: of distortion and features.
        truth: tally of the test crops.
        ceilings: metrics of D(E(x)), by encoder.
        example: the crop of most contrast in the first batch, which figures show.
        batch: crops computed together.
    """

    test: CropSet
    train: np.ndarray
    natural: dict[str, PatchStatistics]
    encoders: Sequence[LatentEncoder]
    patch: int
    key: Key | None
    meter: Meter
    truth: Tally
    ceilings: dict[str, dict[str, Metric]]
    example: int
    batch: int

    def statistics(self, encoder: LatentEncoder, images: np.ndarray, *, part: int) -> PatchStatistics:
        """Of images (N, H, W, C); `part` tells the draws of latents apart."""
        return _statistics(encoder, images, self.patch, self.key, part)


def ground(
    test: CropSet,
    train: np.ndarray,
    natural: np.ndarray,
    *,
    encoders: Sequence[LatentEncoder],
    patch: int,
    meter: Meter,
    batch: int,
    sample_key: Key | None = None,
) -> Ground:
    """Measure what all restorers share: the truths, natural patches, and what each encoder loses of the truths.

    Args:
        test: crops that are measured.
        train: crops (N, H, W, C) that will be restored.
        natural: crops of natural images, those of `train` or others.
        encoders: see `Ground`, as for the others.
        patch: see there.
        meter: see there.
        batch: see there.
        sample_key: `Ground.key`.
    """
    statistics = {e.name: _statistics(e, natural, patch, sample_key, 1) for e in encoders}
    truth, tallies = Tally(test.groups), {e.name: Tally(test.groups) for e in encoders}
    example = 0
    for positions, x in test.batches(batch):
        if positions[0] == 0:
            example = int(np.argmax(x.std(axis=(1, 2, 3))))
        known = meter.known(x)
        truth.add(positions, *meter(known, x))
        for e in encoders:
            tallies[e.name].add(positions, *meter(known, reconstructed(e, x)))
    ceilings = {name: tally.metrics(truth) for name, tally in tallies.items()}
    return Ground(test, train, statistics, encoders, patch, sample_key, meter, truth, ceilings, example, batch)


def _statistics(encoder: LatentEncoder, images: np.ndarray, patch: int, key: Key | None, part: int) -> PatchStatistics:
    drawn = None if key is None or encoder.name == pixel_encoder().name else jax.random.fold_in(key, part)
    return patch_statistics(images, encoder=encoder, patch=patch, sample_key=drawn)


def available(name: str) -> bool:
    """Whether the file of a published network is here, in a package or stored by `jaxpr weights fetch`."""
    return installed_copy(name) is not None or (weights_folder(None) / OFFICIAL_FILES[name].file).exists()


def both_sides(
    *, crop: int, train: int, each: int, large: bool, photographs: tuple[int | None, int | None] = (None, None)
) -> tuple[CropSet, CropSet, list[np.ndarray]]:
    """Crops of training and of test photographs, and the middles of training photographs, to fit restorers on.

    Args:
        crop: their side.
        train: crops of every training photograph.
        each: crops of every test photograph.
        large: images of `PAPER_DATA`, of which no middles are returned; else the packaged photographs.
        photographs: of both, where they are large; None for all.

    Raises:
        InputError: they are large, and their folders are not there.
    """
    if not large:
        known, test = (in_memory(photos(split)) for split in ("train", "test"))
        middles = [image[_middle(image.shape[0]), _middle(image.shape[1])] for image in known]
        return photo_crops(known, crop, each=train), photo_crops(test, crop, each=each), middles
    if not all((PAPER_DATA / split).is_dir() for split in ("train", "val")):
        raise InputError(
            f"data: found no folders {PAPER_DATA}/train and val, expected ImageNet at 512 × 512 for scale paper"
        )
    sides = zip(("train", "val"), (train, each), photographs, strict=True)
    found = [photo_crops(image_folder(PAPER_DATA / s), crop, each=n, photographs=most) for s, n, most in sides]
    return found[0], found[1], []


def _middle(side: int) -> slice:
    cut = max(0, side - _MOST_SIDE) // 2
    return slice(cut, cut + _MOST_SIDE)


def readable_encoders(names: Sequence[str]) -> tuple[list[LatentEncoder], list[str]]:
    """Encoders by name or file, and a sentence on each that is not here."""
    found, missing = [], []
    for name in names:
        try:
            found.append(read_encoder(name))
        except InputError as error:
            missing.append(f"The encoder {name} is left out, for its weights are not here: {first_line(error)}.")
    return found, missing


class Traversal(NamedTuple):
    """A restorer on the way.

    Attributes:
        task: its name.
        restorer: its name.
        encoder: its name.
        rows: metrics by alpha.
        again: metrics of D(E(x*)).
        example: x, y, x*, x̂ at 0.5 and x̂₀ of one crop.
    """

    task: str
    restorer: str
    encoder: str
    rows: dict[float, dict[str, Metric]]
    again: dict[str, Metric]
    example: list[np.ndarray]

    @property
    def label(self) -> str:
        """Restorer, task and encoder."""
        return f"{self.restorer} ({self.task}, {self.encoder})"

    def change(self, alpha: float, metric: str) -> Difference:
        """The difference from x*."""
        return change_from(self.rows[alpha], self.rows[1.0], metric)


def traversed(
    task: str, name: str, restorer: Restorer, problem: Problem, on: Ground, *, alphas: Sequence[float]
) -> list[Traversal]:
    """Fit the transport of one restorer with every encoder, restore the test crops once, mix and measure.

    Args:
        task: name.
        name: of the restorer.
        restorer: of the problem's measurements.
        problem: the degradation.
        on: crops and encoders.
        alphas: 0.5 need not be among them, 0 and 1 must.
    """
    restored = problem.restored_all(restorer, on.train, batch=on.batch, part=1)
    fits = {}
    for e in on.encoders:
        source = on.statistics(e, restored, part=0)
        fits[e.name] = fit_transport(source, on.natural[e.name], encoder=e, patch=on.patch)
    tallies = {encoder: {alpha: Tally(on.test.groups) for alpha in alphas} for encoder in fits}
    again = {encoder: Tally(on.test.groups) for encoder in fits}
    examples: dict[str, list[np.ndarray]] = {}
    for positions, x in on.test.batches(on.batch):
        y = problem.measured(positions, x, part=0)
        star, known = problem.restored(restorer, positions, y, part=0), on.meter.known(x)
        unchanged = on.meter(known, star)
        for encoder, fitted in fits.items():
            moved = moved_images(jax.random.fold_in(problem.key, 7), fitted, star, positions=positions)
            for alpha, tally in tallies[encoder].items():
                tally.add(positions, *(unchanged if alpha == 1 else on.meter(known, mixed(moved, star, alpha))))
            pixels = fitted.encoder.name == pixel_encoder().name
            same = unchanged if pixels else on.meter(known, reconstructed(fitted.encoder, star))
            again[encoder].add(positions, *same)
            if encoder not in examples:  # later batches may be too short
                some = (x, y, star, mixed(moved, star, 0.5), moved)
                examples[encoder] = [images[on.example] for images in some]
    return [
        Traversal(
            task,
            name,
            encoder,
            {alpha: tally.metrics(on.truth) for alpha, tally in tallies[encoder].items()},
            again[encoder].metrics(on.truth),
            examples[encoder],
        )
        for encoder in fits
    ]


class Held(NamedTuple):
    """One restorer's crops, all in memory, for experiments that fit many transports.

    Attributes:
        problem: the degradation.
        restorer: of its measurements.
        train: natural training crops (N, H, W, C).
        restored_train: what the restorer makes of them.
        x: test crops.
        y: their measurements.
        star: their restorations.
        groups: the photograph of each.
        meter: of distortion and features.
        parts: positions of the batches, with their truths.
        truth: tally of the test crops.
    """

    problem: Problem
    restorer: Restorer
    train: np.ndarray
    restored_train: np.ndarray
    x: np.ndarray
    y: np.ndarray
    star: np.ndarray
    groups: np.ndarray
    meter: Meter
    parts: list[tuple[np.ndarray, Known]]
    truth: Tally

    def fitted(
        self,
        patch: int,
        *,
        encoder: LatentEncoder,
        restored: Any = None,
        natural: Any = None,
        sample_key: Key | None = None,
    ) -> LatentTransport:
        """The transport from restored to natural images, by default of all training crops; the key draws latents."""
        sets = (self.restored_train if restored is None else restored, self.train if natural is None else natural)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TransportWarning)  # of one image: experiments ask what it does
            return fit_transport(*sets, encoder=encoder, patch=patch, sample_key=sample_key)

    def moved(
        self,
        fitted: LatentTransport,
        *,
        images: np.ndarray | None = None,
        encode: Literal["mode", "sample"] | None = None,
        deterministic: bool = False,
    ) -> np.ndarray:
        """x̂₀ of the test crops, or of images in their place; options as of `moved_images`."""
        found, key = self.star if images is None else images, jax.random.fold_in(self.problem.key, 7)
        options: Any = {"encode": encode, "deterministic": deterministic}
        return np.concatenate([moved_images(key, fitted, found[i], positions=i, **options) for i, _ in self.parts])

    def metrics(self, images: np.ndarray) -> dict[str, Metric]:
        """Of images in the place of the test crops; with what they explain of y, where there is an operator."""
        tally, degradation = Tally(self.groups), self.problem.degradation
        for positions, known in self.parts:
            values, features = self.meter(known, images[positions])
            if degradation.has_operator:
                again = np.asarray(degradation.operator(self.x.shape[1:])(jnp.asarray(images[positions])), np.float64)
                squares = np.mean((again - self.y[positions]) ** 2, axis=(1, 2, 3))
                values["lr_psnr"] = -10 * np.log10(np.maximum(squares, 1e-14))
            tally.add(positions, values, features)
        return tally.metrics(self.truth)


def held(problem: Problem, restorer: Restorer, train: np.ndarray, test: CropSet, meter: Meter, *, batch: int) -> Held:
    """Restore training and test crops, `batch` of them together."""
    x, truth, parts, y, star = test.arrays(), Tally(test.groups), [], [], []
    for positions, images in test.batches(batch):
        known = meter.known(images)
        truth.add(positions, *meter(known, images))
        parts.append((positions, known))
        y.append(problem.measured(positions, images, part=0))
        star.append(problem.restored(restorer, positions, y[-1], part=0))
    restored = problem.restored_all(restorer, train, batch=batch, part=1)
    both = np.concatenate(y), np.concatenate(star)
    return Held(problem, restorer, train, restored, x, *both, test.groups, meter, parts, truth)


@dataclass(frozen=True)
class _GaussianDDRM:
    """Draws of DDRM with a prior of independent normal coefficients of cosines, whose denoiser is exact."""

    degradation: Degradation

    def __call__(self, params: Any, keys: Any, y: Array) -> Array:
        mean, variance = params
        schedule, basis = linear_schedule(), cosine_transform(*mean.shape[:2])
        denoise = gaussian_denoiser(mean=mean, variance=variance, schedule=schedule, basis=basis)
        operator, noise = self.degradation.operator(mean.shape), self.degradation.noise_std
        return ddrm(keys, denoise, y, operator, schedule=schedule, samples=1, noise_std=noise, steps=_STEPS).x[0]


def gaussian_ddrm(degradation: Degradation, train: np.ndarray) -> Restorer:
    """The sampler DDRM with the Gaussian prior that training crops (N, H, W, C) suggest, in a basis of cosines.

    The mean is one number; the variance of a coefficient is that of the three by three frequencies around it.
    """
    signed = 2 * np.asarray(train) - 1
    mean = np.full(train.shape[1:], signed.mean(), np.float32)
    coefficients = cosine_transform(*train.shape[1:3]).forward(jnp.asarray(signed - mean))
    power = np.square(np.asarray(coefficients, np.float64)).mean(axis=(0, 3))
    padded = np.pad(power, 1, mode="edge")
    (rows, columns), near = power.shape, range(3)
    smooth = np.mean([padded[i : i + rows, j : j + columns] for i in near for j in near], axis=0)
    smooth[0, 0] = power[0, 0]
    variance = np.broadcast_to(smooth[..., None], mean.shape).astype(np.float32)
    return Restorer(_GaussianDDRM(degradation), (mean, variance), stochastic=True)
