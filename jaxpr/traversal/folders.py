"""The folders of a traversal: outputs, natural images, truths, and where the result goes."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from jaxpr.core import InputError, given_path, printable
from jaxpr.data import ImageSource
from jaxpr.data.folder import folder_source
from jaxpr.data.outputs import output_folder
from jaxpr.evaluation.state import check_unclaimed

__all__ = ["InputFolders", "check_traversal_folder", "open_folders"]


class InputFolders(NamedTuple):
    """Images that a traversal reads.

    Attributes:
        restored: outputs of a restorer.
        natural: photographs as they should be, of any sizes and number; None where there are none.
        truth: of each output, in the same order and of the same size; None where it is not known.
        files: names under which the transported outputs are written, one for each.
    """

    restored: ImageSource
    natural: ImageSource | None
    truth: ImageSource | None
    files: tuple[str, ...]


def open_folders(
    restored: str | os.PathLike[str],
    *,
    natural: str | os.PathLike[str] | None = None,
    truth: str | os.PathLike[str] | None = None,
    channels: int = 3,
) -> InputFolders:
    """Open the folders and check names and sizes; pixels are not read.

    Args:
        restored: folder of outputs.
        natural: folder of natural images; None for none.
        truth: folder with the truth of each output, which may add text to the names of truths; None for none.
        channels: 3 for RGB, 1 for luma, whatever the files hold.

    Raises:
        InputError: a folder is missing or without images, an output without its truth or of another size, or two
            outputs whose names differ in their extension only.
    """
    images, truths = folder_source("restored", restored, channels=channels), None
    if truth is not None:
        truths = folder_source("truth", truth, channels=channels)
        found = output_folder("restored", restored, truths.names, channels=channels)
        if len(found.draws) > 1:
            raise InputError(f"restored: found {len(found.draws)} outputs for each truth, expected one")
        if found.left_out:
            count, first = len(found.left_out), found.left_out[0]
            raise InputError(f"truth: found no image for {count} of {len(images)} outputs, first {first}")
        images = found.draws[0]
        for i, name in enumerate(images.names):
            (height, width), (high, wide) = images.shape(i)[:2], truths.shape(i)[:2]
            if (height, width) != (high, wide):
                found_here = f"found {high}×{wide} pixels for {name}"
                raise InputError(f"truth: {found_here}, expected {height}×{width} as restored")
    files: dict[str, str] = {}
    for name in images.names:
        file = str(PurePosixPath(name).with_suffix(".png"))
        if file in files:
            raise InputError(f"restored: found {files[file]} and {name}, expected one file of a name")
        files[file] = name
    naturals = None if natural is None else folder_source("natural", natural, channels=channels)
    return InputFolders(images, naturals, truths, tuple(files))


def check_traversal_folder(
    name: str, out: str | os.PathLike[str], inputs: Mapping[str, str | os.PathLike[str]]
) -> Path:
    """The folder of a traversal, unless it is, or lies in, a folder that is read; nothing is written.

    Args:
        name: of the argument, for the message.
        out: the folder.
        inputs: what the folders that are read are called, and where they are.

    Raises:
        InputError: it lies there, a file is in the way, or nothing can be written.
    """
    folder = given_path(out)
    check_unclaimed(folder)
    place = folder.resolve()
    for argument, path in inputs.items():
        read = given_path(path).resolve()
        if place == read or read in place.parents:
            found = "the folder" if place == read else "a folder inside"
            raise InputError(f"{name}: found {found} of {argument}, {printable(read)}, expected another place")
    return folder
