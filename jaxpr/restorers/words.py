"""Restorers by name: the strings that the command line and configurations use.

A spec is a word of the table in `builders` with any of the `endings` behind it; `LABEL=SPEC` gives it another name.
An ending may stand for several restorers, such as `+transport:curve`.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from jaxpr.core import InputError
from jaxpr.degradations import Degradation
from jaxpr.restorers.builders import WORDS, Make, Sources, Training
from jaxpr.restorers.endings import ENDINGS
from jaxpr.restorers.restorer import Restorer
from jaxpr.weights.official_sizes import OFFICIAL_SIZES
from jaxpr.weights.packaged import PACKAGED_RESTORERS, packaged_entry, similar_names
from jaxpr.weights.wheels import installed_copy

__all__ = ["Training", "build_restorers", "default_restorers", "words_table"]

_PROJECT = "+project"
_CLASSICAL = ("nearest", "bicubic", "lanczos", "lmmse", "lmmse+project")
_SMALL_COPIES = ("realesr-animevideo-x4",)  # a laptop attacks it in seconds
_EXEMPLARS = ("exemplar:0.3", "exemplar:0.1", "exemplar:0.05", "exemplar:0.03", "exemplar:0.03+project")
# No label holds what begins a path or an argument, so that trained:runs/lr=1/weights.safetensors has none.
_LABELLED = re.compile(r"(?P<label>[^=:/\\?]*[^=:/\\?\s])=(?P<spec>.+)", re.DOTALL)


def default_restorers(degradation: Degradation, channels: int) -> tuple[str, ...]:
    """Specs of restorers for a degradation without any of the user's: classical ones, and those trained for it.

    Of restorers that were trained several times, only those of the first seed. Of published networks, small ones in
    packages that are installed, where they enlarge by as much.

    Args:
        degradation: of the measurements.
        channels: of x.
    """
    wanted = (degradation.name, channels, 0)
    entries = map(packaged_entry, PACKAGED_RESTORERS)
    trained = tuple(entry.name for entry in entries if (entry.degradation, entry.channels, entry.seed) == wanted)
    names = (*_CLASSICAL, *(trained or _EXEMPLARS), *_published(degradation, channels))
    return names if degradation.has_operator else tuple(name for name in names if not name.endswith(_PROJECT))


def _published(degradation: Degradation, channels: int) -> tuple[str, ...]:
    fits = [name for name in _SMALL_COPIES if OFFICIAL_SIZES[name].scale == degradation.factor and channels == 3]
    return tuple(name for name in fits if installed_copy(name) is not None)


def build_restorers(specs: Sequence[str], training: Training) -> dict[str, Restorer]:
    """Make the restorers that the specs name, each fitted once.

    Args:
        specs: each `SPEC`, which is then the restorer's name, or `LABEL=SPEC`; see `words_table`. Where one stands for
            several, each is named by its own spec, or as `LABEL:ALPHA`.
        training: where `lmmse` and `exemplar` learn.

    Returns:
        Name to restorer, in the order of the specs. Its `label` is its spec; where it has no family of its own, the
        word without endings is its family.

    Raises:
        InputError: an unknown spec, a repeated name, a file or function that cannot be loaded.
    """
    named = [one for spec in specs for one in _named(spec)]
    repeated = [name for name, count in Counter(name for name, _ in named).items() if count > 1]
    if repeated:
        raise InputError(f"restorers: found {', '.join(sorted(repeated))} more than once, expected different restorers")
    sources = Sources(training)
    planned = {name: _plan(spec, sources) for name, spec in named}
    return {name: replace(make(), label=spec) for (name, spec), make in zip(named, planned.values(), strict=True)}


def words_table() -> tuple[tuple[str, str], ...]:
    """What can be written for a restorer, and what it means."""
    words = ((word.shown, word.means) for word in WORDS)
    endings = ((f"... {ending.shown}", ending.means) for ending in ENDINGS)
    return (*words, *endings, ("LABEL=SPEC", "another name for any of them"))


def _named(spec: str) -> list[tuple[str, str]]:
    """Of each restorer that a spec stands for the name, and the spec without it."""
    match = _LABELLED.fullmatch(spec)
    label, plain = (match["label"].strip(), match["spec"]) if match else ("", spec)
    return [(":".join((label, *texts)) if label else one, one) for texts, one in _several(plain)]


def _several(spec: str) -> list[tuple[tuple[str, ...], str]]:
    """The specs that one stands for, each with the texts that tell it from the others."""
    for ending in ENDINGS:
        if match := ending.pattern.fullmatch(spec):
            inner, own = _several(match["inner"]), ending.several(match)
            return [((*texts, text) if text else texts, one + end) for texts, one in inner for text, end in own]
    return [((), spec)]


def _plan(spec: str, sources: Sources) -> Make:
    """What makes a restorer, its words checked and its files read: nothing is fitted before all have been planned."""
    for ending in ENDINGS:
        if match := ending.pattern.fullmatch(spec):
            change = ending.plan(match, sources)
            make = _plan(match["inner"], sources)
            return lambda: change(make())
    for word in WORDS:
        if match := word.pattern.fullmatch(spec):
            make = word.plan(match, sources)
            return lambda: _of_family(make(), spec)
    known = ", ".join(word.shown for word in WORDS)
    endings = " or ".join(ending.shown for ending in ENDINGS)
    raise InputError(
        f"restorers: found {spec!r}, expected one of {known}, each optionally followed by {endings}, and preceded by "
        f"LABEL=; trained ones like it: {similar_names(spec)}"
    )


def _of_family(found: Restorer, spec: str) -> Restorer:
    return found if found.family is not None else replace(found, family=spec)
