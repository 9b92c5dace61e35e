"""Folders of image files."""

import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from jaxpr._core import InputError
from jaxpr.data.decode import check_channels, image_shape, read_image
from jaxpr.data.source import ImageSource, Skipped

__all__ = ["Files", "image_folder"]

EXTENSIONS = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
PIECE_BYTES = 1 << 20


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
        try:
            with self.paths[i].open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece
        except OSError as error:
            raise InputError(f"image file {self.paths[i]}: {error.strerror}, expected a readable file") from error


def image_folder(path: str | os.PathLike[str], *, channels: int = 3, skip_bad: bool = False) -> ImageSource:
    """All images under a folder, in the order of their relative paths.

    Files are found by extension in any case (.png, .jpg, .jpeg, .webp, .bmp, .tif, .tiff), also in subfolders. Names
    that start with a dot are passed over. Symbolic links to files are followed, links to folders inside the folder are
    not, since they may lead in circles. See `read_image` for how pixels are read.

    Args:
        path: the folder; a leading ~ is the home folder.
        channels: 3 for RGB, 1 for luma, whatever the files hold.
        skip_bad: decode every file once now and leave out those that fail; they are listed in `source.skipped` and
            reported in one warning. Otherwise a bad file raises InputError when it is read.

    Returns:
        Source named after the folder; image names are relative paths with forward slashes.

    Raises:
        InputError: the folder is missing, a file, unreadable or without images, or no image is left.
    """
    check_channels(channels)
    root = Path(path).expanduser()
    if not os.path.isdir(root):
        found = "a file" if os.path.exists(root) else "nothing"
        raise InputError(f"path: found {found} at {root}, expected a folder of images")
    names = _image_names(root)
    if not names:
        raise InputError(f"path: found no images in {root}, expected files ending in {', '.join(EXTENSIONS)}")
    skipped = _bad_files(root, names, channels) if skip_bad else ()
    if skipped:
        left_out = {name for name, _ in skipped}
        names = [name for name in names if name not in left_out]
        report = f"{root}: left out {len(left_out)} of {len(left_out) + len(names)} files; first {skipped[0].reason}"
        if not names:
            raise InputError(f"path: found no readable images; {report}")
        warnings.warn(report, stacklevel=2)
    return ImageSource(
        name=root.resolve().name,
        names=tuple(names),
        reader=Files(tuple(root / name for name in names), channels),
        skipped=skipped,
    )


def _image_names(root: Path) -> list[str]:
    def refuse(error: OSError) -> None:
        raise InputError(
            f"path: cannot list {error.filename} ({error.strerror}), expected a readable folder"
        ) from error

    names = []
    for folder, subfolders, files in os.walk(root, onerror=refuse):
        subfolders[:] = [name for name in subfolders if not name.startswith(".")]
        names += [
            (Path(folder) / file).relative_to(root).as_posix()
            for file in files
            if not file.startswith(".") and file.lower().endswith(EXTENSIONS)
        ]
    return sorted(names)


def _bad_files(root: Path, names: Sequence[str], channels: int) -> tuple[Skipped, ...]:
    bad = []
    for name in names:
        try:
            read_image(root / name, channels=channels)
        except InputError as error:
            bad.append(Skipped(name, str(error)))
    return tuple(bad)
