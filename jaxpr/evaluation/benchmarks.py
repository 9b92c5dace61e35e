"""The field's test sets, recognised by the names of their files, with the PSNR and SSIM that papers report on them."""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from jaxpr.data import ImageSource
from jaxpr.degradations import Degradation

__all__ = ["Benchmark", "Published", "recognised_benchmark"]

_FILE = Path(__file__).with_name("benchmarks.json")
_ENDINGS = re.compile(r"(_srf_\d|_x?\d|x\d|_hr|_gt)+$")  # what copies of a set add to the names of its files
_CUT = 24  # pixels that copies cut off a side, to make it a multiple of scale factors


class Published(NamedTuple):
    """What a paper reports for a network on a test set.

    Attributes:
        network: its name.
        psnr: mean PSNR in dB.
        ssim: mean SSIM, or None if not reported.
        source: paper and table.
    """

    network: str
    psnr: float
    ssim: float | None
    source: str


@dataclass(frozen=True)
class Benchmark:
    """A test set.

    Attributes:
        name: as papers call it.
        images: names of its files, without endings, sorted.
        first: (height, width) of the first of them, either way round, or None if not known.
        protocol: name of the settings with which the published numbers were measured.
        results: published numbers, by degradation.
    """

    name: str
    images: tuple[str, ...]
    first: tuple[int, int] | None
    protocol: str
    results: dict[str, tuple[Published, ...]]

    def published(self, degradation: Degradation) -> tuple[Published, ...]:
        """What is reported for a degradation; nothing if none is."""
        if degradation.only_noise:
            levels = {name: float(name.removeprefix("noise-").partition("/")[0]) for name in self.results}
            close = (name for name, level in levels.items() if abs(255 * degradation.noise_std - level) < 0.05)
            return self.results.get(next(close, ""), ())
        return self.results.get(degradation.name, ())


def recognised_benchmark(images: ImageSource) -> Benchmark | None:
    """The test set that these images are, all of them and no others, or None.

    Files may be called as copies of the set call them, such as `baby_GT`, `img_001_SRF_4_HR` or `0801x4`.

    Args:
        images: whole images; files are opened for the header of one at most.
    """
    names = sorted((_plain(name), i) for i, name in enumerate(images.names))
    for benchmark in _benchmarks():
        if benchmark.images == tuple(name for name, _ in names):
            height, width, _ = images.shape(names[0][1])
            return benchmark if _is_first(benchmark.first, (height, width)) else None
    return None


def _plain(name: str) -> str:
    stem = name.rpartition("/")[2].rpartition(".")[0] or name
    return _ENDINGS.sub("", stem.lower()) or stem.lower()


def _is_first(known: tuple[int, int] | None, found: tuple[int, int]) -> bool:
    if known is None:
        return True
    ways = (known, known[::-1])
    return any(all(0 <= whole - side < _CUT for whole, side in zip(way, found, strict=True)) for way in ways)


@functools.cache
def _benchmarks() -> tuple[Benchmark, ...]:
    stored = json.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(
        Benchmark(
            name,
            tuple(sorted(entry["images"])),
            None if entry["first"] is None else tuple(entry["first"]),
            entry["protocol"],
            {degradation: tuple(Published(**row) for row in rows) for degradation, rows in entry["results"].items()},
        )
        for name, entry in stored.items()
    )
