"""What a run leaves in its folder, for any task; what it refuses; restorers and classifiers are tasks."""

import csv
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.data import digits
from jaxpr.degradations import parse_degradation
from jaxpr.models.classifier import digit_model
from jaxpr.models.discriminators import VggCriticConfig
from jaxpr.models.restorer_network import restorer_network
from jaxpr.models.unet import UNetConfig
from jaxpr.training import (
    Adam,
    AdversarialLoss,
    Crops,
    DivergenceError,
    NetworkSettings,
    Recipe,
    RestorerLosses,
    RestorerRecipe,
    RobustnessLoss,
    Task,
    drive,
    load_recipes,
    start,
    task_of,
)
from jaxpr.training.recipes import Images, Optimizer
from jaxpr.training.tasks import average_weights
from jaxpr.weights.native import pack_weights, unpack_restorer, unpack_weights

RECIPE = Recipe(name="counter", data=Images(source="digits"), optimizer=Optimizer(steps=7, batch=1, rate=1.0))
GAN = RestorerRecipe(
    name="tiny",
    data=Crops(source="digits", size=8, degradation="average-x2"),
    network=NetworkSettings(sizes=UNetConfig(channels=1, width=2, scales=1), stochastic=True),
    losses=RestorerLosses(
        adversarial=AdversarialLoss(weight=1.0, critic=VggCriticConfig(size=8, channels=1, width=2)),
        robustness=RobustnessLoss(weight=1.0, draws=1, examples=2, steps=1),
    ),
    optimizer=Adam(steps=6, batch=8),
)


def counter(recipe=RECIPE, *, bad=None, show=None):
    """A task whose parameter counts steps, from that of the run to begin with; its loss is NaN at step `bad`."""

    def begin(source, before):
        first = jnp.zeros(()) if before is None else jnp.asarray(unpack_weights(before)[0]["count"])
        return start({"count": first}, optax.identity()), jnp.float32(len(source))

    def step(number, state, data):
        loss = jnp.where(number == (-1 if bad is None else bad), jnp.nan, data)
        return state._replace(params={"count": state.params["count"] + 1}), {"loss": loss, "odd": number % 2 + data}

    return Task(recipe, begin, step, pack_weights, show=show, sparse={"odd": 2})


def run(task, out, **options):
    return drive(task, out, **{"command": "jaxpr train x", "progress": False, "checkpoint_every": 4, **options})


def test_what_a_run_writes(tmp_path):
    shown = []
    done = run(counter(show=lambda params: shown.append(params) or [np.zeros((2, 8, 8, 1))]), tmp_path)
    assert (done.steps, done.size) == (7, done.weights.stat().st_size)
    place = tmp_path / "counter"
    assert {path.name for path in place.iterdir()} == {
        "recipe.json", "checkpoints", "log.csv", "samples", "weights.safetensors"
    }  # fmt: skip
    assert sorted(path.name for path in (place / "samples").iterdir()) == ["step-0000004.png", "step-0000007.png"]
    assert [float(params["count"]) for params in shown] == [4, 7]
    (line,) = csv.DictReader((place / "log.csv").read_text().splitlines())
    images = len(digits("train"))
    assert line == {"step": "7", "loss": str(images), "odd": str(images + 1)}
    params, metadata = unpack_weights(done.weights.read_bytes())
    assert params["count"] == 7
    assert metadata["command"] == "jaxpr train x"
    assert metadata["recipe"] == json.loads((place / "recipe.json").read_text())
    assert metadata["data_fingerprint"] == digits("train").fingerprint
    assert set(metadata) == {
        "command", "recipe", "seed", "data", "data_fingerprint", "code_sha256", "jaxpr", "jax"
    }  # fmt: skip


def test_a_finished_run_is_not_repeated_and_another_recipe_is_refused(tmp_path):
    done = run(counter(), tmp_path)
    before = done.weights.stat().st_mtime_ns
    assert run(counter(), tmp_path).steps == 0
    assert done.weights.stat().st_mtime_ns == before
    assert not (tmp_path / "counter" / "samples").exists()
    with pytest.raises(InputError, match=r"out: found a run of another recipe .* remove it to start anew"):
        run(counter(replace(RECIPE, seed=1)), tmp_path)
    # Before recipes were nested: flat, and without kinds.
    (tmp_path / "counter" / "recipe.json").write_text(json.dumps({"name": "counter", "pixel_norm": "l1", "steps": 7}))
    with pytest.raises(InputError, match=r"out: found a run of an earlier version .* remove it to start anew"):
        run(counter(), tmp_path)


