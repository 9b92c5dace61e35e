"""Restormer against the published implementation (tests/golden/restormer), and its behaviour."""

import jax
import numpy as np
import pytest
from golden_networks import (
    FLOAT32,
    arrays,
    assert_behaves,
    assert_complete,
    assert_full_case,
    assert_recomputes,
    error,
    fills,
    manifest,
    nchw,
    nhwc,
    parameters,
    quick,
    shapes,
    with_arrays,
)

from jaxpr.core import InputError
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.models.restormer import RESTORMER, RestormerConfig, restormer
from jaxpr.weights.networks import recognise

MANIFEST, ARRAYS = manifest("restormer"), arrays("restormer")
CASES, NAMINGS = MANIFEST["cases"], RESTORMER.namings


def configured(official: dict) -> RestormerConfig:
    return RestormerConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in official.items()})


@pytest.mark.parametrize("name", quick(with_arrays("restormer"), "biasfree", "eps_probe"))
def test_golden_outputs(name):
    case = CASES[name]
    model = restormer(configured(case["config"]))
    params = parameters(model, case["keys"], case["gain"], NAMINGS)
    found = jax.jit(model.apply)(params, nhwc(ARRAYS[case["input"]]))
    assert error(nchw(found), ARRAYS[case["output"]]) <= FLOAT32


@pytest.mark.parametrize("name", CASES)
def test_the_file_tells_the_configuration(name):
    config, named = configured(CASES[name]["config"]), shapes(CASES[name]["keys"])
    assert recognise(named) == (RESTORMER, config)
    assert_complete(abstract_parameters(restormer(config)), named, NAMINGS)


def test_published_files_are_recognised_and_complete():
    assert configured(MANIFEST["config"]) == RestormerConfig()
    named, abstract = shapes(MANIFEST["official_keys"]), abstract_parameters(restormer(RestormerConfig()))
    assert recognise(named) == (RESTORMER, RestormerConfig())
    assert_complete(abstract, named, NAMINGS)
    assert sum(leaf.size for leaf in jax.tree.leaves(abstract)) == MANIFEST["n_parameters"]


PUBLISHED = sorted({configured(checkpoint["config"]) for checkpoint in MANIFEST["checkpoints"]})


@pytest.mark.parametrize("config", PUBLISHED, ids=lambda c: f"{c.inp_channels}-{c.LayerNorm_type}")
def test_every_published_configuration_can_be_built(config):
    small = config._replace(num_blocks=(1, 1, 1, 1), num_refinement_blocks=1)
    model, x = restormer(small), jax.ShapeDtypeStruct((1, 17, 9, config.inp_channels), np.float32)
    params = abstract_parameters(model)
    assert recognise(torch_shapes(params)) == (RESTORMER, small)
    assert jax.eval_shape(model.apply, params, x).shape == (1, 17, 9, config.out_channels)


@pytest.mark.parametrize("factor", quick([1.0, 2.0, 2.5, 8 / 3, 4.0], 8 / 3))
def test_other_expansion_factors_are_recognised_by_their_widths(factor):
    params = abstract_parameters(restormer(SMALL._replace(ffn_expansion_factor=factor)))
    _, found = recognise(torch_shapes(params))
    assert len(str(found.ffn_expansion_factor)) <= len(str(factor))
    assert_complete(params, torch_shapes(abstract_parameters(restormer(found))), NAMINGS)


@pytest.mark.slow
def test_published_size():
    full = {**MANIFEST["full_case"], "gain": MANIFEST["gain"]}
    assert_full_case(restormer(RestormerConfig()), full, MANIFEST["official_keys"], NAMINGS)


SMALL = RestormerConfig(dim=4, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, heads=(1, 1, 2, 2))
SHALLOW = SMALL._replace(num_blocks=(0, 0, 0, 1), num_refinement_blocks=1)  # all resolutions, little to compile
IMAGES = np.random.default_rng(0).random((2, 13, 11, 3), np.float32)


def drawn_parameters(config):
    model = restormer(config)
    return parameters(model, fills(torch_shapes(abstract_parameters(model))), 1.0, NAMINGS)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["BiasFree", "WithBias"])
def test_behaviour(kind):
    config = SHALLOW._replace(LayerNorm_type=kind)
    assert_behaves(lambda compute: restormer(config, compute=compute), drawn_parameters(config), IMAGES)


@pytest.mark.slow
def test_recomputed_activations():
    config = SHALLOW._replace(num_blocks=(0, 0, 2, 1))
    assert_recomputes(lambda compute: restormer(config, compute=compute), drawn_parameters(config), IMAGES)


@pytest.mark.slow
def test_a_dual_pixel_pair_becomes_one_image_without_the_input():
    config = SHALLOW._replace(inp_channels=6, dual_pixel_task=True)
    model, params = restormer(config), drawn_parameters(config)
    params["output"]["kernel"] = 0 * params["output"]["kernel"]
    pair = np.concatenate([IMAGES, IMAGES], axis=-1)
    np.testing.assert_array_equal(model.apply(params, pair), np.zeros_like(IMAGES))


@pytest.mark.slow
def test_other_sizes_are_extended_by_reflection():
    model, params = restormer(SHALLOW), drawn_parameters(SHALLOW)
    extended = np.pad(IMAGES, ((0, 0), (0, 3), (0, 5), (0, 0)), mode="reflect")
    expected = jax.jit(model.apply)(params, extended)[:, :13, :11]
    np.testing.assert_array_equal(jax.jit(model.apply)(params, IMAGES), expected)


def test_equal_blocks_share_a_loop():
    model = restormer(SMALL._replace(num_blocks=(2, 3, 1, 4)))
    program = jax.make_jaxpr(model.apply)(abstract_parameters(model), np.zeros((1, 8, 8, 3), np.float32))
    loops = [equation.params["length"] for equation in program.eqns if equation.primitive.name == "scan"]
    assert loops == [2, 3, 4, 3, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"LayerNorm_type": "biasfree"}, "LayerNorm_type: found 'biasfree', expected one of"),
        ({"heads": (1, 2, 4)}, "num_blocks and heads: found (1, 1, 1, 1) and (1, 2, 4), expected four each"),
        ({"heads": (1, 2, 4, 3)}, "heads: found (1, 2, 4, 3), expected divisors of the widths, 4"),
        ({"dim": 5}, "dim: found 5, expected an even number"),
        ({"inp_channels": 6}, "inp_channels: found 6, expected 3 as out_channels"),
    ],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(InputError) as caught:
        restormer(SMALL._replace(**changes))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 8, 8, 1), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
        ((1, 3, 8, 3), "x: found 3×8 pixels, expected enough to reflect 5 rows"),
    ],
)
def test_wrong_inputs(shape, message):
    model = restormer(SMALL)
    with pytest.raises(InputError) as caught:
        jax.eval_shape(model.apply, abstract_parameters(model), np.zeros(shape, np.float32))
    assert str(caught.value).startswith(message)
