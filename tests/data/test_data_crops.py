"""Crops on a grid: places, names, laziness."""

import pickle
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.data import ImageSource, Skipped, crop_grid, crops, from_arrays, photos


@pytest.mark.parametrize(("height", "width"), [(6, 6), (7, 11), (8, 5), (3, 3)])
def test_crops_reassemble_to_the_centred_part(height, width):
    image = np.random.default_rng(0).random((height, width, 2), np.float32)
    pieces = crop_grid(image, 3)
    rows, columns = height // 3, width // 3
    assert pieces.shape == (rows * columns, 3, 3, 2)
    assert pieces.dtype == np.float32
    whole = np.concatenate(
        [np.concatenate(pieces[row * columns : (row + 1) * columns], axis=1) for row in range(rows)], axis=0
    )
    top, left = (height - 3 * rows) // 2, (width - 3 * columns) // 2
    np.testing.assert_array_equal(whole, image[top : top + 3 * rows, left : left + 3 * columns])


def test_crop_grid_returns_a_copy():
    image = np.zeros((4, 4, 1), np.float32)
    crop_grid(image, 2)[:] = 1
    assert image.max() == 0


@pytest.mark.parametrize(
    ("image", "size", "message"),
    [
        (np.zeros((5, 9, 3)), 6, "image: found 5×9 pixels, expected at least size 6"),
        (np.zeros((9, 5, 3)), 6, "found 9×5 pixels"),
        (np.zeros((9, 9)), 3, r"image: found shape \(9, 9\)"),
        (np.zeros((9, 9, 3)), 0, "size: found 0"),
        (np.zeros((9, 9, 3)), 2.0, "size: found 2.0"),
        (np.zeros((9, 9, 3)).tolist(), 3, r"image: found list, expected an array \(H, W, C\)$"),
        (None, 3, "image: found NoneType"),
    ],
)
def test_bad_crops_are_refused(image, size, message):
    with pytest.raises(InputError, match=message):
        crop_grid(image, size)


class Counting:
    """Reader that counts what it decodes."""

    def __init__(self) -> None:
        self.decoded: list[int] = []

    def load(self, i: int) -> np.ndarray:
        self.decoded.append(i)
        return np.random.default_rng(i).random(self.shape(i), np.float32)

    def shape(self, i: int) -> tuple[int, int, int]:
        return 5 + i, 9, 3

    def content(self, i: int) -> Iterator[bytes]:
        yield bytes([i])


def counting() -> ImageSource:
    return ImageSource(name="counted", names=("a", "b"), reader=Counting(), labels=(7, 8))


def test_crops_are_those_of_crop_grid_with_names_and_labels():
    source = counting()
    cut = crops(source, 3)
    assert cut.name == "counted-crops3"
    assert cut.names == (
        "a[0,0]",
        "a[0,1]",
        "a[0,2]",
        *(f"b[{row},{column}]" for row in (0, 1) for column in (0, 1, 2)),
    )
    assert cut.labels == (7, 7, 7, 8, 8, 8, 8, 8, 8)
    np.testing.assert_array_equal(np.stack(list(cut)), np.concatenate([crop_grid(image, 3) for image in source]))
    assert {cut.shape(i) for i in range(len(cut))} == {(3, 3, 3)}


def test_reading_in_order_decodes_each_image_once():
    source = counting()
    cut = crops(source, 3)
    assert source.reader.decoded == []
    list(cut)
    assert source.reader.decoded == [0, 1]


def test_writing_into_a_crop_does_not_change_the_next_reading():
    cut = crops(counting(), 3)
    before = cut[0].copy()
    cut[0][:] = 0
    np.testing.assert_array_equal(cut[0], before)


def test_pickled_crops_leave_the_decoded_image_behind():
    cut = crops(photos("test")[:1], 64)
    unread = len(pickle.dumps(cut))
    expected = cut[5]
    assert len(pickle.dumps(cut)) == unread < 20_000
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cut))[5], expected)


def test_crops_of_photographs_are_counted_from_headers():
    cut = crops(photos("test"), 128)
    assert len(cut) == 4 * 4 + 2 * 3 + 3 * 4 + 3 * 5 + 3 * 5
    assert cut.names[16] == "chelsea[0,0]"
    np.testing.assert_array_equal(cut[16], photos("test")[1][22:150, 33:161])


def test_fingerprint_depends_on_size_and_parent():
    images = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    base, brighter = from_arrays(images, name="x"), from_arrays(np.sqrt(images), name="x")
    prints = {crops(base, 4).fingerprint, crops(base, 3).fingerprint, crops(brighter, 4).fingerprint, base.fingerprint}
    assert len(prints) == 4
    assert crops(from_arrays(images, name="x"), 4).fingerprint == crops(base, 4).fingerprint


def test_too_small_images_are_named():
    with pytest.raises(InputError, match="chelsea: found 300×451 pixels, expected at least size 301"):
        crops(photos("test"), 301)


def sized(*sizes: int, **options) -> ImageSource:
    images = [np.full((size, 9, 1), i / 10, np.float32) for i, size in enumerate(sizes)]
    plain = from_arrays(images, name="sized", names=[f"i{i}" for i in range(len(sizes))], labels=range(len(sizes)))
    return replace(plain, **options)


def test_images_that_are_too_small_are_skipped_listed_and_reported_on_request():
    source = sized(3, 8, 2, 4, skip_bad=True, skipped=(Skipped("bad.png", "torn"),))
    with pytest.warns(UserWarning, match="sized: left out 2 of 4 images; first i0: found 3×9 pixels, ") as caught:
        cut = crops(source, 4)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert caught[0].filename == __file__
    assert [name for name, _ in cut.skipped] == ["bad.png", "i0", "i2"]
    assert cut.skipped[2].reason == "i2: found 2×9 pixels, expected at least size 4 on both sides"
    assert {name[:2] for name in cut.names} == {"i1", "i3"}
    assert cut.labels == (1, 1, 1, 1, 3, 3)
    assert [float(image.max()) for image in cut[4:]] == [np.float32(0.3)] * 2
    assert cut[1:3].skipped == cut.skipped


def test_skipping_small_images_is_silent_when_all_fit_and_fails_when_none_does():
    assert crops(sized(8, 4, skip_bad=True), 4).skipped == ()
    with pytest.raises(InputError, match=r"size: found no image of at least 5 pixels on both sides; .*left out 2 of 2"):
        crops(sized(3, 4, skip_bad=True), 5)


def test_a_slice_of_a_skipping_source_skips_too():
    with pytest.warns(UserWarning, match="left out 1 of 2"):
        assert len(crops(sized(8, 8, 2, skip_bad=True)[1:], 8)) == 1


@pytest.mark.parametrize("source", [[np.zeros((8, 8, 3))], np.zeros((1, 8, 8, 3)), None])
def test_what_is_no_source_is_refused(source):
    with pytest.raises(InputError, match=f"source: found {type(source).__name__}, expected an ImageSource"):
        crops(source, 4)


def test_an_image_unlike_its_header_is_refused():
    class Lying(Counting):
        def load(self, i: int) -> np.ndarray:
            return super().load(i).swapaxes(0, 1)

    cut = crops(ImageSource(name="x", names=("a",), reader=Lying()), 3)
    with pytest.raises(InputError, match=r"a: found shape \(9, 5, 3\), expected \(5, 9, 3\)"):
        cut[0]
