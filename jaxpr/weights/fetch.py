"""Downloads of published weights: checked, resumed after a cut, and on disk whole or not at all.

A file whose SHA-256 is known may come from anywhere. Any other comes from its authors' host by https, once its user has
accepted that; the SHA-256 of what came lies beside it, as FILE.sha256, and must not change afterwards.
"""

import contextlib
import errno
import http.client
import os
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, TypeAlias

from jaxpr import __version__
from jaxpr.core import TEMPORARY_PREFIX, InputError, file_at, first_line, given_path, printable, write_atomically
from jaxpr.weights.addresses import authors_opener, check_mirrors, is_of_authors
from jaxpr.weights.official import OFFICIAL_FILES, OfficialFile
from jaxpr.weights.torch_files import file_kind, file_sha256
from jaxpr.weights.wheels import COPIES

__all__ = ["WEIGHTS_VARIABLE", "Fetched", "fetch_weights", "fetched_weights", "hash_record", "weights_folder"]

WEIGHTS_VARIABLE = "JAXPR_WEIGHTS"
"""The environment variable that names the folder of weights."""

Progress: TypeAlias = Callable[[int, int | None], None]

_CHUNK = 1 << 20
_ATTEMPTS = 3


class Fetched(NamedTuple):
    """A file of weights on disk.

    Attributes:
        path: where it is.
        sha256: of its content.
        known: whether that is the published one; else it is the one that was accepted.
        source: the address it came from now; empty if it was there already.
    """

    path: Path
    sha256: str
    known: bool
    source: str


class _Transfer(Exception):
    """A download that did not succeed, with the reason; `again` if the same address may do better."""

    def __init__(self, reason: str, *, again: bool) -> None:
        super().__init__(reason)
        self.again = again


class _Complete(Exception):
    """The server has nothing behind what is there."""


def weights_folder(folder: str | Path | None) -> Path:
    """The folder of weights: the given one, else `JAXPR_WEIGHTS`, else `jaxpr/weights` in the user's cache."""
    named = folder if folder is not None else os.environ.get(WEIGHTS_VARIABLE)
    if named:
        return given_path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return given_path(cache or "~/.cache") / "jaxpr" / "weights"


def hash_record(path: Path) -> Path:
    """Where the accepted SHA-256 of an official file lies, as sha256sum writes and checks it."""
    return path.with_name(f"{path.name}.sha256")


def fetched_weights(name: str, *, folder: str | Path | None = None) -> Path:
    """The path of an official file that is there, whoever put it there.

    Args:
        name: in `OFFICIAL_FILES`.
        folder: where it lies; see `weights_folder`.

    Raises:
        InputError: it is not there, is neither the known one nor the one that was accepted, or is not accepted.
    """
    official = OFFICIAL_FILES[name]
    path = weights_folder(folder) / official.file
    if not path.exists():
        raise InputError(f"path: found no {printable(path)}, expected the published file; {_ways_to(name)}")
    expected = _expected_sha256(official, path)
    if not expected:
        raise InputError(
            f"{printable(path)}: found a file whose SHA-256 is not known, expected one that was accepted; "
            f"jaxpr weights fetch {name} --accept-unverified does that"
        )
    return _checked(path, official, expected, "").path


def _ways_to(name: str) -> str:
    """How a published network gets here."""
    official, copy = OFFICIAL_FILES[name], COPIES.get(name)
    ways = [f"jaxpr weights fetch {name} gets it"] if official.urls else ["its authors have it where programs cannot"]
    return " or ".join([*ways, *([f"pip install {copy.release.replace(' ', '==')} a copy"] if copy else [])])


