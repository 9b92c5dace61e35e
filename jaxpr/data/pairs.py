"""Folders that bring their own measurements: low-resolution images y beside the clean images x."""

import hashlib
import os
from dataclasses import replace
from typing import NamedTuple

from jaxpr.core import InputError, check_count, given_path, printable
from jaxpr.data.crops import crops, crops_at
from jaxpr.data.folder import folder_source
from jaxpr.data.pairing import check_pattern, pair_names
from jaxpr.data.source import ImageSource

__all__ = ["PairedSource", "paired_crops", "paired_folder"]


class PairedSource(NamedTuple):
    """Measurements and the images they were made from, in the same order.

    Attributes:
        low: y.
        high: x; `factor` times as large as y, or up to `factor - 1` pixels more on a side.
        factor: pixels of x per pixel of y along an axis.
        rule: LOW:HIGH, how the names of files were paired, such as `{}x4:{}`; empty for pairs that were made in memory.
    """

    low: ImageSource
    high: ImageSource
    factor: int
    rule: str = ""

    @property
    def pairs_sha256(self) -> str:
        """Hex SHA-256 of what is paired with what: the names and contents of both sides, in order."""
        return hashlib.sha256(f"{self.low.fingerprint} {self.high.fingerprint}".encode()).hexdigest()


def paired_folder(
    low: str | os.PathLike[str], high: str | os.PathLike[str], *, channels: int = 3, pattern: str | None = None
) -> PairedSource:
    """Two folders of images, as DIV2K, Set14, Urban100 or RealSR ship them, paired by name.

    Equal relative names, apart from extensions, are pairs. Otherwise one rule must pair all files one to one by what
    data sets add to names: a scale (`x4`, `x4m`, `_SRF_4`), a word for the side (`_LR`, `_noisy`, `lr_`; `_HR`, `_GT`),
    or a folder of such a name. `0801x4m.png` belongs to `0801.png`; a number alone always belongs to the scene. Pairs
    are in the order of the high-resolution names.

    Args:
        low: folder of y.
        high: folder of x.
        channels: 3 for RGB, 1 for luma.
        pattern: the rule LOW:HIGH, two names without extension in which {} stands for what is equal: `{}x4:{}`, or
            `{}_NOISY_{}:{}_GT_{}`. All files of both folders must follow it. None finds one.

    Raises:
        InputError: a folder is missing or empty, both are the same, no rule pairs all files, or sizes are not in one
            integer ratio (up to a remainder of x).
    """
    if pattern is not None:
        check_pattern(pattern)
    y, x = folder_source("low", low, channels=channels), folder_source("high", high, channels=channels)
    if given_path(low).samefile(given_path(high)):
        raise InputError(f"high: found {printable(high)}, the folder of low, expected another")
    rule, order = pair_names(y.names, x.names, pattern=pattern)
    y = y.select(order)
    return PairedSource(y, x, _factor(y, x), rule)


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
        InputError: no pairs, size is not a positive multiple of the factor, or an image is too small.
    """
    if not isinstance(pairs, PairedSource):
        raise InputError(f"pairs: found {type(pairs).__name__}, expected a PairedSource, as paired_folder returns it")
    if len(pairs.low) != len(pairs.high):
        raise InputError(f"pairs: found {len(pairs.low)} images in low and {len(pairs.high)} in high, expected as many")
    check_count("size", size)
    if size % pairs.factor:
        raise InputError(f"size: found {size}, expected a multiple of the scale factor {pairs.factor}")
    # All or none: leaving an image out of one side would shift its partners.
    low = crops(replace(pairs.low, skip_bad=False), size // pairs.factor)
    places = [(i, pairs.factor * top, pairs.factor * left) for i, top, left in low.reader.places]  # type: ignore[attr-defined]
    return pairs._replace(low=low, high=crops_at(pairs.high, size, places))
