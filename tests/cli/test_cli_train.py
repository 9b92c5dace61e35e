"""`jaxpr train`: what it writes, what it refuses, and that a killed run ends like one that was not."""

import csv
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxpr.cli.train import Train, load_recipes, train_recipe
from jaxpr.core import InputError
from jaxpr.data import digits
from jaxpr.degradations import parse_degradation
from jaxpr.models.discriminators import VggCriticConfig
from jaxpr.models.restorer_network import restorer_network
from jaxpr.models.unet import UNetConfig
from jaxpr.training.recipes import Recipe, build_procedure
from jaxpr.weights.native import unpack_restorer

TINY = Recipe(
    name="tiny",
    data="digits",
    size=8,
    degradation="average-x2",
    network=UNetConfig(channels=1, width=2, scales=1),
    stochastic=True,
    steps=6,
    batch=8,
    adversarial=1.0,
    critic=VggCriticConfig(size=8, channels=1, width=2),
    robustness=1.0,
    robustness_draws=1,
    robustness_examples=2,
    attack_steps=1,
)
CONFIG = """
from jaxpr.models.unet import UNetConfig
from jaxpr.training.recipes import Recipe

def recipes(scale):
    first = Recipe(
        name="first", data="digits", size=8, degradation="average-x2",
        network=UNetConfig(channels=1, width=2, scales=1),
        steps={"smoke": 2, "small": 60, "paper": 10**6}[scale], batch=4, pixel=1.0,
    )
    second = Recipe(**{**vars(first), "name": "second", "begin_with": "first", "seed": 1})
    return [first, second]
"""
MEGABYTES = 2 * 2**20


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return folder, train_recipe(TINY, folder, command="jaxpr train x", checkpoint_every=4, progress=False)


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(CONFIG)
    return path


def test_what_a_run_writes(trained):
    folder, done = trained
    assert done.steps == 6
    assert done.size == done.weights.stat().st_size
    place = folder / "tiny"
    assert {path.name for path in place.iterdir()} == {
        "recipe.json", "checkpoints", "log.csv", "samples", "weights.safetensors"
    }  # fmt: skip
    assert sorted(path.name for path in (place / "samples").iterdir()) == ["step-0000004.png", "step-0000006.png"]
    with Image.open(place / "samples" / "step-0000006.png") as picture:
        assert picture.size == (8 * 50, (1 + 3 + 1) * 50)  # measurements, three draws, truth
    (line,) = csv.DictReader((place / "log.csv").read_text().splitlines())
    assert list(line) == ["step", "adversarial", "critic", "loss", "parameters", "robustness"]
    assert line["step"] == "6"
    assert all(np.isfinite(float(value)) for value in line.values())


def test_weights_say_what_made_them_and_restore(trained):
    _, done = trained
    packed = unpack_restorer(done.weights.read_bytes())
    assert packed.config == TINY.restorer_config()
    assert packed.metadata["command"] == "jaxpr train x"
    assert packed.metadata["recipe"]["steps"] == 6
    assert packed.metadata["data_fingerprint"] == digits("train").fingerprint
    assert set(packed.metadata) == {
        "command", "recipe", "seed", "data", "data_fingerprint", "code_sha256", "jaxpr", "jax"
    }  # fmt: skip
    degradation = parse_degradation(packed.config.degradation)
    ours = restorer_network(packed.config, operators=degradation.operator)
    x = jnp.asarray(np.stack(list(digits("test")[:4])))
    y = degradation(jax.random.key(0), x)
    found = ours.apply(packed.params, y, ours.seeds(jax.random.key(1), y))
    np.testing.assert_allclose(degradation(jax.random.key(0), jnp.clip(found, -9, 9) * 0 + x), y)
    np.testing.assert_allclose(degradation.operator((8, 8, 1))(found), y, atol=1e-5)


def test_a_finished_run_is_not_repeated_and_another_recipe_is_refused(trained):
    folder, done = trained
    before = done.weights.stat().st_mtime_ns
    again = train_recipe(TINY, folder, command="", progress=False)
    assert again.steps == 0
    assert done.weights.stat().st_mtime_ns == before
    with pytest.raises(InputError, match="out: found a run of another recipe"):
        train_recipe(dataclasses.replace(TINY, rate=1e-3), folder, command="", progress=False)


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
    other = dataclasses.replace(
        load_recipes(str(config), "smoke")["second"], name="third", network=UNetConfig(channels=1, width=3, scales=1)
    )
    with pytest.raises(InputError, match="begin_with: found UNetConfig"):
        train_recipe(other, out, command="", progress=False)


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


@pytest.mark.parametrize("name", ["digits", "photographs"])
def test_packaged_configs(name):
    """Every recipe builds, fits into 2 MB at scale small, and begins with one before it."""
    for scale in ("smoke", "small", "paper"):
        found, kinds = load_recipes(name, scale), set()
        for i, (title, recipe) in enumerate(found.items()):
            assert title == recipe.name
            assert recipe.begin_with is None or recipe.begin_with in list(found)[:i]
            recipe.parsed()
            kind = dataclasses.replace(recipe, name="", seed=0)
            if scale == "small" and kind not in kinds:
                kinds.add(kind)
                made = build_procedure(recipe, attack=lambda key, objective, y: y)
                shapes = jax.eval_shape(made.restorer.init, jax.random.key(0))
                assert sum(4 * leaf.size for leaf in jax.tree.leaves(shapes)) < 0.98 * MEGABYTES
            json.dumps(dataclasses.asdict(recipe))


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
