"""Pixels of image files: bit depth, colour, orientation, and every way a file can be bad."""

import io
import os
import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.data import read_image
from jaxpr.data.decode import image_shape

PNG_GRAY, PNG_RGB, PNG_GRAY_ALPHA, PNG_RGB_ALPHA = 0, 2, 4, 6


def colours(height: int = 6, width: int = 9, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def unit(values: np.ndarray, largest: int = 255) -> np.ndarray:
    return values.astype(np.float32) / np.float32(largest)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(values: np.ndarray, colour_type: int, *extra: bytes) -> bytes:
    """A 16-bit PNG with scanline filter 1 (difference to the pixel on the left), written after the specification."""
    height, width = values.shape[:2]
    rows = values.astype(">u2").reshape(height, -1).view(np.uint8)
    step = rows.shape[1] // width
    filtered = rows.copy()
    filtered[:, step:] -= rows[:, :-step]
    packed = zlib.compress(b"".join(b"\x01" + row.tobytes() for row in filtered))
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", packed), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def words(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 65536, shape).astype(np.uint16)


@pytest.mark.parametrize(("ending", "options"), [("png", {}), ("webp", {"lossless": True}), ("bmp", {}), ("tif", {})])
def test_lossless_files_return_every_value(tmp_path, ending, options):
    file = tmp_path / f"a.{ending}"
    Image.fromarray(colours()).save(file, **options)
    image = read_image(file)
    assert image.dtype == np.float32
    assert image_shape(file) == image.shape
    np.testing.assert_array_equal(image, unit(colours()))


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_lossy_files_return_nearly_every_value(tmp_path, ending):
    ramp = np.broadcast_to(np.linspace(0, 255, 32).astype(np.uint8)[:, None, None], (32, 24, 3))
    Image.fromarray(np.ascontiguousarray(ramp)).save(tmp_path / f"a.{ending}", quality=95)
    image = read_image(tmp_path / f"a.{ending}")
    assert image.shape == (32, 24, 3)
    assert np.abs(image - unit(ramp)).max() < 0.04  # quantisation at quality 95


def test_channels_are_luma_or_repeated_gray(tmp_path):
    Image.fromarray(colours()).save(tmp_path / "colour.png")
    Image.fromarray(colours()[..., 0]).save(tmp_path / "gray.png")
    red, green, blue = np.moveaxis(unit(colours()), -1, 0)
    luma = read_image(tmp_path / "colour.png", channels=1)
    np.testing.assert_allclose(luma[..., 0], 0.299 * red + 0.587 * green + 0.114 * blue, atol=1e-6)
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png", channels=1)[..., 0], red)
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png"), np.stack([red] * 3, axis=-1))
    assert image_shape(tmp_path / "colour.png", channels=1) == (6, 9, 1)


def test_white_stays_within_the_range(tmp_path):
    Image.new("RGB", (4, 4), "white").save(tmp_path / "white.png")
    assert read_image(tmp_path / "white.png", channels=1).max() == 1


@pytest.mark.parametrize("channels", [0, 2, 4, None, 3.0])
def test_other_channel_counts_are_refused(tmp_path, channels):
    with pytest.raises(InputError, match=f"channels: found {channels}, expected 1 .luma. or 3 .RGB."):
        read_image(tmp_path / "a.png", channels=channels)


CHANNELS = {PNG_GRAY: 1, PNG_GRAY_ALPHA: 2, PNG_RGB: 3, PNG_RGB_ALPHA: 4}


@pytest.mark.parametrize("colour_type", CHANNELS)
def test_sixteen_bit_png_keeps_all_bits(tmp_path, colour_type):
    values = words(5, 7, CHANNELS[colour_type])
    if colour_type in (PNG_GRAY_ALPHA, PNG_RGB_ALPHA):
        values[..., -1] = 65535
    (tmp_path / "deep.png").write_bytes(png16(values, colour_type))
    gray = colour_type in (PNG_GRAY, PNG_GRAY_ALPHA)
    expected = np.repeat(values[..., :1], 3, axis=-1) if gray else values[..., :3]
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), unit(expected, 65535))


