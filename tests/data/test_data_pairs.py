"""Folders with their own measurements: pairing by name, sizes, crops that correspond."""

import numpy as np
import pytest
from PIL import Image

from jaxpr._core import InputError
from jaxpr.data import paired_crops, paired_folder


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


def test_a_file_without_partner_is_named(tmp_path):
    low, high = challenge(tmp_path, [("a.png", "a.png"), ("b.png", "c.png")])
    with pytest.raises(InputError, match=r"low: found no partner in high for b\.png, expected pairs"):
        paired_folder(low, high)


def test_two_candidates_are_refused(tmp_path):
    low, high = challenge(tmp_path, [("ax4.png", "a.png"), ("a_LR.png", "a_HR.png")])
    with pytest.raises(InputError, match="found several files for 'a', expected one"):
        paired_folder(low, high)


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
