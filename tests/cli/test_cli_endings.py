"""However a command ends, it says so in one line: signals, closed pipes, code of the user's own, faults of ours."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

import jaxpr.cli.commands
from jaxpr.cli.commands import main
from jaxpr.cli.words import in_users_words
from jaxpr.core import InputError, load_python, users_code
from jaxpr.endings import one_line_endings

COMMAND = [sys.executable, "-m", "jaxpr"]


def ended(capsys, code: int) -> str:
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return error.strip()


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (InputError("a: found 1"), 2, "error: A: FOUND 1"),
        (InputError("a\nmore"), 2, "error: A"),
        (InputError("\x1b[2J"), 2, "error: ?[2J"),
        (FileNotFoundError(2, "No such file or directory", "x"), 2, "error: x: No such file or directory"),
        (SystemExit(0), 2, "error: a function called sys.exit(0), expected it to return"),
        (KeyboardInterrupt(), 2, "error: a function: raised KeyboardInterrupt, expected it to return"),
        (RuntimeError("x\ny"), 1, "error: unexpected RuntimeError: x; JAXPR_TRACEBACK=1 shows where"),
        (RecursionError(), 1, "error: unexpected RecursionError: RecursionError; JAXPR_TRACEBACK=1 shows where"),
    ],
)
def test_exceptions_are_one_line(capsys, monkeypatch, raised, code, line):
    monkeypatch.delenv("JAXPR_TRACEBACK", raising=False)
    with pytest.raises(SystemExit) as stop, one_line_endings(words=str.upper):
        raise raised
    assert stop.value.code == code
    assert ended(capsys, code) == line


def test_a_fault_of_ours_can_be_looked_at(monkeypatch):
    monkeypatch.setenv("JAXPR_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="x"), one_line_endings():
        raise RuntimeError("x")


def signalled(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(5)  # the handler runs in between


@pytest.mark.parametrize(
    ("number", "code", "line"), [(signal.SIGINT, 130, "interrupted; kept"), (signal.SIGTERM, 143, "terminated; kept")]
)
def test_signals_are_one_line(capsys, number, code, line):
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as stop, one_line_endings(kept="; kept"):
        signalled(number)
    assert stop.value.code == code
    assert ended(capsys, code) == line
    assert signal.getsignal(number) is before


def test_exits_that_are_meant_pass():
    with pytest.raises(SystemExit) as stop, one_line_endings(may_exit=True):
        raise SystemExit(7)
    assert stop.value.code == 7


@pytest.mark.thorough
def test_a_closed_pipe_is_one_line():
    """As behind `| head`: the reader is gone before the list is printed."""
    reader, writer = os.pipe()
    os.close(reader)
    words = [*COMMAND, "weights", "fetch"]
    done = subprocess.run(words, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert done.returncode == 128 + signal.SIGPIPE
    assert done.stderr == "stopped: nobody reads the output any more\n"


def test_ctrl_c_during_imports_is_one_line(tmp_path):
    (tmp_path / "tyro.py").write_text("import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run([*COMMAND, "doctor"], capture_output=True, text=True, timeout=120, env=environment)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


@pytest.mark.thorough
def test_a_callback_that_fails_is_one_line(tmp_path):
    (tmp_path / "mine.py").write_text(
        textwrap.dedent("""
        import jax, jax.numpy as jnp
        def bad(y): raise ValueError("no")
        def f(y):
            x = jnp.repeat(jnp.repeat(y, 2, 1), 2, 2)
            return jax.pure_callback(bad, jax.ShapeDtypeStruct(x.shape, x.dtype), y)
        """)
    )
    words = ["evaluate", "--data", "digits", "--degradation", "average-x2", "--scale", "smoke", "--crop", "0"]
    words += ["--patch-size", "4", "--patch-stride", "2", "--features", "pixels", "--no-progress", "--limit", "1"]
    done = subprocess.run(
        [*COMMAND, *words, "--restorers", "mine.py:f", "--out", "run"],
        capture_output=True, text=True, timeout=300, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_PLATFORMS": "cpu"},
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "error: restorer mine.py:f: failed (ValueError: no)\n"


def test_code_of_the_users_own():
    failed = pytest.raises(InputError, match=r"^here: failed \(ValueError: first\), expected more$")
    with failed, users_code("here", expected="more"):
        raise ValueError("first\nsecond")
    with pytest.raises(InputError, match=r"^here: called sys.exit\(3\), expected it"), users_code("here"):
        sys.exit(3)
    with pytest.raises(InputError, match=r"^here: a: found 1$"), users_code("here"):
        raise InputError("a: found 1")
    with pytest.raises(KeyboardInterrupt) as stop, users_code("here"):
        raise KeyboardInterrupt
    assert stop.value.__notes__ == ["here"]


def test_a_module_that_fails_leaves_nothing_behind(tmp_path):
    (tmp_path / "bad.py").write_text("raise OSError('no')")
    with pytest.raises(InputError, match=r"config: cannot import .*bad\.py: failed .OSError: no."):
        load_python("config", tmp_path / "bad.py", module="_test_modules")
    assert "_test_modules.bad" not in sys.modules
    (tmp_path / "good.py").write_text("import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: int = 1\n")
    assert load_python("config", tmp_path / "good.py", module="_test_modules").A().x == 1


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("patch_size: found 0", "--patch-size: found 0"),
        ("spec: found 'x'", "--degradation: found 'x'"),
        ("images: found none", "--data: found none"),
        ("restorer x: failed", "restorer x: failed"),
        ("runs: found none", "runs: found none"),
        ("crop", "crop"),
        ("", ""),
    ],
)
def test_messages_speak_of_options(message, shown):
    command = jaxpr.cli.commands.COMMANDS["evaluate"](out="out")
    assert in_users_words(message, command) == shown


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ["evaluate", "--out", "x", "--scale", "smal"],
            "--scale: found 'smal', expected one of smoke, small, paper; did",
        ),
        (["evaluate", "--out", "x", "--crop", "a"], "--crop: found 'a', expected an integer"),
        (["evaluate", "--out", "x", "--epsilon", "a"], "--epsilon: found 'a', expected a number"),
        (["evaluate"], "jaxpr evaluate: found no --out PATH, expected every required option; see --help"),
        (["train"], "jaxpr train: found no CONFIG and no --out PATH, expected every required option; see --help"),
        (
            ["evaluate", "--out", "x", "--restorer", "a"],
            "--restorer: found an unknown word or option, expected those of",
        ),
        (["evalute"], "command: found 'evalute', expected one of evaluate, compare,"),
        ([], "command: found none, expected one of evaluate, compare,"),
        (["weights", "inspekt"], "inspekt: found an unknown word or option"),
    ],
)
def test_the_parsers_boxes_become_lines(capsys, words, line):
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    assert ended(capsys, 2).startswith(f"error: {line}")


@pytest.mark.thorough
@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_boxes_of_every_terminal_become_lines(encoding):
    words = ["evaluate", "--out", "x", "--scale", "smal"]
    environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([*COMMAND, *words], capture_output=True, timeout=120, env=environment)
    assert done.stderr == b"error: --scale: found 'smal', expected one of smoke, small, paper; did you mean small?\n"


def test_help_is_as_wide_as_the_terminal(capsys, monkeypatch):
    widths = []
    for columns in ("90", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit) as stop:
            main(["evaluate", "--help"])
        assert stop.value.code == 0
        widths.append(max(map(len, capsys.readouterr().out.splitlines())))
    assert widths[0] < 110 < widths[1] < 220  # some lines stand out
