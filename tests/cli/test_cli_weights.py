"""`jaxpr weights`: inspecting and converting files, and downloads from a local server that misbehaves."""

import contextlib
import errno
import hashlib
import http.server
import os
import re
import shutil
import ssl
import subprocess
import threading
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import safetensors.numpy
from stopping import stopped

from jaxpr.cli.commands import main
from jaxpr.core import InputError
from jaxpr.weights import fetch
from jaxpr.weights.addresses import check_mirrors, is_of_authors
from jaxpr.weights.fetch import fetch_weights, fetched_weights, weights_folder
from jaxpr.weights.official import OFFICIAL_FILES, OfficialFile
from jaxpr.weights.torch_files import read_checkpoint, write_checkpoint

CONTENT = safetensors.numpy.save({"w": np.arange(50_000, dtype=np.float32)})
SHA256 = hashlib.sha256(CONTENT).hexdigest()


# --- a server --------------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """What the server does with one request; the last answer of a path is repeated."""

    content: bytes = CONTENT
    status: int = 200
    cut: int | None = None  # stop after so many bytes of the body
    ranges: bool = True
    etag: str | None = None
    location: str | None = None  # sends on to there


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        """Clients that hang up, as some tests want, are no news."""


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
        self.send_response(302 if answer.location else status)
        if answer.location:
            self.send_header("Location", answer.location)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {begin}-{len(answer.content) - 1}/{len(answer.content)}")
        if answer.etag:
            self.send_header("ETag", answer.etag)
        self.end_headers()
        self.wfile.write(body if answer.cut is None else body[: answer.cut])

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(certificate: Path | None = None):
    with Server(("127.0.0.1", 0), Handler) as running:
        running.answers, running.seen = {}, []
        running.url = f"http{'s' if certificate else ''}://127.0.0.1:{running.server_port}"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            running.socket = context.wrap_socket(running.socket, server_side=True)
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def server():
    with serving() as running:
        yield running


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of 127.0.0.1 and localhost, signed by itself."""
    openssl = shutil.which("openssl") or pytest.skip("needs openssl for a certificate")
    folder = tmp_path_factory.mktemp("tls")
    names = "subjectAltName=IP:127.0.0.1,DNS:localhost"
    made = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "key", "-out", "signed")
    subprocess.run(
        [openssl, "req", "-x509", *made, "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", names],
        check=True,
        capture_output=True,
        cwd=folder,
    )
    both = folder / "both.pem"
    both.write_bytes((folder / "signed").read_bytes() + (folder / "key").read_bytes())
    return both


@pytest.fixture
def authors(certificate, monkeypatch):
    """A server by https, whose certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with serving(certificate) as running:
        yield running


def official(server, *paths: str, sha256: str = SHA256) -> OfficialFile:
    return OfficialFile("net.safetensors", tuple(server.url + path for path in paths), sha256)


def test_download(server, tmp_path):
    server.answers["/a"] = [Answer()]
    moves = []
    done = fetch_weights(official(server, "/a"), tmp_path / "new" / "folder", progress=lambda *move: moves.append(move))
    assert done == (tmp_path / "new" / "folder" / "net.safetensors", SHA256, True, server.url + "/a")
    assert done.path.read_bytes() == CONTENT
    assert moves[-1] == (len(CONTENT), len(CONTENT))
    assert list(done.path.parent.iterdir()) == [done.path]
    again = fetch_weights(official(server, "/a"), done.path.parent)
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
def test_unknown_content_is_resumed_only_if_the_server_says_it_is_the_same(authors, tmp_path, etag, asked):
    (tmp_path / ".partial-net.safetensors").write_bytes(b"of an earlier run")
    authors.answers["/a"] = [Answer(cut=1000, etag=etag), Answer(etag=etag)]
    done = fetch_weights(official(authors, "/a", sha256=""), tmp_path, accept_unverified=True)
    assert done.path.read_bytes() == CONTENT
    assert [seen[1:] for seen in authors.seen] == [(None, None), asked]


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


