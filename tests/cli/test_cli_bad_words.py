"""Hundreds of bad command lines and bad files: each ends with one line on stderr and exit code 2, and writes nothing.

Words are made from the commands' own options, so that a new option is tried without being listed here.
"""

import dataclasses
import json
import os
import typing
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tyro
from PIL import Image

from jaxpr.cli.commands import COMMANDS, main
from jaxpr.cli.transport import TransportApply, TransportFit
from jaxpr.cli.weights import Convert, Fetch, Inspect

SMALL = (
    *("--data", "images", "--scale", "smoke", "--crop", "48", "--patch-size", "8", "--features", "pixels"),
    *("--no-progress", "--limit", "1", "--probes", "0", "--attack-steps", "1", "--degradation", "average-x2"),
)
EXPLORED = ("--degradation", "average-x2", "--crop", "48", "--space", "pixels", "--answers", "6", "--held-out", "0",
            "--shown", "3", "--no-progress")  # fmt: skip
GOOD = {
    "evaluate": ("evaluate", *SMALL, "--restorers", "nearest", "--out", "out"),
    "compare": ("compare", "run", "run", "--out", "out"),
    "export": ("export", "run", "--out", "out/card.yaml"),
    "decisions": ("decisions", "--restorers", "bicubic", "--limit", "1", "--attack-steps", "1", "--out", "out"),
    "reproduce": ("reproduce", "cohen2024up/toy", "--scale", "smoke", "--out", "out"),
    "train": ("train", "digits", "--scale", "smoke", "--only", "nothing", "--out", "out"),
    "transport fit": ("transport", "fit", "--restored", "pair", "--natural", "pair", "--out", "out.safetensors"),
    "transport apply": ("transport", "apply", "pair", "--natural", "pair", "--out", "out", "--no-progress"),
    "weights convert": ("weights", "convert", "good.safetensors", "out.safetensors"),
    "weights inspect": ("weights", "inspect", "good.safetensors"),
    "weights fetch": ("weights", "fetch", "realesrgan-x4", "--weights-dir", "out", "--no-progress"),
    "doctor": ("doctor",),
    "restorers": ("restorers",),
    "explore": ("explore", "images/a.png", *EXPLORED, "--restorers", "plain.py:draw", "--out", "out"),
}
CLASSES = COMMANDS | {"weights convert": Convert, "weights inspect": Inspect, "weights fetch": Fetch}
CLASSES |= {"transport fit": TransportFit, "transport apply": TransportApply}

INTEGERS = ("x", "1.5", "-1", "", "9" * 30)
NUMBERS = ("x", "nan", "inf", "-1", "", "1e999")
CHOICES = ("nonsense", "")
# Zero is refused where a count must be at least one.
AT_LEAST_ONE = ("patch-size", "patch-stride", "attack-steps", "tile", "limit", "samples", "explore-steps", "dictionary",
                "batch-size", "checkpoint-every", "answers", "shown", "patch", "images", "points", "resize",
                "centre", "steps")  # fmt: skip
