"""Which measurement belongs to which image: a rule over the names of all files, never a guess for single ones.

A rule is LOW:HIGH, two templates of relative names without extension. Each {} stands for text of at least one
character; a file of LOW belongs to the file of HIGH for which they stand for the same. `{}x4:{}` pairs 0801x4.png with
0801.png. Where a template has several {}, the earlier ones take as much as they can.

A rule holds only if it pairs all files of both sides one to one. Without a given one, equal names are tried first, then
what data sets are known to add to them: a scale (x4, x4m, 4x, SRF_4), a word for the side (LR, noisy, ...; HR, GT, ...)
or both, in front, behind, or between separators. A number without x or SRF is part of the name.
"""

import os
import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

from jaxpr.core import InputError, printable
from jaxpr.data.decode import EXTENSIONS

__all__ = ["Pairing", "check_pattern", "pair_names"]

_SAME_NAMES = "{}:{}"

_GAP = r"[/_. -]"
_NUMBER = "(?:1[0-6]|[1-9])"
_SCALE = rf"(?:x{_NUMBER}[a-z]?|{_NUMBER}x|SRF[_-]?{_NUMBER})"
_LOW = "(?:LR(?:BI|BD|DN)?|LQ|low(?:_?res)?|noisy|noise|blurred|blurry|blur|hazy|rainy|degraded|input)"
_HIGH = "(?:HR|HQ|GT|high(?:_?res)?|clean|clear|sharp|target|truth|original|reference)"
_WORD = rf"(?:{_SCALE}|{_LOW}{_NUMBER}?|{_HIGH})"  # LR4: RealSR
_WORDS = rf"{_WORD}(?:{_GAP}?{_WORD}){{0,2}}"
# A scale needs no separator before it (0001x4), nor does a word of two capitals behind a digit (0001LR).
_BARE = rf"x{_NUMBER}[a-z]?(?:{_GAP}?{_WORDS})?|(?<=[0-9])(?:[LH][RQ]|GT)"

_HEAD = re.compile(rf"{_WORDS}{_GAP}", re.IGNORECASE)
_MIDDLE = re.compile(rf"{_GAP}{_WORDS}{_GAP}", re.IGNORECASE)
_TAIL = re.compile(rf"{_GAP}{_WORDS}|{_BARE}", re.IGNORECASE)
_PARTS = re.compile(rf"x?(?P<scale>{_NUMBER})x?|(?P<low>{_LOW})|(?P<high>{_HIGH})", re.IGNORECASE)

_LONGEST = 24  # characters of an addition
_SAMPLES = 3  # files whose names are searched for additions; a rule must hold for all
_SHOWN = 3


class Pairing(NamedTuple):
    """How the names of two folders belong together.

    Attributes:
        rule: LOW:HIGH.
        order: for each name of high the position of its partner in low.
    """

    rule: str
    order: tuple[int, ...]


class _Reading(NamedTuple):
    """A name taken apart: head, text, middle and tail are additions, or empty; the texts between belong to the scene.

    A middle of one character is a separator where the other side may have an addition.
    """

    head: str
    middle: str
    tail: str

    @property
    def template(self) -> str:
        return self.head + "{}" + (self.middle + "{}" if self.middle else "") + self.tail


class _Trial(NamedTuple):
    """A rule and the texts that its {} stand for in each name; None where it does not match."""

    rule: str
    low: tuple[tuple[str, ...] | None, ...]
    high: tuple[tuple[str, ...] | None, ...]

    @property
    def pairs(self) -> int:
        """How many: no two names of a side have one stem, so none share their texts."""
        return len((set(self.low) & set(self.high)) - {None})


def check_pattern(pattern: str) -> None:
    """Raise InputError unless `pattern` is a rule LOW:HIGH."""
    templates = pattern.split(":") if isinstance(pattern, str) else []
    counts = {template.count("{}") for template in templates}
    if len(templates) != 2 or len(counts) != 1 or 0 in counts:
        found = printable(pattern) if isinstance(pattern, str) else type(pattern).__name__
        raise InputError(
            f"pattern: found {found}, expected LOW:HIGH, two names with {{}} for what is equal, such as {{}}x4:{{}}"
        )


def pair_names(low: Sequence[str], high: Sequence[str], *, pattern: str | None = None) -> Pairing:
    """Pair the names of files.

    Args:
        low: unique relative names with extension, forward slashes.
        high: likewise.
        pattern: the rule, or None to find it. A template with an extension is compared with names as they are.

    Raises:
        InputError: a malformed pattern, two files of one name, or no rule that pairs all files one to one.
    """
    if pattern is not None:
        check_pattern(pattern)
    elif set(low) == set(high):
        return _pairing(_Trial(_SAME_NAMES, tuple((name,) for name in low), tuple((name,) for name in high)))
    for side, names in (("low", low), ("high", high)):
        _refuse_twins(side, names)
    trials = []
    for rule in [pattern] if pattern is not None else _rules(low, high):
        trials.append(_trial(rule, low, high))
        if trials[-1].pairs == len(low) == len(high):
            return _pairing(trials[-1])
    raise _no_rule(trials, low, high, given=pattern is not None)


