"""The U-Nets and the classifier of ADM against the published implementation (tests/golden/adm_unet)."""

import functools

import jax
import numpy as np
import pytest
from golden_networks import (
    FLOAT32,
    arrays,
    assert_behaves,
    assert_complete,
    assert_recomputes,
    assert_summary,
    error,
    fills,
    manifest,
    nchw,
    nhwc,
    parameters,
    quick,
    shapes,
)

from jaxpr.core import InputError
from jaxpr.models.adm_classifier import ADM_CLASSIFIER, ADMClassifierConfig, adm_classifier
from jaxpr.models.adm_unet import ADM_UNET, NAMING, ADMUNetConfig, adm_unet, split_attention_heads
from jaxpr.models.diffusion_parts import timestep_embedding
from jaxpr.models.functional import Model
from jaxpr.models.layers import Compute
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.weights.networks import recognise

MANIFEST, ARRAYS = manifest("adm_unet"), arrays("adm_unet")
CASES, NAMINGS = MANIFEST["cases"], (NAMING,)
PUBLISHED, PUBLISHED_CLASSIFIER = ADMUNetConfig(), ADMClassifierConfig()
BUILD = {ADMUNetConfig: adm_unet, ADMClassifierConfig: adm_classifier}
NETWORKS = {ADMUNetConfig: ADM_UNET, ADMClassifierConfig: ADM_CLASSIFIER}
UNSEEN = ("num_heads", "num_head_channels", "use_new_attention_order")  # in the shapes
NAMED = [name for name, case in CASES.items() if "keys" in case]


def configured(official: dict):
    config = ADMClassifierConfig if "pool" in official else ADMUNetConfig
    sizes = {name: tuple(v) if isinstance(v, list) else v for name, v in official.items()}
    return config(**{name: value for name, value in sizes.items() if name in config._fields})


def build(config, compute=Compute()):  # noqa: B008 (immutable)
    return BUILD[type(config)](config, compute=compute)


@functools.cache
def case_parameters(name: str) -> dict:
    case = CASES[name]
    return parameters(build(configured(case["config"])), case["keys"], case.get("gain", MANIFEST["gain"]), NAMINGS)


@functools.cache
def run(config):
    return jax.jit(build(config).apply)


WITH_ARRAYS = [name for name in NAMED if CASES[name]["output"] in ARRAYS]


@pytest.mark.parametrize("name", quick(WITH_ARRAYS, "uncond", "classifier"))
def test_golden_outputs(name):
    case = CASES[name]
    x, *others = (ARRAYS[part] for part in case["inputs"])
    found = run(configured(case["config"]))(case_parameters(name), nhwc(x), *others)
    found = nchw(found) if found.ndim == 4 else found
    assert error(found, ARRAYS[case["output"]]) <= FLOAT32


@pytest.mark.parametrize("width", [31, 32])
def test_golden_embeddings_of_times(width):
    found = timestep_embedding(ARRAYS["temb_t"], width, cosine_first=True, closed=False)
    assert error(found, ARRAYS[f"temb_{width}"]) <= FLOAT32


def assert_recognised(config, named):
    """Recognised, up to what cannot be seen, and complete."""
    network, found = recognise(named)
    assert network is NETWORKS[type(config)]
    assert found._replace(**{name: getattr(config, name) for name in UNSEEN}) == config
    assert_complete(abstract_parameters(build(config)), named, NAMINGS)
    return found


@pytest.mark.parametrize("name", NAMED)
def test_the_file_tells_the_configuration(name):
    assert_recognised(configured(CASES[name]["config"]), shapes(CASES[name]["keys"]))


@pytest.mark.parametrize("index", quick(range(3), 2))
def test_published_files_are_recognised_and_complete(index):
    checkpoint, named = MANIFEST["checkpoints"][index], shapes(MANIFEST["official_keys"])
    if "extra_key" in checkpoint:
        named[checkpoint["extra_key"][0]] = tuple(checkpoint["extra_key"][1])
    config = configured(checkpoint["config"])
    assert config == PUBLISHED._replace(num_classes=checkpoint["config"]["num_classes"])
    found = assert_recognised(config, named)
    assert found == config


def in_files(name: str) -> str:
    """The published name, of residual blocks and times alone."""
    for ours, theirs in (
        ("norm1", "in_layers.0"),
        ("conv1", "in_layers.2"),
        ("temb_proj", "emb_layers.1"),
        ("norm2", "out_layers.0"),
        ("conv2", "out_layers.3"),
        ("nin_shortcut", "skip_connection"),
        ("time_embed.dense.0", "time_embed.0"),
        ("time_embed.dense.1", "time_embed.2"),
    ):
        name = name.replace(f"{ours}.", f"{theirs}.")
    return name