def fetch_weights(
    official: OfficialFile,
    folder: str | Path,
    *,
    mirrors: Sequence[str] = (),
    accept_unverified: bool = False,
    progress: Progress | None = None,
    timeout: float = 60.0,
) -> Fetched:
    """Download a file unless it is there, and check it.

    A download that was cut goes on where it stopped, also in a later run if the file's whole SHA-256 is known.

    Args:
        official: which file, where it lies and what its SHA-256 is.
        folder: where it shall lie; made if missing.
        mirrors: addresses of folders with copies, tried before the official address; only of files whose SHA-256 is
            known.
        accept_unverified: take a file whose SHA-256 is not known, from its authors or as it lies in the folder, and
            record its SHA-256, which it must have from then on.
        progress: called with the bytes that are there and, if known, their final number.
        timeout: seconds without an answer after which an address has failed.

    Raises:
        InputError: no address gives the file, it is neither the known one nor the one that was accepted, or is not
            accepted; another process downloads it right now.
        OSError: the disk is full or the folder cannot be written.
    """
    check_mirrors("mirrors", mirrors)
    target = given_path(folder) / official.file
    expected = _expected_sha256(official, target)
    if not official.known:
        _check_unverified(official, mirrors, accepted=accept_unverified or bool(expected))
    if target.exists():
        done = _checked(target, official, expected, "")
    else:
        urls = [f"{mirror.rstrip('/')}/{official.file}" for mirror in mirrors] + list(official.urls)
        done = _downloaded(official, target, expected, urls if official.known else urls[:1], progress, timeout)
    if not official.known and not expected:
        write_atomically(hash_record(target), f"{done.sha256}  {official.file}\n".encode())
    return done


def _expected_sha256(official: OfficialFile, path: Path) -> str:
    """The published SHA-256, else the one that was accepted, else nothing."""
    record = hash_record(path)
    if official.known or not record.exists():
        return official.sha256 if official.known else ""
    with file_at("record", record).open("rb") as file:
        found = re.match(rb"[0-9a-f]{64}(?=\s|$)", file.read(128))
    if found is None:
        raise InputError(f"{printable(record)}: found no SHA-256, expected the one that was accepted")
    return found[0].decode()


def _check_unverified(official: OfficialFile, mirrors: Sequence[str], *, accepted: bool) -> None:
    """Raise unless a file without a known SHA-256 comes from its authors and its user wants it."""
    if mirrors:
        raise InputError(
            f"{official.file}: found the mirror {mirrors[0]!r} for a file whose SHA-256 is not known, expected none: "
            "what it sends cannot be checked"
        )
    if not accepted:
        raise InputError(
            f"{official.file}: found no known SHA-256 to check it with, expected --accept-unverified "
            "(accept_unverified=True) to take it from its authors' host and to record its SHA-256"
        )
    if official.urls and not is_of_authors(official.urls[0], official.urls[0]):
        raise InputError(f"{official.file}: found the address {official.urls[0]}, expected https for unverified files")


def _downloaded(
    official: OfficialFile,
    target: Path,
    expected: str,
    urls: Sequence[str],
    progress: Progress | None,
    timeout: float,
) -> Fetched:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{TEMPORARY_PREFIX}{official.file}")
    try:
        with _Partial(part, trusted=bool(expected), anywhere=official.known, timeout=timeout) as partial:
            return _fetch(official, target, expected, partial, urls, progress)
    except OSError as error:
        raise OSError(error.errno or 0, error.strerror or str(error), str(part)) from error


def _fetch(
    official: OfficialFile,
    target: Path,
    expected: str,
    partial: "_Partial",
    urls: Sequence[str],
    progress: Progress | None,
) -> Fetched:
    reasons = []
    for url in urls:
        for _ in range(_ATTEMPTS):
            begun = partial.rewind(url)
            try:
                partial.receive(url, begun, progress)
                done = _checked(partial.path, official, expected, url)
            except _Transfer as error:
                reasons.append(f"{url}: {error}")
                if not error.again:
                    break
            except InputError as error:  # other content than expected
                reasons.append(f"{url}: {first_line(error)}")
                partial.empty()
                if not begun:
                    break
            else:
                os.replace(partial.path, target)
                return done._replace(path=target)
    partial.drop_if_empty()
    listed = "; ".join(dict.fromkeys(reasons)) or "its authors have it where programs cannot get it"
    raise InputError(
        f"{official.file}: cannot be downloaded ({printable(listed)}); expected it there, or put by hand at "
        f"{printable(target)}"
    )


