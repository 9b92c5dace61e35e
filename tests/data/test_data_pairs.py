"""Folders with their own measurements: pairing by name, sizes, crops that correspond."""

import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.data import PairedSource, from_arrays, image_folder, paired_crops, paired_folder


def write(path, height, width, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def challenge(root, pairs, sizes=((12, 10), (9, 11))):
    """Low and high folders; the block mean of each high image is not its low one: they are told apart by content."""
    for (low, high), (height, width) in zip(pairs, sizes, strict=True):
        write(root / "low" / low, height, width, seed=1)
        write(root / "high" / high, 4 * height, 4 * width, seed=2)
    return root / "low", root / "high"


@pytest.mark.parametrize(
    "pairs",
    [
        [("a.png", "a.png"), ("sub/b.png", "sub/b.png")],
        [("0802x4.png", "0802.png"), ("0801x4.png", "0801.png")],
        [("0801x4m.png", "0801.png"), ("0802x4m.png", "0802.png")],
        [("img_001_SRF_4_LR.png", "img_001_SRF_4_HR.png"), ("img_002_SRF_4_LR.png", "img_002_SRF_4_HR.png")],
        [("cat_LR.png", "cat_HR.png"), ("dog_LR.png", "dog_HR.png")],
    ],
)
def test_names_of_challenges_find_their_partners(tmp_path, pairs):
    found = paired_folder(*challenge(tmp_path, pairs))
    assert found.factor == 4
    assert list(zip(found.low.names, found.high.names, strict=True)) == sorted(pairs, key=lambda pair: pair[1])
    for i in range(2):
        height, width, _ = found.low.shape(i)
        assert found.high.shape(i) == (4 * height, 4 * width, 3)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([("a.png", "a.png"), ("b.png", "c.png")], r"low: found no partner in high for b\.png, expected pairs"),
        (
            [("ax4.png", "a.png"), ("a_LR.png", "a_HR.png")],
            r"low: found a_LR\.png unlike \{\}x4, expected pairs",
        ),
        (
            [("park_001.png", "park_002.png"), ("road_001.png", "road_002.png")],
            r"low: found no partner in high for park_001\.png, road_001\.png",
        ),
    ],
    ids=["alone", "two rules", "another number"],
)
def test_what_no_rule_pairs_is_named(tmp_path, names, message):
    low, high = challenge(tmp_path, names)
    with pytest.raises(InputError, match=message):
        paired_folder(low, high)


def test_the_rule_is_recorded_and_may_be_given(tmp_path):
    low, high = challenge(tmp_path, [("img_001x4.png", "img_001.png"), ("img_002x4.png", "img_002.png")])
    found = paired_folder(low, high)
    assert found.rule == "{}x4:{}"
    assert paired_crops(found, 8).rule == found.rule
    assert paired_folder(str(low), high, pattern=found.rule).pairs_sha256 == found.pairs_sha256
    with pytest.raises(InputError, match=r"pattern: found \{\}x2:\{\}"):
        paired_folder(low, high, pattern="{}x2:{}")
    with pytest.raises(InputError, match=r"pattern: found x, expected LOW:HIGH"):
        paired_folder(low / "gone", high, pattern="x")


def test_the_hash_follows_which_belongs_to_which():
    images = np.random.default_rng(0).random((2, 4, 4, 1), np.float32)
    x = from_arrays(images, name="x", names=["a", "b"])
    pairs = PairedSource(x, x, 1)
    others = [
        PairedSource(x.select([1, 0]), x, 1),
        PairedSource(x.select([1, 0]), x.select([1, 0]), 1),
        PairedSource(from_arrays(images[::-1], name="x", names=["a", "b"]), x, 1),
        PairedSource(x, from_arrays(images, name="x", names=["a", "c"]), 1),
    ]
    assert len({pairs.pairs_sha256, *(other.pairs_sha256 for other in others)}) == 5
    assert pairs.pairs_sha256 == PairedSource(from_arrays(images, name="y", names=["a", "b"]), x, 1).pairs_sha256
    assert pairs.rule == ""


def test_folders_are_named_as_they_were_given(tmp_path, monkeypatch):
    low, high = challenge(tmp_path, [("a.png", "a.png"), ("b.png", "b.png")])
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paired_folder("~/low", "~/high").factor == 4
    with pytest.raises(InputError, match=r"low: found nothing at .*gone, expected a folder"):
        paired_folder(tmp_path / "gone", high)
    with pytest.raises(InputError, match=r"high: found a file at .*a\.png, expected a folder"):
        paired_folder(low, high / "a.png")
    with pytest.raises(InputError, match="high: found list, expected the path of a folder"):
        paired_folder(low, [high])
    with pytest.raises(InputError, match=r"high: found .*low, the folder of low, expected another"):
        paired_folder(low, tmp_path / "high" / ".." / "low")


def test_crops_of_pairs_leave_no_image_out_of_one_side(tmp_path):
    """The small one would shift the partners of those behind it."""
    low, high = challenge(tmp_path, [("a.png", "a.png"), ("b.png", "b.png")], sizes=((2, 2), (8, 8)))
    sides = [image_folder(folder, skip_bad=True) for folder in (low, high)]
    with pytest.raises(InputError, match=r"a\.png: found 2×2 pixels, expected at least size 4"):
        paired_crops(PairedSource(*sides, 4), 16)


def test_what_is_no_pairs_is_refused():
    x = from_arrays(np.zeros((2, 8, 8, 1), np.float32), name="x")
    with pytest.raises(InputError, match="pairs: found tuple, expected a PairedSource"):
        paired_crops((x, x, 1), 4)
    with pytest.raises(InputError, match="pairs: found 1 images in low and 2 in high"):
        paired_crops(PairedSource(x[:1], x, 1), 4)
    with pytest.raises(InputError, match="size: found 'a'"):
        paired_crops(PairedSource(x, x, 1), "a")


def test_sizes_must_be_in_one_ratio(tmp_path):
    low, high = challenge(tmp_path, [("a.png", "a.png"), ("b.png", "b.png")])
    write(high / "b.png", 40, 44)
    with pytest.raises(InputError, match=r"high: found 40×44 pixels for b\.png beside 9×11 in low, expected 4 times"):
        paired_folder(low, high)


def test_crops_of_both_show_the_same_place(tmp_path):
    for name in ("low", "high"):
        (tmp_path / name).mkdir()
    small = write(tmp_path / "low" / "a.png", 11, 14)
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    # One row of pixels more than four times the size, as left over by a downsampling that cuts.
    Image.fromarray(np.pad(large, ((0, 3), (0, 1), (0, 0)))).save(tmp_path / "high" / "a.png")
    cut = paired_crops(paired_folder(tmp_path / "low", tmp_path / "high"), 16)
    assert len(cut.low) == len(cut.high) == 2 * 3
    assert cut.low.names == cut.high.names
    for y, x in zip(cut.low, cut.high, strict=True):
        np.testing.assert_array_equal(x, np.repeat(np.repeat(y, 4, axis=0), 4, axis=1))
    with pytest.raises(InputError, match="size: found 18, expected a multiple of the scale factor 4"):
        paired_crops(paired_folder(tmp_path / "low", tmp_path / "high"), 18)
