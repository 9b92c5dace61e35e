"""The images that words of the command line name."""

import os
from typing import Literal, NamedTuple

from jaxpr.core import InputError, given_path
from jaxpr.data import ImageSource, digits, digits28, idx_images, photos, split_by_share, tfds_images
from jaxpr.data.folder import class_source, folder_source

__all__ = ["PACKAGED", "has_splits", "named_images"]

PACKAGED = {"photos": photos, "digits": digits, "digits28": digits28}
"""Image sets that are installed with jaxpr, and digits28, whose package is not, by name."""

_PARTS = ("train", "test")
_EXPECTED = (
    "photos, digits, digits28, a folder, classes:FOLDER, idx:IMAGES[:LABELS], tfds:NAME:SPLIT or split:SHARE:WORD"
)


def named_images(spec: str, split: Literal["train", "test"], *, skip_bad: bool = False) -> ImageSource:
    """The images that a word names.

    It is photos, digits or digits28, of which one split is taken; a folder; classes:FOLDER, one folder for each class
    (see `class_folder`); idx:IMAGES[:LABELS]; tfds:NAME:SPLIT[:IMAGE_KEY]; or split:SHARE:WORD with one of the last
    four, of which one part is taken, the one named by split:SHARE:train:WORD or split:SHARE:test:WORD if there is one.

    Args:
        spec: which.
        split: of sets that have splits (`has_splits`); the others stand for themselves.
        skip_bad: leave unreadable files of a folder out, and images that prove too small.

    Raises:
        InputError: an unknown name, or no folder of that name.
    """
    if spec in PACKAGED:
        return PACKAGED[spec](split)
    if spec.startswith("split:"):
        found = _split(spec)
        return split_by_share(
            named_images(found.word, split, skip_bad=skip_bad), found.part or split, share=found.share
        )
    if spec.startswith("idx:"):
        paths = spec.split(":")[1:]
        if len(paths) not in (1, 2) or "" in paths:
            raise InputError(f"data: found {spec!r}, expected idx:IMAGES or idx:IMAGES:LABELS")
        return idx_images(paths[0], labels=paths[1] if len(paths) == 2 else None)
    if spec.startswith("tfds:"):
        parts = spec.split(":")
        if len(parts) not in (3, 4):
            raise InputError(f"data: found {spec!r}, expected tfds:NAME:SPLIT or tfds:NAME:SPLIT:IMAGE_KEY")
        return tfds_images(parts[1], parts[2], image_key=parts[3] if len(parts) == 4 else "image")
    prefix, _, folder = spec.partition(":")
    if prefix == "classes" and folder:
        return class_source("data", folder, channels=3, skip_bad=skip_bad)
    if not spec or not os.path.exists(given_path(spec)):
        raise InputError(f"data: found no folder {spec!r}, expected {_EXPECTED}")
    return folder_source("data", spec, channels=3, skip_bad=skip_bad)


def has_splits(spec: str) -> bool:
    """Whether a word names images to train and others to test: a packaged set, or split:SHARE:WORD without a part.

    Raises:
        InputError: a wrong split:.
    """
    return spec in PACKAGED or (spec.startswith("split:") and _split(spec).part is None)


class _Split(NamedTuple):
    share: float
    part: Literal["train", "test"] | None
    word: str


def _split(spec: str) -> _Split:
    """split:SHARE[:PART]:WORD in its parts."""
    _, share, *rest = [*spec.split(":", 2), "", ""][:3]
    first, colon, behind = rest[0].partition(":")
    part, word = (_PARTS[_PARTS.index(first)], behind) if colon and first in _PARTS else (None, rest[0])
    try:
        number = float(share)
    except ValueError:
        number = 0.0
    if not 0 < number < 1 or not word:
        raise InputError(
            f"data: found {spec!r}, expected split:SHARE:WORD, split:SHARE:train:WORD or "
            "split:SHARE:test:WORD, with a share such as 0.9 to train"
        )
    if word in PACKAGED or word.startswith("split:"):
        raise InputError(f"data: found {spec!r}, expected a word behind it that has no splits of its own")
    return _Split(number, part, word)  # type: ignore[arg-type]
