"""Where in a file a network lies: in which dictionary, and behind which prefix of names.

Trainers wrap what they save: in dictionaries (`state_dict`, `params_ema`, beside optimizers and counters) and in
modules (`module.`, `model.`, `net_g.`, which then stand in front of every name). Whatever their names, the place is
where the tensors fit a network; only between several such places names decide.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, TypeAlias

from jaxpr.core import InputError, printable

__all__ = ["Fits", "Place", "choose_place", "left_out", "taken_names"]

Shapes: TypeAlias = Mapping[str, tuple[int, ...]]
Fits: TypeAlias = Callable[[Shapes], bool]
"""Whether tensors of these names and shapes are what is looked for."""

# Where several dictionaries fit, the first of these names that is there: averaged weights before the last ones.
_WRAPPERS = (
    *("params_ema", "g_ema", "ema", "model_ema", "ema_state_dict"),
    *("params", "state_dict", "model_state_dict", "model", "generator", "netG", "net_g", "net", "network", "weights"),
)
# What is taken off in front of all names, also of networks that are not known.
_WRAPPED = ("module.", "_orig_mod.")
# Scalars that averages of weights and trainers keep beside them.
_COUNTER = r"n_averaged|num_updates|decay|epoch|iter|iteration|step|global_step|best_\w+"
_DEEPEST_PREFIX, _MOST_PREFIXES, _LISTED = 5, 16, 8
_FEWEST_TENSORS = 5  # of a network; an optimizer keeps three or four for every parameter


class Place(NamedTuple):
    """Where tensors lie in a file.

    Attributes:
        dictionary: dotted path of the dictionary; empty for the file itself.
        prefix: of their names, with its dot at the end; empty for all names.
    """

    dictionary: str
    prefix: str

    @property
    def key(self) -> str:
        """What names it in `dictionary` and behind `#`."""
        return ".".join(part for part in (self.dictionary, self.prefix.removesuffix(".")) if part)


def choose_place(groups: Mapping[str, Shapes], fits: Iterable[Fits], *, wanted: str | None, source: str) -> Place:
    """The place of the tensors that are looked for.

    Args:
        groups: shapes of the tensors of every dictionary, by its dotted path.
        fits: see `read_checkpoint`.
        wanted: key of the place, or of a dictionary; None for anywhere.
        source: what to call the file in messages.

    Raises:
        InputError: there is no such place, or there are several.
    """
    outer = ""
    if wanted is not None:
        dictionary, outer = _named(groups, wanted, source)
        groups = {dictionary: {name: s for name, s in groups[dictionary].items() if name.startswith(outer)}}
    for fit in fits:
        found = [Place(name, prefix) for name, shapes in groups.items() for prefix in _fitting(shapes, outer, fit)]
        if found:
            return _preferred(found, groups, source)
    found = [Place(name, _wrapped(shapes, outer)) for name, shapes in _largest(groups).items()]
    return _preferred(found, groups, source)


def taken_names(shapes: Shapes, prefix: str) -> dict[str, str]:
    """Names of the tensors behind a prefix, and what is left of them without it."""
    return {
        name: name.removeprefix(prefix)
        for name, shape in shapes.items()
        if name.startswith(prefix) and not (shape == () and re.fullmatch(_COUNTER, name.removeprefix(prefix)))
    }


def left_out(shapes: Shapes, prefix: str) -> tuple[str, ...]:
    """Names of all other tensors."""
    taken = taken_names(shapes, prefix)
    return tuple(name for name in shapes if name not in taken)


def _named(groups: Mapping[str, Shapes], wanted: str, source: str) -> tuple[str, str]:
    """The dictionary and the prefix that a key says."""
    for dictionary in sorted(groups, key=len, reverse=True):
        if wanted == dictionary:
            return dictionary, ""
        prefix = wanted.removeprefix(f"{dictionary}." if dictionary else "") + "."
        inside = not dictionary or wanted.startswith(f"{dictionary}.")
        if inside and any(name.startswith(prefix) for name in groups[dictionary]):
            return dictionary, prefix
    listed = _listed((Place(name, "") for name in groups), groups)
    raise InputError(f"dictionary: found {wanted!r}, expected one of those with tensors in {source}: {listed}")


def _fitting(shapes: Shapes, outer: str, fit: Fits) -> list[str]:
    """The prefixes, `outer` or longer, behind which the tensors fit; not those of parts of what fits.

    At every depth those with the most tensors are tried: a network is large, the many others are its blocks.
    """
    found: list[str] = []
    begun = outer.count(".")
    for depth in range(begun, begun + _DEEPEST_PREFIX + 1):
        others = [name for name in shapes if name.count(".") >= depth and not name.startswith(tuple(found))]
        for prefix, _ in Counter(_prefix(name, depth) for name in others).most_common(_MOST_PREFIXES):
            inside = {short: shapes[name] for name, short in taken_names(shapes, prefix).items()}
            if len(inside) >= _FEWEST_TENSORS and fit(inside):
                found.append(prefix)
    return found


def _prefix(name: str, depth: int) -> str:
    return "".join(f"{part}." for part in name.split(".")[:depth])


def _largest(groups: Mapping[str, Shapes]) -> Mapping[str, Shapes]:
    """Without the file itself where it has but a few tensors beside dictionaries of them."""
    outside = groups.get("", {})
    inner = {name: shapes for name, shapes in groups.items() if name}
    scalars = all(math.prod(shape) == 1 for shape in outside.values())
    if inner and (scalars or len(outside) < max(map(len, inner.values()))):
        return inner
    return groups


def _wrapped(shapes: Shapes, outer: str) -> str:
    prefix = outer
    names = list(taken_names(shapes, outer))
    while names and (more := next((w for w in _WRAPPED if all(n.startswith(prefix + w) for n in names)), "")):
        prefix += more
    return prefix


def _preferred(found: list[Place], groups: Mapping[str, Shapes], source: str) -> Place:
    """The one place, or the one whose dictionary has the first of the known names."""
    outermost = [place for place in found if not place.dictionary] or found
    if len(outermost) == 1:
        return outermost[0]
    for wrapper in _WRAPPERS:
        named = [place for place in found if wrapper in place.dictionary.split(".")]
        least = min((place.dictionary.count(".") for place in named), default=0)
        shallowest = [place for place in named if place.dictionary.count(".") == least]
        if len(shallowest) == 1:
            return shallowest[0]
        if shallowest:
            break
    raise InputError(
        f"{source}: found several dictionaries of tensors that fit ({_listed(found, groups)}), expected the option "
        f"`dictionary`, or #NAME behind the file as in #{printable(found[-1].key)}, to name one"
    )


def _listed(places: Iterable[Place], groups: Mapping[str, Shapes]) -> str:
    """Places by their keys, with the number of their tensors; the first few."""
    listed = [
        f"{printable(place.key) or '(the file itself)'} with {len(taken_names(groups[place.dictionary], place.prefix))}"
        for place in places
    ]
    return ", ".join(listed[:_LISTED]) + (", ..." if len(listed) > _LISTED else "")
