"""The recipe that trains RRDB on GFPGAN's degradation: its numbers, and that every scale of it starts."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxpr.core import InputError
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.unet import UNetConfig
from jaxpr.restorers import trained_restorer
from jaxpr.training import Crops, drive, load_recipes, task_of
from jaxpr.training.restorer_task import build_procedure


def only(scale):
    (recipe,) = load_recipes("faces", scale).values()
    return recipe


def test_the_config_has_a_recipe_of_every_scale():
    smoke, small, paper = map(only, ("smoke", "small", "paper"))
    assert {recipe.name for recipe in (smoke, small, paper)} == {"faces-l1"}
    for recipe in (smoke, small, paper):
        assert (recipe.data.degradation, recipe.network.consistent) == ("blindface", False)
        assert (recipe.losses.pixel, recipe.losses.pixel_norm, recipe.losses.adversarial) == (1.0, "l1", None)
        assert recipe.measurement_shape() == recipe.shape
    assert paper.network.sizes == RRDBNetConfig(unshuffle=4)
    assert (paper.data.source, paper.data.size, paper.data.symmetries) == ("data/ffhq512", 512, 2)
    adam = paper.optimizer
    assert (adam.steps, adam.batch, adam.rate, adam.betas) == (1_000_000, 16, 2e-4, (0.9, 0.99))


@pytest.mark.thorough
@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_restorations_have_the_size_of_y(scale):
    restorer = build_procedure(only(scale)).restorer
    params = jax.eval_shape(restorer.init, jax.random.key(0))
    y = jax.ShapeDtypeStruct((1, 24, 28, 3), jnp.float32)
    assert jax.eval_shape(restorer.apply, params, y, ()).shape == y.shape
    if scale == "paper":
        # 16.70 million at ×4, whose first convolution has 3 · 9 · 64 weights where this one has 48 · 9 · 64.
        assert sum(leaf.size for leaf in jax.tree.leaves(params)) == 16_697_987 + 45 * 9 * 64


def test_what_needs_an_operator_is_refused():
    recipe = only("smoke")
    with pytest.raises(InputError, match="consistent: found 'blindface', which has no linear operator, expected False"):
        replace(recipe, network=replace(recipe.network, consistent=True))
    with pytest.raises(InputError, match="sizes: found 'blindface', which has no linear operator, expected an RRDBNet"):
        replace(recipe, network=replace(recipe.network, sizes=UNetConfig(channels=3, width=2)))
    with pytest.raises(InputError, match="network: found an RRDBNet of scale 4, expected 1"):
        replace(recipe, network=replace(recipe.network, sizes=RRDBNetConfig()))
    with pytest.raises(InputError, match="degradation: found 'given'"):
        Crops(source="photos", size=8, degradation="given")


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["smoke", "paper"])
def test_it_trains_from_a_folder_and_restores(tmp_path, monkeypatch, scale):
    """At scale paper with the paper's folder and network, but crops of 64 pixels, two steps and batches of one."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "ffhq512"
    folder.mkdir(parents=True)
    side = {"smoke": 70, "paper": 512}[scale]
    for i in range(2):
        pixels = np.random.default_rng(i).integers(0, 256, (side, side, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{i:05d}.png")
    recipe = only(scale)
    data = replace(recipe.data, source="data/ffhq512", size=64)
    recipe = replace(recipe, data=data, optimizer=replace(recipe.optimizer, steps=2, batch=1))
    done = drive(task_of(recipe), tmp_path / "out", command="", checkpoint_every=1, progress=False)
    assert done.steps == 2
    made = trained_restorer(done.weights)
    x_hat = made.apply(made.params, None, jnp.full((1, 32, 40, 3), 0.5))
    assert x_hat.shape == (1, 32, 40, 3)
    assert np.isfinite(x_hat).all()