def _checked(path: Path, official: OfficialFile, expected: str, source: str) -> Fetched:
    found = file_sha256(path)
    if not found.startswith(expected or official.sha256):
        hint = "" if official.known or not expected else f", which was accepted ({printable(hash_record(path).name)})"
        raise InputError(f"{printable(path)}: found SHA-256 {found}, expected {expected or official.sha256}{hint}")
    file_kind(path)
    return Fetched(path, found, official.known, source)


class _Partial:
    """The part of a file that is there, open and locked.

    Attributes:
        path: of the part.
        trusted: whether any server may go on with it, because the content is checked in the end.
    """

    def __init__(self, path: Path, *, trusted: bool, anywhere: bool, timeout: float) -> None:
        self.path, self.trusted, self._anywhere, self._timeout = path, trusted, anywhere, timeout
        self._sender: tuple[str, str] | None = None  # address and ETag of what is there
        self._file = path.open("ab")
        if (
            not _lock(self._file)
            or not path.exists()
            or not os.path.samestat(os.fstat(self._file.fileno()), path.stat())
        ):
            self._file.close()
            raise InputError(f"{path}: found another process that downloads it, expected to be alone")

    def __enter__(self) -> "_Partial":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def empty(self) -> None:
        """Forget what is there."""
        self._file.truncate(0)
        self._sender = None

    def drop_if_empty(self) -> None:
        """Delete the file if nothing is in it."""
        if not self._file.seek(0, os.SEEK_END):
            self.path.unlink()

    def rewind(self, url: str) -> int:
        """How much of what is there this address can go on with; the rest is forgotten."""
        if not self.trusted and (self._sender is None or self._sender[0] != url):
            self.empty()
        return self._file.seek(0, os.SEEK_END)

    def receive(self, url: str, begun: int, progress: Progress | None) -> None:
        """Append what is missing behind `begun` bytes."""
        opener = urllib.request.build_opener() if self._anywhere else authors_opener(url)
        with contextlib.suppress(_Complete), _open(opener, self._request(url, begun), self._timeout) as response:
            if begun and response.status != http.HTTPStatus.PARTIAL_CONTENT:
                self.empty()  # the server sends everything anew
                begun = 0
            elif begun and not response.headers.get("Content-Range", "").startswith(f"bytes {begun}-"):
                self.empty()
                raise _Transfer("sent another part than was asked for", again=True)
            tag = response.headers.get("ETag", "")
            self._sender = (url, tag) if tag.startswith('"') else None
            length = response.headers.get("Content-Length", "")
            total = begun + int(length) if length.isdigit() else None
            self._write(response, begun, total, progress)

    def _request(self, url: str, begun: int) -> urllib.request.Request:
        headers = {"User-Agent": f"jaxpr/{__version__}", "Accept-Encoding": "identity"}
        if begun:
            headers["Range"] = f"bytes={begun}-"
            if self._sender is not None and self._sender[0] == url:
                headers["If-Range"] = self._sender[1]
        return urllib.request.Request(url, headers=headers)

    def _write(
        self, response: http.client.HTTPResponse, there: int, total: int | None, progress: Progress | None
    ) -> None:
        if total is not None and total - there > shutil.disk_usage(self.path.parent).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        try:
            for chunk in _chunks(response):
                self._file.write(chunk)
                there += len(chunk)
                if progress is not None:
                    progress(there, total)
        finally:
            self._file.flush()
        if total is not None and there < total:
            raise _Transfer(f"cut off after {there} of {total} bytes", again=True)
        os.fsync(self._file.fileno())


@contextlib.contextmanager
def _open(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, timeout: float
) -> Iterator[http.client.HTTPResponse]:
    try:
        response = opener.open(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise _Complete from error
            again = error.code >= 500 or error.code in (408, 429)
            raise _Transfer(f"answered {error.code} {error.reason}", again=again) from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: a redirect to no address
        reason = getattr(error, "reason", error)
        raise _Transfer(f"cannot be reached ({first_line(reason) if reason else error})", again=False) from error
    with response:
        yield response


def _chunks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            chunk = response.read(_CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _Transfer(f"cut off ({first_line(error)})", again=True) from error
        if not chunk:
            return
        yield chunk


def _lock(file: BinaryIO) -> bool:
    """Whether the file is ours alone now; always, where there are no such locks."""
    try:
        import fcntl
    except ImportError:  # not POSIX
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
