"""All networks against their published implementations (tests/golden), and what they have in common."""

import functools

import golden_mistakes
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import CASES, CONFIGURED, CRITIC, UNSEEN, abstract_of, model_of, network_of, whole
from golden_networks import (
    FLOAT32,
    arrays,
    assert_complete,
    assert_near,
    assert_summary,
    error,
    gradients,
    manifest,
    nchw,
    quick,
    shapes,
)
from golden_published import FULL, PUBLISHED
from golden_sizes import BLOCKS, LOOPS, SMALL

from jaxpr.core import InputError
from jaxpr.models.layers import Compute
from jaxpr.models.naming import torch_shapes
from jaxpr.weights.networks import recognise

# One case of each architecture, the costly ones apart, and those that need no further program.
THOROUGH = (
    "adm_unet-eps_probe",
    "ddpm_unet-eps_probe",
    "restormer-eps_probe",
    "rrdbnet_esrgan-bsrgan_sf2",
    "rrdbnet_realesrgan-x1",
    "sd_vae-eps_probe",
    "vit-no_qkv_bias",
    "adm_unet-uncond",
    "adm_unet-classifier",
    "ddpm_unet-reduced",
    "fid_inception-tf",
    "fid_inception-pf",
    "gfpgan_clean-reduced",
    "restormer-biasfree",
    "sd_vae-reduced",
    "swin2sr-compressed_x4_pad",
)
QUICK = (
    "resnet_critic",
    "rrdbnet_esrgan-esrgan_x4",
    "rrdbnet_realesrgan-x4",
    "srvggnet-x1_gray",
    "srvggnet-x4",
    "swinir-classical_x4_pad",
    "vit-reduced",
)
STORED = [name for name, case in CASES.items() if case.inputs]
IN_FILES = [name for name, case in CASES.items() if network_of(case.config) is not CRITIC]


@functools.lru_cache(maxsize=None, typed=True)
def program(config, compute: Compute):
    return jax.jit(whole(config, compute).apply)


def assert_golden(case, compute: Compute) -> None:
    found = program(case.config, compute)(case.parameters(), *case.inputs())
    assert case.expected
    for place, expected in case.expected.items():
        output = nchw(found[place]) if expected.ndim == 4 else found[place]
        assert error(output, expected) <= FLOAT32, place


@pytest.mark.parametrize("name", quick(STORED, *QUICK, thorough=THOROUGH))
def test_golden_outputs(name):
    assert_golden(CASES[name], Compute())


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_attention_in_blocks(name):
    assert_golden(CASES[name], Compute(attention_limit=BLOCKS[name]))


@pytest.mark.slow
@pytest.mark.parametrize("name", FULL)
def test_published_sizes(name):
    case, summaries = FULL[name]()
    found = jax.jit(whole(case.config).apply)(case.parameters(), *case.inputs())
    for place, channels, expected in summaries:
        output = np.asarray(found[place]) if found[place].ndim == 2 else nchw(found[place])
        assert_summary(output[:, :channels], expected)


# Inputs, what is compared elsewhere, and a last hidden state that the network does not give.
OTHERS = ("in", "_t", "_y", "eps", "temb_31", "temb_32", "temb_33", "hidden_last")


def test_all_stored_outputs_are_compared():
    for folder in CONFIGURED:
        compared = sum(len(case.expected) for name, case in CASES.items() if name.startswith(f"{folder}-"))
        assert compared == len([name for name in arrays(folder) if not name.endswith(OTHERS)]), folder


def assert_recognised(config, named) -> None:
    """The tensors of a file are recognised, up to what they cannot tell, and are all of the network's."""
    network, found = recognise(named)
    assert network is network_of(config)
    assert found._replace(**{name: getattr(config, name) for name in UNSEEN.get(network, ())}) == config
    assert_complete(abstract_of(config), named, network.namings)


@pytest.mark.thorough
@pytest.mark.parametrize("name", IN_FILES)
def test_the_file_tells_the_configuration(name):
    assert_recognised(CASES[name].config, shapes(CASES[name].keys))


