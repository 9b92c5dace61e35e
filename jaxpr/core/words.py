"""Words in messages: safe to print, and near to what was meant."""

import difflib
from collections.abc import Iterable

__all__ = ["did_you_mean", "printable"]


def printable(text: object) -> str:
    r"""Text without what a terminal obeys and what UTF-8 cannot hold: such characters become escapes like \x1b.

    Names of files, of tensors and of errors come from strangers: control characters would move the cursor, and bytes
    that are no UTF-8 (surrogates, in Python) would stop whoever writes them.
    """
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def _escaped(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python carries a byte that is no UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """`; did you mean X?` if one of `words` is near to `word`, else nothing."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f"; did you mean {found[0]}?" if found else ""
