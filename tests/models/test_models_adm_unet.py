"""The U-Nets and the classifier of ADM: times, sizes, labels. See `test_models_golden.py`."""

import jax
import numpy as np
import pytest
from golden_cases import UNSEEN, abstract_of, model_of, network_of
from golden_networks import FLOAT32, arrays, assert_complete, error, quick
from golden_sizes import ADM, ADM_LABELLED, CLASSIFIER, drawn_parameters

from jaxpr.models.adm_classifier import ADMClassifierConfig
from jaxpr.models.adm_unet import ADMUNetConfig, split_attention_heads
from jaxpr.models.diffusion_parts import timestep_embedding
from jaxpr.models.naming import torch_shapes
from jaxpr.weights.networks import recognise

ARRAYS = arrays("adm_unet")
PUBLISHED, PUBLISHED_CLASSIFIER = ADMUNetConfig(), ADMClassifierConfig()


@pytest.mark.parametrize("width", [31, 32])
def test_golden_embeddings_of_times(width):
    found = timestep_embedding(ARRAYS["temb_t"], width, cosine_first=True, closed=False)
    assert error(found, ARRAYS[f"temb_{width}"]) <= FLOAT32


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


def published_shapes(config) -> dict[str, tuple[int, ...]]:
    return {in_files(name): shape for name, shape in torch_shapes(abstract_of(config)).items()}


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
    "ffhq_10m.pt": PUBLISHED._replace(model_channels=128, num_res_blocks=1, attention_resolutions=(16,)),
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


@pytest.mark.parametrize("name", quick(OTHERS, "256x256_classifier.pt", thorough=("ffhq_10m.pt",)))
def test_other_published_sizes(name):
    assert recognise(published_shapes(OTHERS[name])) == (network_of(OTHERS[name]), OTHERS[name])


IMAGES = np.random.default_rng(0).random((2, 4, 4, 3), np.float32)


@pytest.mark.slow
@pytest.mark.parametrize(
    "config",
    [
        ADM._replace(resblock_updown=False, conv_resample=False, num_res_blocks=2),
        ADM._replace(resblock_updown=False, use_scale_shift_norm=False, attention_resolutions=()),
        ADM._replace(channel_mult=(2,), attention_resolutions=(1,), num_res_blocks=3, resblock_updown=False),
        CLASSIFIER._replace(resblock_updown=False, attention_resolutions=()),
        *(CLASSIFIER._replace(pool=pool, image_size=None) for pool in ("adaptive", "spatial", "spatial_v2")),
    ],
)
def test_other_configurations(config):
    named = published_shapes(config)
    network, found = recognise(named)
    assert network is network_of(config)
    assert found._replace(**{name: getattr(config, name) for name in UNSEEN[network]}) == config
    assert_complete(abstract_of(config), named, network.namings)
    x = jax.ShapeDtypeStruct(IMAGES.shape, np.float32)
    unet = isinstance(config, ADMUNetConfig)
    assert jax.eval_shape(model_of(config).apply, abstract_of(config), x, 0).shape == ((2, 4, 4, 6) if unet else (2, 5))


def test_a_classifier_whose_blocks_cannot_be_counted():
    assert recognise(published_shapes(CLASSIFIER._replace(attention_resolutions=()))) is None


def test_orders_of_heads():
    qkv = np.arange(12.0).reshape(1, 1, 12)  # two heads of two channels
    published = [part[0, 0].tolist() for part in split_attention_heads(qkv, heads=2, new_order=False)]
    assert published == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]
    new = [part[0, 0].tolist() for part in split_attention_heads(qkv, heads=2, new_order=True)]
    assert new == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]


@pytest.mark.slow
def test_labels_matter_one_by_one():
    params, apply = drawn_parameters(ADM_LABELLED), jax.jit(model_of(ADM_LABELLED).apply)
    both = apply(params, IMAGES, np.array([5.0, 600.0]), np.array([2, 0]))
    for i, (t, y) in enumerate([(5.0, 2), (600.0, 0)]):
        assert error(apply(params, IMAGES, t, y)[i], both[i]) <= FLOAT32
    assert error(apply(params, IMAGES, 5.0, 1)[0], both[0]) > 0.01