# Their sizes take seconds to declare; the others differ from them in what small cases differ in, too.
DECLARED_THOROUGHLY = (
    "adm_unet-256x256_diffusion.pt",
    "realesrgan_anime_6b",
    "restormer",
    "swin2sr-compressed_sr_x4",
    "swinir-classical_sr_x4 (s48)",
    "swinir-real_sr_x4 (L)",
)
DECLARED = (
    "ddpm_unet",
    "esrgan_x4",
    "esrgan_x4_old",
    "realesr-general-x4v3.pth",
    "fid_inception",
    "gfpgan_clean",
    "realesrgan_x4",
    "vit",
)


@pytest.mark.parametrize("name", quick(PUBLISHED, *DECLARED, thorough=DECLARED_THOROUGHLY))
def test_published_files_are_recognised_and_complete(name):
    config, named = PUBLISHED[name]
    assert recognise(named) == (network_of(config), config)
    assert_recognised(config, named)


def few_blocks(config):
    """How many there are changes nothing else."""
    if hasattr(config, "depths"):
        return config._replace(depths=(1,), num_heads=config.num_heads[:1])
    return config._replace(num_blocks=(1, 1, 1, 1), num_refinement_blocks=1)


@pytest.mark.thorough
@pytest.mark.parametrize(("folder", "least"), [("restormer", 3), ("swin2sr", 6), ("swinir", 11)])
def test_every_published_configuration_can_be_built(folder, least):
    published = {CONFIGURED[folder](checkpoint["config"]) for checkpoint in manifest(folder)["checkpoints"]}
    assert len(published) >= least
    for config in set(map(few_blocks, published)):
        params = abstract_of(config)
        channels = config.in_chans if hasattr(config, "in_chans") else config.inp_channels
        x = jax.ShapeDtypeStruct((1, 17, 9, channels), np.float32)
        outputs = getattr(config, "out_channels", channels)
        found = jax.eval_shape(model_of(config).apply, params, x)
        assert found.shape == (1, 17 * config.scale, 9 * config.scale, outputs)
        if folder == "restormer":  # the others' sizes of images in training are told by masks, which are computed
            assert_recognised(config, torch_shapes(params))


@pytest.fixture(scope="module", params=SMALL)
def small(request):
    """A small network, its parameters, images, gradients of both and outputs: one program, shared by the tests."""
    found = SMALL[request.param]
    params, x = found.parameters(), found.images()
    return found, params, x, *gradients(found.build(Compute()))(params, x)


@pytest.mark.slow
def test_compiled_is_eager_and_batches_are_single_images(small):
    found, params, x, _, out = small
    assert out.dtype == x.dtype
    assert error(found.build(Compute()).apply(params, x[:1]), out[:1]) <= FLOAT32


@pytest.mark.slow
def test_gradients_are_finite_and_reach_every_parameter(small):
    for leaf in jax.tree.leaves(small[3]):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0


@pytest.mark.slow
def test_bfloat16_is_near(small):
    found, params, x, _, out = small
    half = jax.jit(found.build(Compute(dtype=jnp.bfloat16)).apply)(params, x)
    assert half.dtype == x.dtype
    assert 0 < error(half, out) <= found.bfloat16


@pytest.mark.slow
def test_recomputed_activations(small):
    found, params, x, expected, _ = small
    if not found.repeats:
        pytest.skip("as the other network of its kind")
    again, _ = gradients(found.build(Compute(remat=True)))(params, x)
    assert_near(again, expected)


@pytest.mark.thorough
@pytest.mark.parametrize(("config", "shape", "lengths"), LOOPS, ids=lambda value: type(value).__name__)
def test_equal_blocks_share_a_loop(config, shape, lengths):
    program = jax.make_jaxpr(model_of(config).apply)(abstract_of(config), np.zeros((1, *shape, 3), np.float32))
    found = [equation.params["length"] for equation in program.eqns if equation.primitive.name == "scan"]
    assert found == lengths


@pytest.mark.parametrize(("config", "changes", "message"), golden_mistakes.SIZES)
def test_sizes_that_do_not_fit(config, changes, message):
    with pytest.raises(InputError) as caught:
        model_of(config._replace(**changes))
    assert str(caught.value).startswith(message)


@pytest.mark.thorough
@pytest.mark.parametrize(("config", "shape", "others", "message"), golden_mistakes.INPUTS)
def test_wrong_inputs(config, shape, others, message):
    model = model_of(config)
    with pytest.raises(InputError) as caught:
        jax.eval_shape(lambda params: model.apply(params, np.zeros(shape, np.float32), *others), abstract_of(config))
    assert str(caught.value).startswith(message)
