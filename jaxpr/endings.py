"""What ends a command: one line on stderr and an exit code, whatever happened.

Imports nothing but Python, so that it stands around the imports of everything else.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator

__all__ = ["TRACEBACK_VARIABLE", "one_line_endings"]

TRACEBACK_VARIABLE = "JAXPR_TRACEBACK"
"""The environment variable that, when set, lets Python print where an unexpected error came from."""

BAD_INPUT, UNEXPECTED = 2, 1
_LONGEST = 1200
_CALLBACKS = "jax._src.callback"  # prints a traceback of its own before the error reaches us


class _Terminated(BaseException):
    """SIGTERM arrived."""


class _Signals:
    """Which signals arrived, to tell the user's Ctrl-C from a KeyboardInterrupt that some function raised."""

    def __init__(self) -> None:
        self.interrupted = False

    def on_interrupt(self, *_: object) -> None:
        self.interrupted = True
        raise KeyboardInterrupt

    def on_terminate(self, *_: object) -> None:
        raise _Terminated


@contextlib.contextmanager
def one_line_endings(*, words: Callable[[str], str] = str, kept: str = "", may_exit: bool = False) -> Iterator[None]:
    """Turn whatever ends the code inside into one line on stderr and an exit code.

    Bad input and files that cannot be used: 2. Ctrl-C: 130. SIGTERM: 143. A closed pipe behind stdout: 141. A fault of
    ours: 1, with a traceback if `JAXPR_TRACEBACK` is set. Warnings are one line each.

    Args:
        words: turns the message about bad input into the user's own words.
        kept: what is said about finished work after an interruption, or "".
        may_exit: let `sys.exit` of the code inside through; otherwise it is taken for a function of the user's.
    """
    signals = _Signals()
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        stack.enter_context(_handlers(signals))
        stack.enter_context(_quiet(_CALLBACKS))
        try:
            yield
            sys.stdout.flush()
        except SystemExit as error:
            if may_exit:
                raise
            _stop(f"error: a function called sys.exit({error.code!r}), expected it to return", BAD_INPUT)
        except KeyboardInterrupt as error:
            if signals.interrupted:
                _stop(f"interrupted{kept}", 128 + signal.SIGINT)
            whose = ", ".join(getattr(error, "__notes__", [])) or "a function"
            _stop(f"error: {whose}: raised KeyboardInterrupt, expected it to return", BAD_INPUT)
        except _Terminated:
            _stop(f"terminated{kept}", 128 + signal.SIGTERM)
        except BrokenPipeError:
            _close_stdout()
            _stop("stopped: nobody reads the output any more", 128 + signal.SIGPIPE)
        except Exception as error:
            if _is_bad_input(error):
                _stop(f"error: {_one_line(words(_first_line(error)))}", BAD_INPUT)
            if isinstance(error, OSError):
                _stop(f"error: {_of_the_system(error)}{kept and '; finished work is kept'}", BAD_INPUT)
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            where = f"{TRACEBACK_VARIABLE}=1 shows where"
            _stop(f"error: unexpected {type(error).__name__}: {_first_line(error)}; {where}", UNEXPECTED)


@contextlib.contextmanager
def _handlers(signals: _Signals) -> Iterator[None]:
    """Our handlers of signals, where Python allows them: in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    wanted: dict[int, Callable[[int, types.FrameType | None], None]] = {
        signal.SIGINT: signals.on_interrupt,
        signal.SIGTERM: signals.on_terminate,
    }
    before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(before)


def _is_bad_input(error: Exception) -> bool:
    core = sys.modules.get("jaxpr.core")
    return core is not None and isinstance(error, core.InputError)


def _of_the_system(error: OSError) -> str:
    return _one_line(f"{error.filename or 'file'}: {error.strerror or error}")


def _first_line(error: BaseException) -> str:
    return _one_line((str(error).splitlines() or [type(error).__name__])[0])


def _one_line(text: str) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= _LONGEST else f"{shown[: _LONGEST // 2]} ... {shown[-_LONGEST // 2 :]}"


def _stop(message: str, code: int) -> None:
    with contextlib.suppress(OSError):
        print(message, file=sys.stderr)
    sys.exit(code)


def _show_warning(message: Warning | str, *_: object) -> None:
    print(f"warning: {_one_line(' '.join(str(message).split()))}", file=sys.stderr)


def _close_stdout() -> None:
    """Let Python's own flush at the end go nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