def tiff16(values: np.ndarray, order: str, **tags: int) -> bytes:
    """An uncompressed 16-bit TIFF of one strip, '<' or '>' byte order, written after the specification."""
    height, width, channels = values.shape
    pixels = values.astype(order + "u2").tobytes()
    numbers = {256: width, 257: height, 258: 16, 259: 1, 262: 2 if channels == 3 else 1, 273: 8, 277: channels}
    numbers |= {278: height, 279: len(pixels)} | {int(tag[1:]): value for tag, value in tags.items()}
    depths_at = 8 + len(pixels)
    directory_at = depths_at + 2 * channels
    entries = b""
    for tag in sorted(numbers):
        if tag == 258 and channels > 1:
            entries += struct.pack(order + "HHII", tag, 3, channels, depths_at)
        else:
            entries += struct.pack(order + "HHII", tag, 4, 1, numbers[tag])
    header = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", directory_at)
    depths = struct.pack(order + "H" * channels, *[16] * channels)
    return header + pixels + depths + struct.pack(order + "H", len(numbers)) + entries + bytes(4)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bit_tiff_keeps_all_bits(tmp_path, order, channels):
    values = words(5, 7, channels)
    (tmp_path / "deep.tif").write_bytes(tiff16(values, order))
    np.testing.assert_array_equal(read_image(tmp_path / "deep.tif", channels=3), unit(values, 65535) * np.ones(3, "f4"))


def test_compressed_sixteen_bit_tiff_keeps_all_bits(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "deep.tif", words(64, 70, 3), photometric="rgb", compression="zlib")
    np.testing.assert_array_equal(read_image(tmp_path / "deep.tif"), unit(words(64, 70, 3), 65535))


def float_tiff(file: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.float32)).save(file)


def integer_tiff(file: Path) -> None:
    Image.fromarray(np.zeros((4, 4), np.int32)).save(file)


def planar_tiff(file: Path) -> None:
    file.write_bytes(tiff16(words(4, 4, 3), "<", t284=2))


def white_is_zero_tiff(file: Path) -> None:
    file.write_bytes(tiff16(words(4, 4, 1), "<", t262=0))


def lab_tiff(file: Path) -> None:
    Image.merge("LAB", Image.fromarray(colours()).split()).save(file)


@pytest.mark.parametrize("write", [float_tiff, integer_tiff, planar_tiff, white_is_zero_tiff, lab_tiff])
def test_depths_and_colours_that_would_be_misread_are_refused(tmp_path, write):
    file = tmp_path / "a.tif"
    write(file)
    with pytest.raises(InputError, match=r"image file .*a\.tif: found pixels of Pillow mode .*, expected 8"):
        read_image(file)


def test_palettes_and_bilevel_images_become_rgb(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putdata([0, 1])
    palette.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(
        read_image(tmp_path / "palette.png"), unit(np.array([[[10, 20, 30], [200, 100, 50]]]))
    )
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bilevel.png")
    np.testing.assert_array_equal(read_image(tmp_path / "bilevel.png", channels=1)[..., 0], [[1, 0]])
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "bilevel.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "bilevel.tif", channels=1)[..., 0], [[1, 0]])


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    np.testing.assert_allclose(read_image(tmp_path / "red.jpg")[8, 8], [1, 0, 0], atol=0.02)  # JPEG rounding


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_opaque_alpha_channel_is_dropped(tmp_path, mode):
    opaque = np.dstack([colours(channels=len(mode) - 1), np.full((6, 9), 255, np.uint8)])
    Image.fromarray(opaque, mode).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png", channels=len(mode) - 1)
    np.testing.assert_array_equal(image, unit(opaque[..., :-1]))


def transparent_files(folder: Path) -> dict[str, Path]:
    clear = np.dstack([colours(), np.full((6, 9), 255, np.uint8)])
    clear[2, 3, 3] = 254
    files = {name: folder / name for name in TRANSPARENT}
    Image.fromarray(clear).save(files["rgba.png"])
    Image.fromarray(clear).save(files["rgba.webp"], lossless=True)
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 255, 255, 255])
    palette.save(files["palette.png"], transparency=0)
    files["deep.png"].write_bytes(png16(words(4, 4, 4), PNG_RGB_ALPHA))
    alpha = np.full((4, 4, 2), 65535, np.uint16)
    alpha[1, 2, 1] = 65534  # the upper byte alone is that of an opaque pixel
    files["deep_gray.png"].write_bytes(png16(alpha, PNG_GRAY_ALPHA))
    files["deep_key.png"].write_bytes(png16(words(4, 4, 3), PNG_RGB, key(words(4, 4, 3)[2, 1])))
    files["deep_gray_key.png"].write_bytes(png16(words(4, 4, 1), PNG_GRAY, key(words(4, 4, 1)[2, 1])))
    files["four_bits.png"].write_bytes(gray_png(4, b"\x1f", key([15])))
    files["two_bits.png"].write_bytes(gray_png(2, b"\x1b", key([2])))
    return files


def key(colour) -> bytes:
    """The chunk that makes one colour transparent."""
    return chunk(b"tRNS", np.array(colour, ">u2").tobytes())


