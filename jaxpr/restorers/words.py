"""Restorers by name: the strings that the command line and configurations use.

`nearest`, `bicubic`, `lanczos`; `nlm:H`, a denoiser; `lmmse` and `exemplar:TEMPERATURE`, fitted on training images;
trained restorers that come with jaxpr, by their names, and `trained:PATH` for those of `jaxpr train`; published
networks as `NAME:PATH` with the names of `jaxpr weights fetch`, as `NAME` once fetched, or as `network:PATH`;
`path/to/file.py:function` or `package.module:function` for a restorer of the user's own; each optionally with
`+range:LOW:HIGH`, if images are in such a range for it, or `+output:LOW:HIGH`, if only what it returns is, and
`+project`.
"""

import functools
import importlib
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, Estimator, InputError, Key, Sampler, did_you_mean, load_python, users_code
from jaxpr.degradations import Degradation
from jaxpr.restorers.consistent import consistent
from jaxpr.restorers.exemplar import exemplar, fit_exemplars
from jaxpr.restorers.lmmse import fit_lmmse, lmmse
from jaxpr.restorers.nlm import nlm
from jaxpr.restorers.patches import PatchGrid
from jaxpr.restorers.published import PUBLISHED_RESTORERS, published_restorer, published_scale
from jaxpr.restorers.ranges import in_range
from jaxpr.restorers.trained import trained_channels, trained_degradation, trained_restorer
from jaxpr.restorers.upscaling import bicubic, lanczos, nearest
from jaxpr.weights.packaged import PACKAGED_RESTORERS, packaged_entry, similar_names

__all__ = ["Training", "build_restorers", "default_restorers"]

_PROJECT = "+project"
_TRAINED, _NETWORK = "trained:", "network:"
_CLASSICAL = ("nearest", "bicubic", "lanczos", "lmmse", "lmmse+project")
_EXEMPLARS = ("exemplar:0.3", "exemplar:0.1", "exemplar:0.05", "exemplar:0.03", "exemplar:0.03+project")
_UPSCALERS: dict[str, Callable[..., Array]] = {"nearest": nearest, "bicubic": bicubic, "lanczos": lanczos}
_DECLARED = re.compile(r"(.+)\+(range|output):([^:+]+):([^:+]+)")
_KNOWN = (
    "nearest, bicubic, lanczos, nlm:H, lmmse, exemplar:TEMPERATURE, a trained restorer that comes with jaxpr (such as "
    "photos-gan-0.01), trained:PATH, NAME:PATH or NAME of a published network (jaxpr weights fetch lists them), "
    "network:PATH, path/to/file.py:function, package.module:function, each optionally followed by +range:LOW:HIGH or "
    "+output:LOW:HIGH and +project"
)


class Training(NamedTuple):
    """What fitted restorers learn from; nothing is read unless one of them is asked for.

    Attributes:
        images: called once for the clean images (H, W, C) in [0, 1], of any sizes, which are then iterated repeatedly.
        degrade: `(keys, x) -> y` on batches, exactly as in the evaluation.
        degradation: the same degradation's description (scale factor, operator).
        channels: of x.
        dictionary: number of exemplars, at most.
        key: decides training noise and the choice of exemplars.
        tile: published networks restore in tiles of so many pixels of y; None for whole images.
    """

    images: Callable[[], Iterable[np.ndarray]]
    degrade: Callable[[Key, Array], Array]
    degradation: Degradation
    channels: int
    dictionary: int
    key: Key
    tile: int | None = None


def default_restorers(degradation: Degradation, channels: int) -> tuple[str, ...]:
    """Specs of restorers for a degradation without any of the user's: classical ones, and those trained for it.

    Of restorers that were trained several times, only those of the first seed.

    Args:
        degradation: of the measurements.
        channels: of x.
    """
    wanted = (degradation.name, channels, 0)
    entries = map(packaged_entry, PACKAGED_RESTORERS)
    trained = tuple(entry.name for entry in entries if (entry.degradation, entry.channels, entry.seed) == wanted)
    names = (*_CLASSICAL, *(trained or _EXEMPLARS))
    return names if degradation.has_operator else tuple(name for name in names if not name.endswith(_PROJECT))


def build_restorers(specs: Sequence[str], training: Training) -> dict[str, Estimator | Sampler]:
    """Make the restorers that the specs name, each fitted once.

    Args:
        specs: see the module's docstring; each becomes the restorer's name.
        training: where `lmmse` and `exemplar` learn.

    Returns:
        Name to callable y -> x̂, in the order of the specs.

    Raises:
        InputError: an unknown or repeated spec, a file or function that cannot be loaded.
    """
    repeated = {spec for spec in specs if list(specs).count(spec) > 1}
    if repeated:
        raise InputError(f"restorers: found {', '.join(sorted(repeated))} more than once, expected different restorers")
    fitted = _Fitted(training)
    planned = {spec: _plan(spec, training, fitted) for spec in specs}
    return {spec: make() for spec, make in planned.items()}


