"""The images that words of the command line name."""

import os
from typing import Literal

from jaxpr.core import InputError, given_path
from jaxpr.data import ImageSource, digits, digits28, photos, tfds_images
from jaxpr.data.folder import class_source, folder_source

__all__ = ["PACKAGED", "named_images"]

PACKAGED = {"photos": photos, "digits": digits, "digits28": digits28}
"""Image sets that are installed with jaxpr, and digits28, whose package is not, by name."""


def named_images(spec: str, split: Literal["train", "test"], *, skip_bad: bool = False) -> ImageSource:
    """The images of photos, digits or digits28 (one split), a folder, classes:FOLDER, or tfds:NAME:SPLIT[:IMAGE_KEY].

    classes:FOLDER has one folder for each class; see `class_folder`.

    Args:
        spec: which.
        split: of the packaged sets; folders and TFDS names stand for themselves.
        skip_bad: leave unreadable files of a folder out, and images that prove too small.

    Raises:
        InputError: an unknown name, or no folder of that name.
    """
    if spec in PACKAGED:
        return PACKAGED[spec](split)
    if spec.startswith("tfds:"):
        parts = spec.split(":")
        if len(parts) not in (3, 4):
            raise InputError(f"data: found {spec!r}, expected tfds:NAME:SPLIT or tfds:NAME:SPLIT:IMAGE_KEY")
        return tfds_images(parts[1], parts[2], image_key=parts[3] if len(parts) == 4 else "image")
    prefix, _, folder = spec.partition(":")
    if prefix == "classes" and folder:
        return class_source("data", folder, channels=3, skip_bad=skip_bad)
    if not spec or not os.path.exists(given_path(spec)):
        raise InputError(
            f"data: found no folder {spec!r}, expected photos, digits, digits28, tfds:NAME:SPLIT, a folder, or "
            "classes:FOLDER"
        )
    return folder_source("data", spec, channels=3, skip_bad=skip_bad)
