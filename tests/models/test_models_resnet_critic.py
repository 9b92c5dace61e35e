"""The critics: the penalty of the authors' ResNet and the sizes of Table 4; the two optional ones."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_cases import CASES, authors_critic, model_of
from golden_networks import FLOAT32, arrays, manifest

from jaxpr.core import InputError
from jaxpr.models.discriminators import (
    PatchCriticConfig,
    UNetCriticConfig,
    VggCriticConfig,
    patch_critic,
    unet_critic,
    vgg_critic,
)
from jaxpr.models.layers import Compute
from jaxpr.models.naming import abstract_parameters, torch_shapes
from jaxpr.models.resnet_critic import resnet_critic, table4
from jaxpr.training import r1_penalty

GOLDEN = arrays("resnet_critic")
KEY = jax.random.key(0)


def of_label(logits):
    return logits[jnp.arange(len(logits)), GOLDEN["critic_y"]]


def test_r1_of_the_authors_code():
    case = CASES["resnet_critic"]
    params, (x, _) = case.parameters(), case.inputs()
    found = jax.jit(lambda x: r1_penalty(lambda x: of_label(model_of(case.config).apply(params, x)), x))(x)
    np.testing.assert_allclose(found, np.mean(GOLDEN["critic_r1"]), rtol=FLOAT32)


def test_names_and_shapes_of_the_authors_largest_critic():
    model = resnet_critic(authors_critic(256, 64, 1024))
    expected = {name: tuple(shape) for name, shape, _ in manifest("resnet_critic")["keys_256"]}
    assert torch_shapes(abstract_parameters(model)) == expected


def test_table4():
    f = 16
    config = table4(size=64, channels=3, width=f)
    assert config.levels == (
        (f, 2 * f),
        (2 * f, 4 * f),
        (4 * f, 8 * f),
        (8 * f, 16 * f),
        (16 * f, 16 * f),
        (16 * f,) * 2,
    )
    shapes = jax.eval_shape(resnet_critic(config).init, KEY)
    assert shapes["fc"]["kernel"].shape == (16 * f * 2 * 2, 1)
    assert shapes["conv_img"]["kernel"].shape == (3, 3, 3, f)
    hidden = [block["conv_0"]["kernel"].shape[-1] for block in shapes["resnet"].values()]
    assert hidden == [f, f, 2 * f, 2 * f, 4 * f, 4 * f, 8 * f, 8 * f, 16 * f, 16 * f, 16 * f, 16 * f]
    assert len(table4(size=8, channels=1, width=4).levels) == 3


CRITICS = {
    "resnet": (resnet_critic, table4(size=8, channels=2, width=2), (3,)),
    "vgg": (vgg_critic, VggCriticConfig(size=8, channels=2, width=3), (3,)),
    "unet": (unet_critic, UNetCriticConfig(channels=2, width=2), (3, 8, 8, 1)),
    "patch": (patch_critic, PatchCriticConfig(channels=2, width=2, halvings=1), (3, 2, 2, 1)),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", CRITICS)
def test_each_logit_depends_on_its_own_image(name):
    make, config, shape = CRITICS[name]
    model = make(config)
    params = jax.jit(model.init)(KEY)
    x = jax.random.normal(KEY, (3, 8, 8, 2))

    def first_of(x):
        logits = model.apply(params, x)
        return jnp.sum(logits[0]), logits

    both = jax.jit(jax.value_and_grad(first_of, has_aux=True))
    (first, logits), slopes = both(x)
    assert logits.shape == shape
    assert logits.dtype == jnp.float32
    np.testing.assert_allclose(first, jnp.sum(logits[0]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(both(x[::-1])[0][1][::-1], logits, rtol=1e-4, atol=1e-6)
    assert (np.abs(slopes).max(axis=(1, 2, 3)) > 0).tolist() == [True, False, False]
    half = jax.eval_shape(make(config, compute=Compute(dtype=jnp.bfloat16)).apply, params, x)
    assert half.dtype == jnp.float32


def test_wrong_sizes_are_refused():
    for size in (2, 6, 12):
        with pytest.raises(InputError, match=f"size: found {size}"):
            table4(size=size, channels=3, width=2)
    for size in (4, 9, 26):
        with pytest.raises(InputError, match=f"size: found {size}"):
            vgg_critic(VggCriticConfig(size, 3, 2))
    for name, wrong in (
        ("resnet", (1, 16, 16, 2)),
        ("vgg", (1, 8, 8, 3)),
        ("unet", (1, 8, 8, 3)),
        ("unet", (1, 12, 8, 2)),
        ("patch", (1, 8, 8, 3)),
        ("patch", (1, 5, 8, 2)),
    ):
        make, config, _ = CRITICS[name]
        model = make(config)
        with pytest.raises(InputError, match="x: found"):
            jax.eval_shape(model.apply, jax.eval_shape(model.init, KEY), jnp.zeros(wrong))


@pytest.mark.parametrize(("halvings", "side"), [(1, 16), (2, 34), (3, 70)])
def test_a_logit_of_patches_sees_as_many_pixels_as_pix2pix_has(halvings, side):
    model = patch_critic(PatchCriticConfig(channels=1, width=1, halvings=halvings))
    params = jax.tree.map(jnp.ones_like, jax.eval_shape(model.init, KEY))
    x = jnp.ones((1, 96, 96, 1))
    middle = 96 // 2**halvings // 2 - 1
    seen = np.argwhere(jax.jit(jax.grad(lambda x: model.apply(params, x)[0, middle, middle, 0]))(x)[0, :, :, 0])
    assert np.ptp(seen, axis=0).tolist() == [side - 1] * 2
    with pytest.raises(InputError, match="halvings: found 0, expected 1 or more"):
        patch_critic(PatchCriticConfig(channels=1, width=1, halvings=0))
