"""Recipes: what does not fit is refused when they are made; configs describe what made the packaged weights."""

import json
from dataclasses import replace

import jax
import pytest

from jaxpr.core import InputError
from jaxpr.models.resnet_critic import table4
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.unet import UNetConfig
from jaxpr.training import AdamW, CrossEntropy, LabelledImages, Recipe, load_recipes, recipe_record, task_of
from jaxpr.training.restorer_task import build_procedure
from jaxpr.weights.packaged import PACKAGED_RESTORERS, packaged_restorer

RECIPE = load_recipes("digits", "smoke")["digits-inpainting-stochastic-robust-0"]
CLASSIFIER = load_recipes("classifiers", "smoke")["digits-judge"]
MEGABYTES = 2 * 2**20


@pytest.mark.parametrize(
    ("part", "changes", "message"),
    [
        ("optimizer", {"steps": 0}, "steps: found 0"),
        ("optimizer", {"average": 1.0}, "average: found 1.0"),
        ("optimizer", {"betas": (0.5, 1.0)}, "betas: found"),
        ("optimizer", {"milestones": (2.0,)}, "milestones: found"),
        ("optimizer", {"rate": "fast"}, "rate: found 'fast'"),
        ("losses", {"adversarial": None}, "pixel, perceptual, adversarial: found none"),
        ("losses", {"pixel_norm": "l3"}, "pixel_norm: found 'l3', expected one of l1, l2"),
        ("losses.adversarial", {"penalty": -1.0}, "penalty: found -1.0"),
        ("losses.adversarial", {"critic": None}, "critic: found None"),
        ("losses.adversarial", {"conditional": True}, "critic: found 1 channels, expected 2"),
        ("losses.adversarial", {"critic": table4(size=16, channels=1, width=2)}, "critic: found size 16, expected 8"),
        ("losses.robustness", {"examples": 0}, "examples: found 0"),
        ("losses.robustness", {"weight": 0.0}, "weight: found 0.0"),
        ("data", {"source": 3}, "source: found 3"),
        ("data", {"symmetries": 4}, "symmetries: found 4, expected one of 1, 2, 8"),
        ("data", {"degradation": "average-x2+noise-0.1"}, "consistent: found 'average-x2.noise-0.1'"),
        ("data", {"degradation": "average-x2+jpeg-50"}, "without JPEG"),
        ("data", {"degradation": "realworld-x4"}, "with an operator"),
        ("data", {"degradation": "blindface"}, "consistent: found 'blindface', which has no linear operator"),
        ("data", {"degradation": "average-x3"}, "factor: found 3, which does not divide"),
        ("network", {"sizes": None}, "sizes: found None"),
        ("network", {"sizes": RRDBNetConfig()}, "network: found an RRDBNet of scale 4, expected 1"),
        ("", {"seed": 2**64}, "seed: found"),
        ("", {"name": "../escape"}, r"name: found '\.\./escape'"),
        ("", {"begin_with": ".."}, r"begin_with: found '\.\.'"),
    ],
)
def test_what_does_not_fit_is_refused(part, changes, message):
    def changed(value, way):
        name, _, rest = way.partition(".")
        return replace(value, **changes) if not name else replace(value, **{name: changed(getattr(value, name), rest)})

    with pytest.raises(InputError, match=message) as caught:
        changed(RECIPE, part)
    assert "\n" not in str(caught.value)


def test_recipes_of_classifiers_are_checked_too():
    for make, message in (
        (lambda: replace(CLASSIFIER, network="lawyer"), "network: found 'lawyer', expected one of attacker, judge"),
        (lambda: LabelledImages(source="digits", shift=-1), "shift: found -1"),
        (lambda: CrossEntropy(smoothing=1.0), "smoothing: found 1.0"),
        (lambda: AdamW(steps=3, batch=2, rate=1.0, clip=0.0), "clip: found 0.0"),
    ):
        with pytest.raises(InputError, match=message):
            make()


def test_recipes_are_recorded():
    record = recipe_record(RECIPE)
    assert json.loads(json.dumps(record))["kind"] == "RestorerRecipe"
    assert record["network"]["sizes"] == {"kind": "UNetConfig", **RECIPE.network.sizes._asdict()}
    assert record["losses"]["adversarial"]["critic"]["kind"] == "VggCriticConfig"
    assert (
        recipe_record(replace(RECIPE, network=replace(RECIPE.network, sizes=UNetConfig(channels=1, width=3)))) != record
    )


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["digits", "photographs", "classifiers"])
def test_packaged_configs(name):
    """Every recipe begins with one before it, and restorers fit into 2 MB at scale small."""
    for scale in ("smoke", "small", "paper"):
        found, sizes = load_recipes(name, scale), set()
        for i, (title, recipe) in enumerate(found.items()):
            assert title == recipe.name
            assert recipe.begin_with is None or recipe.begin_with in list(found)[:i]
            json.dumps(recipe_record(recipe))
            if scale == "small" and name != "classifiers" and recipe.network not in sizes:
                sizes.add(recipe.network)
                shapes = jax.eval_shape(build_procedure(recipe).restorer.init, jax.random.key(0))
                assert sum(4 * leaf.size for leaf in jax.tree.leaves(shapes)) < 0.98 * MEGABYTES


def flat(recipe):
    """The values as weights packaged before recipes were nested name them; those of losses that are left out, not."""
    record = json.loads(json.dumps(recipe_record(recipe)))
    data, network, losses, optimizer = (record[name] for name in ("data", "network", "losses", "optimizer"))
    same = {name: record[name] for name in ("name", "begin_with", "seed")}
    same |= {name: data[name] for name in ("size", "degradation", "symmetries", "candidates")} | {
        "data": data["source"]
    }
    same |= {name: network[name] for name in ("stochastic", "consistent", "dtype", "remat")}
    same |= {name: optimizer[name] for name in ("steps", "batch", "rate", "betas", "milestones", "average")}
    same |= {"network": network["sizes"], "rate_factor": optimizer["factor"]}
    same |= {"pixel": losses["pixel"], "perceptual": losses["perceptual"], "adversarial": 0.0, "robustness": 0.0}
    if losses["adversarial"]:
        critic = {name: losses["adversarial"][name] for name in ("critic", "conditional", "penalty")}
        same |= critic | {"adversarial": losses["adversarial"]["weight"], "critic_rate": optimizer["critic_rate"]}
    if losses["robustness"]:
        robustness = losses["robustness"]
        same |= {f"attack_{name}": robustness[name] for name in ("psnr", "steps", "rate")}
        same |= {f"robustness_{name}": robustness[name] for name in ("draws", "every", "examples")}
        same |= {"robustness": robustness["weight"]}
    return same


@pytest.mark.thorough
def test_configs_describe_what_made_the_packaged_weights():
    recipes = load_recipes("photographs", "small") | load_recipes("digits", "small")
    for name in PACKAGED_RESTORERS:
        if recipes[name].seed:
            continue  # the same but for the seed
        made = packaged_restorer(name).packed.metadata["recipe"]
        wanted = flat(recipes[name])
        assert {field: made[field] for field in wanted} == wanted, name


def test_recipes_of_other_kinds_are_named():
    bare = Recipe(name="bare", data=CLASSIFIER.data, optimizer=CLASSIFIER.optimizer)
    with pytest.raises(InputError, match="recipe bare: found a Recipe"):
        task_of(bare)
