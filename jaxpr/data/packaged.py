"""Real images that are installed with jaxpr's dependencies: nothing is downloaded.

| photograph | package | what | origin and terms |
|---|---|---|---|
| astronaut | scikit-image | portrait of Eileen Collins | NASA, public domain |
| chelsea | scikit-image | a cat | Stéfan van der Walt, CC0 |
| china | scikit-learn | a pagoda by a lake | Flickr, danielbuechele, CC BY 2.0 |
| coffee | scikit-image | a cup on a wooden table | Rachel Michetti, CC0 |
| flower | scikit-learn | a dahlia | Flickr, vultilion, CC BY 2.0 |
| hubble_deep_field | scikit-image | galaxies, a telescope's image | NASA, public domain |
| ihc | scikit-image | stained tissue, a microscope's image | no known copyright restrictions |
| motorcycle_left, motorcycle_right | scikit-image | two views of a scene | Middlebury stereo 2014 |
| retina | scikit-image | a fundus camera's image | Wikimedia Commons, CC0 |
| rocket | scikit-image | a launch pad at dusk | SpaceX, public domain |

Terms are those stated by the documentation of `skimage.data` and by scikit-learn's `datasets/images/README.txt`. Other
colour images of those packages are drawings, not photographs.
"""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from jaxpr.core import InputError
from jaxpr.data.arrays import Arrays
from jaxpr.data.folder import Files
from jaxpr.data.source import ImageSource

__all__ = ["digits", "photos"]

SKIMAGE = ("skimage", "data")
SKLEARN = ("sklearn", "datasets/images")

# Whole scenes are on one side: the two views of the motorcycle share theirs. The test side is everyday photographs
# only; images of instruments, whose statistics differ, may train but do not score.
PHOTOS = {
    "test": {
        "astronaut.png": SKIMAGE,
        "chelsea.png": SKIMAGE,
        "coffee.png": SKIMAGE,
        "flower.jpg": SKLEARN,
        "rocket.jpg": SKIMAGE,
    },
    "train": {
        "china.jpg": SKLEARN,
        "hubble_deep_field.jpg": SKIMAGE,
        "ihc.png": SKIMAGE,
        "motorcycle_left.png": SKIMAGE,
        "motorcycle_right.png": SKIMAGE,
        "retina.jpg": SKIMAGE,
    },
}

DIGITS_TEST_FRACTION = 0.2


def photos(split: str) -> ImageSource:
    """Colour photographs that ship inside scikit-image and scikit-learn, from 300×451 to 1411×1411 pixels.

    Args:
        split: 'test' (astronaut, chelsea, coffee, flower, rocket) or 'train' (china, hubble_deep_field, ihc,
            motorcycle_left, motorcycle_right, retina). No scene is in both.

    Returns:
        Source of float32 (H, W, 3) images in [0, 1], each of its own size, in alphabetical order.

    Raises:
        InputError: unknown split, or a file that the installed package lacks.
    """
    check_split(split)
    files = PHOTOS[split]
    return ImageSource(
        name=f"photos-{split}",
        names=tuple(Path(file).stem for file in files),
        reader=Files(tuple(_installed(package, f"{folder}/{file}") for file, (package, folder) in files.items())),
    )


def digits(split: str) -> ImageSource:
    """The 1,797 handwritten digits of scikit-learn, about four fifths of each class to train and one to test.

    They are the test part of the UCI set "Optical Recognition of Handwritten Digits". Image i is named 'digit-i', i its
    position in `sklearn.datasets.load_digits`.

    Args:
        split: 'train' (1,438 digits) or 'test' (359).

    Returns:
        Source of float32 (8, 8, 1) images in [0, 1], the stored values over 16, with `labels` 0 to 9.

    Raises:
        InputError: unknown split.
    """
    check_split(split)
    from sklearn.datasets import load_digits  # takes a second to import

    values, labels = load_digits(return_X_y=True)
    out = held_out(labels, "digit")
    chosen = [i for i in range(len(labels)) if (i in out) == (split == "test")]
    images = (values[chosen] / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    return ImageSource(
        name=f"digits-{split}",
        names=tuple(f"digit-{i:04d}" for i in chosen),
        reader=Arrays(images),
        labels=tuple(int(labels[i]) for i in chosen),
    )


def held_out(labels: np.ndarray, name: str) -> set[int]:
    """A fifth of each class, drawn by hash of name and position: no generator is promised to stay the same."""
    found: set[int] = set()
    for label in np.unique(labels):
        members = [int(i) for i in np.flatnonzero(labels == label)]
        members.sort(key=lambda i: hashlib.sha256(f"{name}-{i:04d}".encode()).digest())
        found.update(members[: round(DIGITS_TEST_FRACTION * len(members))])
    return found


def check_split(split: str) -> None:
    """Raise unless this is 'train' or 'test'."""
    if not isinstance(split, str) or split not in PHOTOS:
        found = repr(split) if isinstance(split, str) else type(split).__name__
        raise InputError(f"split: found {found}, expected 'train' or 'test'")


def _installed(package: str, path: str) -> Path:
    """The file at `path` inside an installed package, which is located but not imported."""
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        if (file := Path(folder) / path).is_file():
            return file
    raise InputError(f"photograph {path}: not found in the installed package {package}, expected it in its wheel")
