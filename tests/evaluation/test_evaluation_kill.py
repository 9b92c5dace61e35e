"""A run that is killed (SIGKILL, no chance to clean up) ends with the same bytes when it is started again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SCRIPT = """
import functools, sys
import jax
from jaxpr.data import photos
from jaxpr.degradations import parse_degradation
from jaxpr.restorers import bicubic, lanczos, nearest
from jaxpr.evaluation import Protocol, evaluate
restorers = {f.__name__: functools.partial(f, factor=4) for f in (nearest, bicubic, lanczos)}
protocol = Protocol().replace(crop=96, patch_size=12, patch_stride=6, attack_steps=2, features="pixels", limit=8,
                    probes=1, sweep=(0.01,), lipschitz_iterations=0, uncertainty_block=0)
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


def kill_at(out: Path, batches: int, delay: float) -> int:
    """Start the run, kill it `delay` seconds after it has stored so many batches, and return how many it has then."""
    process = start(out)
    while finished_batches(out) < batches and process.poll() is None:
        time.sleep(0.002)
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert not (out / "results.json").exists()
    return finished_batches(out)


def assert_it_ends_like_an_undisturbed_run(out: Path, undisturbed: Path) -> None:
    for folder in (out, undisturbed):
        process = start(folder)
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    assert numbers(out) == numbers(undisturbed)
    assert batch_files(out) == batch_files(undisturbed)  # none lost, none doubled
    assert not list(out.glob("**/.partial-*"))


def batch_files(out: Path) -> list[str]:
    return sorted(str(path.relative_to(out)) for path in out.glob("state/*/batch-*.npz"))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_killed_run_resumes_with_identical_numbers(tmp_path):
    out = tmp_path / "killed"
    for batches in (3, 9):  # once among the reference images, once among the restorers
        assert batches <= kill_at(out, batches, 0.0) < 16
    assert_it_ends_like_an_undisturbed_run(out, tmp_path / "undisturbed")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_run_killed_twelve_times_at_random_moments(tmp_path):
    random = np.random.default_rng(0)
    out = tmp_path / "killed"
    seen = 0
    for _ in range(12):
        # Sometimes while it still compiles, sometimes while it writes, sometimes one batch further on.
        seen = kill_at(out, min(seen + int(random.integers(0, 2)), 15), float(random.uniform(0, 0.4)))
    assert_it_ends_like_an_undisturbed_run(out, tmp_path / "undisturbed")
