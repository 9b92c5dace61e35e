"""What a traversal found: numbers along alpha, and its record.

`transport.json` is described in docs/transport.md.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxpr import __version__
from jaxpr.core import InputError
from jaxpr.records.along import RESTORED, SAME, Wish
from jaxpr.records.along import WISHES as ALL_WISHES
from jaxpr.records.results import RestorerResult, Results, to_record

__all__ = ["WISHES", "Traversed", "traversal_record"]

SCHEMA_VERSION = 1
WISHES = tuple(wish for wish in ALL_WISHES if wish != "least-joint-fd")
"""Words for what should be least; measurements are not known here."""


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
            if abs(found - alpha) < SAME:
                return row
        raise InputError(f"alpha: found {alpha:g}, expected one of {', '.join(f'{a:g}' for a in self.alphas)}")


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