def gray_png(depth: int, row: bytes, *extra: bytes) -> bytes:
    """One row of gray pixels of 1, 2 or 4 bits."""
    header = struct.pack(">IIBBBBB", 8 * len(row) // depth, 1, depth, PNG_GRAY, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(b"\0" + row)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


TRANSPARENT = ("rgba.png", "rgba.webp", "palette.png", "deep.png", "deep_gray.png", "deep_key.png")
TRANSPARENT += ("deep_gray_key.png", "four_bits.png", "two_bits.png")


@pytest.mark.parametrize("name", TRANSPARENT)
def test_transparent_pixels_are_refused(tmp_path, name):
    with pytest.raises(InputError, match=f"{name}: found transparent pixels, expected an opaque image"):
        read_image(transparent_files(tmp_path)[name])


def test_a_transparent_colour_that_no_pixel_has_is_dropped(tmp_path):
    deep = words(4, 4, 3)
    near = [*deep[2, 1, :2], deep[2, 1, 2] ^ 1]  # differs in the last bit of the last channel
    (tmp_path / "deep.png").write_bytes(png16(deep, PNG_RGB, key(near)))
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), unit(deep, 65535))
    gray = np.arange(16, dtype=np.uint16).reshape(4, 4, 1) * 257
    (tmp_path / "gray.png").write_bytes(png16(gray, PNG_GRAY, key([258])))
    np.testing.assert_array_equal(read_image(tmp_path / "gray.png", channels=1), unit(gray, 65535))
    (tmp_path / "bits.png").write_bytes(gray_png(4, b"\x1f", key([2])))
    np.testing.assert_array_equal(read_image(tmp_path / "bits.png", channels=1)[0, :, 0], unit(np.array([17, 255])))


def test_a_palette_whose_used_entries_are_opaque_is_read(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50, 1, 2, 3])
    palette.putdata([0, 1])
    for transparency in (b"\xff\xff", b"\xff\xff\x00", 2):
        palette.save(tmp_path / "a.png", transparency=transparency)
        np.testing.assert_array_equal(read_image(tmp_path / "a.png"), unit(np.array([[[10, 20, 30], [200, 100, 50]]])))


@pytest.mark.parametrize(
    ("data", "values", "largest"),
    [
        (b"P6 2 1 255\n" + bytes(range(6)), [[0, 1, 2], [3, 4, 5]], 255),
        (b"P5\n# a comment\n2 1\n255\n\x07\xff", [[7], [255]], 255),
        (b"P5 2 1 65535\n\x01\x02\xff\xff", [[258], [65535]], 65535),
        (b"P6 1 1 65535\n\x01\x02\x00\x00\xff\xfe", [[258, 0, 65534]], 65535),
        (b"P5 2 1 4095\n\x01\x02\x0f\xff", [[258], [4095]], 4095),
        (b"P6 1 1 100\n\x01\x02\x64", [[1, 2, 100]], 100),
        (b"P3 1 1 255\n1 2 3\n", [[1, 2, 3]], 255),
        (b"P4 8 1\n\x7f", [[1]] + 7 * [[0]], 1),
        (b"P1 2 1\n0 1\n", [[1], [0]], 1),
    ],
)
def test_pnm_files_return_every_value(tmp_path, data, values, largest):
    (tmp_path / "a.ppm").write_bytes(data)
    expected = np.broadcast_to(unit(np.array([values]), largest), (1, len(values), 3))
    np.testing.assert_array_equal(read_image(tmp_path / "a.ppm"), expected)
    assert image_shape(tmp_path / "a.ppm") == expected.shape


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P5 2 2 4095\n\x01\x02\x0f", "found 3 bytes of pixels, expected a whole image"),
        (b"P5 1 1 100\n\xff", "found a value of 255, expected at most 100 as the header says"),
        (b"P2 1 1 65535\n258\n", "found values up to 65535 written as text, expected the binary form"),
        (b"Pf 1 1 -1\n\0\0\x80\x3f", "found pixels of Pillow mode F"),
        (b"P5 2 2 255\n\x01", "cannot be decoded"),
    ],
)
def test_pnm_files_that_would_be_misread_are_refused(tmp_path, data, message):
    (tmp_path / "a.pgm").write_bytes(data)
    with pytest.raises(InputError, match=rf"image file .*a\.pgm: {message}"):
        read_image(tmp_path / "a.pgm")


@pytest.mark.parametrize("read", [read_image, image_shape])
def test_only_regular_files_are_opened(tmp_path, read):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("pipe.png")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "null.png").symlink_to("/dev/zero")
    for name, found in (("pipe", "a pipe or"), ("link", "a pipe or"), ("folder", "a folder"), ("null", "a pipe or")):
        with pytest.raises(InputError, match=rf"image file: found {found}.*{name}\.png, expected an image"):
            read(tmp_path / f"{name}.png")


@pytest.mark.parametrize("read", [read_image, image_shape])
@pytest.mark.parametrize("path", [None, 3, b"a.png", ["a.png"]])
def test_what_is_no_path_is_refused(read, path):
    with pytest.raises(InputError, match=f"path: found {type(path).__name__}, expected the path of an image file"):
        read(path)


