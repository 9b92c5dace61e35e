"""Image files to float32 arrays (H, W, C) in [0, 1], all bits kept, upright, or a clear error.

Values are taken as stored: colour profiles are not applied. Pillow decodes; what it would do silently (drop the lower
byte of 16-bit colour, blend or drop transparency, take the first of several pages) is either done exactly or refused.
"""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps

from jaxpr._core import InputError

__all__ = ["check_channels", "image_shape", "read_image"]

GRAY_MODES = ("1", "L", "LA")
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
SIXTEEN_BIT_MODES = ("I;16", "I;16B", "I;16L", "RGB", "RGBA")
LUMA = np.array([0.299, 0.587, 0.114], np.float32)

# Pillow unpacks 16-bit colour into its upper bytes. The same file read in the other byte order gives the lower ones.
OTHER_BYTE_ORDER = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}


def read_image(path: str | os.PathLike[str], *, channels: int = 3) -> np.ndarray:
    """Decode one image file.

    8-bit values are divided by 255, 16-bit values by 65535. EXIF orientation is applied. Palettes and CMYK become RGB.
    An alpha channel that is opaque everywhere is dropped.

    Args:
        path: a PNG, JPEG, WebP, BMP or TIFF file.
        channels: 3 repeats gray into RGB; 1 takes gray as stored and colour as ITU-R 601 luma,
            0.299 R + 0.587 G + 0.114 B, without rounding.

    Returns:
        float32 (H, W, channels) in [0, 1].

    Raises:
        InputError: `channels` is neither 1 nor 3; the file is missing, corrupt, truncated or too large (Pillow's
            `Image.MAX_IMAGE_PIXELS`); it has transparent pixels, several frames, or values that are neither 8 nor 16
            bits deep. The message names the file.
    """
    check_channels(channels)
    with _named_errors(path):
        pixels = _pixels(path)
    if channels == pixels.shape[-1]:
        return pixels
    if channels == 3:
        return np.repeat(pixels, 3, axis=-1)
    return np.minimum(pixels @ LUMA[:, None], 1.0)  # the weights' float32 sum may exceed one by rounding


def image_shape(path: str | os.PathLike[str], *, channels: int = 3) -> tuple[int, int, int]:
    """(H, W, channels) of the upright image, from the file's header. Raises as `read_image` does for a bad header."""
    with _named_errors(path), Image.open(path) as image:
        width, height = image.size
        # The base method: that of PNG files decodes all pixels to look for EXIF data behind them. TIFF has its size
        # upright already.
        orientation = Image.Image.getexif(image).get(ExifTags.Base.Orientation, 1)
        if orientation in (5, 6, 7, 8) and image.format != "TIFF":
            width, height = height, width
    return height, width, channels


def check_channels(channels: int) -> None:
    """Raise InputError unless `channels` is 1 or 3."""
    if channels not in (1, 3):
        raise InputError(f"channels: found {channels!r}, expected 1 (luma) or 3 (RGB)")


@contextmanager
def _named_errors(path: str | os.PathLike[str]) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"image file {os.fspath(path)}: {error}") from None
    except Exception as error:  # damaged bytes make decoders raise nearly anything: OSError, SyntaxError, struct.error
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"image file {os.fspath(path)}: cannot be decoded ({reason}), expected a whole image"
        ) from error


def _pixels(path: str | os.PathLike[str]) -> np.ndarray:
    """float32 (H, W, 1) for gray files, (H, W, 3) for all others."""
    with Image.open(path) as image:
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format != "MPO":  # MPO: JPEG photographs of phones with a preview behind them
            raise InputError(f"found {frames} frames, expected one image")
        if not _is_deep(image):
            return _eight_bit(image)
        _check_sixteen_bit(image)
        if image.mode.startswith("I;16"):
            return _scaled(np.asarray(ImageOps.exif_transpose(image)), 65535)
    high, low = _bytes(path, swapped=False), _bytes(path, swapped=True)
    if high.shape[-1] == 4 and high[..., 3].min() < 255:
        raise _transparent()
    return _scaled((high[..., :3].astype(np.uint16) << 8) | low[..., :3], 65535)


def _eight_bit(image: Image.Image) -> np.ndarray:
    if image.mode not in GRAY_MODES + COLOUR_MODES:
        raise InputError(f"found pixels of Pillow mode {image.mode}, expected 8 or 16 bits per channel")
    upright = ImageOps.exif_transpose(image)
    if upright.has_transparency_data and np.asarray(upright.convert("RGBA"))[..., 3].min() < 255:
        raise _transparent()
    return _scaled(np.asarray(upright.convert("L" if image.mode in GRAY_MODES else "RGB")), 255)


def _scaled(values: np.ndarray, largest: int) -> np.ndarray:
    pixels = values.astype(np.float32) / np.float32(largest)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _transparent() -> InputError:
    # Blending with black, white or nothing would each invent other pixels.
    return InputError("found transparent pixels, expected an opaque image; flatten it onto a background first")


def _rawmode(args: object) -> str:
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _is_deep(image: ImageFile.ImageFile) -> bool:
    """True if the file stores more than 8 bits per channel; of the formats read here only PNG and TIFF can."""
    if image.format == "TIFF":
        return max(_tags(image).get(ExifTags.Base.BitsPerSample, (1,))) > 8
    return image.format == "PNG" and any(";16" in _rawmode(tile.args) for tile in image.tile)


def _tags(image: Image.Image) -> Mapping[int, Any]:
    return getattr(image, "tag_v2", {})  # TIFF only


def _check_sixteen_bit(image: ImageFile.ImageFile) -> None:
    """Raise unless Pillow's planes of this image are understood to the last bit."""
    tags = _tags(image)
    rawmodes = {_rawmode(tile.args) for tile in image.tile}
    known = {"I;16", *(f"{kind};16{order}" for kind in ("I", "RGB", "RGBA") for order in OTHER_BYTE_ORDER)}
    planar = tags.get(ExifTags.Base.PlanarConfiguration, 1) != 1
    white_is_zero = tags.get(ExifTags.Base.PhotometricInterpretation, 1) == 0
    if image.mode not in SIXTEEN_BIT_MODES or not rawmodes <= known or planar or white_is_zero:
        found = f"Pillow mode {image.mode} ({', '.join(sorted(rawmodes))})"
        raise InputError(f"found pixels of {found}, expected 8 bits per channel, or 16 bits of gray, RGB or RGBA")
    if "transparency" in image.info:
        raise _transparent()


def _bytes(path: str | os.PathLike[str], *, swapped: bool) -> np.ndarray:
    """Upper (or, `swapped`, lower) bytes of a 16-bit colour file, upright."""
    with Image.open(path) as image:
        if swapped:
            image.tile = [tile._replace(args=_swapped(tile.args)) for tile in image.tile]
        return np.asarray(ImageOps.exif_transpose(image))


def _swapped(args: object) -> "str | tuple[object, ...]":
    rawmode = _rawmode(args)
    other = rawmode[:-1] + OTHER_BYTE_ORDER[rawmode[-1]]
    return (other, *args[1:]) if isinstance(args, tuple) else other
