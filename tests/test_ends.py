"""The same numbers with every supported version: packaged networks, an attack, the main job, a resumed run.

The expected values in `golden/ends` were printed by this file itself (see its README), and are compared with what the
oldest and the newest versions of Python, JAX and NumPy find.
"""

import json
import shutil
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxpr import attacks
from jaxpr.cli.commands import main
from jaxpr.restorers import trained_restorer

pytestmark = pytest.mark.versions

GOLDEN = Path(__file__).parent / "golden/ends"
NAMES = (
    "photos-l1",
    "photos-gan-0.03",
    "digits-average-x2-deterministic-robust-0",
    "digits-average-x4-stochastic-robust-0",
)
# float32 sums of some hundred thousand products in an order that each compiler chooses.
OUTPUT = 2e-5
# One step of I-FGSM takes the sign of a gradient: where that is near zero, rounding decides, and a pixel differs by
# 2/255; the ratio is a mean over all pixels.
RATIO = 1e-2
# Rounding of outputs, then means over images (relative); Fréchet distances are differences of large numbers.
METRICS = {
    "psnr": 1e-4,
    "ssim": 1e-4,
    "rmse": 1e-3,
    "lpips_alexnet": 1e-3,
    "fd_alexnet": 2e-2,
    "joint_fd_alexnet": 2e-2,
}
MAIN_JOB = ["evaluate", "--scale", "smoke", "--no-progress", "--data", "photos", "--degradation", "bicubic-x4"]
RESTORERS = ("bicubic", "lmmse", "photos-gan-0.03")


def measurement(name: str) -> np.ndarray:
    """A fixed input: smooth waves, so that no library's random numbers are needed."""
    side, channels = (12, 3) if name.startswith("photos") else ((4, 1) if "x2" in name else (2, 1))
    row, column, channel = np.meshgrid(*(np.arange(n) for n in (side, side, channels)), indexing="ij")
    waves = 0.5 + 0.35 * np.sin(0.9 * row + 0.4 * channel) * np.cos(0.7 * column)
    return waves[None].astype(np.float32)


def restored(name: str) -> np.ndarray:
    restorer, y = trained_restorer(name), measurement(name)
    return np.asarray(restorer(jax.random.key(5), y) if "stochastic" in name else restorer(y))


def attacked_ratio(name: str) -> float:
    restorer, y = trained_restorer(name), jax.numpy.asarray(measurement(name))
    objective = attacks.output_shift(restorer, y)
    y_adv = attacks.ifgsm(jax.random.key(6), objective, y, alpha=1 / 255, steps=3, bounds=(0, 1))
    return float(attacks.lipschitz_ratio(restorer, y, y_adv)[0])


def main_job(out: Path) -> dict[str, dict[str, float]]:
    main([*MAIN_JOB, "--restorers", *RESTORERS, "--out", str(out)])
    record = json.loads((out / "results.json").read_text())
    return {r["name"]: {name: cell["value"] for name, cell in r["metrics"].items()} for r in record["restorers"]}


def test_packaged_networks_give_the_stored_outputs():
    stored = np.load(GOLDEN / "outputs.npz")
    for name in NAMES:
        np.testing.assert_allclose(restored(name), stored[name], rtol=0, atol=OUTPUT, err_msg=name)


def test_an_attack_finds_the_stored_ratio():
    expected = json.loads((GOLDEN / "numbers.json").read_text())["ratio"]
    assert attacked_ratio("photos-gan-0.03") == pytest.approx(expected, rel=RATIO)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("ends") / "run"
    return out, main_job(out)


def test_the_main_job_gives_the_stored_numbers(finished):
    expected = json.loads((GOLDEN / "numbers.json").read_text())["main_job"]
    _, found = finished
    assert found.keys() == expected.keys()
    for name, metrics in expected.items():
        assert found[name].keys() == metrics.keys()
        for metric, tolerance in METRICS.items():
            assert found[name][metric] == pytest.approx(metrics[metric], rel=tolerance), (name, metric)
        assert found[name]["lipschitz_mean"] == pytest.approx(metrics["lipschitz_mean"], rel=RATIO), name


def test_a_run_with_a_batch_missing_ends_with_the_same_numbers(finished, tmp_path):
    complete, expected = finished
    shutil.copytree(complete, tmp_path / "run")
    (tmp_path / "run/results.json").unlink()
    batch = sorted((tmp_path / "run/state").glob("photos-gan*/batch-*.npz"))[-1]
    batch.unlink()
    assert main_job(tmp_path / "run") == expected
    assert batch.exists()


@pytest.mark.slow
def test_the_main_job_with_all_its_restorers(tmp_path):
    main([*MAIN_JOB, "--out", str(tmp_path / "run")])
    record = json.loads((tmp_path / "run/results.json").read_text())
    expected = json.loads((GOLDEN / "numbers.json").read_text())["main_job"]
    assert len(record["restorers"]) == 13
    for found in record["restorers"]:
        assert np.isfinite(found["metrics"]["joint_fd_alexnet"]["value"]), found["name"]
        for metric in METRICS.keys() & expected.get(found["name"], {}).keys():
            value = found["metrics"][metric]["value"]
            assert value == pytest.approx(expected[found["name"]][metric], rel=METRICS[metric]), (found["name"], metric)


if __name__ == "__main__":  # python tests/test_ends.py FOLDER: store what this version finds
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(folder / "outputs.npz", **{name: restored(name) for name in NAMES})
    numbers = {"ratio": attacked_ratio("photos-gan-0.03"), "main_job": main_job(folder / "run")}
    (folder / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")
