"""Image files to float32 arrays (H, W, C) in [0, 1], all bits kept, upright, or a clear error.

Values are taken as stored: colour profiles are not applied. Pillow decodes; what it would do silently (drop the lower
byte of 16-bit colour, blend or drop transparency, take the first of several pages) is either done exactly or refused.
"""

import io
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from jaxpr.core import InputError, file_at, printable

__all__ = ["EXTENSIONS", "check_grey_or_rgb", "image_shape", "read_image"]

JPEG, PNM = (".jfif", ".jpe", ".jpeg", ".jpg"), (".pbm", ".pgm", ".pnm", ".ppm")
EXTENSIONS = (".bmp", *JPEG, *PNM, ".png", ".tif", ".tiff", ".webp")
"""Endings, in lower case, of the files that `read_image` reads."""

GRAY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "RGB", "RGBA")
LOW_GRAY_STEPS = {"L;2": 85, "L;4": 17}  # Pillow spreads 2 and 4 bits over 0 to 255, but not the transparent value
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

# Pillow unpacks 16-bit colour into its upper bytes. The same file read in the other byte order gives the lower ones.
OTHER_BYTE_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def read_image(path: str | os.PathLike[str], *, channels: int = 3) -> np.ndarray:
    """Decode one image file.

    8-bit values are divided by 255, 16-bit values by 65535, those of PNM files by the largest value that their header
    names. EXIF orientation is applied. Palettes and CMYK become RGB. An alpha channel that is opaque everywhere and a
    transparent colour that no pixel has are dropped.

    Args:
        path: a PNG, JPEG, WebP, BMP, TIFF or PNM (.ppm, .pgm) file; a leading ~ is the home folder.
        channels: 3 repeats gray into RGB; 1 takes gray as stored and colour as ITU-R 601 luma,
            0.299 R + 0.587 G + 0.114 B, without rounding.

    Returns:
        float32 (H, W, channels) in [0, 1].

    Raises:
        InputError: `channels` is neither 1 nor 3; the file is missing, a pipe or device, corrupt, truncated or too
            large (Pillow's `Image.MAX_IMAGE_PIXELS`); it has transparent pixels, several frames, or values that are
            neither 8 nor 16 bits deep. The message names the file.
    """
    check_grey_or_rgb(channels)
    with _image_file(path) as file:
        pixels = _pixels(file)
    if channels == pixels.shape[-1]:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    return np.minimum(pixels @ LUMA[:, None], 1.0)  # the weights' float32 sum may exceed one by rounding


def image_shape(path: str | os.PathLike[str], *, channels: int = 3) -> tuple[int, int, int]:
    """(H, W, channels) of the upright image, from the file's header. Raises as `read_image` does for a bad header."""
    with _image_file(path) as file, Image.open(file) as image:
        width, height = image.size
        # The base method: that of PNG files decodes all pixels to look for EXIF data behind them. TIFF has its size
        # upright already.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
        if orientation in (5, 6, 7, 8) and image.format != "TIFF":
            width, height = height, width
    return height, width, channels


def check_grey_or_rgb(channels: int) -> None:
    """Raise InputError unless `channels` is 1 or 3."""
    if not isinstance(channels, int | np.integer) or channels not in (1, 3):
        found = repr(channels) if channels is None or np.isscalar(channels) else type(channels).__name__
        raise InputError(f"channels: found {found}, expected 1 (luma) or 3 (RGB)")


@contextmanager
def _image_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """The file, whose name stands in front of every error."""
    try:
        file = file_at("image file", path, expected="an image")
    except TypeError:
        raise InputError(f"path: found {type(path).__name__}, expected the path of an image file") from None
    try:
        yield file
    except InputError as error:
        raise InputError(f"image file {printable(file)}: {error}") from None
    except Exception as error:  # damaged bytes make decoders raise nearly anything: OSError, SyntaxError, struct.error
        reason = printable(" ".join(str(error).split())) or type(error).__name__
        raise InputError(
            f"image file {printable(file)}: cannot be decoded ({reason}), expected a whole image"
        ) from error


def _pixels(path: Path) -> np.ndarray:
    """float32 (H, W, 1) for gray files, (H, W, 3) for all others."""
    with Image.open(path) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # MPO: JPEG photographs of phones with a preview behind them
            raise InputError(f"found {frames} frames, expected one image")
        if image.format == "PPM" and image.mode != "F":
            return _pnm(path, image)
        if not _is_deep(image):
            return _eight_bit(image)
        _check_sixteen_bit(image)
        transparent = image.info.get("transparency")
        if image.mode.startswith("I;16"):
            values = np.asarray(ImageOps.exif_transpose(image))[..., None]
        elif _rawmodes(image) == {"LA;16B"}:
            values = _gray_alpha(path)
        else:
            values = (_bytes(path, swapped=False).astype(np.uint16) << 8) | _bytes(path, swapped=True)
    if values.shape[-1] in (2, 4):
        values, alpha = values[..., :-1], values[..., -1]
        if alpha.min() < 65535:
            raise _transparent()
    if transparent is not None and (values == np.array(transparent)).all(axis=-1).any():
        raise _transparent()
    return _scaled(values, 65535)


