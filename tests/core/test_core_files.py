"""Atomic files: the old content or the new, never a part, and nothing left behind."""

import os
import stat

import pytest

from jaxpr.core import TEMPORARY_PREFIX, write_atomically
from jaxpr.core import files as module


@pytest.mark.parametrize("content", [b"", b"one", bytes(range(256)) * 1000])
def test_content(tmp_path, content):
    write_atomically(tmp_path / "a.bin", content)
    assert (tmp_path / "a.bin").read_bytes() == content
    assert os.listdir(tmp_path) == ["a.bin"]


def test_overwrites_with_shorter_content(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"a long old content")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("error", [OSError("disk is full"), KeyboardInterrupt()])
def test_failure_leaves_the_old_file_and_no_other(tmp_path, monkeypatch, step, error):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def fail(*args):
        assert [name for name in os.listdir(tmp_path) if name.startswith(TEMPORARY_PREFIX)]
        raise error

    monkeypatch.setattr(module.os, step, fail)
    with pytest.raises(type(error)):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.json"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_mode_is_that_of_an_ordinary_file(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "a", b"x")
        during = os.umask(mask)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == mode
    assert during == mask


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "a", b"x")