def _pairing(trial: _Trial) -> Pairing:
    position = {key: i for i, key in enumerate(trial.low)}
    return Pairing(trial.rule, tuple(position[key] for key in trial.high))


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]


def _refuse_twins(side: str, names: Sequence[str]) -> None:
    seen: dict[str, str] = {}
    for name in names:
        if (first := seen.setdefault(_stem(name), name)) != name:
            raise InputError(f"{side}: found {first} and {name}, expected one file of a name")


def _trial(rule: str, low: Sequence[str], high: Sequence[str]) -> _Trial:
    templates = rule.split(":")
    return _Trial(rule, _texts(templates[0], low), _texts(templates[1], high))


def _texts(template: str, names: Sequence[str]) -> tuple[tuple[str, ...] | None, ...]:
    expression = re.compile("(.+)".join(map(re.escape, template.split("{}"))))
    whole = template.lower().endswith(EXTENSIONS)
    matches = (expression.fullmatch(name if whole else _stem(name)) for name in names)
    return tuple(match and match.groups() for match in matches)


def _rules(low: Sequence[str], high: Sequence[str]) -> Iterator[str]:
    """Equal names, then the rules of known additions, short ones first."""
    yield _SAME_NAMES
    readings = [{r for name in names[:_SAMPLES] for r in _readings(_stem(name))} for names in (low, high)]
    rules = {f"{a.template}:{b.template}" for a, b in product(*readings) if _fit(a, b)}
    yield from sorted(rules, key=lambda rule: (len(rule), rule))


def _readings(stem: str) -> Iterator[_Reading]:
    size = len(stem)
    longest = range(1, min(size, _LONGEST + 1))
    heads = ["", *(stem[:n] for n in longest if _HEAD.fullmatch(stem, 0, n))]
    tails = ["", *(stem[size - n :] for n in longest if _TAIL.fullmatch(stem, size - n))]
    for head, tail in product(heads, tails):
        inner = stem[len(head) : size - len(tail)]
        if inner:
            yield from (_Reading(head, middle, tail) for middle in ("", *_middles(inner)))


def _middles(text: str) -> Iterator[str]:
    """Additions between two separators, and single separators, with text of the scene on both sides."""
    for start in range(1, len(text) - 1):
        if re.match(_GAP, text[start]):
            yield text[start]
            found = _MIDDLE.match(text, start)
            if found and found.end() < len(text):
                yield found[0]


def _fit(low: _Reading, high: _Reading) -> bool:
    """True if the additions say which side is which, and one scale for both."""
    low_words, low_scales = _meaning(low)
    high_words, high_scales = _meaning(high)
    if not _middles_fit(low.middle, high.middle) or len(low_scales | high_scales) > 1:
        return False
    if low_words | low_scales and high_words | high_scales and "high" not in high_words:
        return False  # two scales, and nothing says that they mean the sides
    return bool(low_words | high_words | low_scales | high_scales) and low_words <= {"low"} and high_words <= {"high"}


def _meaning(reading: _Reading) -> tuple[set[str], set[str]]:
    """The sides and the scales that the additions name."""
    found = [match for text in reading for match in _PARTS.finditer(text)]
    scales = {match["scale"] for match in found if match["scale"]}
    return {side for match in found for side in ("low", "high") if match[side]}, scales


def _middles_fit(low: str, high: str) -> bool:
    """True for none, for two between the same separators, and for one where the other side has the separator alone."""
    if not low or not high:
        return low == high
    alone = (len(low) == 1, len(high) == 1)
    return not all(alone) and low[0] == high[0] and (any(alone) or low[-1] == high[-1])


def _no_rule(trials: Sequence[_Trial], low: Sequence[str], high: Sequence[str], *, given: bool) -> InputError:
    """Why the rule that went farthest does not hold, and which others were tried."""
    best = max(trials, key=lambda trial: trial.pairs)
    problem = _problem(best, low, high)
    if given:
        return InputError(
            f"pattern: found {printable(best.rule)} ({problem}), expected it to pair all files one to one"
        )
    farthest = sorted(trials, key=lambda trial: -trial.pairs)[:_SHOWN]
    tried = ", ".join(f"{trial.rule} (pairs {trial.pairs})" for trial in farthest)
    return InputError(
        f"{problem}, expected pairs by one rule for all {len(low)} and {len(high)} files; low begins with {low[0]}, "
        f"high with {high[0]}; tried equal names and known additions such as x4 or _LR, farthest {tried}; a pattern "
        "(--pair-pattern) such as {}x4:{} names another rule"
    )


def _problem(trial: _Trial, low: Sequence[str], high: Sequence[str]) -> str:
    templates = trial.rule.split(":")
    sides = ("low", low, trial.low, templates[0]), ("high", high, trial.high, templates[1])
    for side, names, texts, template in sides:
        if unlike := [name for name, text in zip(names, texts, strict=True) if text is None]:
            return f"{side}: found {_some(unlike)} unlike {template}"
    low_only, high_only = set(trial.low) - set(trial.high), set(trial.high) - set(trial.low)
    side, names, texts, _ = sides[0] if low_only else sides[1]
    other = "high" if low_only else "low"
    lonely = [name for name, text in zip(names, texts, strict=True) if text in (low_only or high_only)]
    return f"{side}: found no partner in {other} for {_some(lonely)}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
