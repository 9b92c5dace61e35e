"""Folders that bring their own measurements: low-resolution images y beside the clean images x."""

import os
import re
from pathlib import PurePosixPath
from typing import NamedTuple

from jaxpr._core import InputError
from jaxpr.data.crops import crops, crops_at
from jaxpr.data.folder import image_folder
from jaxpr.data.source import ImageSource

__all__ = ["PairedSource", "paired_crops", "paired_folder"]

# What challenges append to the low-resolution names: 0001x4.png, 0801x4m.png, 0001_LR.png, img_001_SRF_4_LR.png.
_SUFFIX = re.compile(r"([_-]?(SRF)?_?x?[0-9]+[a-z]?)?([_-](LR|HR|GT|low|high))?$", re.IGNORECASE)
_SHOWN = 3


class PairedSource(NamedTuple):
    """Measurements and the images they were made from, in the same order.

    Attributes:
        low: y.
        high: x; `factor` times as large as y, or up to `factor - 1` pixels more on a side.
        factor: pixels of x per pixel of y along an axis.
    """

    low: ImageSource
    high: ImageSource
    factor: int


def paired_folder(low: str | os.PathLike[str], high: str | os.PathLike[str], *, channels: int = 3) -> PairedSource:
    """Two folders of images, as AIM 2019 Track 2, NTIRE 2020 Track 1 and DIV2K ship them, paired by name.

    Files pair if their relative paths without extension are equal, or equal after common endings are dropped (`x4`,
    `x4m`, `_LR`, `_HR`, ...): `0801x4m.png` belongs to `0801.png`. Pairs are in the order of the high-resolution names.

    Args:
        low: folder of y.
        high: folder of x.
        channels: 3 for RGB, 1 for luma.

    Raises:
        InputError: a folder is missing or empty, a file has no partner or several, or sizes are not in one integer
            ratio (up to a remainder of x).
    """
    sources = {"low": image_folder(low, channels=channels), "high": image_folder(high, channels=channels)}
    found = {
        side: [str(PurePosixPath(name).with_suffix("")) for name in source.names] for side, source in sources.items()
    }
    keys = found
    if set(found["low"]) != set(found["high"]):
        keys = {side: [_SUFFIX.sub("", name) or name for name in names] for side, names in found.items()}
    for side, other in (("low", "high"), ("high", "low")):
        lonely = [
            name for name, key in zip(sources[side].names, keys[side], strict=True) if key not in set(keys[other])
        ]
        if lonely:
            more = f" and {len(lonely) - _SHOWN} more" if len(lonely) > _SHOWN else ""
            raise InputError(
                f"{side}: found no partner in {other} for {', '.join(lonely[:_SHOWN])}{more}, expected pairs"
            )
        if len(set(keys[side])) != len(keys[side]):
            twice = next(key for key in keys[side] if keys[side].count(key) > 1)
            raise InputError(f"{side}: found several files for {twice!r}, expected one")
    position = {key: i for i, key in enumerate(keys["low"])}
    ordered = sources["low"].select([position[key] for key in keys["high"]])
    return PairedSource(ordered, sources["high"], _factor(ordered, sources["high"]))


def _factor(low: ImageSource, high: ImageSource) -> int:
    """The one ratio of sizes."""
    first = max(1, high.shape(0)[0] // max(low.shape(0)[0], 1))
    for i, name in enumerate(high.names):
        small, large = low.shape(i)[:2], high.shape(i)[:2]
        if any(not 0 <= big - first * little < first for little, big in zip(small, large, strict=True)):
            raise InputError(
                f"high: found {large[0]}×{large[1]} pixels for {name} beside {small[0]}×{small[1]} in low, expected "
                f"{first} times the size as for {high.names[0]}"
            )
    return first


def paired_crops(pairs: PairedSource, size: int) -> PairedSource:
    """Square crops of x with the corresponding crops of y, on the centred grid of y's crops.

    Args:
        pairs: images of any sizes.
        size: side of the crops of x, a multiple of the factor.

    Raises:
        InputError: size is not a positive multiple of the factor, or an image is too small.
    """
    if size % pairs.factor:
        raise InputError(f"size: found {size}, expected a multiple of the scale factor {pairs.factor}")
    low = crops(pairs.low, size // pairs.factor)
    places = [(i, pairs.factor * top, pairs.factor * left) for i, top, left in low.reader.places]  # type: ignore[attr-defined]
    return PairedSource(low, crops_at(pairs.high, size, places), pairs.factor)
