"""`+transport` and `+autoencoded` on the command line: options, and the fit on training images degraded as in a run."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import InputError, Key
from jaxpr.data import ImageSource
from jaxpr.restorers.autoencoded import autoencoded
from jaxpr.restorers.builders import Sources
from jaxpr.restorers.latent_transport import latent_transport
from jaxpr.restorers.latent_transport_encoders import LatentEncoder, read_encoder
from jaxpr.restorers.latent_transport_fit import (
    LatentTransport,
    PatchStatistics,
    fit_transport,
    patch_statistics,
)
from jaxpr.restorers.latent_transport_patches import check_patch
from jaxpr.restorers.latent_transport_settings import TransportSettings
from jaxpr.restorers.restorer import Restorer

__all__ = ["autoencoded_plan", "transport_alphas", "transport_plan"]

_CURVE = ("-1", "-0.5", "0", "0.25", "0.5", "0.75", "1", "1.5", "2")  # alphas of `curve`
_MOST_SIDE = 512  # of training images, cut out of their middle: as in the paper, and what a laptop restores


_YES = {"yes": True, "no": False}


def transport_plan(match: re.Match[str], sources: Sources) -> Callable[[Restorer], Restorer]:
    """What `+transport:ALPHA?OPTIONS` does to a restorer; its words are checked and its encoder is read here.

    Args:
        match: with the groups `inner`, `alpha` and `options`.
        sources: the training images and the degradation; fits are kept there, so that all alphas share one.

    Raises:
        InputError: unknown options, no such encoder, or an alpha that is no number.
    """
    spec = match[0]
    try:
        alpha, options = _alpha(match["alpha"]), _options(match["options"] or "")
        encoder = _shared(sources, ("encoder", options.encoder), lambda: read_encoder(options.encoder))
    except InputError as error:
        raise InputError(f"restorers: {spec!r}: {error}") from error

    def change(found: Restorer) -> Restorer:
        fits = options._replace(noise=True)
        try:
            fitted = _shared(sources, (match["inner"], fits), lambda: _fit(found, encoder, fits, sources))
            return latent_transport(found, fitted, alpha=alpha, deterministic=not options.noise, any_size=True)
        except InputError as error:
            raise InputError(f"restorers: {spec!r}: {error}") from error

    return change


def transport_alphas(match: re.Match[str]) -> tuple[tuple[str, str], ...]:
    """The alphas of `+transport:curve` and `+transport:ALPHA,ALPHA,...`, each with the ending for it alone.

    Args:
        match: with the groups `inner` and `alpha`.

    Raises:
        InputError: not numbers, or one twice.
    """
    spec, alphas = match[0], match["alpha"] or ""
    if alphas != "curve" and "," not in alphas:
        return (("", spec[match.end("inner") :]),)
    texts = _CURVE if alphas == "curve" else tuple(part.strip() for part in alphas.split(","))
    try:
        values = [_alpha(text) for text in texts]
    except InputError as error:
        raise InputError(f"restorers: {spec!r}: {error}") from error
    if len(set(values)) < len(values):
        raise InputError(f"restorers: {spec!r}: found alphas {alphas}, expected each once")
    before, after = spec[match.end("inner") : match.start("alpha")], spec[match.end("alpha") :]
    return tuple((text, before + text + after) for text in texts)


def autoencoded_plan(match: re.Match[str], sources: Sources) -> Callable[[Restorer], Restorer]:
    """What `+autoencoded?encoder=...` does to a restorer; the encoder is read here.

    Args:
        match: with the group `options`.
        sources: encoders are kept there.

    Raises:
        InputError: other options, or no such encoder.
    """
    name, _, source = (match["options"] or "").partition("=")
    try:
        if name != "encoder" or not source:
            raise InputError(f"found the options {match['options'] or 'none'}, expected ?encoder=NAME_OR_FILE")
        encoder = _shared(sources, ("encoder", source), lambda: read_encoder(source))
    except InputError as error:
        raise InputError(f"restorers: {match[0]!r}: {error}") from error
    return lambda found: autoencoded(found, encoder)


def _shared(sources: Sources, name: Any, make: Callable[[], Any]) -> Any:
    if name not in sources.shared:
        sources.shared[name] = make()
    return sources.shared[name]


def _alpha(text: str | None) -> float:
    try:
        value = 0.0 if text is None else float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        numbers = "a number (0 the transported image, 1 the restorer's), several with commas between, or curve"
        raise InputError(f"found alpha {text or 'without a number'}, expected {numbers}")
    return value


def _options(text: str) -> TransportSettings:
    """Of text like `encoder=FILE&patch=5`; a preset first, then what is said beside it."""
    given: dict[str, str] = {}
    known = ("preset", "encoder", "patch", "images", "encode", "paired", "noise")
    for part in filter(None, text.split("&")):
        name, _, value = part.partition("=")
        if name not in known or name in given or not value:
            raise InputError(f"options: found {part!r}, expected {', '.join(f'{n}=...' for n in known)}, once each")
        given[name] = value
    settings, chosen = TransportSettings.of(given.pop("preset", None)), dict[str, Any](given)
    for name, value in given.items():
        if name in ("patch", "images"):
            if not re.fullmatch(r"\d{1,6}", value) or int(value) < 1:
                raise InputError(f"{name}: found {value!r}, expected a positive integer")
            chosen[name] = int(value)
        elif name == "encode" and value not in ("mode", "sample"):
            raise InputError(f"encode: found {value!r}, expected mode or sample")
        elif name in ("paired", "noise"):
            if value not in _YES:
                raise InputError(f"{name}: found {value!r}, expected yes or no")
            chosen[name] = _YES[value]
    settings = settings._replace(**chosen)
    check_patch(settings.patch)
    return settings


def _fit(found: Restorer, encoder: LatentEncoder, options: TransportSettings, sources: Sources) -> LatentTransport:
    """Restore training images and fit the map from them to natural ones."""
    k_noise, k_restore, k_draw = jax.random.split(jax.random.split(sources.training.key, 3)[2], 3)
    drawn = [None, None] if options.encode == "mode" else list(jax.random.split(k_draw))
    numbers = _numbers(sources, options)
    natural = numbers if options.paired else numbers[1::2]
    restored = numbers if options.paired else numbers[::2]
    if not natural:
        raise InputError(f"found {len(numbers)} training images, expected two or more for paired=no")
    target: PatchStatistics = _shared(
        sources,
        ("natural", encoder.name, options._replace(noise=True)),
        lambda: patch_statistics(
            (_middle(sources, i)[0] for i in natural), encoder=encoder, patch=options.patch, sample_key=drawn[1]
        ),
    )
    source = patch_statistics(
        _restored(found, sources, restored, k_noise, k_restore),
        encoder=encoder,
        patch=options.patch,
        sample_key=drawn[0],
    )
    target, source = replace(target, sources=_read(sources, natural)), replace(source, sources=_read(sources, restored))
    return fit_transport(source, target, encoder=encoder, patch=options.patch)


def _numbers(sources: Sources, options: TransportSettings) -> list[int]:
    """Which training images are used, spread evenly over them."""
    count = len(sources.images)
    wanted = min(count, options.images * (1 if options.paired else 2))
    return [int(i) for i in np.linspace(0, count - 1, wanted).round()]


def _read(sources: Sources, numbers: list[int]) -> tuple[str, ...]:
    """What the images are called, for the record."""
    images: Any = sources.images
    if isinstance(images, ImageSource):
        return tuple(f"{images.name}: {images.names[number]}" for number in numbers)
    return tuple(f"training image {number}" for number in numbers)


def _middle(sources: Sources, number: int) -> np.ndarray:
    """The middle of a training image, (1, H, W, C), with sides that are multiples of the scale factor."""
    image, factor = sources.images[number], sources.training.degradation.factor
    height, width = (min(side, _MOST_SIDE) // factor * factor for side in image.shape[:2])
    top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
    middle: np.ndarray = image[None, top : top + height, left : left + width]
    return middle


def _restored(
    found: Restorer, sources: Sources, numbers: list[int], k_noise: Key, k_restore: Key
) -> Iterator[np.ndarray]:
    """What the restorer makes of degraded training images, one at a time."""
    draws = 2 if found.together else 1

    def restore(params: Any, key: Any, y: Any) -> Any:
        return replace(found, params=params).draws(key, y, count=draws)[0]

    run = jax.jit(restore) if found.host is False else restore
    for number in numbers:
        x = jnp.asarray(_middle(sources, number))
        y: Any = sources.training.degrade(jax.random.fold_in(k_noise, number)[None], x)
        y = np.asarray(y) if found.host is not False else y
        restored = np.asarray(run(found.params, jax.random.fold_in(k_restore, number), y), np.float32)
        if restored.shape != x.shape:
            raise InputError(f"found restorations of shape {restored.shape}, expected {x.shape}")
        yield restored[0]
