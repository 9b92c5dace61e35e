"""Folders of image files."""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jaxpr.core import InputError, file_at, given_path, printable
from jaxpr.data.decode import EXTENSIONS, check_grey_or_rgb, image_shape, read_image
from jaxpr.data.source import ImageSource, Skipped, writable_names

__all__ = ["Files", "class_folder", "class_source", "folder_source", "image_folder"]

PIECE_BYTES = 1 << 20

# Images that are not read, whose absence a user would not notice.
RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".raw", ".rw2")
FLOATING = (".exr", ".hdr", ".npy", ".pfm")
MODERN = (".avif", ".heic", ".heif", ".j2k", ".jp2", ".jpx", ".jxl", ".qoi")
OTHER_FORMATS = (*RAW, *FLOATING, *MODERN, ".apng", ".dds", ".gif", ".ico", ".mpo", ".pcx", ".psd", ".svg", ".tga")


@dataclass(frozen=True)
class Files:
    """Reader of image files, decoded each time they are asked for."""

    paths: tuple[Path, ...]
    channels: int = 3

    def load(self, i: int) -> np.ndarray:
        """Decode the file; see `read_image`."""
        return read_image(self.paths[i], channels=self.channels)

    def shape(self, i: int) -> tuple[int, int, int]:
        """(H, W, C) from the file's header."""
        return image_shape(self.paths[i], channels=self.channels)

    def content(self, i: int) -> Iterator[bytes]:
        """The file's bytes and how they are turned into channels."""
        yield f"channels={self.channels}\n".encode()
        path = file_at("image file", self.paths[i], expected="an image")
        try:
            with path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece
        except OSError as error:
            raise InputError(f"image file {printable(path)}: {error.strerror}, expected a readable file") from error


def image_folder(path: str | os.PathLike[str], *, channels: int = 3, skip_bad: bool = False) -> ImageSource:
    r"""All images under a folder, in the order of their relative paths.

    Files are found by extension in any case (`EXTENSIONS`: PNG, JPEG, WebP, BMP, TIFF, PNM), also in subfolders; one
    warning counts images of other formats. Names that start with a dot are passed over. Symbolic links to files are
    followed, links to folders inside the folder are not, since they may lead in circles. See `read_image` for how
    pixels are read.

    Args:
        path: the folder; a leading ~ is the home folder.
        channels: 3 for RGB, 1 for luma, whatever the files hold.
        skip_bad: decode every file once now and leave out those that fail; they are listed in `source.skipped` and
            reported in one warning. `crops` then does so with images that are too small. Otherwise a bad file raises
            InputError when it is read, a pipe, socket or device at once.

    Returns:
        Source named after the folder; image names are relative paths with forward slashes, control characters and bytes
        that are no UTF-8 written as \x1b.

    Raises:
        InputError: the folder is missing, a file, unreadable or without images, or no image is left.
    """
    return folder_source("path", path, channels=channels, skip_bad=skip_bad)


def folder_source(argument: str, path: str | os.PathLike[str], *, channels: int, skip_bad: bool = False) -> ImageSource:
    """`image_folder` for the argument of that name of a public function; warnings point to that function's caller."""
    check_grey_or_rgb(channels)
    root = _folder(argument, path)
    files = _listed(argument, root)
    names = writable_names(files)
    if skip_bad:
        bad = _bad_files(root, files, channels)
    else:
        bad = {}
        _refuse_special(argument, root, files)
    kept = [i for i in range(len(files)) if i not in bad]
    if bad:
        report = f"{printable(root)}: left out {len(bad)} of {len(files)} files; first {next(iter(bad.values()))}"
        if not kept:
            raise InputError(f"{argument}: found no readable images; {report}")
        warnings.warn(report, stacklevel=3)
    return ImageSource(
        name=printable(root.resolve().name) or "/",
        names=tuple(names[i] for i in kept),
        reader=Files(tuple(root / files[i] for i in kept), channels),
        skipped=tuple(Skipped(names[i], reason) for i, reason in bad.items()),
        skip_bad=skip_bad,
    )