FOLDERS = ("", "nowhere", "file.txt", "empty", "texts", "pipes", "tiny/a.png", "broken", "a\0b", "x" * 5000, "\x1b[2J")
TEXTS = {
    **dict.fromkeys(("restored", "natural", "truth"), FOLDERS),
    "fitted": ("", "nowhere", "file.txt", "images", "pipe", "good.safetensors", "bad.safetensors", "a\0b"),
    "encoder": ("", "nowhere", "file.txt", "images", "pipe", "good.safetensors", "sd-vae-ft-mse", "pixel"),
    "alpha": ("x", "nan", "inf", "", "1e999"),
    "data": (
        *("", "nowhere", "~nobody-here/x", "file.txt", "empty", "texts", "pipes", "tiny", "broken", "gray16.png"),
        *("tfds:", "tfds:mnist", "tfds:no_such_set:test", "tfds:a:b:c:d", "pairs:", "pairs:images", "pairs:a:b:c"),
        *("pairs:images:nowhere", "pairs:images:images", "pairs:images:empty", "a\0b", "x" * 5000, "\x1b[2J"),
        *("idx:", "idx:nowhere", "idx:file.txt", "idx:images", "idx:pipe", "idx:bad.idx", "idx:bad.idx.gz", "idx:a\0b"),
        *("idx:good.idx:", "idx:good.idx:good.idx", "idx:good.idx:bad.idx", "idx:good.idx:a:b", "idx:" + "x" * 5000),
        *("split:", "split:0.5", "split:0.5:", "split:0.5:train:", "split:1:images", "split:nan:images"),
        "split:0:images",
        *("split:x:images", "split:0.5:images", "split:0.5:nowhere", "split:0.5:photos", "split:0.5:split:0.5:images"),
        *("split:0.5:tfds:mnist", "split:0.5:pairs:images:images", "split:0.5:test:\x1b[2J", "split:" * 900),
        *("classes:", "classes:nowhere", "classes:images", "classes:file.txt", "classes:mixed"),
    ),
    "attacker": (
        *("", "x", "digits-lawyer", "trained:", "trained:nowhere", "trained:good.safetensors", "plain.py:nothing"),
        *("plain.py:raising", "plain.py:NUMBER", "no.module:f", "raises.py:f", "interrupts.py:f", "a\0b:f", "\x1b[2J"),
    ),
    "judge": ("", "x", "trained:bad.safetensors", "plain.py:same", "plain.py:nan", "plain.py:text", "syntax.py:f"),
    "score": ("", "x", "digits-judge", "plain.py:same", "plain.py:none", "plain.py:exiting", "exits.py:f"),
    "train": (
        *("", "nowhere", "file.txt", "empty", "pairs:images:images", "tfds:mnist", "idx:bad.idx", "split:0.5:images"),
        *("split:2:images", "split:0.5:digits"),
    ),
    "degradation": (
        *("", "+", "x", "bicubic", "bicubic-x", "bicubic-x0", "bicubic-x5", "bicubic-x-2", "average-x0", "average-x7"),
        *("average-x2+", "average-x2+average-x2", "noise-", "noise--1", "noise-nan", "noise-2", "jpeg-0", "jpeg-101"),
        *("jpeg-x", "blur-0", "blur-nan", "blur--1", "blur-1e9", "inpaint-center-2", "inpaint-top-0", "given"),
        *("blindface-x2", "blindface+noise-0.1", "average-x2+blindface"),
        *("realworld-x5", "average-x2+noise-0.1+noise-0.1", "average-x99999999999999999999", "identity+bicubic-x2"),
    ),
    "restorers": (
        *("", "+", "x", "nearest+", "nearest+project+nothing", "bicubik", "nlm", "nlm:", "nlm:x", "nlm:0", "nlm:nan"),
        *("exemplar", "exemplar:", "exemplar:-1", "exemplar:inf", "network:", "network:nowhere.pth", "network:images"),
        *("network:pipe", "network:file.txt", "trained:", "trained:nowhere", "trained:images", "trained:file.txt"),
        *("realesrgan-x4", "realesrgan-x4:nowhere.pth", "swinir-classical-x3:file.txt", "no.module:f", "os:nothing"),
        *("os:name", "plain.py", "plain.py:", "plain.py:nothing", "plain.py:NUMBER", "nowhere.py:f", "images:f"),
        *("raises.py:f", "syntax.py:f", "exits.py:f", "imports.py:f", "interrupts.py:f", "plain.py:raising"),
        *("plain.py:exiting", "plain.py:interrupting", "plain.py:nothing_back", "plain.py:same", "plain.py:nan"),
        *("plain.py:bytes255", "plain.py:integers", "plain.py:signed", "plain.py:nchw", "plain.py:three_arguments"),
        *("plain.py:text", "plain.py:none", "plain.py:calls_back", "nearest+range:1:0", "nearest+range:a:b"),
        *("outputs:", "outputs:nowhere", "outputs:file.txt", "outputs:images+project", "outputs:empty", "outputs:tiny"),
        *("nearest+guidance", "ddrm:nowhere+guidance", "ddrm:file.txt+guidance:x:1", "ddnm:x+guidance:1:-1"),
        *("nearest+output:0:nan", "photos-gan-0.02", "photos-gan-0.03", "a\0b:f", "\x1b[2J", "nearest " * 300),
    ),
    "features": ("", "x", "vgg19", "inception", "inception:", "inception:nowhere.pth", "inception:pipe", "pixels:x"),
    "baseline": ("", "nothing", "\x1b[2J"),
    "budget": ("", "0", "-1", "x", "nan", "2 m", "1d", "9", "\x1b[2J"),
    "restorer": ("", "b", "A", "\x1b[2J"),
    "url": ("", "example.org", "ftp://example.org", "http://a b", "https://\x1b[2J", "javascript:alert(1)"),
    "niqe-parameters": ("", "nowhere.npz", "file.txt", "images", "good.safetensors"),
    "coordinator": ("nonsense", "host:1", "host:0", ":1", "host:99999", ""),
    "pair-pattern": ("{}x2:{}", "", "{", "x"),
    "only": ("", "nothing", "../escape", "\x1b[2J"),
    "mirror": (
        *("http://[::bad", "http://127.0.0.1:9/é", "ftp://127.0.0.1/x", "http://", "http://127.0.0.1:99999", "", "x"),
        *("file:///etc/passwd", "http://a b"),
    ),
    "dictionary": ("nothing", "a.b.c"),
}
OUTS = ("file.txt", "file.txt/deeper", "/proc/nothing", "x" * 300, "/dev/null", "a\0b", "pipe")
PLACED = {
    "compare": [
        *(("run",), ("run", "nowhere"), ("run", "file.txt"), ("run", "empty"), ("run", "images"), ("run", "pipe")),
        *(("run", f"records/{name}") for name in ("array", "number", "nan", "infinity", "deep", "text", "truncated")),
        *(("run", f"records/{name}") for name in ("empty", "latin", "restorers", "metrics", "cells", "names", "other")),
        *(("run", f"records/{name}") for name in ("curves", "labels", "provenance", "folder", "newer", "beyond")),
        *(("run", name, "--leaderboard") for name in ("nowhere", "file.txt", "empty", "records/newer")),
        ("run", "--leaderboard", "--baseline", "a"),
    ],
    "explore": [
        *((name,) for name in ("nowhere.png", "images", "broken/a.png", "tiny/a.png", "texts/a.txt", "pipe", "")),
        *((name,) for name in ("a\0b", "digits:100000", "photos:-1", "digits:", "images/a.png --degraded", "x" * 5000)),
    ],
    "export": [
        *((name,) for name in ("nowhere", "file.txt", "empty", "pipe", "", "a\0b", "records/two")),
        *((f"records/{name}",) for name in ("array", "deep", "text", "names", "cells", "newer", "protocol", "columns")),
    ],
    "train": [
        *((name,) for name in ("nowhere", "file.txt", "empty", "pipe", "", "a\0b", "digit")),
        *((f"configs/{name}.py",) for name in (
            "raises", "syntax", "imports", "exits", "no_argument", "none", "numbers", "nothing", "twice", "escape",
            "absolute", "dotted", "steps", "dtype", "data", "degradation", "seed", "network", "interrupts", "begins",
        )),
    ],
    "reproduce": [
        *(("",), ("nothing",), ("cohen2024up/toys",), ("cohen2024up/toy", "nothing"), ("../cohen2024up/toy",)),
        *(("ALL",), ("\x1b[2J",)),
    ],
    "transport apply": [(name,) for name in FOLDERS],
    "weights inspect": [
        *((name,) for name in ("nowhere.pth", "images", "file.txt", "empty.pth", "pipe", "zeros.pth", "a\0b")),
        *((name,) for name in ("bad.safetensors", "vast.safetensors", "deep.safetensors", "foreign.zip")),
        *((name,) for name in ("bad.param", "alone.param")),
    ],
    "weights convert": [
        *(("nowhere.pth", "o.safetensors"), ("good.safetensors", "o.pth"), ("empty.pth", "o.safetensors")),
        *(("good.safetensors", "nowhere/o.safetensors"), ("pipe", "o.safetensors")),
    ],
    "weights fetch": [("nothing",), ("realesrgan-x44",), ("",), ("../x",), ("swin2sr-classical-x4",)],
    "": [(), ("nothing",), ("evalute",), ("--nothing",), ("weights",), ("weights", "nothing"), ("transport",),
         ("evaluate", "stray"),
         ("evaluate",), ("compare",), ("export",), ("train",), ("decisions",), ("reproduce",), ("\x1b[2J",),
         ("doctor", "stray"), ("restorers", "stray")],
}  # fmt: skip


