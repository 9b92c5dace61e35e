"""Folders of images: which files, in which order, and what happens to bad ones."""

import os
import pickle
import warnings

import grain
import numpy as np
import pytest
from PIL import Image

from jaxpr._core import InputError
from jaxpr.data import image_folder, read_image


def save(path, value: int = 100, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def test_files_are_found_in_any_case_depth_and_script(tmp_path):
    wanted = ["B.PNG", "a b.Jpg", "c.jpeg", "d.TIFF", "sub/deep/e.webp", "sub/ü 图.png", "z.bmp", "z.tif"]
    for i, name in enumerate(wanted):
        save(tmp_path / name, size=(5 + i, 4))
    for name in (".hidden.png", ".git/f.png", "sub/._g.png"):
        save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "folder.png").mkdir()
    source = image_folder(tmp_path)
    assert source.names == tuple(sorted(wanted))
    assert source.name == tmp_path.name
    assert [source.shape(i) for i in range(8)] == [image.shape for image in source]
    assert [shape[1] for shape in (source.shape(0), source.shape(7))] == [5, 12]


def test_paths_may_be_strings_and_start_at_home(tmp_path, monkeypatch):
    save(tmp_path / "pictures" / "a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert image_folder(str(tmp_path / "pictures")).names == ("a.png",)
    assert image_folder("~/pictures").names == ("a.png",)


def test_links_to_files_are_followed_and_links_to_folders_are_not(tmp_path):
    save(tmp_path / "elsewhere" / "a.png", 51)
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    (root / "loop").symlink_to(root)
    (root / "broken.png").symlink_to(tmp_path / "gone.png")
    source = image_folder(root)
    assert source.names == ("broken.png", "link.png")
    assert source[1].max() == np.float32(0.2)
    with pytest.raises(InputError, match=r"broken\.png: cannot be decoded"):
        source[0]
    (tmp_path / "way").symlink_to(tmp_path / "elsewhere")
    assert image_folder(tmp_path / "way").names == ("a.png",)


def test_channels_apply_to_all_files(tmp_path):
    save(tmp_path / "a.png")
    Image.new("L", (6, 4), 51).save(tmp_path / "b.png")
    assert {image.shape for image in image_folder(tmp_path)} == {(4, 6, 3)}
    luma = image_folder(tmp_path, channels=1)
    assert luma.shape(0) == luma[0].shape == (4, 6, 1)
    assert luma[1].max() == np.float32(0.2)
    with pytest.raises(InputError, match="channels: found 4"):
        image_folder(tmp_path, channels=4)


def test_folders_that_are_none_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "notes.txt").touch()
    (tmp_path / "file.png").touch()
    with pytest.raises(InputError, match=f"path: found nothing at {tmp_path}/gone, expected a folder of images"):
        image_folder(tmp_path / "gone")
    with pytest.raises(InputError, match=rf"path: found a file at {tmp_path}/file\.png, expected a folder"):
        image_folder(tmp_path / "file.png")
    with pytest.raises(InputError, match=rf"found no images in {tmp_path}/empty, expected files ending in \.bmp"):
        image_folder(tmp_path / "empty")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    """Simulated, because permissions do not bind the superuser who may run the tests."""
    save(tmp_path / "a.png")

    def forbidden(path):
        raise PermissionError(13, "Permission denied", os.fspath(path))

    monkeypatch.setattr(os, "scandir", forbidden)
    with pytest.raises(InputError, match=f"cannot list {tmp_path} .Permission denied., expected a readable folder"):
        image_folder(tmp_path)


def test_bad_files_raise_when_they_are_read(tmp_path):
    save(tmp_path / "good.png")
    (tmp_path / "bad.png").touch()
    source = image_folder(tmp_path)
    assert source.names == ("bad.png", "good.png")
    assert source[1].shape == (4, 6, 3)
    with pytest.raises(InputError, match=rf"image file {tmp_path}/bad\.png: cannot be decoded"):
        source[0]


def test_bad_files_are_skipped_listed_and_reported_on_request(tmp_path):
    save(tmp_path / "good.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "text.jpg").write_text("no image")
    with pytest.warns(UserWarning, match="left out 2 of 3 files; first image file .*empty") as caught:
        source = image_folder(tmp_path, skip_bad=True)
    assert len(caught) == 1
    assert "\n" not in str(caught[0].message)
    assert caught[0].filename == __file__
    assert source.names == ("good.png",)
    assert [name for name, _ in source.skipped] == ["empty.png", "sub/text.jpg"]
    assert "cannot be decoded" in source.skipped[1].reason
    assert source[0].shape == (4, 6, 3)


def test_skip_bad_is_silent_when_all_is_well_and_fails_when_nothing_is_left(tmp_path):
    (tmp_path / "bad.png").touch()
    with pytest.raises(InputError, match=r"found no readable images; .*left out 1 of 1"):
        image_folder(tmp_path, skip_bad=True)
    save(tmp_path / "bad.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert image_folder(tmp_path, skip_bad=True).skipped == ()


def test_fingerprint_follows_the_bytes(tmp_path):
    save(tmp_path / "a.png", 10)
    save(tmp_path / "b.png", 20)
    before = image_folder(tmp_path)
    assert before.fingerprint == image_folder(tmp_path).fingerprint
    assert before.fingerprint != image_folder(tmp_path, channels=1).fingerprint
    save(tmp_path / "b.png", 21)
    assert before.fingerprint != image_folder(tmp_path).fingerprint
    assert before[:1].fingerprint == image_folder(tmp_path)[:1].fingerprint


def test_fingerprint_of_a_vanished_file_is_an_error(tmp_path):
    save(tmp_path / "a.png")
    source = image_folder(tmp_path)
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"a\.png: No such file or directory, expected a readable file"):
        _ = source.fingerprint


def test_sources_pickle_and_feed_grain(tmp_path):
    for i in range(6):
        save(tmp_path / f"{i}.png", 10 * i)
    source = pickle.loads(pickle.dumps(image_folder(tmp_path)))
    np.testing.assert_array_equal(source[3], read_image(tmp_path / "3.png"))
    batches = list(grain.MapDataset.source(source).seed(0).shuffle().batch(3))
    assert [batch.shape for batch in batches] == [(3, 4, 6, 3)] * 2
    seen = np.sort(np.concatenate(batches)[:, 0, 0, 0])
    np.testing.assert_array_equal(seen, np.arange(0, 60, 10, dtype=np.float32) / np.float32(255))