class _Fitted:
    """Fits on first use and shares the result between the restorers that need it."""

    def __init__(self, training: Training) -> None:
        self._training = training

    @functools.cached_property
    def _images(self) -> Iterable[np.ndarray]:
        return self._training.images()

    @functools.cached_property
    def linear(self) -> Estimator:
        grid = PatchGrid(self._training.degradation.factor, core=2, margin=2, stride=1)
        return functools.partial(lmmse, fit_lmmse(self._pairs(), grid=grid), grid=grid)

    @functools.cached_property
    def exemplars(self) -> Callable[..., Array]:
        k_choice, _ = jax.random.split(self._training.key)
        # Less context than the linear map: distances grow noisy in more dimensions.
        grid = PatchGrid(self._training.degradation.factor, core=2, margin=1, stride=1)
        params = fit_exemplars(k_choice, self._pairs(), grid=grid, count=self._training.dictionary)
        return functools.partial(exemplar, params, grid=grid, channels=self._training.channels)

    def _pairs(self) -> Iterator[tuple[Array, Array]]:
        factor, (_, k_noise) = self._training.degradation.factor, jax.random.split(self._training.key)
        for index, image in enumerate(self._images):
            height, width = (side // factor * factor for side in image.shape[:2])
            x = jnp.asarray(image[None, :height, :width])
            yield x[0], self._training.degrade(jax.random.fold_in(k_noise, index)[None], x)[0]


def _plan(spec: str, training: Training, fitted: _Fitted) -> Callable[[], Estimator | Sampler]:
    """What makes a restorer, its words checked and its files read: nothing is fitted before all have been planned."""
    if spec.endswith(_PROJECT):
        if not training.degradation.has_operator:
            raise InputError(
                f"restorers: found {spec!r} with degradation {training.degradation.name!r}, expected no "
                f"{_PROJECT} where there is no linear operator to be consistent with"
            )
        make = _plan(spec.removesuffix(_PROJECT), training, fitted)
        return lambda: consistent(make(), training.degradation)
    if match := _DECLARED.fullmatch(spec):
        inner, kind, low, high = match.groups()
        make = _plan(inner, training, fitted)
        ends = _ends(spec, low, high)
        return lambda: in_range(make(), *ends, measurements=kind == "range")
    if spec == "lmmse":
        return lambda: fitted.linear
    if match := re.fullmatch(r"exemplar:([0-9.eE+-]+)", spec):
        temperature = _positive(spec, "temperature", match[1])
        return lambda: functools.partial(fitted.exemplars, temperature=temperature)
    found = _build(spec, training)
    return lambda: found


def _build(spec: str, training: Training) -> Estimator | Sampler:
    """A restorer that needs no fitting."""
    if spec in _UPSCALERS:
        return functools.partial(_UPSCALERS[spec], factor=training.degradation.factor, channels=training.channels)
    if match := re.fullmatch(r"nlm:([0-9.eE+-]+)", spec):
        return _denoised(_positive(spec, "strength", match[1]), training)
    if spec in PACKAGED_RESTORERS or spec.startswith(_TRAINED):
        return _trained(spec, training)
    if spec.partition(":")[0] in PUBLISHED_RESTORERS or spec.startswith(_NETWORK):
        return _published(spec, training)
    if re.fullmatch(r".+:[A-Za-z_]\w*", spec) and not spec.startswith(("exemplar:", "nlm:")):
        return _load(spec)
    raise InputError(
        f"restorers: found {spec!r}, expected one of {_KNOWN}; trained ones like it: {similar_names(spec)}"
    )


def _trained(spec: str, training: Training) -> Estimator | Sampler:
    source = Path(spec.removeprefix(_TRAINED)) if spec.startswith(_TRAINED) else spec
    wanted = training.degradation.name.split("+")[0]
    if (found := trained_degradation(source).split("+")[0]) != wanted:
        raise InputError(f"restorers: found {spec!r}, which was trained for {found}, expected one for {wanted}")
    if (channels := trained_channels(source)) != training.channels:
        raise InputError(f"restorers: found {spec!r}, of {channels} channels, expected {training.channels}")
    return trained_restorer(source)


def _published(spec: str, training: Training) -> Estimator:
    name, _, path = spec.partition(":")
    found = published_restorer(
        path or None,
        name=None if spec.startswith(_NETWORK) else name,
        channels=training.channels,
        tile=training.tile,
    )
    if (scale := published_scale(found)) != training.degradation.factor:
        raise InputError(
            f"restorers: found {spec!r}, which enlarges by {scale}, expected {training.degradation.factor}"
        )
    return found


def _denoised(h: float, training: Training) -> Estimator:
    """Non-local means of y with the noise of the degradation, then bicubic enlargement."""
    degradation = training.degradation

    def restored(y: Array) -> Array:
        clean = nlm(y, h=h, sigma=degradation.noise_std)
        return bicubic(clean, factor=degradation.factor, channels=training.channels)

    return restored


def _ends(spec: str, low: str, high: str) -> tuple[float, float]:
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = (math.nan, math.nan)
    if not -math.inf < ends[0] < ends[1] < math.inf:
        raise InputError(f"restorers: found the range {low} to {high} in {spec!r}, expected two growing numbers")
    return ends


def _positive(spec: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InputError(f"restorers: found {name} {text} in {spec!r}, expected a positive number")
    return value


def _load(spec: str) -> Estimator:
    """A function of the user's own, from a file or an importable module."""
    place, name = spec.rsplit(":", 1)
    if place.endswith(".py"):
        module = load_python("restorers", place, module="_jaxpr_restorers")
    else:
        with users_code(
            f"restorers: cannot import {place!r} of {spec!r}", expected="a file.py or an importable module"
        ):
            module = importlib.import_module(place)
    function = getattr(module, name, None)
    if not callable(function):
        likely = did_you_mean(name, [found for found in vars(module) if not found.startswith("_")])
        raise InputError(f"restorers: found no function {name!r} in {place}, expected a callable y -> x̂{likely}")
    return function
