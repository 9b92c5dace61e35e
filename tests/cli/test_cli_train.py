"""`jaxpr train`: what it refuses, recipes that follow others, and that a killed run ends like one that was not."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from jaxpr.cli.train import Train
from jaxpr.core import InputError
from jaxpr.models.unet import UNetConfig
from jaxpr.training import drive, load_recipes, task_of
from jaxpr.weights.native import unpack_restorer

CONFIG = """
from dataclasses import replace
from jaxpr.models.unet import UNetConfig
from jaxpr.training import Adam, Crops, NetworkSettings, RestorerLosses, RestorerRecipe

def recipes(scale):
    first = RestorerRecipe(
        name="first",
        data=Crops(source="digits", size=8, degradation="average-x2"),
        network=NetworkSettings(sizes=UNetConfig(channels=1, width=2, scales=1)),
        losses=RestorerLosses(pixel=1.0),
        optimizer=Adam(steps={"smoke": 2, "small": 60, "paper": 10**6}[scale], batch=4),
    )
    return [first, replace(first, name="second", begin_with="first", seed=1)]
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CONFIG)
    return path


@pytest.mark.slow
def test_recipes_that_begin_with_others(tmp_path, config, capsys):
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"begin_with: found no .*first.*train it first"):
        Train(config=str(config), out=out, scale="smoke", only=("second",), progress=False).run()
    Train(config=str(config), out=out, scale="smoke", progress=False).run()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["first", "second"]
    assert "2 steps in" in lines[0]
    packed = [unpack_restorer((out / name / "weights.safetensors").read_bytes()) for name in ("first", "second")]
    assert packed[1].metadata["recipe"]["begin_with"] == "first"
    assert packed[1].metadata["command"] == "jaxpr train mine --scale smoke --only second"
    # Two steps of 1e-4 away from its first weights, wherever those are: the average is nearer.
    kernels = [p.params["last"]["kernel"] for p in packed]  # the projection leaves no gradient to the bias
    assert 0 < np.abs(kernels[0] - kernels[1]).max() < 2.1e-4
    other = load_recipes(str(config), "smoke")["second"]
    network = replace(other.network, sizes=UNetConfig(channels=1, width=3, scales=1))
    with pytest.raises(InputError, match="begin_with: found UNetConfig"):
        drive(task_of(replace(other, name="third", network=network)), out, command="", progress=False)


@pytest.mark.thorough
def test_fewer_steps_than_the_recipe_says(tmp_path, config, capsys):
    out = tmp_path / "out"
    options = {"config": str(config), "out": out, "scale": "paper", "only": ("first",), "progress": False}
    with pytest.raises(InputError, match="steps: found 0"):
        Train(**options, steps=0).run()
    Train(**options, steps=2).run()
    assert "2 steps in" in capsys.readouterr().out
    packed = unpack_restorer((out / "first" / "weights.safetensors").read_bytes())
    assert packed.metadata["command"] == "jaxpr train mine --scale paper --only first --steps 2"
    assert packed.metadata["recipe"]["optimizer"]["steps"] == 2
    with pytest.raises(InputError, match="out: found a run of another recipe"):
        Train(**options, steps=3).run()


def test_configs_that_are_none_are_refused(tmp_path, config):
    with pytest.raises(InputError, match="config: found no file nowhere"):
        load_recipes("nowhere", "smoke")
    with pytest.raises(InputError, match="only: found 'third', expected some of first, second"):
        Train(config=str(config), out=tmp_path, only=("third",)).run()
    for text, message in (
        ("x = 1", "no function recipes"),
        (CONFIG.replace('"second"', '"first"'), "expected each once"),
    ):
        config.write_text(text)
        with pytest.raises(InputError, match=message):
            load_recipes(str(config), "smoke")


SCRIPT = """
import sys
from pathlib import Path
from jaxpr.cli.train import Train
options = {"scale": "small", "only": ("first",), "checkpoint_every": 10, "progress": False}
Train(config=sys.argv[1], out=Path(sys.argv[2]), **options).run()
"""


def launch(config: Path, out: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(config), str(out)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is a POSIX signal")
def test_killed_run_ends_like_an_undisturbed_one(tmp_path, config):
    killed, undisturbed = tmp_path / "killed", tmp_path / "undisturbed"
    process = launch(config, killed)
    while process.poll() is None and not any((killed / "first" / "samples").glob("step-0000020.png")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    assert not (killed / "first" / "weights.safetensors").exists()
    for out in (killed, undisturbed):
        process = launch(config, out)
        _, errors = process.communicate(timeout=600)
        assert process.returncode == 0, errors
    for file in ("weights.safetensors", "log.csv", "recipe.json", "samples/step-0000060.png"):
        assert (killed / "first" / file).read_bytes() == (undisturbed / "first" / file).read_bytes(), file
