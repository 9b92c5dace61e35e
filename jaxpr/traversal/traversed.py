"""What a traversal found: numbers along alpha, which alpha is best for a wish, and its record.

`transport.json` is described in docs/transport.md.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jaxpr import __version__
from jaxpr.core import InputError, described, is_number
from jaxpr.records.results import Metric, RestorerResult, Results, to_record

__all__ = [
    "RESTORED",
    "WISHES",
    "Traversed",
    "Wish",
    "best_alpha",
    "check_lose_psnr",
    "row_name",
    "traversal_record",
]

SCHEMA_VERSION = 1
RESTORED, MOVED = "x*", "x̂₀"
_STEP = 1e-9  # alphas that are so close are one
WISHES = {"least-fd": "fd_", "least-niqe": "niqe", "least-lpips": "lpips_"}
"""Words for what should be least, and the beginnings of the metrics' names."""


class Wish(NamedTuple):
    """The measured alpha that is best for a wish.

    Attributes:
        wish: one of `WISHES`.
        lose_psnr: decibels of PSNR that may be lost; None for any.
        alpha: the best of those that were measured.
        metric: name of what is least there.
        value: it.
        psnr_lost: of x*'s, in decibels; None without truths.
    """

    wish: str
    lose_psnr: float | None
    alpha: float
    metric: str
    value: float
    psnr_lost: float | None


class Traversed(NamedTuple):
    """A folder of outputs that was moved.

    Attributes:
        folder: where `images`, `transport.safetensors`, `transport.json` and `index.html` are.
        alpha: of the images there.
        alphas: that were measured, ascending; empty if nothing was.
        rows: what was measured, as of restorers: one for each of `alphas`, x* being that of 1, then D(E(x*)), and
            D(E(x)) of the images that set measures compare with, where there are any. Differences are from x*.
        reference: what set measures compare with: "truth", "natural", or "" for nothing.
        fitted: what the transport says of itself.
        settings: what else decides the numbers.
        images: names of the outputs.
        wish: what was asked for; None for nothing.
    """

    folder: Path
    alpha: float
    alphas: tuple[float, ...]
    rows: tuple[RestorerResult, ...]
    reference: str
    fitted: Mapping[str, Any]
    settings: Mapping[str, Any]
    images: tuple[str, ...]
    wish: Wish | None = None

    def row(self, alpha: float) -> RestorerResult:
        """What was measured at one of `alphas`.

        Raises:
            InputError: it was not measured.
        """
        for found, row in zip(self.alphas, self.rows, strict=False):
            if abs(found - alpha) < _STEP:
                return row
        raise InputError(f"alpha: found {alpha:g}, expected one of {', '.join(f'{a:g}' for a in self.alphas)}")


def row_name(alpha: float) -> str:
    """What the outputs at alpha are called."""
    if abs(alpha - 1) < _STEP:
        return RESTORED
    return MOVED if abs(alpha) < _STEP else f"x̂ at α = {alpha:g}"


def best_alpha(
    alphas: Sequence[float], rows: Sequence[RestorerResult], *, wish: str = "least-fd", lose_psnr: float | None = None
) -> Wish:
    """The alpha that is best for a wish, among those that were measured; of equal ones that nearest to x*.

    Args:
        alphas: that were measured, 1 among them.
        rows: of each of them, first of all rows.
        wish: what should be least, one of `WISHES`.
        lose_psnr: decibels of mean PSNR that may be lost from that of x*; None for any.

    Raises:
        InputError: no such wish, or what it needs was not measured.
    """
    if wish not in WISHES:
        raise InputError(f"wish: found {wish!r}, expected one of {', '.join(WISHES)}")
    if lose_psnr is not None:
        check_lose_psnr(lose_psnr)
    along = list(zip(alphas, rows, strict=False))
    metric = next((name for _, row in along for name in row.metrics if name.startswith(WISHES[wish])), None)
    known = [] if metric is None else [(a, row) for a, row in along if _is_finite(row, metric)]
    if metric is None or not known:
        needs = {"least-fd": "natural images or truths", "least-lpips": "truths"}.get(wish, "large enough images")
        raise InputError(f"wish: found {wish} where it was not measured, expected {needs}")
    best = next((row.metrics.get("psnr") for a, row in along if abs(a - 1) < _STEP), None)
    if lose_psnr is not None:
        if best is None:
            raise InputError("lose_psnr: found a wish for PSNR without truths, expected truths")
        known = [(a, row) for a, row in known if _lost(row, best) <= lose_psnr + _STEP]
    alpha, row = min(known, key=lambda pair: (pair[1].metrics[metric].value, abs(pair[0] - 1)))
    lost = None if best is None else _lost(row, best)
    return Wish(wish, lose_psnr, alpha, metric, row.metrics[metric].value, lost)


def check_lose_psnr(lose_psnr: float) -> None:
    """Raise InputError unless it is a number of decibels that may be lost."""
    if not (is_number(lose_psnr) and 0 <= lose_psnr < math.inf):
        raise InputError(f"lose_psnr: found {described(lose_psnr)}, expected decibels of zero or more")


def _is_finite(row: RestorerResult, metric: str) -> bool:
    return metric in row.metrics and math.isfinite(row.metrics[metric].value)


def _lost(row: RestorerResult, best: Metric) -> float:
    own = row.metrics["psnr"].value
    return 0.0 if own == best.value else best.value - own  # both may be infinite


def traversal_record(traversed: Traversed) -> dict[str, Any]:
    """What `transport.json` holds; see docs/transport.md."""
    results = Results({}, {}, traversed.rows, {}, RESTORED if traversed.rows else None)
    measured = to_record(results)
    wish = traversed.wish
    return {
        "schema_version": SCHEMA_VERSION,
        "jaxpr": __version__,
        "alpha": traversed.alpha,
        "alphas": list(traversed.alphas),
        "reference": traversed.reference,
        "images": list(traversed.images),
        "settings": dict(traversed.settings),
        "fitted": dict(traversed.fitted),
        "wish": None if wish is None else {**wish._asdict(), "psnr_lost": _finite(wish.psnr_lost)},
        "baseline": measured.get("baseline"),
        "restorers": measured["restorers"],
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
