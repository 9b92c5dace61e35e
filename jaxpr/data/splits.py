"""A training and a test part of any source, by a share: fixed, and drawn by a hash of the images' names."""

import hashlib
import math
from dataclasses import replace

import numpy as np

from jaxpr.core import InputError, is_number
from jaxpr.data.packaged import check_split
from jaxpr.data.source import ImageSource

__all__ = ["split_by_share"]


def split_by_share(source: ImageSource, split: str, *, share: float) -> ImageSource:
    """The training or the test part of a source.

    In the order of the SHA-256 of their names, the first round(share · N) images train and the others test, at least
    one each; with labels so for each class of two or more, and a single image of a class trains. Names (and labels)
    alone decide: the parts are the same on every machine and with every version. Parts keep the source's order. Cut
    crops after it, so that no image has some in both parts.

    Args:
        source: two or more images.
        split: 'train' or 'test'.
        share: of the images that train, above 0 and below 1.

    Returns:
        Source named such as 'faces-split0.8-test'; its fingerprint covers the names and contents of the part.

    Raises:
        InputError: no `ImageSource`, no such share or split, or no two images (of one class, where there are labels).
    """
    if not isinstance(source, ImageSource):
        raise InputError(f"source: found {type(source).__name__}, expected an ImageSource")
    check_split(split)
    if not is_number(share) or not math.isfinite(share) or not 0 < share < 1:
        raise InputError(f"share: found {share!r}, expected a number above 0 and below 1")
    labels = np.zeros(len(source), int) if source.labels is None else np.array(source.labels)
    train: set[int] = set()
    for label in np.unique(labels):
        members = sorted(np.flatnonzero(labels == label).tolist(), key=lambda i: _place(source.names[i]))
        train.update(members[: min(max(round(share * len(members)), 1), max(len(members) - 1, 1))])
    if len(train) == len(source):
        each = "" if source.labels is None else " of a class"
        raise InputError(f"source: found no two images{each} in {source.name}, expected some to train, some to test")
    chosen = [i for i in range(len(source)) if (i in train) == (split == "train")]
    return replace(source.select(chosen), name=f"{source.name}-split{share:g}-{split}")


def _place(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
