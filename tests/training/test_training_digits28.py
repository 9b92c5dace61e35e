"""Recipes for decisions behind restorers of digits of 28×28, and classifiers of images of any size."""

import itertools
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.data import from_arrays
from jaxpr.models import ClassifierConfig
from jaxpr.restorers import trained_restorer
from jaxpr.training import AdamW, ClassifierRecipe, LabelledImages, drive, load_recipes, recipes, task_of
from jaxpr.weights import trained_classifier


def images(size, *, classes=10, channels=1):
    x = np.random.default_rng(0).uniform(size=(2 * classes, size, size, channels)).astype(np.float32)
    return from_arrays(x, name="random", labels=list(range(classes)) * 2)


@pytest.mark.parametrize(("scale", "seeds"), [("smoke", 1), ("small", 3), ("paper", 5)])
def test_the_config_has_recipes_of_every_scale(scale, seeds):
    found = load_recipes("digits28", scale)
    start = "digits28-average-x4-noise-0.0392"
    names = [f"{start}-{kind}-{seed}" for seed, kind in itertools.product(range(seeds), ("l1", "gan", "mixed"))]
    assert list(found) == ["digits28-attacker", "digits28-judge", *names]
    assert found["digits28-attacker"].network.design != found["digits28-judge"].network.design
    restorers = [found[name] for name in names]
    assert len({recipe.restorer_config() for recipe in restorers}) == 1
    assert not any(recipe.network.consistent for recipe in restorers)
    assert restorers[0].data.parsed().noise_std == pytest.approx(10 / 255, rel=1e-3)
    losses = [recipe.losses for recipe in restorers[:3]]
    assert [(bool(each.pixel), each.adversarial is not None) for each in losses] == [
        (True, False), (False, True), (True, True)
    ]  # fmt: skip


def recipe(**changes):
    made = {"name": "any", "data": LabelledImages(source="digits"), "network": ClassifierConfig("pooled", 12, 3, 4, 2)}
    return ClassifierRecipe(**(made | changes), optimizer=AdamW(steps=2, batch=4, rate=1e-3))


@pytest.mark.thorough
def test_a_classifier_of_images_of_any_size(tmp_path, monkeypatch):
    monkeypatch.setattr(recipes, "named_images", lambda *_: images(12, classes=4, channels=3))
    done = drive(task_of(recipe()), tmp_path, command="", progress=False)
    assert trained_classifier(done.weights)(jnp.zeros((2, 12, 12, 3))).shape == (2, 4)
    task = task_of(recipe(network=ClassifierConfig("pooled", 12, 3, 3, 2)))
    with pytest.raises(InputError, match="source: found classes 0 to 3, expected 0 to 2"):
        task.start(images(12, classes=4, channels=3), None)
    with pytest.raises(InputError, match=r"source: found images of \(8, 8, 3\), expected \(12, 12, 3\)"):
        task.start(images(8, classes=3, channels=3), None)
    with pytest.raises(InputError, match="begin_with: found weights of another network"):
        task.start(images(12, classes=3, channels=3), done.weights.read_bytes())
    with pytest.raises(InputError, match="design: found 'deep'"):
        recipe(network=ClassifierConfig("deep", 12))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits28-judge", "digits28-average-x4-noise-0.0392-mixed-0"])
def test_smoke(tmp_path, monkeypatch, name):
    monkeypatch.setattr(recipes, "named_images", lambda *_: images(28))
    found = load_recipes("digits28", "smoke")[name]
    done = drive(
        task_of(replace(found, optimizer=replace(found.optimizer, steps=2))), tmp_path, command="", progress=False
    )
    if name.endswith("judge"):
        assert trained_classifier(done.weights)(jnp.zeros((1, 28, 28, 1))).shape == (1, 10)
    else:
        made = trained_restorer(done.weights)
        assert made.apply(made.params, None, jnp.zeros((1, 7, 7, 1))).shape == (1, 28, 28, 1)