def test_a_server_in_trouble_is_asked_again(server, tmp_path):
    server.answers["/a"] = [Answer(b"", 503), Answer()]
    assert fetch_weights(official(server, "/a"), tmp_path).path.exists()


def test_a_web_page_instead_of_an_unknown_file(authors, tmp_path):
    authors.answers["/a"] = [Answer(b"<html>please log in</html>")]
    with pytest.raises(InputError, match=r"found a web page, expected safetensors, a PyTorch file or ncnn's \.param"):
        fetch_weights(official(authors, "/a", sha256=""), tmp_path, accept_unverified=True)
    assert list(tmp_path.iterdir()) == []


# --- files whose hash is not known -----------------------------------------------------------------------------------


@pytest.mark.parametrize("known", ["", SHA256[:8]])
def test_unknown_files_come_from_their_authors_and_must_not_change(authors, tmp_path, monkeypatch, known):
    authors.answers["/a"] = [Answer()]
    unknown = official(authors, "/a", "/copy", sha256=known)
    monkeypatch.setitem(OFFICIAL_FILES, "test-net", unknown)
    with pytest.raises(InputError, match=r"net\.safetensors: found no known SHA-256 .* expected --accept-unverified"):
        fetch_weights(unknown, tmp_path)
    assert authors.seen == []
    done = fetch_weights(unknown, tmp_path, accept_unverified=True)
    assert done == (tmp_path / "net.safetensors", SHA256, False, authors.url + "/a")
    assert (tmp_path / "net.safetensors.sha256").read_text() == f"{SHA256}  net.safetensors\n"
    assert fetch_weights(unknown, tmp_path) == done._replace(source="")  # accepted once
    assert fetched_weights("test-net", folder=tmp_path) == done.path
    done.path.write_bytes(CONTENT + b"x")
    for again in (
        lambda: fetched_weights("test-net", folder=tmp_path),
        lambda: fetch_weights(unknown, tmp_path, accept_unverified=True),
    ):
        with pytest.raises(InputError, match=rf"expected {SHA256}, which was accepted \(net.safetensors.sha256\)"):
            again()
    done.path.unlink()
    authors.answers["/a"] = [Answer(CONTENT[:-1] + b"x")]
    with pytest.raises(InputError, match=f"expected {SHA256}, which was accepted"):
        fetch_weights(unknown, tmp_path, accept_unverified=True)
    assert not done.path.exists()


def test_first_digits_are_compared_though_they_are_not_enough(authors, tmp_path):
    authors.answers["/a"] = [Answer(CONTENT[:-1] + b"x")]
    with pytest.raises(InputError, match=f"found SHA-256 .*, expected {SHA256[:8]}"):
        fetch_weights(official(authors, "/a", sha256=SHA256[:8]), tmp_path, accept_unverified=True)
    assert list(tmp_path.iterdir()) == []


def test_unknown_files_come_neither_from_mirrors_nor_by_http(server, tmp_path):
    server.answers |= {"/a": [Answer()], "/net.safetensors": [Answer()]}
    unknown = official(server, "/a", sha256="")
    with pytest.raises(InputError, match=r"found the mirror 'http.*' for a file whose SHA-256 is not known"):
        fetch_weights(unknown, tmp_path, mirrors=(server.url,), accept_unverified=True)
    with pytest.raises(InputError, match=r"found the address http://.*, expected https"):
        fetch_weights(unknown, tmp_path, accept_unverified=True)
    assert server.seen == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["http://127.0.0.1", "https://localhost", "ftp://127.0.0.1", "https://[::bad"])
def test_unknown_files_do_not_follow_to_other_hosts(authors, server, tmp_path, host):
    port = (server if host.startswith("http:") else authors).server_port
    authors.answers |= {"/a": [Answer(location=f"{host}:{port}/b")], "/b": [Answer()]}
    server.answers["/b"] = [Answer()]
    with pytest.raises(InputError, match=r"/a: (cannot be reached|answered)") as caught:
        fetch_weights(official(authors, "/a", sha256=""), tmp_path, accept_unverified=True)
    assert "\n" not in str(caught.value)
    assert [path for path, *_ in (*server.seen, *authors.seen)] == ["/a"]
    assert list(tmp_path.iterdir()) == []


