import os

import pytest

import jaxpr
from jaxpr.core import InputError, did_you_mean, file_at, given_path, printable


def test_the_home_folder_is_expanded_in_text_and_paths(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert given_path("~/weights.pth") == tmp_path / "weights.pth"
    assert str(given_path("~no-such-user/weights.pth")) == "~no-such-user/weights.pth"


def test_a_file_is_found_and_anything_else_is_named(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"")
    assert file_at("path", str(file)) == file
    with pytest.raises(InputError, match=r"path: found a folder at .*, expected weights"):
        file_at("path", tmp_path, expected="weights")
    with pytest.raises(InputError, match=r"path: cannot open .*missing .No such file or directory., expected a file"):
        file_at("path", tmp_path / "missing")
    with pytest.raises(InputError, match=r"path: found .a.+b., expected one without a null character"):
        file_at("path", "a\0b")


def test_a_named_pipe_is_refused_before_it_blocks(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(InputError, match=r"path: found a pipe or device"):
        file_at("path", tmp_path / "pipe.pth")


def test_what_a_terminal_obeys_becomes_an_escape():
    assert printable("\x1b[2Jgone") == "\\x1b[2Jgone"
    assert printable(os.fsdecode(b"caf\xe9.png")) == "caf\\xe9.png"
    assert printable("a\nb\u202e") == "a\\x0ab\\u202e"
    assert printable("Grüße ×4") == "Grüße ×4"


def test_the_nearest_word():
    assert did_you_mean("bicubik", ["nearest", "bicubic"]) == "; did you mean bicubic?"
    assert did_you_mean("xyz", ["nearest", "bicubic"]) == ""


def test_input_error_is_public():
    assert jaxpr.InputError is InputError
    assert not hasattr(jaxpr, "no_such_name")
