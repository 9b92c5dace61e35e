"""Peak memory of `evaluate` for N images and for ten times as many: it should not grow.

Command:   .venv/bin/python -m benchmarks.memory

Each run is a process of its own that reads PNG files of 192×192 pixels from a folder, one by one. Kernel and neighbour
measures see at most `set_patches` patches; that is 500 here, so that the smaller run has as many, too: until their
number is reached (10,000 by default), their memory, at most about 0.5 GiB, grows with the images.
"""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import compare, parse

SIZES = {"smoke": (4, 40), "small": (24, 240), "paper": (240, 2400)}


def write_images(folder: Path, count: int) -> None:
    """Random smooth images."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(count):
        coarse = rng.integers(0, 256, (24, 24, 3), np.uint8)
        Image.fromarray(coarse).resize((192, 192), Image.Resampling.BICUBIC).save(folder / f"{i:05d}.png")


def evaluation(count: int) -> Callable[[], Any]:
    """A whole run with two restorers, in a folder of its own."""
    import jax

    from jaxpr.data import image_folder
    from jaxpr.evaluation import SCALES, evaluate
    from jaxpr.restorers import bicubic, nearest

    root = Path(tempfile.mkdtemp())
    write_images(root, count)
    restorers = {f.__name__: functools.partial(f, factor=4) for f in (nearest, bicubic)}
    protocol = SCALES["small"]._replace(attack_steps=2, crop=None, set_patches=500)
    runs = iter(range(100))

    def run() -> float:
        with tempfile.TemporaryDirectory() as out:
            found = evaluate(
                jax.random.key(0),
                restorers,
                image_folder(root),
                "bicubic-x4",
                protocol=protocol,
                out=Path(out) / str(next(runs)),
                progress=False,
            )
        return found.restorers[1].metrics["psnr"].value

    return run


if __name__ == "__main__":
    options = parse(__doc__)
    few, many = SIZES[options.scale]
    contenders = {f"{count} images": functools.partial(evaluation, count) for count in (few, many)}
    compare(options, "evaluate", contenders, baseline=f"{few} images")
