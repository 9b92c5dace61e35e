"""A disk that is full or cannot be written: one clear line, and what was finished stays whole."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

LIMITED = """
import resource, signal, sys
# Files may not grow beyond so many bytes: writes fail as on a full disk.
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from jaxpr.cli.commands import main
main(sys.argv[2:])
"""
WORDS = [
    "--data",
    "photos",
    "--scale",
    "smoke",
    "--features",
    "pixels",
    "--limit",
    "2",
    "--probes",
    "0",
    "--no-progress",
]


def evaluate(out: Path, *restorers: str, limit: int = resource.RLIM_INFINITY) -> subprocess.CompletedProcess:
    words = ["evaluate", "--out", str(out), *WORDS, "--restorers", *restorers]
    return subprocess.run(
        [sys.executable, "-c", LIMITED, str(limit), *words], capture_output=True, text=True, timeout=300
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="file size limits are POSIX")
def test_full_disk_keeps_the_earlier_results(tmp_path):
    out = tmp_path / "run"
    assert evaluate(out, "bicubic").returncode == 0
    before = json.loads((out / "results.json").read_text())["restorers"]
    full = evaluate(out, "bicubic", "nearest", limit=4096)
    assert full.returncode == 2
    (line,) = [line for line in full.stderr.splitlines() if line.startswith("error:")]
    assert "File too large" in line
    assert "finished work is kept" in line
    assert json.loads((out / "results.json").read_text())["restorers"] == before
    assert not list(out.glob("**/.partial-*"))
    after = evaluate(out, "bicubic", "nearest")
    assert after.returncode == 0, after.stderr
    assert json.loads((out / "results.json").read_text())["restorers"][0] == before[0]


@pytest.mark.thorough
def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("in the way")
    found = evaluate(tmp_path / "file" / "run", "nearest")
    assert found.returncode == 2
    assert found.stderr.count("error:") == 1
    assert "expected a folder" in found.stderr
