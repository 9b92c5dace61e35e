"""RRDBNet against the published implementations (tests/golden/rrdbnet_*), and its behaviour."""

import functools

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
    manifest,
    nchw,
    nhwc,
    parameters,
    quick,
    shapes,
    with_arrays,
)

from jaxpr.core import InputError
from jaxpr.models.naming import abstract_parameters
from jaxpr.models.rrdbnet import RRDBNET, RRDBNetConfig, rrdbnet
from jaxpr.weights.networks import recognise

ESRGAN, REALESRGAN = "rrdbnet_esrgan", "rrdbnet_realesrgan"
SMALL = RRDBNetConfig(num_feat=8, num_block=2, num_grow_ch=4)
CONFIGS = {
    (ESRGAN, "esrgan_x4"): SMALL,
    (ESRGAN, "bsrgan_sf2"): SMALL._replace(upsamplings=1),
    (REALESRGAN, "x4"): SMALL,
    (REALESRGAN, "x2"): SMALL._replace(unshuffle=2),
    (REALESRGAN, "x1"): SMALL._replace(unshuffle=4),
}
CASES = [(network, case) for network in (ESRGAN, REALESRGAN) for case in with_arrays(network)]
PUBLISHED_X4 = manifest(REALESRGAN)["official_keys"]["x4 (num_block 23)"]


@functools.cache
def abstract(config):
    return abstract_parameters(rrdbnet(config))


def case_of(network, name):
    return manifest(network)["cases"][name]


@pytest.mark.parametrize(("network", "name"), CASES)
def test_golden_outputs(network, name):
    case, config = case_of(network, name), CONFIGS[network, name]
    model = rrdbnet(config)
    params = parameters(model, case["keys"], case["gain"], RRDBNET.namings)
    found = jax.jit(model.apply)(params, nhwc(arrays(network)[case["input"]]))
    assert error(nchw(found), arrays(network)[case["output"]]) <= FLOAT32


@pytest.mark.parametrize(("network", "name"), CONFIGS)
def test_the_file_tells_the_configuration(network, name):
    assert recognise(shapes(case_of(network, name)["keys"])) == (RRDBNET, CONFIGS[network, name])


def published():
    esrgan = manifest(ESRGAN)["official_keys"]["x4"]
    first = manifest(REALESRGAN)["official_keys"]["x2 differs only in"][0]
    numbered = dict(manifest(ESRGAN)["old_arch_map"])
    return {
        "realesrgan_x4": (PUBLISHED_X4, RRDBNetConfig()),
        "realesrgan_x2": ([first, *PUBLISHED_X4[1:]], RRDBNetConfig(unshuffle=2)),
        "esrgan_x4": (esrgan, RRDBNetConfig()),
        "esrgan_x4_old": ([[numbered[name], *rest] for name, *rest in esrgan], RRDBNetConfig()),
        "realesrgan_anime_6b": (
            [key for key in PUBLISHED_X4 if not key[0].startswith(tuple(f"body.{i}." for i in range(6, 23)))],
            RRDBNetConfig(num_block=6),
        ),
    }


@pytest.mark.parametrize("name", quick(published(), "realesrgan_x2", "esrgan_x4_old", "realesrgan_anime_6b"))
def test_published_files_are_recognised_and_complete(name):
    keys, config = published()[name]
    named = shapes(keys)
    assert len(named) == (702 if config.num_block == 23 else 192)
    assert recognise(named) == (RRDBNET, config)
    assert_complete(abstract(config), named, RRDBNET.namings)


@pytest.mark.parametrize(("upsamplings", "indices"), [(0, (2, 4)), (1, (3, 5, 7)), (3, (3, 6, 9, 11, 13))])
def test_first_generation_of_names_at_other_scales(upsamplings, indices):
    numbered = {n: o for n, o in manifest(ESRGAN)["old_arch_map"] if n.startswith(("conv_first", "RRDB_trunk.0"))}
    named = {
        numbered[name]: shape
        for name, shape in shapes(case_of(ESRGAN, "esrgan_x4")["keys"]).items()
        if name in numbered
    }
    ends = {f"model.{i}": 3 if i == indices[-1] else 8 for i in indices} | {"model.1.sub.1": 8}
    for place, outputs in ends.items():
        named |= {f"{place}.weight": (outputs, 8, 3, 3), f"{place}.bias": (outputs,)}
    config = SMALL._replace(num_block=1, upsamplings=upsamplings)
    assert recognise(named) == (RRDBNET, config)
    assert_complete(abstract(config), named, RRDBNET.namings)


@pytest.mark.slow
@pytest.mark.parametrize("network", [ESRGAN, REALESRGAN])
def test_published_size(network):
    keys = next(iter(manifest(network)["official_keys"].values()))
    assert_full_case(rrdbnet(RRDBNetConfig()), manifest(network)["full_case"], keys, RRDBNET.namings)


SMALL_PARAMS = parameters(
    rrdbnet(SMALL), case_of(REALESRGAN, "x4")["keys"], case_of(REALESRGAN, "x4")["gain"], RRDBNET.namings
)
IMAGES = np.random.default_rng(0).random((2, 5, 3, 3), np.float32)


@pytest.mark.slow
def test_behaviour():
    assert_behaves(lambda compute: rrdbnet(SMALL, compute=compute), SMALL_PARAMS, IMAGES)


@pytest.mark.slow
def test_recomputed_activations():
    assert_recomputes(lambda compute: rrdbnet(SMALL, compute=compute), SMALL_PARAMS, IMAGES)


@pytest.mark.parametrize(("unshuffle", "upsamplings", "scale"), [(1, 2, 4), (2, 2, 2), (4, 2, 1), (1, 1, 2), (1, 3, 8)])
def test_scales_and_odd_sizes(unshuffle, upsamplings, scale):
    config = SMALL._replace(num_block=1, unshuffle=unshuffle, upsamplings=upsamplings)
    assert config.scale == scale
    model = rrdbnet(config)
    x = jax.ShapeDtypeStruct((1, 5 * unshuffle, 3 * unshuffle, 3), np.float32)
    found = jax.eval_shape(model.apply, jax.eval_shape(model.init, jax.random.key(0)), x)
    assert found.shape == (1, 5 * unshuffle * scale, 3 * unshuffle * scale, 3)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 6, 6, 1), "x: found shape (1, 6, 6, 1), expected (N, H, W, 3)"),
        ((6, 6, 3), "x: found shape (6, 6, 3), expected (N, H, W, 3)"),
        ((1, 6, 5, 3), "x: found 6×5 pixels, expected multiples of 2"),
    ],
)
def test_wrong_inputs(shape, message):
    model = rrdbnet(SMALL._replace(unshuffle=2))
    with pytest.raises(InputError) as caught:
        jax.eval_shape(lambda key, x: model.apply(model.init(key), x), jax.random.key(0), np.zeros(shape, np.float32))
    assert str(caught.value).splitlines()[0] == message
