"""`jaxpr weights`: inspecting and converting files, and downloads from a local server that misbehaves."""

import errno
import hashlib
import http.server
import os
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.numpy

from jaxpr._core import InputError
from jaxpr.cli import main
from jaxpr.models import fetch
from jaxpr.models.fetch import fetch_weights, weights_folder
from jaxpr.models.official import OFFICIAL_FILES, OfficialFile
from jaxpr.models.torch_files import read_checkpoint, write_checkpoint

CONTENT = safetensors.numpy.save({"w": np.arange(50_000, dtype=np.float32)})
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def stopped(capsys, arguments: list[str]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    error = capsys.readouterr().err
    assert stop.value.code == 2
    assert error.count("\n") == 1, error
    return error


# --- a server --------------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What the server does with one request; the last answer of a path is repeated."""

    content: bytes = CONTENT
    status: int = 200
    cut: int | None = None  # stop after so many bytes of the body
    ranges: bool = True
    etag: str | None = None


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.seen.append((self.path, self.headers.get("Range"), self.headers.get("If-Range")))
        answers = server.answers.get(self.path, [Answer(b"", 404)])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        body, status, begin = answer.content, answer.status, 0
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        if asked and answer.ranges and status == 200 and condition in (None, answer.etag):
            begin = int(asked.removeprefix("bytes=").removesuffix("-"))
            status = 206 if begin < len(body) else 416
        body = b"" if status == 416 else body[begin:]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{len(answer.content) - 1}/{len(answer.content)}")
        if answer.etag:
            self.send_header("ETag", answer.etag)
        self.end_headers()
        self.wfile.write(body if answer.cut is None else body[: answer.cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.answers, running.seen = {}, []
        running.url = f"http://127.0.0.1:{running.server_port}"
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def official(server, *paths: str, sha256: str = SHA256) -> OfficialFile:
    return OfficialFile("net.safetensors", tuple(server.url + path for path in paths), sha256)


@pytest.mark.parametrize(("known", "expected"), [(SHA256, True), (SHA256[:8], True), ("", False)])
def test_download(server, tmp_path, known, expected):
    server.answers["/a"] = [Answer()]
    moves = []
    done = fetch_weights(
        official(server, "/a", sha256=known), tmp_path / "new" / "folder", progress=lambda *move: moves.append(move)
    )
    assert done == (tmp_path / "new" / "folder" / "net.safetensors", SHA256, expected, server.url + "/a")
    assert done.path.read_bytes() == CONTENT
    assert moves[-1] == (len(CONTENT), len(CONTENT))
    assert list(done.path.parent.iterdir()) == [done.path]
    again = fetch_weights(official(server, "/a", sha256=known), done.path.parent)
    assert again == done._replace(source="")
    assert len(server.seen) == 1


def test_a_cut_connection_is_resumed(server, tmp_path):
    server.answers["/a"] = [Answer(cut=1000), Answer(cut=2000), Answer()]
    done = fetch_weights(official(server, "/a"), tmp_path)
    assert done.path.read_bytes() == CONTENT
    assert [asked for _, asked, _ in server.seen] == [None, "bytes=1000-", "bytes=3000-"]


def test_another_run_resumes_where_the_hash_is_known(server, tmp_path):
    server.answers["/a"] = [Answer(cut=500)]
    with pytest.raises(InputError, match=r"cut off after 1500 of 200072 bytes"):
        fetch_weights(official(server, "/a"), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".partial-net.safetensors"]
    server.answers["/b"] = [Answer()]
    assert fetch_weights(official(server, "/b"), tmp_path).path.read_bytes() == CONTENT
    assert server.seen[-1] == ("/b", "bytes=1500-", None)


@pytest.mark.parametrize(("etag", "asked"), [('"one"', ("bytes=1000-", '"one"')), (None, (None, None))])
def test_unknown_content_is_resumed_only_if_the_server_says_it_is_the_same(server, tmp_path, etag, asked):
    (tmp_path / ".partial-net.safetensors").write_bytes(b"of an earlier run")
    server.answers["/a"] = [Answer(cut=1000, etag=etag), Answer(etag=etag)]
    done = fetch_weights(official(server, "/a", sha256=""), tmp_path)
    assert done.path.read_bytes() == CONTENT
    assert [seen[1:] for seen in server.seen] == [(None, None), asked]


@pytest.mark.parametrize("second", [Answer(ranges=False), Answer(etag='"two"')])
def test_servers_that_begin_anew(server, tmp_path, second):
    server.answers["/a"] = [Answer(cut=1000, etag='"one"'), second]
    assert fetch_weights(official(server, "/a"), tmp_path).path.read_bytes() == CONTENT


def test_wrong_content_is_refused_and_the_next_address_is_tried(server, tmp_path):
    server.answers |= {"/a": [Answer(CONTENT[:-1] + b"x")], "/b": [Answer()]}
    done = fetch_weights(official(server, "/a", "/b"), tmp_path)
    assert (done.source, done.path.read_bytes()) == (server.url + "/b", CONTENT)
    with pytest.raises(InputError, match=rf"/a: .*found SHA-256 [0-9a-f]{{64}}, expected {SHA256}"):
        fetch_weights(official(server, "/a"), tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []


def test_a_wrong_beginning_is_thrown_away(server, tmp_path):
    (tmp_path / ".partial-net.safetensors").write_bytes(b"x" * 3000)
    server.answers["/a"] = [Answer()]
    assert fetch_weights(official(server, "/a"), tmp_path).path.read_bytes() == CONTENT
    assert [asked for _, asked, _ in server.seen] == ["bytes=3000-", None]


def test_a_beginning_that_is_too_long_is_thrown_away(server, tmp_path):
    (tmp_path / ".partial-net.safetensors").write_bytes(b"x" * (len(CONTENT) + 5))
    server.answers["/a"] = [Answer()]
    assert fetch_weights(official(server, "/a"), tmp_path).path.read_bytes() == CONTENT


def test_a_whole_part_is_not_loaded_again(server, tmp_path):
    (tmp_path / ".partial-net.safetensors").write_bytes(CONTENT)
    server.answers["/a"] = [Answer()]
    assert fetch_weights(official(server, "/a"), tmp_path).path.read_bytes() == CONTENT


def test_mirrors_go_first_and_missing_files_last(server, tmp_path):
    server.answers["/copy/net.safetensors"] = [Answer()]
    mirrors = ("http://127.0.0.1:1", f"{server.url}/empty/", f"{server.url}/copy")
    done = fetch_weights(official(server, "/a"), tmp_path, mirrors=mirrors)
    assert done.source == f"{server.url}/copy/net.safetensors"
    assert [path for path, *_ in server.seen] == ["/empty/net.safetensors", "/copy/net.safetensors"]
    with pytest.raises(InputError) as caught:
        fetch_weights(official(server, "/a", "/b"), tmp_path / "other", mirrors=mirrors[:1])
    assert "http://127.0.0.1:1/net.safetensors: cannot be reached (" in str(caught.value)
    assert f"{server.url}/a: answered 404" in str(caught.value)
    assert str(tmp_path / "other" / "net.safetensors") in str(caught.value)
    with pytest.raises(InputError, match=r"mirrors: found 'file:///etc/net\.safetensors', expected http"):
        fetch_weights(official(server), tmp_path / "other", mirrors=("file:///etc",))


def test_a_server_in_trouble_is_asked_again(server, tmp_path):
    server.answers["/a"] = [Answer(b"", 503), Answer()]
    assert fetch_weights(official(server, "/a"), tmp_path).path.exists()


def test_a_web_page_instead_of_an_unknown_file(server, tmp_path):
    server.answers["/a"] = [Answer(b"<html>please log in</html>")]
    with pytest.raises(InputError, match="found a web page, expected safetensors or a PyTorch file"):
        fetch_weights(official(server, "/a", sha256=""), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_and_is_another_one(server, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(CONTENT + b"x")
    with pytest.raises(InputError, match=f"net.safetensors: found SHA-256 .* expected {SHA256}"):
        fetch_weights(official(server, "/a"), tmp_path)
    assert server.seen == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_keeps_what_is_there_and_says_so(server, tmp_path):
    server.answers["/a"] = [Answer()]
    part = tmp_path / ".partial-net.safetensors"
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device") as caught:
        fetch_weights(official(server, "/a"), tmp_path)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(part))
    part.unlink()
    assert fetch_weights(official(server, "/a"), tmp_path).path.read_bytes() == CONTENT


def test_a_disk_that_will_be_full_is_noticed_before(server, tmp_path, monkeypatch):
    server.answers["/a"] = [Answer()]
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: Usage(free=1000))
    with pytest.raises(OSError, match="No space left on device"):
        fetch_weights(official(server, "/a"), tmp_path)
    assert not (tmp_path / "net.safetensors").exists()


class Usage(NamedTuple):
    free: int


def test_only_one_process_downloads(server, tmp_path):
    fcntl = pytest.importorskip("fcntl")
    with (tmp_path / ".partial-net.safetensors").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="found another process that downloads it"):
            fetch_weights(official(server, "/a"), tmp_path)


# --- commands --------------------------------------------------------------------------------------------------------


def test_fetch_from_the_command_line(server, tmp_path, capsys, monkeypatch):
    server.answers["/a"] = [Answer()]
    monkeypatch.setitem(OFFICIAL_FILES, "test-net", official(server, "/a"))
    monkeypatch.setenv("JAXPR_WEIGHTS", str(tmp_path / "env"))
    words = ["weights", "fetch", "test-net", "--no-progress"]
    main(words)
    printed = capsys.readouterr().out
    assert f"test-net: {tmp_path / 'env' / 'net.safetensors'}" in printed
    assert f"SHA-256: {SHA256} (is the known one)" in printed
    assert f"from: {server.url}/a" in printed
    main(words)
    assert "it was there already" in capsys.readouterr().out
    main([*words, "--weights-dir", str(tmp_path / "option")])
    assert (tmp_path / "option" / "net.safetensors").exists()
    monkeypatch.setitem(OFFICIAL_FILES, "test-net", official(server, "/none"))
    error = stopped(capsys, [*words, "--weights-dir", str(tmp_path / "third")])
    assert error.startswith("error: net.safetensors: cannot be downloaded")


def test_names_of_published_files(capsys):
    error = stopped(capsys, ["weights", "fetch", "swinir-clasical-x4", "--no-progress"])
    assert "names: found 'swinir-clasical-x4', expected for example swinir-classical-x4 or" in error
    main(["weights", "fetch"])
    printed = capsys.readouterr().out
    assert "swinir-classical-x4: 001_classicalSR_DF2K_s64w8_SwinIR-M_x4.pth" in printed
    assert len(printed.splitlines()) == len(OFFICIAL_FILES)


def test_table_of_published_files():
    files = [official.file for official in OFFICIAL_FILES.values()]
    assert len(set(files)) == len(files) > 60
    for name, (file, urls, sha256) in OFFICIAL_FILES.items():
        assert name == name.lower()
        assert Path(file).name == file
        assert urls
        assert all(url.startswith("https://") for url in urls)
        assert sha256 == "" or (len(sha256) in (8, 64) and set(sha256) <= set("0123456789abcdef"))


def test_folder_of_weights(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.delenv("JAXPR_WEIGHTS", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert weights_folder(None) == Path("/somewhere/.cache/jaxpr/weights")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert weights_folder(None) == Path("/cache/jaxpr/weights")
    monkeypatch.setenv("JAXPR_WEIGHTS", "/weights")
    assert weights_folder(None) == Path("/weights")
    assert weights_folder(Path("here")) == Path("here")


RRDB = {"conv_first": (8, 3), "body.0.rdb1.conv1": (4, 8), "conv_hr": (8, 8), "conv_last": (3, 8)}


def rrdb_tensors() -> dict[str, np.ndarray]:
    """A network of one block, whole but for one tensor."""
    convolutions = {**RRDB, "conv_body": (8, 8), "conv_up1": (8, 8), "conv_up2": (8, 8)}
    for block in (1, 2, 3):
        for conv in (1, 2, 3, 4, 5):
            convolutions[f"body.0.rdb{block}.conv{conv}"] = (8 if conv == 5 else 4, 4 + 4 * conv)
    weights = {f"{name}.weight": np.ones((*sizes, 3, 3), np.float32) for name, sizes in convolutions.items()}
    biases = {f"{name}.bias": np.ones(sizes[0], np.float32) for name, sizes in convolutions.items()}
    return weights | biases


def test_inspect_says_which_network_it_is(tmp_path, capsys):
    path = tmp_path / "net.safetensors"
    write_checkpoint(path, rrdb_tensors(), {"source": "somewhere.pth"})
    main(["weights", "inspect", str(path)])
    printed = capsys.readouterr().out
    assert "conv_first.weight  8×3×3×3  float32" in printed
    assert f"SHA-256: {hashlib.sha256(path.read_bytes()).hexdigest()}" in printed
    assert "somewhere.pth" in printed
    assert "network: RRDBNet(num_in_ch=3, num_out_ch=3, num_feat=8, num_block=1, num_grow_ch=4, " in printed
    assert printed.endswith("; all tensors fit\n")
    main(["weights", "inspect", str(path), "--no-keys"])
    assert "8×3×3×3" not in capsys.readouterr().out


def test_inspect_says_what_is_missing_and_what_is_unknown(tmp_path, capsys):
    path, tensors = tmp_path / "net.safetensors", rrdb_tensors()
    del tensors["conv_body.bias"]
    write_checkpoint(path, tensors | {"note": np.ones(2, np.float16)}, {})
    main(["weights", "inspect", str(path), "--no-keys"])
    printed = capsys.readouterr().out
    assert "but found 1 missing (conv_body.bias), 1 unexpected (note)" in printed
    assert "tensors: 42 (" in printed
    assert "41 float32" in printed
    assert "1 float16" in printed
    write_checkpoint(path, {"w": np.ones(3)}, {})
    main(["weights", "inspect", str(path)])
    assert "network: not known to jaxpr" in capsys.readouterr().out
    assert "cannot be read (No such file" in stopped(capsys, ["weights", "inspect", str(tmp_path / "none.pth")])


@pytest.mark.torch
def test_convert_a_pytorch_file(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    tensors = {name: torch.tensor(array).half() for name, array in rrdb_tensors().items()}
    source, destination = tmp_path / "net.pth", tmp_path / "net.safetensors"
    torch.save({"params": tensors, "params_ema": {name: 2 * tensor for name, tensor in tensors.items()}}, source)
    main(["weights", "convert", str(source), str(destination)])
    printed = capsys.readouterr().out
    assert "dictionary: params_ema (also there: params)" in printed
    assert f"written: {destination}" in printed
    found = read_checkpoint(destination)
    assert set(found.tensors) == set(tensors)
    assert found.tensors["conv_hr.bias"].dtype == np.float16
    assert found.tensors["conv_hr.bias"][0] == 2
    assert hashlib.sha256(source.read_bytes()).hexdigest() in found.metadata["jaxpr"]
    main(["weights", "convert", str(source), str(destination), "--dictionary", "params"])
    assert read_checkpoint(destination).tensors["conv_hr.bias"][0] == 1


def test_convert_needs_another_name_and_a_folder(tmp_path, capsys):
    path = tmp_path / "net.safetensors"
    write_checkpoint(path, rrdb_tensors(), {})
    error = stopped(capsys, ["weights", "convert", str(path), str(tmp_path / "net.pth")])
    assert "expected a name with .safetensors" in error
    error = stopped(capsys, ["weights", "convert", str(path), str(tmp_path / "none" / "net.safetensors")])
    assert "No such file or directory" in error
    main(["weights", "convert", str(path), str(tmp_path / "copy.safetensors")])
    assert set(read_checkpoint(tmp_path / "copy.safetensors").tensors) == set(rrdb_tensors())
