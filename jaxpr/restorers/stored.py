"""Restorers of which only the outputs are known: images that some program wrote."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from jaxpr.core import InputError, given_path, printable
from jaxpr.restorers.restorer import Restorer

__all__ = ["StoredRestorer", "from_folder"]


@dataclass(frozen=True, eq=False)
class StoredRestorer(Restorer):
    """A restorer that cannot be called: its outputs for the images of an evaluation lie in a folder.

    Attributes:
        folder: of the outputs.
    """

    folder: Path = Path()


def from_folder(path: str | os.PathLike[str]) -> StoredRestorer:
    """Outputs that some program wrote, as a restorer of the images that they were made for.

    An evaluation finds the file of each test image by its name, with one rule for all: `{}`, `{}x4_out`, ...; several
    draws as `{}_0`, `{}_1`, ... or in one folder each are measured as those of a stochastic restorer. They are cut as
    the test images are. Nothing can be attacked.

    Args:
        path: of a folder of image files, as large as the test images.

    Raises:
        InputError: there is no such folder.
    """
    folder = given_path(path)
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing"
        raise InputError(f"path: found {found} at {printable(folder)}, expected a folder of images")
    return StoredRestorer(_not_callable, differentiable=False, cost=0, label=f"outputs:{folder}", folder=folder)


def _not_callable(params: Any, key: Any, y: Any) -> NoReturn:
    raise InputError("restorer: found outputs from a folder, expected a function; `evaluation.evaluate` measures them")
