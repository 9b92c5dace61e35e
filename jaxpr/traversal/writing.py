"""The files of a traversal: moved images, the record, and the page. Each appears whole or not at all, the page last."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from jaxpr.core import utf8, write_atomically
from jaxpr.evaluation.state import BatchStore
from jaxpr.traversal.folders import InputFolders
from jaxpr.traversal.moving import mixed_levels
from jaxpr.traversal.traversed import Traversed, traversal_record

if TYPE_CHECKING:
    from jaxpr.report.traversed import TraversalExample

__all__ = ["TRANSPORT", "write_images", "write_traversal"]

TRANSPORT, _IMAGES, _RECORD, _PAGE = "transport.safetensors", "images", "transport.json", "index.html"
_EXAMPLES, _LARGEST_SIDE = 6, 256


def write_images(folder: Path, inputs: InputFolders, moved: BatchStore, alpha: float) -> None:
    """Write all outputs at alpha as PNG files under `images/`; those of another alpha are replaced.

    Args:
        folder: of the traversal.
        inputs: the outputs and the names of their files.
        moved: x̂₀ of each.
        alpha: any number.
    """
    root = folder / _IMAGES
    for number, arrays in enumerate(moved.load(len(inputs.files))):
        path = root / inputs.files[number]
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, _png(mixed_levels(arrays["moved"], inputs.restored[number], alpha)))


def write_traversal(traversed: Traversed, inputs: InputFolders, moved: BatchStore, *, page: bool) -> None:
    """Write the record and the page; without one, an earlier page is removed, which would show another alpha."""
    record = traversal_record(traversed)
    write_atomically(traversed.folder / _RECORD, utf8(json.dumps(record, indent=1, allow_nan=False) + "\n"))
    if page:
        from jaxpr.report.traversed import traversal_page  # what draws takes a second to import

        html = traversal_page(record, list(_examples(inputs, moved)))
        write_atomically(traversed.folder / _PAGE, utf8(html))
    else:
        (traversed.folder / _PAGE).unlink(missing_ok=True)


def _examples(inputs: InputFolders, moved: BatchStore) -> "Iterator[TraversalExample]":
    """The middles of a few outputs, spread evenly."""
    from jaxpr.report.traversed import TraversalExample

    count = len(inputs.files)
    chosen = set(np.linspace(0, count - 1, min(_EXAMPLES, count)).round().astype(int).tolist())
    for number, arrays in enumerate(moved.load(max(chosen) + 1)):
        if number in chosen:
            x = inputs.restored[number]
            levels = [mixed_levels(arrays["moved"], x, alpha) for alpha in (1.0, 0.0)]
            if inputs.truth is not None:
                truth = inputs.truth[number]
                levels.append(mixed_levels(truth, truth, 1.0))
            restored, transported, *truths = (_png(_middle(part)) for part in levels)
            yield TraversalExample(inputs.restored.names[number], restored, transported, truths[0] if truths else None)


def _middle(levels: np.ndarray) -> np.ndarray:
    (top, height), (left, width) = (
        (max(side - _LARGEST_SIDE, 0) // 2, min(side, _LARGEST_SIDE)) for side in levels.shape[:2]
    )
    return levels[top : top + height, left : left + width]


def _png(levels: np.ndarray) -> bytes:
    shown = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG")
    return buffer.getvalue()
