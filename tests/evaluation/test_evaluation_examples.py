"""Which examples are evaluated: small images, pairs, groups."""

import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.data import paired_folder
from jaxpr.data.words import named_images
from jaxpr.degradations import as_degradation
from jaxpr.evaluation import Protocol
from jaxpr.evaluation.examples import examples_of

PROTOCOL = Protocol().replace(crop=16, patch_size=4, features="pixels")


@pytest.fixture
def folder(tmp_path):
    for i, (height, width) in enumerate([(40, 20), (10, 40), (17, 33), (6, 6)]):
        Image.new("RGB", (width, height), (i, i, i)).save(tmp_path / f"{i}.png")
    return tmp_path


def test_images_smaller_than_a_crop_are_skipped_with_their_groups(folder):
    source = named_images(str(folder), "test", skip_bad=True)
    with pytest.warns(UserWarning, match="left out 2 of 4 images; first 1.png: found 10×40 pixels") as caught:
        found = examples_of(source, as_degradation("average-x2"), PROTOCOL)
    assert len(caught) == 1
    assert [name for name, _ in found.source.skipped] == ["1.png", "3.png"]
    assert [found.name(i)[0] for i in range(len(found))] == ["0", "0", "2", "2"]
    assert found.groups.tolist() == [0, 0, 1, 1]
    with pytest.raises(InputError, match=r"1\.png: found 10×40 pixels"):
        examples_of(named_images(str(folder), "test"), as_degradation("average-x2"), PROTOCOL)


def test_whole_images_smaller_than_a_patch_are_skipped(folder):
    source, whole = named_images(str(folder), "test", skip_bad=True), PROTOCOL._replace(crop=None)
    with pytest.warns(UserWarning, match="left out 1 of 4 images; first 3.png: found 6×6 pixels"):
        found = examples_of(source, as_degradation("average-x2"), whole)
    assert [name for name, _ in found.source.skipped] == ["3.png"]
    assert found.groups.tolist() == [0, 1, 2]
    with pytest.raises(InputError, match="images: found a measurement of only 3 pixels"):
        examples_of(named_images(str(folder), "test"), as_degradation("average-x2"), whole)


def test_examples_of_pairs_say_how_they_were_paired(tmp_path):
    for side, name, size in (("low", "ax2", 16), ("low", "bx2", 16), ("high", "a", 32), ("high", "b", 32)):
        (tmp_path / side).mkdir(exist_ok=True)
        Image.fromarray(np.full((size, size), ord(name[0]), np.uint8)).save(tmp_path / side / f"{name}.png")
    pairs = paired_folder(tmp_path / "low", tmp_path / "high")
    found = examples_of(pairs, as_degradation("given"), PROTOCOL)
    assert found.pairs is pairs
    assert found.groups.tolist() == [0] * 4 + [1] * 4
    for i in range(len(found)):
        assert found.measurement(i).max() == found.image(i).max()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "data: found no folder ''"),
        ("gone", "data: found no folder 'gone'"),
        ("a\0b", r"path: found 'a\\x00b'"),
        ("{}/0.png", r"data: found a file at .*0\.png, expected a folder of images"),
    ],
)
def test_what_is_no_folder_is_refused(folder, spec, message):
    with pytest.raises(InputError, match=message):
        named_images(spec.format(folder), "test")


def test_a_folder_may_start_at_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert len(named_images(f"~/{folder.name}", "test")) == 4
