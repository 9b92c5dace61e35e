"""Folders of images: which files, in which order, and what happens to bad ones."""

import json
import os
import pickle
import socket
import warnings
from pathlib import Path

import grain
import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.data import class_folder, crops, image_folder, read_image


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
    with pytest.raises(InputError, match=r"cannot open .*broken\.png \(No such file or directory\)"):
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


def socket_file(path) -> None:
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind(str(path))


def link_to_null(path) -> None:
    path.symlink_to("/dev/zero")


def link_to_pipe(path) -> None:
    os.mkfifo(path.with_suffix(".pipe"))
    path.symlink_to(path.with_suffix(".pipe"))


@pytest.mark.parametrize("make", [os.mkfifo, socket_file, link_to_null, link_to_pipe])
def test_pipes_sockets_and_devices_are_refused_at_once_or_skipped(tmp_path, monkeypatch, make):
    save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)  # names of sockets are short
    make(Path("b.png"))
    with pytest.raises(InputError, match=r"path: found a pipe or device at .*b\.png, expected image files only"):
        image_folder(tmp_path)
    with pytest.warns(
        UserWarning, match=r"left out 1 of 2 files; first image file: found a pipe or device at .*b\.png"
    ):
        source = image_folder(tmp_path, skip_bad=True)
    assert source.names == ("a.png",)
    assert [name for name, _ in source.skipped] == ["b.png"]


def test_a_file_that_becomes_a_pipe_is_not_waited_for(tmp_path):
    save(tmp_path / "a.png")
    source = image_folder(tmp_path)
    (tmp_path / "a.png").unlink()
    os.mkfifo(tmp_path / "a.png")
    for read in (lambda: source[0], lambda: source.shape(0), lambda: source.fingerprint):
        with pytest.raises(InputError, match=r"image file: found a pipe or device at .*a\.png"):
            read()


def test_names_that_no_text_file_can_hold_are_escaped(tmp_path):
    """Bytes of an old archive, control characters, and names that look like their escapes."""
    root = os.path.join(os.fsencode(tmp_path), b"caf\xe9\n")
    os.mkdir(root)
    raw = [b"caf\xe9.png", b"a\nb.png", b"\x1b[2J.png", "é 图.png".encode(), b"a\\x0ab.png", b"caf\\xe9.png"]
    for i, name in enumerate(raw):
        save(tmp_path / "plain.png", i)
        os.rename(tmp_path / "plain.png", os.path.join(root, name))
    source = image_folder(os.fsdecode(root))
    assert source.name == r"caf\xe9\x0a"
    wanted = {
        r"caf\xe9.png'": 0,
        r"a\x0ab.png'": 1,
        r"\x1b[2J.png": 2,
        "é 图.png": 3,
        r"a\x0ab.png": 4,
        r"caf\xe9.png": 5,
    }
    assert {name: round(255 * float(source[i].max())) for i, name in enumerate(source.names)} == wanted
    for text in (source.name, *source.names):
        json.loads(json.dumps(text, ensure_ascii=False).encode())
        assert text.isprintable()
    assert pickle.loads(pickle.dumps(source)).fingerprint == source.fingerprint


def test_bad_files_with_odd_names_are_reported_in_one_printable_line(tmp_path):
    save(tmp_path / "good.png")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\n.png")).touch()
    with pytest.warns(UserWarning, match="left out 1 of 2 files") as caught:
        source = image_folder(tmp_path, skip_bad=True)
    assert str(caught[0].message).isprintable()
    assert source.skipped[0].name == r"\xff\x0a.png"
    assert source.skipped[0].reason.isprintable()


def test_images_of_other_formats_are_counted_in_one_warning(tmp_path):
    save(tmp_path / "a.png")
    for name in ("b.gif", "sub/c.HEIC", "d.npy", "notes.txt", "weights.pth"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    message = r"left out 3 images of formats that are not read; first b\.gif$"
    with pytest.warns(UserWarning, match=message) as caught:
        assert image_folder(tmp_path).names == ("a.png",)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    (tmp_path / "a.png").unlink()
    with pytest.raises(InputError, match=r"found no images in .*; there are 3 images of formats that are not read"):
        image_folder(tmp_path)


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.ppm", "a.pgm", "a.pnm", "a.pbm"])
def test_other_endings_of_known_formats_are_read(tmp_path, name):
    mode = {"a.pgm": "L", "a.pbm": "1"}.get(name, "RGB")
    Image.new(mode, (6, 4), "white").save(tmp_path / name, "JPEG" if name[2] in "jJ" else "PPM")
    source = image_folder(tmp_path)
    assert source.names == (name,)
    np.testing.assert_array_equal(source[0], np.ones((4, 6, 3)))


@pytest.mark.parametrize("path", [None, 3, b"folder", ["folder"]])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(InputError, match=f"path: found {type(path).__name__}, expected the path of a folder of images"):
        image_folder(path)


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
    with pytest.raises(InputError, match=r"cannot open .*a\.png \(No such file or directory\)"):
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


def test_a_folder_for_each_class(tmp_path):
    for name in ("dog/b.png", "cat/a.png", "cat/deep/c.png", ".git/x.png", "eel/notes.txt"):
        save(tmp_path / name) if name.endswith("png") else (tmp_path / "eel").mkdir()
    source = class_folder(tmp_path)
    assert source.names == ("cat/a.png", "cat/deep/c.png", "dog/b.png")
    assert source.classes == ("cat", "dog", "eel")  # as in a split that has eels
    assert source.labels == (0, 0, 1)
    assert source[1:].labels == (0, 1)
    assert crops(source[2:], 4).classes == source.classes
    save(tmp_path / "z.png")
    with pytest.raises(InputError, match=r"path: found z\.png beside the folders of classes"):
        class_folder(tmp_path)
    with pytest.raises(InputError, match=r"path: found 1 in .*, expected a folder for each of two classes or more"):
        class_folder(tmp_path / "cat")
    with pytest.raises(InputError, match="path: found nothing at"):
        class_folder(tmp_path / "nowhere")