# The flags with which the authors run their other files.
OTHERS = {
    "64x64_diffusion.pt": PUBLISHED._replace(
        model_channels=192,
        num_res_blocks=3,
        attention_resolutions=(2, 4, 8),
        channel_mult=(1, 2, 3, 4),
        num_classes=1000,
        use_new_attention_order=True,
    ),
    "128x128_diffusion.pt": PUBLISHED._replace(
        attention_resolutions=(4, 8, 16), channel_mult=(1, 1, 2, 3, 4), num_classes=1000, num_head_channels=-1
    ),
    "64_256_upsampler.pt": PUBLISHED._replace(
        in_channels=6, model_channels=192, num_classes=1000, num_head_channels=-1
    ),
    "512x512_diffusion.pt": PUBLISHED._replace(
        attention_resolutions=(16, 32, 64), channel_mult=(0.5, 1, 1, 2, 2, 4, 4), num_classes=1000
    ),
    "256x256_classifier.pt": PUBLISHED_CLASSIFIER,
    "64x64_classifier.pt": PUBLISHED_CLASSIFIER._replace(
        image_size=64, num_res_blocks=4, attention_resolutions=(2, 4, 8), channel_mult=(1, 2, 3, 4)
    ),
}


@pytest.mark.parametrize("name", quick(OTHERS, "256x256_classifier.pt"))
def test_other_published_sizes(name):
    named = torch_shapes(abstract_parameters(build(OTHERS[name])))
    assert recognise({in_files(key): shape for key, shape in named.items()}) == (
        NETWORKS[type(OTHERS[name])],
        OTHERS[name],
    )


SMALL = ADMUNetConfig(
    model_channels=32, num_res_blocks=1, attention_resolutions=(2,), channel_mult=(1, 2), num_head_channels=16
)
SMALL_CLASSIFIER = ADMClassifierConfig(
    image_size=4,
    model_channels=32,
    out_channels=5,
    num_res_blocks=1,
    attention_resolutions=(2,),
    channel_mult=(1, 2),
    num_head_channels=16,
)
IMAGES = np.random.default_rng(0).random((2, 4, 4, 3), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        SMALL._replace(resblock_updown=False, conv_resample=False, num_res_blocks=2),
        SMALL._replace(resblock_updown=False, use_scale_shift_norm=False, attention_resolutions=()),
        SMALL._replace(channel_mult=(2,), attention_resolutions=(1,), num_res_blocks=3, resblock_updown=False),
        SMALL_CLASSIFIER._replace(resblock_updown=False, attention_resolutions=()),
        *(SMALL_CLASSIFIER._replace(pool=pool, image_size=None) for pool in ("adaptive", "spatial", "spatial_v2")),
    ],
)
def test_other_configurations(config):
    model = build(config)
    params = abstract_parameters(model)
    assert_recognised(config, {in_files(key): shape for key, shape in torch_shapes(params).items()})
    x = jax.ShapeDtypeStruct(IMAGES.shape, np.float32)
    unet = isinstance(config, ADMUNetConfig)
    assert jax.eval_shape(model.apply, params, x, 0).shape == ((2, 4, 4, 6) if unet else (2, 5))


def test_a_classifier_whose_blocks_cannot_be_counted():
    model = build(SMALL_CLASSIFIER._replace(attention_resolutions=()))
    assert recognise({in_files(key): shape for key, shape in torch_shapes(abstract_parameters(model)).items()}) is None


@pytest.mark.slow
def test_published_size():
    full, model = MANIFEST["full_case"], adm_unet(PUBLISHED)
    params = parameters(model, MANIFEST["official_keys"], MANIFEST["gain"], NAMINGS)
    x = (np.random.default_rng(0).random((1, 3, 64, 64)) * 2 - 1).astype(np.float32)
    found = nchw(jax.jit(model.apply)(params, nhwc(x), full["timestep"]))
    assert_summary(found, full["output"])
    assert_summary(found[:, :3], full["output_eps_half"])


def at_one_time(config, *labels):
    def make(compute: Compute) -> Model:
        model = build(config, compute)
        return Model(model.init, lambda params, x: model.apply(params, x, 37.5, *labels))

    return make


def drawn_parameters(config) -> dict:
    model = build(config)
    named = {in_files(key): shape for key, shape in torch_shapes(abstract_parameters(model)).items()}
    return parameters(model, fills(named), 1.0, NAMINGS)


@pytest.mark.slow
def test_behaviour():
    config = SMALL._replace(num_classes=3)
    assert_behaves(at_one_time(config, 2), drawn_parameters(config), IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["attention", "adaptive", "spatial", "spatial_v2"])
