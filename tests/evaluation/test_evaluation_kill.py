"""A run that is killed (SIGKILL, no chance to clean up) ends with the same bytes when it is started again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = """
import functools, sys
import jax, numpy as np
from jaxpr.data import photos
from jaxpr.degradations import parse_degradation
from jaxpr.estimators import bicubic, lanczos, nearest
from jaxpr.evaluation import Protocol, evaluate
restorers = {f.__name__: functools.partial(f, factor=4) for f in (nearest, bicubic, lanczos)}
protocol = Protocol(crop=96, patch_size=12, patch_stride=6, attack_steps=2, features="pixels", limit=8)
evaluate(jax.random.key(0), restorers, photos("test"), parse_degradation("bicubic-x4+noise-0.02"),
         protocol=protocol, out=sys.argv[1], batch_size=2, progress=False)
"""


def start(out: Path) -> subprocess.Popen:
    return subprocess.Popen([sys.executable, "-c", SCRIPT, str(out)], stderr=subprocess.PIPE, text=True)


def finished_batches(out: Path) -> int:
    return len(list(out.glob("state/*/batch-*.npz")))


def numbers(out: Path) -> str:
    record = json.loads((out / "results.json").read_text())
    return json.dumps([record["protocol"], record["restorers"]])


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_killed_run_resumes_with_identical_numbers(tmp_path):
    out = tmp_path / "killed"
    for batches in (3, 9):  # once among the reference images, once among the restorers
        process = start(out)
        while finished_batches(out) < batches and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stderr.close()
        assert not (out / "results.json").exists()
        assert batches <= finished_batches(out) < 16
    for folder in (out, tmp_path / "undisturbed"):
        process = start(folder)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert numbers(out) == numbers(tmp_path / "undisturbed")
    assert not list(out.glob("**/.partial-*"))