def test_unknown_files_follow_on_the_same_host(authors, tmp_path):
    authors.answers |= {"/a": [Answer(location="/b")], "/b": [Answer()]}
    done = fetch_weights(official(authors, "/a", sha256=""), tmp_path, accept_unverified=True)
    assert done.path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("url", "origin", "expected"),
    [
        ("https://github.com/other/place", "https://github.com/a", True),
        ("https://release-assets.githubusercontent.com/x?y", "https://github.com/a", True),
        ("https://objects.githubusercontent.com:443/x", "https://github.com/a", True),
        ("http://objects.githubusercontent.com/x", "https://github.com/a", False),
        ("https://raw.githubusercontent.com/x", "https://github.com/a", False),  # anybody's files
        ("https://objects.githubusercontent.com.evil.org/x", "https://github.com/a", False),
        ("https://github.com@evil.org/x", "https://github.com/a", False),
        ("https://github.com:444/x", "https://github.com/a", False),
        ("https://cdn-lfs.huggingface.co/x", "https://huggingface.co/a", True),
        ("https://cas-bridge.xethub.hf.co/x", "https://huggingface.co/a", True),
        ("https://evilhf.co/x", "https://huggingface.co/a", False),
        ("https://objects.githubusercontent.com/x", "https://huggingface.co/a", False),
        ("https://other.blob.core.windows.net/x", "https://openaipublic.blob.core.windows.net/a", False),
        ("https://github.com:99999/x", "https://github.com/a", False),
    ],
)
def test_hosts_of_authors(url, origin, expected):
    assert is_of_authors(url, origin) is expected


def test_a_file_put_there_by_hand_is_accepted_first(server, tmp_path, monkeypatch, capsys):
    unknown = official(server, sha256="")._replace(urls=("https://127.0.0.1:1/a",))
    monkeypatch.setitem(OFFICIAL_FILES, "test-net", unknown)
    monkeypatch.setenv("JAXPR_WEIGHTS", str(tmp_path))
    (tmp_path / "net.safetensors").write_bytes(CONTENT)
    words = ["weights", "fetch", "test-net", "--no-progress"]
    with pytest.raises(InputError, match="jaxpr weights fetch test-net --accept-unverified does that"):
        fetched_weights("test-net")
    assert "expected --accept-unverified" in stopped(capsys, words)
    main([*words, "--accept-unverified"])
    assert "accepted unverified; from now on it must be that in net.safetensors.sha256" in capsys.readouterr().out
    assert fetched_weights("test-net") == tmp_path / "net.safetensors"
    (tmp_path / "net.safetensors.sha256").write_text("nothing")
    assert "net.safetensors.sha256: found no SHA-256" in stopped(capsys, words)


def test_a_known_file_is_checked_in_every_use(server, tmp_path, monkeypatch):
    monkeypatch.setitem(OFFICIAL_FILES, "test-net", official(server, "/a"))
    path = tmp_path / "net.safetensors"
    with pytest.raises(InputError, match=r"found no .*net.safetensors, .* jaxpr weights fetch test-net gets it"):
        fetched_weights("test-net", folder=tmp_path)
    path.write_bytes(CONTENT)
    assert fetched_weights("test-net", folder=tmp_path) == path
    path.write_bytes(CONTENT + b"x")
    (tmp_path / "net.safetensors.sha256").write_text(hashlib.sha256(CONTENT + b"x").hexdigest())  # does not count
    with pytest.raises(InputError, match=f"expected {SHA256}$"):
        fetched_weights("test-net", folder=tmp_path)


@pytest.mark.parametrize(
    "mirror",
    [
        *(
            "",
            "copies",
            "file:///etc",
            "ftp://host/copies",
            "http://",
            "http:///copies",
            "http://[::bad",
            "http://h:x/",
        ),
        *("http://127.0.0.1:9/é", "http://host/a b", "http://host:99999/", "http://host:0/", "http://me:pw@host/"),
        *("http://a..b/", f"http://{'a' * 64}.org/", "http://host/?file=", "http://host/#top", "http://host/\x1b[2J"),
    ],
)
def test_addresses_that_are_no_mirrors(mirror):
    with pytest.raises(InputError, match=r"^mirrors: found .*expected http://HOST/FOLDER") as caught:
        check_mirrors("mirrors", ("https://good.org/a", mirror))
    assert str(caught.value).isprintable()


