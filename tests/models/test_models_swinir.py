"""SwinIR against the published implementation (tests/golden/swinir), and its behaviour."""

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
    repeated,
    shapes,
    with_arrays,
)

from jaxpr.core import InputError
from jaxpr.models.layers import Compute
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.models.swinir import SWINIR, SwinIRConfig, swinir
from jaxpr.weights.networks import recognise

MANIFEST, ARRAYS = manifest("swinir"), arrays("swinir")
CASES, NAMINGS = MANIFEST["cases"], SWINIR.namings


def configured(official: dict) -> SwinIRConfig:
    return SwinIRConfig(**{name: tuple(v) if isinstance(v, list) else v for name, v in official.items()})


@pytest.mark.parametrize("name", quick(with_arrays("swinir"), "classical_x4_pad"))
def test_golden_outputs(name):
    case = CASES[name]
    model = swinir(configured(case["config"]))
    params = parameters(model, case["keys"], case["gain"], NAMINGS)
    found = jax.jit(model.apply)(params, nhwc(ARRAYS[case["input"]]))
    assert error(nchw(found), ARRAYS[case["output"]]) <= FLOAT32


@pytest.mark.parametrize("name", CASES)
def test_the_file_tells_the_configuration(name):
    config = configured(CASES[name]["config"])
    named = shapes(CASES[name]["keys"])
    assert recognise(named) == (SWINIR, config)
    assert_complete(abstract_parameters(swinir(config)), named, NAMINGS)


def published() -> dict[str, tuple[SwinIRConfig, list]]:
    found = {}
    for name, entry in MANIFEST["official_keys"].items():
        if isinstance(entry, list):
            config, keys = configured(MANIFEST["full_cases"][name]["config"]), entry
        else:
            config = configured(entry["config"])
            keys = entry.get("keys") or repeated(entry, groups=len(config.depths), blocks=config.depths[0])
            assert len(keys) == entry["n_keys"]
        found[name] = config, keys
    return found


PUBLISHED = published()


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_files_are_recognised_and_complete(name):
    config, keys = PUBLISHED[name]
    assert recognise(shapes(keys)) == (SWINIR, config)
    assert_complete(abstract_parameters(swinir(config)), shapes(keys), NAMINGS)


def test_every_published_configuration_can_be_built():
    built = {configured(checkpoint["config"]) for checkpoint in MANIFEST["checkpoints"]}
    assert len(built) > 10
    for config in built:
        small = config._replace(depths=(1,), num_heads=config.num_heads[:1])
        model, scale = swinir(small), config.scale
        x = jax.ShapeDtypeStruct((1, 17, 9, config.in_chans), np.float32)
        out = jax.eval_shape(model.apply, abstract_parameters(model), x)
        assert out.shape == (1, 17 * scale, 9 * scale, config.in_chans)


@pytest.mark.slow
@pytest.mark.parametrize("name", MANIFEST["full_cases"])
def test_published_size(name):
    full = MANIFEST["full_cases"][name]
    model = swinir(configured(full["config"]))
    assert_full_case(model, full, fills(torch_shapes(abstract_parameters(model))), NAMINGS)


CASE = CASES["classical_x4_pad"]
CONFIG = configured(CASE["config"])
PARAMS = parameters(swinir(CONFIG), CASE["keys"], CASE["gain"], NAMINGS)


SMALL = CONFIG._replace(depths=(1,), num_heads=(2,), upscale=1, upsampler="")
IMAGES = np.random.default_rng(0).random((2, 7, 5, 3), np.float32)


def drawn_parameters(config):
    model = swinir(config)
    return parameters(model, fills(torch_shapes(abstract_parameters(model))), 1.0, NAMINGS)


@pytest.mark.slow
def test_behaviour():
    assert_behaves(lambda compute: swinir(SMALL, compute=compute), drawn_parameters(SMALL), IMAGES)


@pytest.mark.slow
def test_recomputed_activations():
    config = CONFIG._replace(num_heads=(2, 2))
    assert_recomputes(lambda compute: swinir(config, compute=compute), drawn_parameters(config), IMAGES)


@pytest.mark.slow
def test_attention_in_blocks_of_windows():
    x, expected = nhwc(ARRAYS[CASE["input"]]), ARRAYS[CASE["output"]]
    model = swinir(CONFIG, compute=Compute(attention_limit=3000))  # of 2 × 12 windows × 3 heads × 16² logits
    assert error(nchw(jax.jit(model.apply)(PARAMS, x)), expected) <= FLOAT32


def test_groups_that_differ_in_nothing_but_parameters_share_a_loop():
    model = swinir(CONFIG._replace(num_heads=(2, 2)))
    program = jax.make_jaxpr(model.apply)(abstract_parameters(model), np.zeros((1, 8, 8, 3), np.float32))
    assert [equation.params["length"] for equation in program.eqns if equation.primitive.name == "scan"] == [2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"upsampler": "bilinear"}, "upsampler: found 'bilinear'"),
        ({"upscale": 6}, "upscale: found 6, expected a power of two or 3"),
        ({"upsampler": "nearest+conv", "upscale": 3}, "upscale: found 3, expected 2 or 4"),
        ({"upsampler": ""}, "upscale: found 4, expected 1"),
        ({"num_heads": (2,)}, "depths and num_heads: found (2, 2) and (2,)"),
        ({"num_heads": (5, 5)}, "embed_dim: found 12, expected a multiple"),
        ({"img_size": 3}, "img_size: found 3, expected a divisor of the window 4"),
        ({"resi_connection": "2conv"}, "resi_connection: found '2conv'"),
    ],
)
def test_sizes_that_do_not_fit(changes, message):
    with pytest.raises(InputError) as caught:
        swinir(CONFIG._replace(**changes))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 8, 8, 1), "x: found shape (1, 8, 8, 1), expected (N, H, W, 3)"),
        ((1, 2, 8, 3), "x: found 2×8 pixels, expected enough to reflect 2 rows"),
    ],
)
def test_wrong_inputs(shape, message):
    with pytest.raises(InputError) as caught:
        swinir(CONFIG).apply(PARAMS, np.zeros(shape, np.float32))
    assert str(caught.value).startswith(message)
