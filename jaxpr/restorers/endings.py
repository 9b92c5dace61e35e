"""The endings of `--restorers`, which change the restorer of the word before them.

A new ending is a row here and a test.
"""

import math
import re
from collections.abc import Callable
from typing import NamedTuple

from jaxpr.core import InputError
from jaxpr.restorers.builders import Sources
from jaxpr.restorers.consistent import consistent
from jaxpr.restorers.guided import named_guidance
from jaxpr.restorers.latent_transport_words import autoencoded_plan, transport_alphas, transport_plan
from jaxpr.restorers.ranges import in_range
from jaxpr.restorers.restorer import Restorer
from jaxpr.restorers.sampled import SAMPLERS, guided
from jaxpr.restorers.stored import StoredRestorer

__all__ = ["ENDINGS", "Ending"]


class Ending(NamedTuple):
    """What can follow a word, and changes its restorer.

    Attributes:
        shown: how it is written, such as `+project`.
        means: what it does, in a few words.
        pattern: of the specs that end so; the group `inner` is the spec before it.
        plan: `(match, sources) -> change`, checked.
        several: `match -> ((text, ending), ...)` where one word stands for several restorers: the ending of each, and
            the text that tells it from the others, "" for one alone.
    """

    shown: str
    means: str
    pattern: re.Pattern[str]
    plan: Callable[[re.Match[str], Sources], Callable[[Restorer], Restorer]]
    several: Callable[[re.Match[str]], tuple[tuple[str, str], ...]] = lambda match: (
        ("", match[0][match.end("inner") :]),
    )


def _projected(match: re.Match[str], sources: Sources) -> Callable[[Restorer], Restorer]:
    degradation = sources.training.degradation
    if not degradation.has_operator:
        raise InputError(
            f"restorers: found {match[0]!r} with degradation {degradation.name!r}, expected no +project where there is "
            "no linear operator to be consistent with"
        )
    return lambda found: consistent(_callable(found, match[0]), degradation)


def _ranged(match: re.Match[str], _: Sources) -> Callable[[Restorer], Restorer]:
    low, high = match["low"], match["high"]
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = (math.nan, math.nan)
    if not -math.inf < ends[0] < ends[1] < math.inf:
        raise InputError(f"restorers: found the range {low} to {high} in {match[0]!r}, expected two growing numbers")
    return lambda found: in_range(_callable(found, match[0]), *ends, measurements=match["kind"] == "range")


def _guided(match: re.Match[str], sources: Sources) -> Callable[[Restorer], Restorer]:
    sampler = re.match(f"({'|'.join(SAMPLERS)}):", match["inner"])
    try:
        if sampler is None:
            raise InputError(f"found no sampler, expected +guidance right behind one of {', '.join(SAMPLERS)}")
        guidance = named_guidance(sampler[1], sources.training.degradation, match["eta"], match["distance"])
    except InputError as error:
        raise InputError(f"restorers: {match[0]!r}: {error}") from error

    def change(found: Restorer) -> Restorer:
        try:
            return guided(found, guidance)
        except InputError as error:
            raise InputError(f"restorers: {match[0]!r}: {error}") from error

    return change


def _transported(match: re.Match[str], sources: Sources) -> Callable[[Restorer], Restorer]:
    change = transport_plan(match, sources)
    return lambda found: change(_callable(found, match[0]))


def _autoencoded(match: re.Match[str], sources: Sources) -> Callable[[Restorer], Restorer]:
    change = autoencoded_plan(match, sources)
    return lambda found: change(_callable(found, match[0]))


def _callable(found: Restorer, spec: str) -> Restorer:
    if isinstance(found, StoredRestorer):
        raise InputError(f"restorers: found {spec!r}, expected no ending behind outputs:FOLDER, which is no function")
    return found


ENDINGS = (
    Ending(
        "+project",
        "made perfectly consistent, where the degradation has a linear operator",
        re.compile(r"(?P<inner>.*)\+project", re.DOTALL),
        _projected,
    ),
    Ending(
        "+range:LOW:HIGH, +output:LOW:HIGH",
        "takes and returns images in another range than 0 to 1, or only returns them so",
        re.compile(r"(?P<inner>.+)\+(?P<kind>range|output):(?P<low>[^:+]+):(?P<high>[^:+]+)"),
        _ranged,
    ),
    Ending(
        "+guidance, +guidance:ETA:DISTANCE",
        "answers of a diffusion sampler driven apart, as published for the degradation or by these numbers",
        re.compile(r"(?P<inner>.+)\+guidance(?::(?P<eta>[^:+]+):(?P<distance>[^:+]+))?", re.DOTALL),
        _guided,
    ),
    Ending(
        "+transport, +transport:ALPHA, +transport:curve, each also with ?encoder=NAME_OR_FILE&patch=P&images=N"
        "&encode=sample&paired=no&noise=no&preset=paper",
        "moved towards natural images in patches of an autoencoder's latents (by default of pixels), fitted on "
        "training images; ALPHA 0 the whole way, 1 not at all, any number, or several as 0,0.5,1; curve is several "
        "from -1 to 2",
        re.compile(r"(?P<inner>.+)\+transport(?::(?P<alpha>[^:?]+))?(?:\?(?P<options>[^?]*))?", re.DOTALL),
        _transported,
        transport_alphas,
    ),
    Ending(
        "+autoencoded?encoder=NAME_OR_FILE",
        "encoded and decoded, without transport: what an autoencoder itself changes",
        re.compile(r"(?P<inner>.+)\+autoencoded(?:\?(?P<options>[^?]*))?", re.DOTALL),
        _autoencoded,
    ),
)
"""Each may follow a word, in any order; the last one is applied last."""
