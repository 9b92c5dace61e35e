"""The words of `--restorers`: one row for each, with what it means and what builds it.

A new word is a row here and a test.
"""

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, InputError, Key, load_named
from jaxpr.degradations import Degradation
from jaxpr.restorers.exemplar import exemplar, fit_exemplars
from jaxpr.restorers.lmmse import fit_lmmse, lmmse
from jaxpr.restorers.nlm import nlm
from jaxpr.restorers.patches import PatchGrid
from jaxpr.restorers.priors import prior_options, read_prior
from jaxpr.restorers.published import PUBLISHED_RESTORERS, published_restorer
from jaxpr.restorers.restorer import Restorer, as_restorer
from jaxpr.restorers.sampled import sampled_restorer, sampling_options
from jaxpr.restorers.stored import from_folder
from jaxpr.restorers.trained import trained_channels, trained_degradation, trained_restorer
from jaxpr.restorers.upscaling import bicubic, lanczos, nearest
from jaxpr.weights.official_sizes import OFFICIAL_SIZES
from jaxpr.weights.packaged import PACKAGED_RESTORERS

__all__ = ["WORDS", "Make", "Sources", "Training", "Word"]

Make: TypeAlias = Callable[[], Restorer]
"""Makes a restorer whose words were checked and whose files were read; only this fits anything."""


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


