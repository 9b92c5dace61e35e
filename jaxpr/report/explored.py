"""The page of an exploration: the few answers that stand for many, and a tree to descend. It loads nothing."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import markupsafe

from jaxpr.report.templates import render

__all__ = ["exploration_page"]

_PIXELATED = 192  # images with a shorter side of fewer pixels are enlarged as squares


def exploration_page(record: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """The HTML of one self-contained page. A fragment such as `#0.3.1` opens it that far down the tree.

    Args:
        record: of `explore.json`, see docs/explore.md.
        pictures: PNG files by name: "measurement", "truth" if it is known; for restorer number k "mean/k",
            "smallest/k", "largest/k", "spread/k", "range/k"; and the files that the record names.
    """
    shown = {name: base64.b64encode(data).decode("ascii") for name, data in pictures.items()}
    data = json.dumps({"record": record, "pictures": shown}, allow_nan=False, separators=(",", ":"))
    values = {
        "record": record,
        "pixelated": min(record["shape"][:2]) < _PIXELATED,
        # Inside a script element nothing is escaped, so nothing may look like its end.
        "data": markupsafe.Markup(data.replace("<", "\\u003c")),
    }
    return render("explore.html", values)