def test_errors_are_one_printable_line(tmp_path):
    file = tmp_path / "a\nb\x1b[2J.png"
    file.write_text("no image")
    with pytest.raises(InputError, match="cannot be decoded") as caught:
        read_image(file)
    assert str(caught.value).isprintable()
    assert r"a\x0ab\x1b[2J.png" in str(caught.value)


UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("ending", ["png", "webp", "tif", "jpg"])
@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(tmp_path, ending, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"a.{ending}"
    picture = np.kron(colours(2, 3) // 2 + 64, np.ones((16, 16, 1), np.uint8))  # whole blocks survive JPEG
    Image.fromarray(picture).save(file, exif=exif, **({"lossless": True} if ending == "webp" else {}))
    image, expected = read_image(file), UPRIGHT[orientation](unit(picture))
    assert image_shape(file) == image.shape == expected.shape
    tolerance = 0.2 if ending == "jpg" else 0  # chroma bleeds over the edges of blocks
    assert np.abs(image - expected).mean() <= tolerance / 4
    assert np.abs(image[8, 8] - expected[8, 8]).max() <= tolerance


def test_exif_orientation_is_applied_to_sixteen_bits(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    data = chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))
    (tmp_path / "deep.png").write_bytes(png16(words(5, 7, 3), PNG_RGB, data))
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), np.rot90(unit(words(5, 7, 3), 65535), -1))
    assert image_shape(tmp_path / "deep.png") == (7, 5, 3)
    gray = words(5, 7, 2) | np.array([0, 65535], np.uint16)
    (tmp_path / "gray.png").write_bytes(png16(gray, PNG_GRAY_ALPHA, data))
    found = read_image(tmp_path / "gray.png", channels=1)
    np.testing.assert_array_equal(found, np.rot90(unit(gray[..., :1], 65535), -1))


def whole(ending: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(colours(64, 64)).save(buffer, {"jpg": "JPEG", "tif": "TIFF"}.get(ending, ending.upper()))
    return buffer.getvalue()


@pytest.mark.parametrize("ending", ["png", "jpg", "webp", "bmp", "tif"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.9])
def test_truncated_files_are_named(tmp_path, ending, kept):
    data = whole(ending)
    (tmp_path / f"cut.{ending}").write_bytes(data[: int(kept * len(data))])
    with pytest.raises(
        InputError, match=rf"image file .*cut\.{ending}: cannot be decoded \(.+\), expected a whole image"
    ):
        read_image(tmp_path / f"cut.{ending}")


@pytest.mark.parametrize(
    "data", [b"no image at all", b"\x89PNG\r\n\x1a\n" + bytes(50), b"\xff\xd8\xff\xe0" + bytes(50)]
)
def test_files_that_are_no_images_are_named(tmp_path, data):
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(InputError, match=r"bad\.png: cannot be decoded"):
        read_image(tmp_path / "bad.png")
    with pytest.raises(InputError, match=r"bad\.png: cannot be decoded"):
        image_shape(tmp_path / "bad.png")


def test_damage_inside_a_png_is_found(tmp_path):
    data = bytearray(whole("png"))
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "bad.png").write_bytes(data)
    with pytest.raises(InputError, match=r"bad\.png: cannot be decoded"):
        read_image(tmp_path / "bad.png")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"cannot open .*gone\.png \(No such file or directory\), expected an image"):
        read_image(tmp_path / "gone.png")


@pytest.mark.parametrize("pixels", [30, 10])
def test_decompression_bombs_are_refused(tmp_path, monkeypatch, pixels):
    """Pillow warns above its limit, here an error, and refuses above twice the limit."""
    Image.fromarray(colours(6, 9)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", pixels)
    with pytest.raises(InputError, match=r"huge\.png: cannot be decoded .*exceeds limit of"):
        read_image(tmp_path / "huge.png")


@pytest.mark.parametrize("ending", ["tif", "webp", "png"])
def test_several_frames_are_refused(tmp_path, ending):
    frames = [Image.fromarray(colours() // (i + 1)) for i in range(2)]
    frames[0].save(tmp_path / f"film.{ending}", save_all=True, append_images=frames[1:])
    with pytest.raises(InputError, match=rf"film\.{ending}: found 2 frames, expected one image"):
        read_image(tmp_path / f"film.{ending}")


def test_the_photograph_of_a_multi_picture_jpeg_is_read(tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(read_image(tmp_path / "phone.jpg")[8, 8], [1, 0, 0], atol=0.02)  # JPEG rounding


def test_byte_order_table_matches_this_machine():
    from jaxpr.data.decode import OTHER_BYTE_ORDER

    assert OTHER_BYTE_ORDER["N"] == OTHER_BYTE_ORDER["L" if sys.byteorder == "little" else "B"]
