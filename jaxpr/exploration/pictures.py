"""Images and maps of an exploration as PNG files."""

import io

import numpy as np
from PIL import Image

__all__ = ["coloured", "pixel_maps", "png_of"]


def pixel_maps(images: np.ndarray) -> dict[str, np.ndarray]:
    """Of each pixel, averaged over channels: standard deviation over the answers, and largest minus smallest value.

    Args:
        images: (N, H, W, C), clipped to [0, 1] first.

    Returns:
        "spread" and "range", (H, W) each.
    """
    clipped = np.clip(images, 0, 1)
    return {"spread": clipped.std(axis=0, ddof=1).mean(axis=-1), "range": np.ptp(clipped, axis=0).mean(axis=-1)}


def coloured(values: np.ndarray) -> np.ndarray:
    """A map (H, W) from zero to its largest value in colours that grow brighter."""
    from matplotlib import colormaps  # half a second, which the other commands need not wait for

    return np.asarray(colormaps["magma"](values / max(float(values.max()), 1e-12))[..., :3])


def png_of(image: np.ndarray, *, known: np.ndarray | None = None) -> bytes:
    """Clipped to [0, 1] and rounded to 8 bits, never stretched; what is not known is transparent."""
    levels = np.round(np.clip(np.asarray(image, np.float64), 0, 1) * 255).astype(np.uint8)
    if known is not None:
        levels = np.concatenate([levels, np.where(known, 255, 0).astype(np.uint8)[..., None]], axis=-1)
    shown = Image.fromarray(levels[..., 0] if levels.shape[-1] == 1 else levels)
    buffer = io.BytesIO()
    shown.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
