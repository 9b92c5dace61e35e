"""Folders of images that some program made of known images: which file belongs to which image, and to which draw.

One rule holds for all images: what stands around an image's name in the name of its output, such as `{}x4_out`. Several
draws of an image differ in a number at the end (`{}_0`, `{}_1`), or lie in one folder each.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from jaxpr.core import InputError, printable
from jaxpr.data.decode import EXTENSIONS
from jaxpr.data.folder import folder_source
from jaxpr.data.source import ImageSource

__all__ = ["Outputs", "output_folder"]

_SHOWN, _SEEN = 3, 4
_NUMBERED = re.compile(r"(?P<before>.*?)(?P<number>\d+)")
_SCALE = re.compile(r"x\d{1,2}(?![0-9a-z])", re.IGNORECASE)


class Outputs(NamedTuple):
    """What a program made of known images.

    Attributes:
        draws: for each draw the outputs, in the order of the images.
        rule: how names of outputs are made of names of images, with {} for those, and # for the number of a draw.
        left_out: names of the files that belong to no image.
    """

    draws: tuple[ImageSource, ...]
    rule: str
    left_out: tuple[str, ...]


class _Rule(NamedTuple):
    """What stands before and behind the name of an image."""

    before: str
    behind: str

    def __str__(self) -> str:
        return f"{self.before}{{}}{self.behind}"


def output_folder(argument: str, path: str | os.PathLike[str], images: Sequence[str], *, channels: int = 3) -> Outputs:
    """The files of a folder that belong to images.

    Args:
        argument: what messages call the folder's argument.
        path: of the folder.
        images: names of the images, with or without extension; a file belongs to an image if its name is the image's
            with the same text before and behind for all images, less what all images' names end with (`_HR`).
        channels: 3 for RGB, 1 for luma, whatever the files hold.

    Raises:
        InputError: no such folder; files that cannot be told apart; an image without a file.
    """
    source = folder_source(argument, path, channels=channels)
    files = {_stem(name): i for i, name in enumerate(source.names)}
    if len(files) < len(source.names):
        twins = next(name for i, name in enumerate(source.names) if files[_stem(name)] != i)
        raise InputError(f"{argument}: found two files called {_stem(twins)} in {printable(path)}, expected one")
    found = _draws(files, images)
    if isinstance(found, str):
        raise InputError(f"{argument}: {found}; {printable(path)} begins with {source.names[0]}")
    rule, draws = found
    used = {position for draw in draws for position in draw}
    left_out = tuple(name for i, name in enumerate(source.names) if i not in used)
    return Outputs(tuple(source.select(draw) for draw in draws), rule, left_out)


def _draws(files: Mapping[str, int], images: Sequence[str]) -> tuple[str, list[list[int]]] | str:
    """The rule, and for each draw the positions of the images' files; or why there are none."""
    problem = ""
    for keys in _keys(images):
        rules = list(_rules(keys, files))
        whole = [rule for rule in rules if all(_named(rule, key) in files for key in keys)]
        if whole and (numbered := _numbered(whole)) is not None:
            return numbered[0], [[files[_named(rule, key)] for key in keys] for rule in numbered[1]]
        if found := _folders(files, keys):
            return found
        if whole:
            several = _some(list(map(str, whole)))
            return f"found several files for each image ({several}), expected one, or draws as {{}}_0, {{}}_1"
        problem = problem or _problem(rules, keys, files, images)
    return problem


def _folders(files: Mapping[str, int], keys: Sequence[str]) -> tuple[str, list[list[int]]] | None:
    """Draws in one folder each; None if the files are not so."""
    folders: dict[str, dict[str, int]] = {}
    for stem, position in files.items():
        folder, slash, rest = stem.partition("/")
        if not slash:
            return None
        folders.setdefault(folder, {})[rest] = position
    found = set()
    for inside in folders.values():
        rules = [rule for rule in _rules(keys, inside) if all(_named(rule, key) in inside for key in keys)]
        if len(rules) != 1:
            return None
        found.add(rules[0])
    if len(found) != 1 or len(folders) < 2:
        return None
    rule = found.pop()
    order = sorted(folders, key=lambda folder: [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", folder)])
    return f"#/{rule}", [[folders[folder][_named(rule, key)] for key in keys] for folder in order]


def _keys(images: Sequence[str]) -> Iterator[list[str]]:
    """By what the images are named: their whole names, without folders, and without what all of them end with."""
    stems = [_stem(name) for name in images]
    yield stems
    bases = [stem.rpartition("/")[2] for stem in stems]
    shorter = [bases] if bases != stems else []
    for names in (stems, bases):
        cut = re.search(r"[_. -][^/]*$", _common_end(names))
        if cut and len(names) > 1:
            shorter.append([name[: -len(cut[0])] for name in names])
    yield from (keys for keys in shorter if len(set(keys)) == len(keys) and all(keys))


def _common_end(names: Sequence[str]) -> str:
    shortest = min(names, key=len)
    return next(end for i in range(len(shortest) + 1) if all(name.endswith(end := shortest[i:]) for name in names))


def _rules(keys: Sequence[str], files: Mapping[str, int]) -> Iterator[_Rule]:
    """What may stand around names, as seen from the longest ones: they are the least likely to be part of others."""
    found = set()
    for key in sorted(keys, key=len, reverse=True)[:_SEEN]:
        for stem in files:
            start = stem.find(key)
            while start >= 0:
                before, behind = stem[:start], stem[start + len(key) :]
                if _ends(before) and _begins(behind):
                    found.add(_Rule(before, behind))
                start = stem.find(key, start + 1)
    yield from sorted(found, key=lambda rule: (len(str(rule)), rule))


def _ends(before: str) -> bool:
    return not before or not before[-1].isalnum()


def _begins(behind: str) -> bool:
    return not behind or not behind[0].isalnum() or _SCALE.match(behind) is not None


def _named(rule: _Rule, key: str) -> str:
    return f"{rule.before}{key}{rule.behind}"


def _numbered(rules: Sequence[_Rule]) -> tuple[str, list[_Rule]] | None:
    """The rule and those that it stands for: one, or several that differ in a number at the end; None otherwise."""
    if len(rules) == 1:
        return str(rules[0]), list(rules)
    parts = [(rule, _NUMBERED.fullmatch(rule.behind)) for rule in rules]
    texts = {(rule.before, match["before"]) if match else None for rule, match in parts}
    if len(texts) != 1 or None in texts:
        return None
    numbers = {int(match["number"]): rule for rule, match in parts if match}
    if len(numbers) != len(rules):
        return None
    before, behind = next(text for text in texts if text)
    return f"{before}{{}}{behind}#", [numbers[number] for number in sorted(numbers)]


def _problem(rules: Sequence[_Rule], keys: Sequence[str], files: Mapping[str, int], images: Sequence[str]) -> str:
    """What keeps the rule that fits most images from fitting all."""
    missing = {
        rule: [image for image, key in zip(images, keys, strict=True) if _named(rule, key) not in files]
        for rule in rules or [_Rule("", "")]
    }
    rule, lonely = min(missing.items(), key=lambda entry: len(entry[1]))
    return (
        f"found no file for {_some(lonely)} of {len(images)} images (by the rule {rule}), expected one for each image"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _stem(name: str) -> str:
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in EXTENSIONS else name