def test_mirrors_are_checked_though_the_file_is_there(server, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(OFFICIAL_FILES, "test-net", official(server))
    (tmp_path / "net.safetensors").write_bytes(CONTENT)
    words = ["weights", "fetch", "test-net", "--no-progress", "--weights-dir", str(tmp_path), "--mirror"]
    assert stopped(capsys, [*words, "http://[::bad"]).startswith("error: --mirror: found 'http://[::bad', which is")
    main([*words, "http://[::1]:8/copies"])
    assert "it was there already" in capsys.readouterr().out
    with pytest.raises(InputError, match=r"^mirrors: found 'ftp"):
        fetch_weights(official(server), tmp_path, mirrors=("ftp://host",))


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
        assert urls or name == "realsr-df2k-x4"  # which its authors have where programs cannot get it
        assert all(url.startswith("https://") for url in urls)
        assert all(is_of_authors(url, url) for url in urls)
        assert len(sha256) in (0, 8, 64)
        assert set(sha256) <= set("0123456789abcdef")
        if match := re.search(r"-([0-9a-f]{8})\.pth$", file):  # as authors promise in the names of their files
            assert sha256.startswith(match[1])


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
    for variable in ("JAXPR_WEIGHTS", "XDG_CACHE_HOME"):
        monkeypatch.delenv("JAXPR_WEIGHTS", raising=False)
        monkeypatch.setenv(variable, "~/w")
        assert weights_folder(None).is_relative_to("/somewhere/w")
    assert weights_folder("~/here") == Path("/somewhere/here")


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
    assert "(No such file" in stopped(capsys, ["weights", "inspect", str(tmp_path / "none.pth")])


def test_inspect_says_what_was_taken_and_prints_no_escapes(tmp_path, capsys):
    path = tmp_path / "\x1b[31mnet.safetensors"
    wrapped = {f"net_g.{name}": array for name, array in rrdb_tensors().items()} | {"net_d.\x1b[2Jw": np.ones(1)}
    safetensors.numpy.save_file(wrapped, path, {"note\x1b]0;": "a\nb\x9b"})
    for file in (str(path), f"{path}#net_g"):
        main(["weights", "inspect", file])
        printed = capsys.readouterr().out
        assert "prefix: net_g., taken off the names" in printed
        assert "left out: net_d.\\x1b[2Jw" in printed
        assert "header note\\x1b]0;: a\\x0ab\\x9b" in printed
        assert "conv_first.weight  8×3×3×3" in printed
        assert all(line.isprintable() for line in printed.splitlines())
    error = stopped(capsys, ["weights", "inspect", str(path), "--dictionary", "\x1b[0m"])
    assert error.rstrip("\n").isprintable()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_refused_at_once(tmp_path, capsys):
    os.mkfifo(tmp_path / "net.pth")
    for words in (["inspect"], ["convert"]):
        destination = [str(tmp_path / "a.safetensors")] if words == ["convert"] else []
        error = stopped(capsys, ["weights", *words, str(tmp_path / "net.pth"), *destination])
        assert "found a pipe or device at" in error
    os.mkfifo(tmp_path / "BSRGAN.pth")
    with pytest.raises(InputError, match="found a pipe or device"):
        fetch_weights(OFFICIAL_FILES["bsrgan-x4"], tmp_path)


def test_the_home_folder_stands_for_a_tilde(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_checkpoint("~/net.safetensors", rrdb_tensors(), {})
    main(["weights", "convert", "~/net.safetensors", "~/copy.safetensors"])
    main(["weights", "inspect", "~/copy.safetensors", "--no-keys"])
    assert f"file: {tmp_path / 'copy.safetensors'}" in capsys.readouterr().out


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