class Sources:
    """What builders draw on: the problem, and what is fitted to it on first use and shared by those that need it.

    Args:
        training: the problem.

    Attributes:
        shared: what endings fit, or read, by what it depends on.
    """

    def __init__(self, training: Training) -> None:
        self.training = training
        self.shared: dict[Any, Any] = {}

    @functools.cached_property
    def linear(self) -> Restorer:
        """The best linear map of patches."""
        grid = PatchGrid(self.training.degradation.factor, core=2, margin=2, stride=1)
        return _classical(_Linear(grid), fit_lmmse(self._pairs(), grid=grid), self.training)

    @functools.cached_property
    def exemplars(self) -> Restorer:
        """Exemplars without a temperature."""
        k_choice, _ = jax.random.split(self.training.key)
        # Less context than the linear map: distances grow noisy in more dimensions.
        grid = PatchGrid(self.training.degradation.factor, core=2, margin=1, stride=1)
        params = fit_exemplars(k_choice, self._pairs(), grid=grid, count=self.training.dictionary)
        return _classical(_Exemplar(grid, self.training.channels), params, self.training)

    @functools.cached_property
    def images(self) -> Sequence[np.ndarray]:
        """The training images; sources of them, which are read when asked for, stay what they are."""
        found = self.training.images()
        return found if hasattr(found, "__getitem__") else list(found)  # type: ignore[return-value]

    def _pairs(self) -> Iterator[tuple[Array, Array]]:
        factor, (_, k_noise) = self.training.degradation.factor, jax.random.split(self.training.key)
        for index, image in enumerate(self.images):
            height, width = (side // factor * factor for side in image.shape[:2])
            x = jnp.asarray(image[None, :height, :width])
            yield x[0], self.training.degrade(jax.random.fold_in(k_noise, index)[None], x)[0]


class Word(NamedTuple):
    """A word that names restorers.

    Attributes:
        shown: how it is written, such as `nlm:H`.
        means: what it is, in a few words.
        pattern: of the specs that it takes; named groups are what `plan` reads.
        plan: `(match, sources) -> make`: checks the spec and reads its files. The restorer's family is the spec unless
            it says another.
    """

    shown: str
    means: str
    pattern: re.Pattern[str]
    plan: Callable[[re.Match[str], Sources], Make]


@dataclass(frozen=True)
class _Enlarged:
    enlarge: Callable[..., Array]
    factor: int
    channels: int

    def __call__(self, _: Any, __: Any, y: Array) -> Array:
        return self.enlarge(y, factor=self.factor, channels=self.channels)


@dataclass(frozen=True)
class _Denoised:
    """Non-local means of y with the noise of the degradation, then bicubic enlargement."""

    noise_std: float
    factor: int
    channels: int

    def __call__(self, h: Any, _: Any, y: Array) -> Array:
        return bicubic(nlm(y, h=h, sigma=self.noise_std), factor=self.factor, channels=self.channels)


@dataclass(frozen=True)
class _Linear:
    grid: PatchGrid

    def __call__(self, params: Any, _: Any, y: Array) -> Array:
        return lmmse(params, y, grid=self.grid)


@dataclass(frozen=True)
class _Exemplar:
    grid: PatchGrid
    channels: int

    def __call__(self, params: Any, _: Any, y: Array) -> Array:
        dictionary, temperature = params
        return exemplar(dictionary, y, grid=self.grid, temperature=temperature, channels=self.channels)


def _classical(apply: Callable[[Any, Any, Array], Array], params: Any, training: Training) -> Restorer:
    return Restorer(apply, params, scale=training.degradation.factor, differentiable=True, cost=0)


def _enlarged(match: re.Match[str], sources: Sources) -> Make:
    enlarge = {"nearest": nearest, "bicubic": bicubic, "lanczos": lanczos}[match["name"]]
    training = sources.training
    found = _classical(_Enlarged(enlarge, training.degradation.factor, training.channels), (), training)
    return lambda: found


def _denoised(match: re.Match[str], sources: Sources) -> Make:
    h, degradation = _positive(match, "strength"), sources.training.degradation
    apply = _Denoised(degradation.noise_std, degradation.factor, sources.training.channels)
    found = replace(_classical(apply, h, sources.training), family="nlm", setting=h)
    return lambda: found


def _linear(_: re.Match[str], sources: Sources) -> Make:
    return lambda: sources.linear


def _exemplar(match: re.Match[str], sources: Sources) -> Make:
    temperature = _positive(match, "temperature")

    def make() -> Restorer:
        params = (sources.exemplars.params, temperature)
        return replace(sources.exemplars, params=params, family="exemplar", setting=temperature)

    return make


def _trained(match: re.Match[str], sources: Sources) -> Make:
    spec, training = match[0], sources.training
    path = match.groupdict().get("path")
    source = spec if path is None else Path(path)
    wanted = training.degradation.name.split("+")[0]
    if (found := trained_degradation(source).split("+")[0]) != wanted:
        raise InputError(f"restorers: found {spec!r}, which was trained for {found}, expected one for {wanted}")
    if (channels := trained_channels(source)) != training.channels:
        raise InputError(f"restorers: found {spec!r}, of {channels} channels, expected {training.channels}")
    made = trained_restorer(source)
    return lambda: made


def _published(match: re.Match[str], sources: Sources) -> Make:
    training, name = sources.training, match["name"]
    if name in OFFICIAL_SIZES:  # before its file is read
        _check_scale(match[0], OFFICIAL_SIZES[name].scale, training)
    found = published_restorer(
        match["path"] or None,
        name=None if name == "network" else name,
        channels=training.channels,
        tile=training.tile,
    )
    _check_scale(match[0], found.scale, training)
    return lambda: found


def _check_scale(spec: str, scale: int | None, training: Training) -> None:
    if scale != training.degradation.factor:
        raise InputError(
            f"restorers: found {spec!r}, which enlarges by {scale}, expected {training.degradation.factor}"
        )


def _stored(match: re.Match[str], _: Sources) -> Make:
    try:
        found = from_folder(match["path"])
    except InputError as error:
        raise InputError(f"restorers: {match[0]!r}: {str(error).removeprefix('path: ')}") from error
    return lambda: found


def _sampled(match: re.Match[str], sources: Sources) -> Make:
    spec, training = match[0], sources.training
    try:
        chosen, rest = prior_options(match["options"] or "")
        asked = sampling_options(match["name"], rest)
        prior = read_prior(match["path"], **chosen)
        if prior.channels != training.channels:
            raise InputError(f"prior: found {prior.channels} channels, expected {training.channels}, those of x")
        made = sampled_restorer(
            match["name"],
            prior,
            training.degradation,
            steps=asked.steps,
            options=asked.options,
            attacked=asked.attacked,
            cache=asked.cache,
        )
    except InputError as error:
        raise InputError(f"restorers: {spec!r}: {str(error).removeprefix('source: ')}") from error
    return lambda: made


def _own(match: re.Match[str], _: Sources) -> Make:
    """A function of the user's own, from a file or an importable module."""
    spec = match[0]
    function = load_named("restorers", spec, module="_jaxpr_restorers", expected="a callable y -> x̂")
    found = as_restorer(spec, function)
    # What is no value of ours may be in any framework: where JAX cannot trace it, it runs on the host.
    made = found if isinstance(function, Restorer) else replace(found, host=None)
    return lambda: made


def _positive(match: re.Match[str], name: str) -> float:
    try:
        value = float(match["number"])
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise InputError(f"restorers: found {name} {match['number']} in {match[0]!r}, expected a positive number")
    return value


def _any_of(names: Iterable[str]) -> str:
    return "|".join(map(re.escape, names))


_NUMBER = r"(?P<number>[0-9.eE+-]+)"

WORDS = (
    Word("nearest, bicubic, lanczos", "interpolation", re.compile("(?P<name>nearest|bicubic|lanczos)"), _enlarged),
    Word(
        "nlm:H",
        "non-local means; H in intensity units, about 0.6 σ of the noise",
        re.compile(f"nlm:{_NUMBER}"),
        _denoised,
    ),
    Word("lmmse", "the best linear map of patches, fitted on training images", re.compile("lmmse"), _linear),
    Word(
        "exemplar:TEMPERATURE",
        "a soft nearest neighbour among training patches",
        re.compile(f"exemplar:{_NUMBER}"),
        _exemplar,
    ),
    Word(
        "a trained restorer that comes with jaxpr (such as photos-gan-0.01)",
        "for the degradation that it was trained for",
        re.compile(_any_of(PACKAGED_RESTORERS)),
        _trained,
    ),
    Word("trained:PATH", "weights of jaxpr train", re.compile("trained:(?P<path>.*)", re.DOTALL), _trained),
    Word(
        "NAME:PATH or NAME of a published network (jaxpr weights fetch lists them)",
        "from its official file, or once fetched; PATH#DICTIONARY where a file holds several",
        re.compile(f"(?P<name>{_any_of(PUBLISHED_RESTORERS)})(?::(?P<path>.*))?", re.DOTALL),
        _published,
    ),
    Word(
        "network:PATH",
        "any file of a known architecture that restores images",
        re.compile("(?P<name>network):(?P<path>.*)", re.DOTALL),
        _published,
    ),
    Word(
        "ddrm:PRIOR, ddnm:PRIOR, dps:PRIOR, repaint:PRIOR, each also with ?steps=N&...&attack=yes",
        "answers that a diffusion sampler draws; PRIOR a denoiser that comes with jaxpr, a fetched one, or a file of "
        "jaxpr train, ADM or DDPM; of these also ?class=N&classifier=FILE&precision=bfloat16",
        re.compile(r"(?P<name>ddrm|ddnm|dps|repaint):(?P<path>[^?]*)(?:\?(?P<options>.*))?", re.DOTALL),
        _sampled,
    ),
    Word(
        "outputs:FOLDER",
        "images that any program wrote for the test images; several draws as NAME_0, NAME_1 or in one folder each",
        re.compile("outputs:(?P<path>.*)", re.DOTALL),
        _stored,
    ),
    Word(
        "path/to/file.py:function, package.module:function",
        "your own y -> x̂, (key, y) -> x̂ or Restorer",
        re.compile(r"(?!exemplar:|nlm:).+:[A-Za-z_]\w*"),
        _own,
    ),
)
"""Tried from the first to the last."""