def class_folder(path: str | os.PathLike[str], *, channels: int = 3, skip_bad: bool = False) -> ImageSource:
    """All images under a folder that has one folder for each class: `cat/1.png`, `dog/a/2.jpg`.

    Args:
        path: the folder. Classes are its folders in the order of their names, also those without images, so that the
            same folders have the same numbers in every split; names that start with a dot are passed over.
        channels: as of `image_folder`.
        skip_bad: likewise.

    Returns:
        Source as of `image_folder`, with `labels` and with the folders' names as `classes`.

    Raises:
        InputError: as `image_folder`; images that lie beside the folders, or fewer than two folders.
    """
    return class_source("path", path, channels=channels, skip_bad=skip_bad)


def class_source(argument: str, path: str | os.PathLike[str], *, channels: int, skip_bad: bool = False) -> ImageSource:
    """`class_folder` for the argument of that name of a public function."""
    root = _folder(argument, path)
    entries = sorted(name for name in os.listdir(root) if not name.startswith(".") and os.path.isdir(root / name))
    classes = tuple(map(printable, entries))
    if len(set(classes)) < 2:
        found = f"{len(classes)} in {printable(root)}"
        raise InputError(f"{argument}: found {found}, expected a folder for each of two classes or more")
    source = folder_source(argument, path, channels=channels, skip_bad=skip_bad)
    if beside := [name for name in source.names if "/" not in name]:
        raise InputError(f"{argument}: found {beside[0]} beside the folders of classes, expected every image in one")
    numbers = {name: number for number, name in enumerate(classes)}
    return replace(source, labels=tuple(numbers[name.split("/")[0]] for name in source.names), classes=classes)


def _folder(argument: str, path: str | os.PathLike[str]) -> Path:
    try:
        root = given_path(path)
    except TypeError:
        raise InputError(f"{argument}: found {type(path).__name__}, expected the path of a folder of images") from None
    if not os.path.isdir(root):
        found = "a file" if os.path.exists(root) else "nothing"
        raise InputError(f"{argument}: found {found} at {printable(root)}, expected a folder of images")
    return root


def _listed(argument: str, root: Path) -> list[str]:
    """Relative paths of the image files, in order; one warning counts those of other formats."""
    files = _file_names(argument, root)
    images = [name for name in files if name.lower().endswith(EXTENSIONS)]
    others = [name for name in files if name.lower().endswith(OTHER_FORMATS)]
    unread = f"{len(others)} images of formats that are not read; first {printable(others[0])}" if others else ""
    if not images:
        raise InputError(
            f"{argument}: found no images in {printable(root)}, expected files ending in {', '.join(EXTENSIONS)}"
            + (f"; there are {unread}" if unread else "")
        )
    if unread:
        warnings.warn(f"{printable(root)}: left out {unread}", stacklevel=4)
    return images


def _file_names(argument: str, root: Path) -> list[str]:
    def refuse(error: OSError) -> None:
        raise InputError(
            f"{argument}: cannot list {printable(error.filename)} ({error.strerror}), expected a readable folder"
        ) from error

    names = []
    for folder, subfolders, files in os.walk(root, onerror=refuse):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        names += [(Path(folder) / file).relative_to(root).as_posix() for file in files if not file.startswith(".")]
    return sorted(names)


def _refuse_special(argument: str, root: Path, files: Sequence[str]) -> None:
    """A pipe, socket or device would block whoever reads it, so it is found before the work begins."""
    for name in files:
        if not os.path.isfile(root / name) and os.path.exists(root / name):
            file_at(argument, root / name, expected="image files only")


def _bad_files(root: Path, files: Sequence[str], channels: int) -> dict[int, str]:
    """Positions of the files that cannot be read, and why."""
    bad = {}
    for i, name in enumerate(files):
        try:
            read_image(root / name, channels=channels)
        except InputError as error:
            bad[i] = str(error)
    return bad
