"""The same numbers on one device, on eight, and in two processes that each read their own share."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxpr.data import photos
from jaxpr.evaluation import Protocol, devices, evaluate, stream
from jaxpr.restorers import Restorer, bicubic

PROTOCOL = Protocol().replace(
    crop=64, patch_size=8, patch_stride=4, attack_steps=2, features="pixels", limit=12, probes=2
)
# Float32: the compiled program of one device among eight may sum in another order than the program of a single one.
FLOAT32 = 2e-6


def jittered(key, y):
    """A stochastic restorer."""
    restored = bicubic(y, factor=4)
    return restored + 0.02 * jax.random.normal(key, restored.shape)


def run(out):
    scaled = Restorer(lambda gain, key, y: gain * bicubic(y, factor=4), np.float32(1.1))
    restorers = {"bicubic": lambda y: bicubic(y, factor=4), "jittered": jittered, "scaled": scaled}
    return evaluate(
        jax.random.key(1), restorers, photos("test"), "bicubic-x4", protocol=PROTOCOL, out=out, progress=False
    )


def numbers(results) -> dict[tuple[str, str], float]:
    return {(r.name, name): metric.value for r in results.restorers for name, metric in r.metrics.items()}


@pytest.mark.slow
def test_eight_devices_give_the_numbers_of_one(tmp_path, eight_devices, monkeypatch):
    on_eight = numbers(run(tmp_path / "eight"))
    for module in (devices, stream):
        monkeypatch.setattr(module, "local_devices", lambda: jax.local_devices()[:1])
    on_one = numbers(run(tmp_path / "one"))
    assert on_eight.keys() == on_one.keys()
    for name, value in on_one.items():
        np.testing.assert_allclose(on_eight[name], value, rtol=FLOAT32, err_msg=str(name))


def test_parameters_are_whole_on_every_device(eight_devices):
    params = devices.replicated({"gain": np.arange(3, dtype=np.float32), "shift": 1.0})
    assert params["gain"].sharding.is_fully_replicated
    assert params["shift"] == 1.0
    images = jax.random.uniform(jax.random.key(0), (8, 2, 3))
    found = devices.spread(lambda p, a, b: p["gain"][None, None] * a + b + p["shift"], shared=1)(params, images, images)
    np.testing.assert_allclose(found, np.arange(3)[None, None] * np.asarray(images) + images + 1, rtol=1e-6)


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def command(out: Path, *extra: str) -> list[str]:
    words = [
        "evaluate",
        "--data",
        "photos",
        "--restorers",
        "bicubic",
        "nearest",
        "--scale",
        "smoke",
        "--features",
        "pixels",
    ]
    words += ["--limit", "6", "--batch-size", "2", "--no-progress", "--out", str(out), *extra]
    return [sys.executable, "-m", "jaxpr", *words]


@pytest.mark.slow
def test_two_processes_share_a_run(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    out, alone, port = tmp_path / "shared", tmp_path / "alone", free_port()
    together = ["--distributed", "--coordinator", f"127.0.0.1:{port}", "--processes", "2", "--process-id"]
    started = [
        subprocess.Popen(
            command(out, *together, str(index)),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    printed = [process.communicate(timeout=300) for process in started]
    assert [process.returncode for process in started] == [0, 0], printed
    assert "Report:" in printed[0][0]
    assert "Report:" not in printed[1][0]
    single = subprocess.run(command(alone), env=environment, capture_output=True, text=True, timeout=300)
    assert single.returncode == 0, single.stderr
    shared, expected = (json.loads((folder / "results.json").read_text()) for folder in (out, alone))
    assert shared["protocol"] == expected["protocol"]
    for found, alone_ in zip(shared["restorers"], expected["restorers"], strict=True):
        assert found["metrics"].keys() == alone_["metrics"].keys()
        for name, cell in alone_["metrics"].items():
            # Two compilations of one program: on a busy machine their sums may be split differently.
            value = cell["value"] if cell["value"] is None else pytest.approx(cell["value"], rel=FLOAT32)
            assert found["metrics"][name]["value"] == value, name
    assert shared["provenance"]["processes"] == 2
    # No batch is lost and none was computed twice.
    assert [path.name for path in sorted((out / "state").glob("nearest-*/batch-*.npz"))] == [
        path.name for path in sorted((alone / "state").glob("nearest-*/batch-*.npz"))
    ]


@pytest.mark.slow
def test_an_error_in_the_first_process_stops_the_others(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "letter.txt").write_text("not a run")
    together = ["--distributed", "--coordinator", f"127.0.0.1:{free_port()}", "--processes", "2", "--process-id"]
    started = [
        subprocess.Popen(
            command(tmp_path / "used", *together, str(index)),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    errors = [process.communicate(timeout=300)[1].strip().splitlines()[-1] for process in started]
    assert [process.returncode for process in started] == [2, 2]
    assert "found other files" in errors[0]
    assert "process 0" in errors[1]


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_every_example_has_a_device(count, tmp_path, eight_devices):
    protocol = PROTOCOL._replace(limit=count, sweep=(), lipschitz_iterations=0, uncertainty_block=0)
    restorers = {"bicubic": lambda y: bicubic(y, factor=4)}
    results = evaluate(
        jax.random.key(1), restorers, photos("test"), "bicubic-x4", protocol=protocol, out=tmp_path, progress=False
    )
    assert np.isfinite(results.restorers[0].metrics["lipschitz_mean"].value)