def test_behaviour_of_classifiers(pool):
    config = SMALL_CLASSIFIER._replace(pool=pool)
    assert_behaves(at_one_time(config), drawn_parameters(config), IMAGES)


@pytest.mark.slow
@pytest.mark.parametrize("config", [SMALL, SMALL._replace(resblock_updown=False), SMALL_CLASSIFIER])
def test_recomputed_activations(config):
    assert_recomputes(at_one_time(config), drawn_parameters(config), IMAGES)


@pytest.mark.slow
def test_attention_in_blocks():
    name = "uncond"
    x, t = (ARRAYS[part] for part in CASES[name]["inputs"])
    model = build(configured(CASES[name]["config"]), Compute(attention_limit=1000))  # of 2 × 8 × 96² logits
    assert error(nchw(jax.jit(model.apply)(case_parameters(name), nhwc(x), t)), ARRAYS["uncond_out"]) <= FLOAT32


def test_orders_of_heads():
    qkv = np.arange(12.0).reshape(1, 1, 12)  # two heads of two channels
    published = [part[0, 0].tolist() for part in split_attention_heads(qkv, heads=2, new_order=False)]
    assert published == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]
    new = [part[0, 0].tolist() for part in split_attention_heads(qkv, heads=2, new_order=True)]
    assert new == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]


@pytest.mark.slow
def test_labels_matter_one_by_one():
    config = SMALL._replace(num_classes=3)
    params, apply = drawn_parameters(config), run(config)
    both = apply(params, IMAGES, np.array([5.0, 600.0]), np.array([2, 0]))
    for i, (t, y) in enumerate([(5.0, 2), (600.0, 0)]):
        assert error(apply(params, IMAGES, t, y)[i], both[i]) <= FLOAT32
    assert error(apply(params, IMAGES, 5.0, 1)[0], both[0]) > 0.01


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (SMALL, {"model_channels": 48}, "model_channels and channel_mult: found (48, 96) channels, expected multiples"),
        (SMALL, {"channel_mult": ()}, "channel_mult and num_res_blocks: found () and 1, expected one or more"),
        (SMALL, {"num_head_channels": 48}, "num_head_channels: found 48, expected -1 or a divisor of 64"),
        (SMALL, {"num_head_channels": -1, "num_heads": 7}, "num_heads: found 7, expected a divisor of 64"),
        (SMALL, {"num_head_channels": -1, "num_heads_upsample": 5}, "num_heads: found 5, expected a divisor of 64"),
        (SMALL_CLASSIFIER, {"pool": "max"}, "pool: found 'max', expected one of attention, adaptive, spatial"),
        (SMALL_CLASSIFIER, {"image_size": None}, "num_head_channels and image_size: found 16 and None"),
        (SMALL_CLASSIFIER, {"num_head_channels": -1}, "num_head_channels and image_size: found -1 and 4"),
    ],
)
def test_sizes_that_do_not_fit(config, changes, message):
    with pytest.raises(InputError) as caught:
        build(config._replace(**changes))
    assert str(caught.value).startswith(message)


LABELLED = SMALL._replace(num_classes=3)


@pytest.mark.parametrize(
    ("config", "shape", "others", "message"),
    [
        (SMALL, (1, 4, 4, 1), (0,), "x: found shape (1, 4, 4, 1), expected (N, H, W, 3)"),
        (SMALL, (1, 4, 5, 3), (0,), "x: found 4×5 pixels, expected multiples of 2"),
        (SMALL, (1, 4, 4, 3), (np.zeros(2),), "t: found shape (2,), expected () or (1,)"),
        (SMALL, (1, 4, 4, 3), (0, 1), "y: found labels, expected None"),
        (LABELLED, (1, 4, 4, 3), (0,), "y: found None, expected labels of 3 classes"),
        (LABELLED, (1, 4, 4, 3), (0, np.zeros(1, np.float32)), "y: found float32 (1,), expected integers () or (1,)"),
        (SMALL_CLASSIFIER, (1, 1, 4, 3), (0,), "x: found 1×4 pixels, expected 2 or more"),
        (SMALL_CLASSIFIER, (1, 4, 6, 3), (0,), "x: found 2×3 pixels before the pool, expected 4 in all"),
    ],
)
def test_wrong_inputs(config, shape, others, message):
    model = build(config)
    with pytest.raises(InputError) as caught:
        jax.eval_shape(
            lambda params: model.apply(params, np.zeros(shape, np.float32), *others), abstract_parameters(model)
        )
    assert str(caught.value).startswith(message)