def option_words(command: str) -> Iterator[tuple[str, ...]]:
    """Bad words for every option of a command."""
    for field in dataclasses.fields(CLASSES[command]):
        name = field.name.replace("_", "-")
        if tyro.conf.Positional in getattr(field.type, "__metadata__", ()):
            continue
        option, kind = f"--{name}", str(field.type)
        if field.type is bool or "bool" in kind:
            yield (option, "maybe")
            continue
        if "tuple" not in kind:
            yield (option,)
        if name in TEXTS or name in ("out", "weights-dir"):
            # A run wants a folder of its own, the others write into any.
            own = ("texts",) if command in ("evaluate", "transport apply") else ()
            bad: tuple[str, ...] = TEXTS.get(name, OUTS + own)
        elif typing.get_origin(field.type) is typing.Literal or "Literal" in kind:
            bad = CHOICES
        else:
            assert "int" in kind or "float" in kind, f"words for {option} are missing"
            bad = INTEGERS if "int" in kind else NUMBERS
            bad += ("0",) if name in AT_LEAST_ONE else ()
        # The commands share the functions that read these words.
        for word in bad if command == "evaluate" or name not in TEXTS else bad[:: max(1, len(bad) // 8)]:
            yield (option, word)


def cases() -> Iterator[tuple[str, ...]]:
    for command, words in GOOD.items():
        if command in CLASSES:
            for extra in option_words(command):
                yield (*words, *extra)
            yield (*words, "--nonsense")
    for command, placed in PLACED.items():
        good = GOOD.get(command, ())
        options = good[next((i for i, word in enumerate(good) if word.startswith("--")), len(good)) :]
        for words in placed:
            yield (*command.split(), *words, *(options if command != "train" else options[:2] + options[4:]))


CASES = list(dict.fromkeys(cases()))

PLAIN = """
import jax, jax.numpy as jnp, sys
NUMBER = 3
def up(y): return jnp.repeat(jnp.repeat(y, 2, 1), 2, 2)
def raising(y): raise ValueError("no\\nnot at all")
def exiting(y): sys.exit(0)
def interrupting(y): raise KeyboardInterrupt
def nothing_back(y): pass
def same(y): return y
def nan(y): return up(y) * jnp.nan
def bytes255(y): return 255 * up(y)
def integers(y): return (255 * up(y)).astype(jnp.uint8)
def signed(y): return 2 * up(y) - 1
def nchw(y): return jnp.transpose(up(y), (0, 3, 1, 2))
def three_arguments(a, b, c): return c
def text(y): return "restored"
def none(): return 1
def draw(key, y): return up(y) + 0.1 * jax.random.normal(key, up(y).shape)
def bad(y): raise ValueError("in a callback")
def calls_back(y):
    x = up(y)
    return jax.pure_callback(bad, jax.ShapeDtypeStruct(x.shape, x.dtype), y)
"""
USERS_FILES = {
    "raises": "raise ValueError('no')",
    "syntax": "def f(:",
    "imports": "import no_such_module",
    "exits": "import sys; sys.exit(0)",
    "interrupts": "raise KeyboardInterrupt",
}
RECIPES = """
from dataclasses import replace
from jaxpr.training import load_recipes
first = list(load_recipes("digits", "smoke").values())[0]
def recipes(scale): return {}
"""
CONFIGS = {
    **USERS_FILES,
    "no_argument": "def recipes(): return []",
    "none": "def recipes(scale): return None",
    "numbers": "def recipes(scale): return [1, 2]",
    "nothing": "x = 1",
    "twice": RECIPES.format("[first, first]"),
    **{
        name: RECIPES.format(f"[replace(first, {change})]")
        for name, change in {
            "escape": "name='../escape'",
            "absolute": "name='/escape'",
            "dotted": "name='..'",
            "steps": "optimizer=replace(first.optimizer, steps=-1)",
            "dtype": "network=replace(first.network, dtype='float64')",
            "data": "data=replace(first.data, source='nowhere')",
            "degradation": "data=replace(first.data, degradation='nothing')",
            "seed": "seed=2**64",
            "network": "network=None",
            "begins": "begin_with='../escape'",
        }.items()
    },
}


def record(**changes: object) -> str:
    metrics = {"psnr": {"value": 20.0, "stderr": 1.0}}
    entry = {"name": "a", "metrics": metrics, "curves": {}, "labels": {}} | changes.pop("entry", {})
    protocol = {"data": "d", "degradation": "x", "scale_factor": 2, "examples": 1, "attack": None}
    whole = {"schema_version": 1, "protocol": protocol, "provenance": {}, "restorers": [entry], "references": {}}
    return json.dumps(whole | changes)


RECORDS = {
    "array": "[]",
    "number": "3",
    "nan": record().replace("20.0", "NaN"),
    "infinity": record().replace("20.0", "-Infinity"),
    "beyond": record().replace("20.0", "1e999"),
    "deep": "[" * 100_000,
    "text": "not JSON",
    "truncated": record()[:40],
    "empty": "",
    "restorers": record(restorers=[]),
    "metrics": record(entry={"metrics": 3}),
    "cells": record(entry={"metrics": {"psnr": "high"}}),
    "names": record(entry={"name": 3}),
    "curves": record(entry={"curves": {"attack_sweep": 3}}),
    "labels": record(entry={"labels": 3}),
    "provenance": record(provenance=[]),
    "newer": record(schema_version=2),
    "columns": record(entry={"curves": {"attack_sweep": {"alpha": [1, "x"]}}}),
    "protocol": record(protocol={"examples": 2}),
    "two": record().replace(
        '"restorers": [', '"restorers": [{"name": "b", "metrics": {}, "curves": {}, "labels": {}}, '
    ),
    "other": record().replace('"degradation": "x"', '"degradation": "y"'),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with everything that the words name."""
    root = tmp_path_factory.mktemp("bad-words")
    random = np.random.default_rng(0)
    for name in (
        "images",
        "pair",
        "empty",
        "texts",
        "pipes",
        "tiny",
        "broken",
        "configs",
        "mixed/a",
        "mixed/b",
        "run",
        "records/folder/results.json",
    ):
        (root / name).mkdir(parents=True)
    Image.fromarray(random.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(root / "images" / "a.png")
    for name in ("pair/a.png", "pair/b.png", "mixed/a/a.png", "mixed/beside.png"):
        Image.fromarray(random.integers(0, 256, (96, 96, 3), dtype=np.uint8)).save(root / name)
    Image.fromarray(random.integers(0, 256, (5, 5, 3), dtype=np.uint8)).save(root / "tiny" / "a.png")
    (root / "broken" / "a.png").write_bytes(b"\x89PNG not really")
    (root / "texts" / "a.txt").write_text("text")
    (root / "file.txt").write_text("text")
    (root / "good.idx").write_bytes(bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0, 8]) + bytes(128))
    (root / "bad.idx").write_bytes(bytes([0, 0, 8, 3]) + b"\xff" * 12 + bytes(100))
    (root / "bad.idx.gz").write_bytes(b"\x1f\x8b\x08 not really")
    os.mkfifo(root / "pipe")
    os.mkfifo(root / "pipes" / "a.png")
    (root / "plain.py").write_text(PLAIN)
    for name, text in USERS_FILES.items():
        (root / f"{name}.py").write_text(text + "\ndef f(y): return y\n")
    for name, text in CONFIGS.items():
        (root / "configs" / f"{name}.py").write_text(text)
    (root / "run" / "results.json").write_text(record())
    for name, text in RECORDS.items():
        (root / "records" / name).mkdir()
        (root / "records" / name / "results.json").write_text(text)
    (root / "records" / "latin").mkdir()
    (root / "records" / "latin" / "results.json").write_bytes(b'{"caf\xe9": 1}')
    weights(root)
    return root


def weights(root: Path) -> None:
    header = b'{"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}'
    (root / "good.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    (root / "bad.safetensors").write_bytes(b"\xff" * 100)
    (root / "vast.safetensors").write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    deep = b'{"a":' * 50_000
    (root / "deep.safetensors").write_bytes(len(deep).to_bytes(8, "little") + deep)
    (root / "empty.pth").write_bytes(b"")
    (root / "zeros.pth").write_bytes(bytes(1000))
    for name in ("bad.param", "bad.bin", "alone.param"):
        (root / name).write_bytes(b"7767517\n1 1\n")
    (root / "foreign.zip").write_bytes(b"PK\x03\x04" + bytes(100))


def listing(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if "__pycache__" not in path.parts}


def one_line(capsys, words: tuple[str, ...]) -> str:
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    error = capsys.readouterr().err
    lines = error.splitlines()
    assert stop.value.code == 2, error
    assert [line for line in lines if not line.startswith("warning: ")] == lines[-1:], error
    assert lines[-1].startswith("error: ")
    assert all(character.isprintable() for line in lines for character in line), error
    assert len(lines[-1]) < 1500, "the message shows too much of what was found"
    return lines[-1]


def test_there_are_enough():
    assert len(CASES) >= 300
    assert {words[0] for words in CASES if words} >= set(COMMANDS)


def marked() -> Iterator[typing.Any]:
    """Every third case is enough to see that a command catches what it should."""
    for number, words in enumerate(CASES):
        name = " ".join(words[-2:])[:50].encode("unicode_escape").decode()
        yield pytest.param(words, id=name, marks=[pytest.mark.thorough] if number % 3 else [])


@pytest.mark.parametrize("words", list(marked()))
def test_bad_words_end_with_one_line(place, tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(place)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAXPR_WEIGHTS", raising=False)
    before = listing(place)
    one_line(capsys, words)
    assert {path for path in listing(place) - before if path.split("/")[0] != "out"} == set()
