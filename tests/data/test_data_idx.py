"""IDX files: what is read is what was written, and what is no whole file is refused before it costs anything."""

import gzip
import pickle
import struct
import tracemalloc

import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.data import idx_images
from jaxpr.data.words import named_images

LEVELS = np.random.default_rng(0).integers(0, 256, (5, 3, 4), dtype=np.uint8)
LABELS = np.array([3, 0, 9, 1, 3], np.uint8)


def idx(array: np.ndarray, *, axes: tuple[int, ...] | None = None, kind: int = 8) -> bytes:
    """The bytes of an IDX file, by NumPy's own big-endian integers."""
    axes = array.shape if axes is None else axes
    return bytes([0, 0, kind, len(axes)]) + np.array(axes, ">u4").tobytes() + array.tobytes()


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_images_and_labels_are_those_of_the_file(tmp_path, ending):
    pack = gzip.compress if ending else bytes
    images, labels = tmp_path / f"train-images-idx3-ubyte{ending}", tmp_path / f"labels{ending}"
    images.write_bytes(pack(idx(LEVELS)))
    labels.write_bytes(pack(idx(LABELS)))
    source = idx_images(images, labels=labels)
    assert (source.name, len(source), source.shape(4)) == ("train-images-idx3-ubyte", 5, (3, 4, 1))
    assert source.names[4] == "train-images-idx3-ubyte-000004"
    assert source.labels == (3, 0, 9, 1, 3)
    for i, image in enumerate(source):
        assert (image.dtype, type(image)) == (np.float32, np.ndarray)
        np.testing.assert_array_equal(image[..., 0], LEVELS[i].astype(np.float32) / 255)
    source[0][:] = 0  # a copy
    assert source[0].any()
    copy = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(copy[2], source[2])
    assert len(pickle.dumps(source)) < 1000
    by_word = named_images(f"idx:{images}:{labels}", "test")
    assert (by_word.fingerprint, by_word.labels) == (copy.fingerprint, source.labels)
    assert named_images(f"idx:{images}", "train").labels is None


def test_plain_and_packed_files_have_one_fingerprint_and_colours_are_an_axis(tmp_path):
    colours = np.random.default_rng(1).integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    (tmp_path / "x").write_bytes(idx(colours))
    (tmp_path / "x.gz").write_bytes(gzip.compress(idx(colours)))
    plain, packed = idx_images(tmp_path / "x"), idx_images(tmp_path / "x.gz")
    assert plain.fingerprint == packed.fingerprint
    assert plain.shape(0) == (4, 5, 3)
    np.testing.assert_array_equal(packed[1], colours[1].astype(np.float32) / 255)
    before = plain.fingerprint
    changed = colours.copy()
    changed[1, 0, 0, 0] ^= 1
    (tmp_path / "x").write_bytes(idx(changed))
    assert idx_images(tmp_path / "x").fingerprint != before


WHOLE = idx(LEVELS)
DAMAGED = gzip.compress(WHOLE)[:-8] + bytes(8)  # checksum and length are wrong
BAD = {
    "empty": (b"", "first bytes none"),
    "text": (b"not an IDX file", "first bytes 6e 6f 74 20, expected 00 00 08"),
    "type": (idx(LEVELS, kind=13), "numbers of type 13, expected unsigned bytes"),
    "no axes": (b"\0\0\x08\0", "0 axes, expected 1 to 4"),
    "axes": (b"\0\0\x08\xff" + bytes(2000), "255 axes"),
    "header": (WHOLE[:9], "a header of 9 bytes, expected 16"),
    "truncated": (WHOLE[:-1], "59 bytes behind the header, expected 60"),
    "too long": (WHOLE + b"x", "61 bytes behind the header, expected 60"),
    "vast": (idx(LEVELS, axes=(2**32 - 1,) * 4), "60 bytes behind the header"),
    "flat": (idx(LABELS), r"axes \(5,\), expected images"),
    "channels": (idx(np.zeros((2, 3, 4, 2), np.uint8)), r"axes \(2, 3, 4, 2\)"),
    "none": (idx(LEVELS[:0]), r"axes \(0, 3, 4\), expected at least one image"),
    "gzip truncated": (gzip.compress(WHOLE)[:-9], "cannot be read"),
    "gzip damaged": (DAMAGED, r"cannot be read \(CRC check failed"),
    "gzip short": (gzip.compress(WHOLE[:-1]), "59 bytes behind the header, expected 60"),
    "gzip long": (gzip.compress(WHOLE + b"x"), "more than 60 bytes behind the header, expected 60"),
    "gzip of text": (gzip.compress(b"text"), "first bytes 74 65 78 74"),
    "gzip vast": (gzip.compress(idx(LEVELS, axes=(2**20, 2**12, 2**10))), "in gzip, expected at most"),
    "gzip impossible": (gzip.compress(idx(LEVELS, axes=(2**10, 2**10, 2**10))), "bytes of gzip, expected no more"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_not_whole_are_refused_in_one_line(tmp_path, name):
    content, message = BAD[name]
    (tmp_path / "bad").write_bytes(content)
    with pytest.raises(InputError, match=message) as found:
        idx_images(tmp_path / "bad")
    assert str(found.value).startswith(f"IDX file {tmp_path / 'bad'}: ")
    assert "\n" not in str(found.value)


def test_a_gzip_bomb_is_unpacked_no_further_than_its_header_says(tmp_path):
    header = struct.pack(">4B3I", 0, 0, 8, 3, 10, 100, 100)
    (tmp_path / "bomb").write_bytes(gzip.compress(header + bytes(1 << 27)))
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match="more than 100000 bytes behind the header"):
            idx_images(tmp_path / "bomb")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_labels_fit_and_files_are_files(tmp_path):
    (tmp_path / "images").write_bytes(idx(LEVELS))
    (tmp_path / "few").write_bytes(idx(LABELS[:4]))
    with pytest.raises(InputError, match="found 4 labels, expected one for each of 5 images"):
        idx_images(tmp_path / "images", labels=tmp_path / "few")
    with pytest.raises(InputError, match=r"axes \(5, 3, 4\), expected one label for each image"):
        idx_images(tmp_path / "images", labels=tmp_path / "images")
    with pytest.raises(InputError, match="IDX file: found a folder at "):
        idx_images(tmp_path)
    with pytest.raises(InputError, match="IDX file: cannot open "):
        idx_images(tmp_path / "nowhere")
    with pytest.raises(InputError, match="images: found int, expected the path of an IDX file"):
        idx_images(3)


def test_a_file_that_changes_its_size_meanwhile_is_noticed(tmp_path):
    (tmp_path / "images").write_bytes(idx(LEVELS))
    source = idx_images(tmp_path / "images")
    (tmp_path / "images").write_bytes(idx(LEVELS[:2]))
    with pytest.raises(InputError, match=r"axes \(2, 3, 4\), expected \(5, 3, 4\) as before"):
        source[1]