def test_a_run_ends_at_the_first_nan_and_goes_on_from_its_last_checkpoint(tmp_path):
    with pytest.raises(DivergenceError, match="loss: found nan at step 5"):
        run(counter(bad=5), tmp_path)
    assert not (tmp_path / "counter" / "weights.safetensors").exists()
    done = run(counter(), tmp_path)
    assert done.steps == 3
    assert unpack_weights(done.weights.read_bytes())[0]["count"] == 7


def test_runs_begin_with_others_and_keep_averages(tmp_path):
    later = replace(RECIPE, name="later", begin_with="counter", optimizer=replace(RECIPE.optimizer, average=0.5))
    with pytest.raises(InputError, match=r"begin_with: found no .*counter.*train it first"):
        run(counter(later), tmp_path)
    run(counter(), tmp_path)
    average = 7.0
    for step in range(7):
        average = average_weights(average, 8.0 + step, step, decay=0.5)
    found = unpack_weights(run(counter(later), tmp_path).weights.read_bytes())[0]["count"]
    np.testing.assert_allclose(found, average, rtol=1e-6)


def test_averages_of_weights():
    weights = [np.full(2, float(i)) for i in range(200)]
    average = {"w": jnp.asarray(weights[0])}
    for step, value in enumerate(weights):
        average = average_weights(average, {"w": value}, step, decay=0.9)
    # Far beyond the beginning the lag of a moving average behind a ramp is decay / (1 - decay).
    np.testing.assert_allclose(average["w"], 199 - 9, rtol=1e-4)
    np.testing.assert_array_equal(average_weights({"w": 1.0}, {"w": 3.0}, 500, decay=0.0)["w"], 3.0)


@pytest.mark.thorough
def test_a_restorer_says_what_it_is_and_restores(tmp_path):
    done = run(task_of(GAN), tmp_path)
    with Image.open(tmp_path / "tiny" / "samples" / "step-0000006.png") as picture:
        assert picture.size == (8 * 50, (1 + 3 + 1) * 50)  # measurements, three draws, truth
    (line,) = csv.DictReader((tmp_path / "tiny" / "log.csv").read_text().splitlines())
    assert list(line) == ["step", "adversarial", "critic", "loss", "parameters", "robustness"]
    assert all(np.isfinite(float(value)) for value in line.values())
    packed = unpack_restorer(done.weights.read_bytes())
    assert packed.config == GAN.restorer_config()
    degradation = parse_degradation(packed.config.degradation)
    ours = restorer_network(packed.config, operators=degradation.operator)
    x = jnp.asarray(np.stack(list(digits("test")[:4])))
    y = degradation(jax.random.key(0), x)
    found = ours.apply(packed.params, y, ours.seeds(jax.random.key(1), y))
    np.testing.assert_allclose(degradation.operator((8, 8, 1))(found), y, atol=1e-5)


@pytest.mark.thorough
def test_a_classifier_is_trained_and_needs_labels(tmp_path):
    task = task_of(load_recipes("classifiers", "smoke")["digits-attacker"])
    done = run(task, tmp_path)
    params, metadata = unpack_weights(done.weights.read_bytes())
    assert metadata["classifier"] == "attacker"
    source = digits("test")
    logits = digit_model("attacker").apply(params, jnp.asarray(np.stack(list(source))))
    assert np.mean(np.argmax(logits, axis=1) == np.array(source.labels)) > 0.5  # after twenty steps; chance is 0.1
    (line,) = csv.DictReader((tmp_path / "digits-attacker" / "log.csv").read_text().splitlines())
    assert list(line) == ["step", "gradient", "loss", "parameters"]
    with pytest.raises(InputError, match="source: found no labels"):
        task.start(replace(source, labels=None), None)
    with pytest.raises(InputError, match="begin_with: found weights of another network"):
        task.start(source, pack_weights({"count": np.zeros(1)}, {}))