def _eight_bit(image: ImageFile.ImageFile) -> np.ndarray:
    if image.mode not in GRAY_MODES + COLOUR_MODES:
        raise InputError(f"found pixels of Pillow mode {image.mode}, expected 8 or 16 bits per channel")
    step = LOW_GRAY_STEPS.get("".join(_rawmodes(image)))
    upright = ImageOps.exif_transpose(image)
    gray = image.mode in GRAY_MODES
    if upright.has_transparency_data:
        if step and "transparency" in upright.info:
            upright.info["transparency"] *= step
        pixels = np.asarray(upright.convert("RGBA"))
        if pixels[..., 3].min() < 255:
            raise _transparent()
        return _scaled(pixels[..., : 1 if gray else 3], 255)
    return _scaled(np.asarray(upright.convert("L" if gray else "RGB")), 255)


def _pnm(path: Path, image: ImageFile.ImageFile) -> np.ndarray:
    """A PNM file, whose values Pillow would round to 8 bits where its largest is not 255 or 65535."""
    tile = image.tile[0]
    if tile.codec_name == "raw" or image.mode == "1":
        largest = 65535 if image.mode == "I" else 255
    else:
        largest = int(tile.args[1])  # type: ignore[index]
    if largest == 255:
        return _eight_bit(image)
    if tile.codec_name == "ppm_plain":
        raise InputError(f"found values up to {largest} written as text, expected the binary form")
    width, height = image.size
    bands = 3 if image.mode == "RGB" else 1
    kind = np.dtype(">u2" if largest > 255 else "u1")
    data = path.read_bytes()[tile.offset :]
    if len(data) < height * width * bands * kind.itemsize:
        raise InputError(f"found {len(data)} bytes of pixels, expected a whole image")
    values = np.frombuffer(data, kind, height * width * bands).reshape(height, width, bands)
    if values.max() > largest:
        raise InputError(f"found a value of {values.max()}, expected at most {largest} as the header says")
    return _scaled(values, largest)


def _scaled(values: np.ndarray, largest: int) -> np.ndarray:
    pixels = values.astype(np.float32) / np.float32(largest)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _transparent() -> InputError:
    # Blending with black, white or nothing would each invent other pixels.
    return InputError("found transparent pixels, expected an opaque image; flatten it onto a background first")


def _rawmode(args: object) -> str:
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _rawmodes(image: ImageFile.ImageFile) -> set[str]:
    return {_rawmode(tile.args) for tile in image.tile}


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """True if the file stores more than 8 bits per channel; of the formats read here only PNG and TIFF can."""
    if image.format == "TIFF":
        return max(_tags(image).get(ExifTags.Base.BitsPerSample, (1,))) > 8
    return image.format == "PNG" and any(";16" in rawmode for rawmode in _rawmodes(image))


def _tags(image: Image.Image) -> Mapping[int, Any]:
    return getattr(image, "tag_v2", {})  # TIFF only


def _check_sixteen_bit(image: ImageFile.ImageFile) -> None:
    """Raise unless Pillow's planes of this image are understood to the last bit."""
    tags = _tags(image)
    rawmodes = _rawmodes(image)
    known = {"I;16", "LA;16B", *(f"{kind};16{order}" for kind in ("I", "RGB", "RGBA") for order in OTHER_BYTE_ORDER)}
    planar = tags.get(ExifTags.Base.PlanarConfiguration, 1) != 1
    white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation, 1) == 0
    if image.mode not in SIXTEEN_BIT_MODES or not rawmodes <= known or planar or white_is_zero:
        found = f"Pillow mode {image.mode} ({', '.join(sorted(rawmodes))})"
        raise InputError(f"found pixels of {found}, expected 8 bits per channel, or 16 bits of gray, RGB or RGBA")


def _gray_alpha(path: Path) -> np.ndarray:
    """uint16 (H, W, 2) of a 16-bit PNG of gray and alpha, upright.

    Pillow keeps the upper bytes only. With a header of 8-bit RGBA, the same four bytes of a pixel all come out.
    """
    data = bytearray(path.read_bytes())
    data[24:26] = 8, 6  # bit depth and colour type, in the first chunk, whose checksum follows
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    with Image.open(io.BytesIO(data)) as image:
        return np.ascontiguousarray(ImageOps.exif_transpose(image)).view(">u2")


def _bytes(path: Path, *, swapped: bool) -> np.ndarray:
    """Upper (or, `swapped`, lower) bytes of a 16-bit colour file, upright."""
    with Image.open(path) as image:
        if swapped:
            image.tile = [tile._replace(args=_swapped(tile.args)) for tile in image.tile]
        return np.asarray(ImageOps.exif_transpose(image))


def _swapped(args: object) -> "str | tuple[object, ...]":
    rawmode = _rawmode(args)
    other = rawmode[:-1] + OTHER_BYTE_ORDER[rawmode[-1]]
    return (other, *args[1:]) if isinstance(args, tuple) else other
