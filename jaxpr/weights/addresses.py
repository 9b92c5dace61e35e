"""Which addresses files of weights come from: any for content that can be checked, else the authors' host alone."""

import re
import urllib.request
from collections.abc import Sequence
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit

from jaxpr.core import InputError, printable

__all__ = ["authors_opener", "check_mirrors", "is_of_authors"]

# Where hosts send on every download of a release; a dot in front stands for all hosts of that domain.
_STORAGE = {
    "github.com": ("objects.githubusercontent.com", "release-assets.githubusercontent.com"),
    "huggingface.co": (".huggingface.co", ".hf.co"),
}


def check_mirrors(name: str, mirrors: Sequence[str]) -> None:
    """Raise unless every mirror is the address of a folder.

    Args:
        name: of the argument, for the message.
        mirrors: as the user gave them.

    Raises:
        InputError: one of them is no http or https address, or has more than host, port and path.
    """
    for mirror in mirrors:
        if fault := _fault(mirror):
            raise InputError(f"{name}: found {mirror!r}, {fault}; expected http://HOST/FOLDER or https://HOST/FOLDER")


def is_of_authors(url: str, origin: str) -> bool:
    """Whether an address is by https on the host of `origin`, or where that host keeps its releases."""
    try:
        found, own = urlsplit(url), urlsplit(origin)
        host, same = found.hostname or "", (found.hostname, found.port) == (own.hostname, own.port)
        stored = found.port in (None, 443) and any(
            host.endswith(storage) if storage.startswith(".") else host == storage
            for storage in _STORAGE.get(own.hostname or "", ())
        )
    except ValueError:
        return False
    return found.scheme == "https" and (same or stored)


def authors_opener(origin: str) -> urllib.request.OpenerDirector:
    """Opens addresses and follows them as far as `is_of_authors` allows; elsewhere it raises URLError."""
    return urllib.request.build_opener(_OnlyAuthors(origin))


class _OnlyAuthors(urllib.request.HTTPRedirectHandler):
    def __init__(self, origin: str) -> None:
        self._origin = origin

    def http_error_302(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        try:
            return super().http_error_302(req, fp, code, msg, headers)
        except BaseException:
            fp.close()
            raise

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not is_of_authors(newurl, self._origin):
            raise URLError(f"sends on to {printable(newurl)}, expected the authors' own host by https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _fault(mirror: str) -> str:
    """What keeps a text from being the address of a folder; empty for a good one."""
    if not re.fullmatch(r"[!-~]+", mirror):
        return "with characters that an address must escape" if mirror else "an empty address"
    try:
        parts = urlsplit(mirror)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError as error:
        return f"which is malformed ({error})"
    if parts.scheme not in ("http", "https"):
        return "which is neither http nor https"
    if not parts.hostname or parts.username is not None or port == 0:
        return "without a plain HOST or HOST:PORT"
    return "with a query or a fragment" if parts.query or parts.fragment else ""
