"""Shared building blocks: closed forms, and PyTorch's layers behind the marker."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxpr.core import InputError
from jaxpr.models.functional import functional
from jaxpr.models.layers import (
    Compute,
    Keys,
    Mlp,
    check_channels,
    conv2d,
    gelu,
    group_norm,
    in_turn,
    layer_norm,
    linear,
    pad_to_multiple,
    pixel_shuffle,
    pixel_unshuffle,
    upsample_nearest,
)

FLOAT32 = 1e-5
RANDOM = np.random.default_rng(0)
COMPUTE = Compute()


def normal(*shape):
    return RANDOM.standard_normal(shape).astype(np.float32)


def built(layer, **options):
    """A layer as a model."""
    return functional(lambda rngs: layer(compute=COMPUTE, rngs=Keys(rngs), **options))


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_shuffles_have_the_documented_order_and_undo_each_other(factor):
    x = normal(2, 3, 4, 5 * factor**2)
    shuffled = np.asarray(pixel_shuffle(x, factor))
    assert shuffled.shape == (2, 3 * factor, 4 * factor, 5)
    for channel, down, right in [(0, 0, 0), (3, factor - 1, 0), (4, 0, factor - 1)]:
        np.testing.assert_array_equal(
            shuffled[:, down::factor, right::factor, channel], x[..., channel * factor**2 + down * factor + right]
        )
    np.testing.assert_array_equal(pixel_unshuffle(shuffled, factor), x)


def test_nearest_neighbours():
    x = normal(2, 3, 4, 2)
    np.testing.assert_array_equal(upsample_nearest(x, 2), x.repeat(2, axis=1).repeat(2, axis=2))


@pytest.mark.parametrize("mode", ["reflect", "symmetric", "edge"])
@pytest.mark.parametrize(("height", "width"), [(5, 8), (8, 7), (8, 8)])
def test_padding_to_multiples(mode, height, width):
    x = normal(1, height, width, 2)
    found = pad_to_multiple(x, 4, mode=mode)
    expected = np.pad(x, ((0, 0), (0, -height % 4), (0, -width % 4), (0, 0)), mode=mode)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("mode", "smallest"), [("reflect", 5), ("symmetric", 4), ("edge", 1)])
def test_padding_of_images_that_are_too_small(mode, smallest):
    pad_to_multiple(normal(1, smallest, 8, 1), 8, mode=mode)
    if smallest > 1:
        with pytest.raises(InputError, match=f"found {smallest - 1}×8 pixels, expected enough to {mode}"):
            pad_to_multiple(normal(1, smallest - 1, 8, 1), 8, mode=mode)


def test_normalisations_by_hand():
    x = 5 + normal(2, 3, 4, 6)
    params = {"scale": normal(6), "bias": normal(6)}
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    expected = (x - mean) / np.sqrt(var + 1e-5) * params["scale"] + params["bias"]
    np.testing.assert_allclose(built(lambda **k: layer_norm(6, **k)).apply(params, x), expected, atol=FLOAT32)
    grouped = x.reshape(2, 12, 3, 2)
    mean, var = (moment(grouped, axis=(1, 3), keepdims=True) for moment in (np.mean, np.var))
    expected = ((grouped - mean) / np.sqrt(var + 1e-6)).reshape(x.shape) * params["scale"] + params["bias"]
    model = built(lambda **k: group_norm(6, groups=3, epsilon=1e-6, **k))
    np.testing.assert_allclose(model.apply(params, x), expected, atol=FLOAT32)


def test_statistics_survive_a_large_mean():
    x = 3000 + normal(1, 1, 1, 64)
    found = built(lambda **k: layer_norm(64, **k)).apply({"scale": np.ones(64), "bias": np.zeros(64)}, x)
    expected = (x - x.mean(dtype=float)) / x.std(dtype=float)
    np.testing.assert_allclose(found, expected, atol=2e-3)  # float32 steps of 2e-4 at 3000


def test_keys_make_different_parameters_and_follow_the_key_alone():
    model = built(lambda **k: Mlp(3, 5, **k))
    params = model.init(jax.random.key(0))
    assert not np.array_equal(params["fc1"]["kernel"].T, params["fc2"]["kernel"])
    jax.tree.map(np.testing.assert_array_equal, params, model.init(jax.random.key(0)))
    assert not np.array_equal(params["fc1"]["kernel"], model.init(jax.random.key(1))["fc1"]["kernel"])
    together = jax.vmap(model.init)(jax.random.split(jax.random.key(2), 3))
    assert together["fc1"]["kernel"].shape == (3, 3, 5)


class Blocks(nnx.Module):
    """One block, then two equal ones of another width."""

    def __init__(self, *, compute, rngs, remat=False):
        self.remat = remat
        self.blocks = nnx.List([Mlp(4, width, compute=compute, rngs=rngs) for width in (3, 5, 5)])

    def __call__(self, x):
        return in_turn(self.blocks, x, remat=self.remat)


def one_after_the_other(params, x):
    for index, width in enumerate((3, 5, 5)):
        x = built(lambda width=width, **k: Mlp(4, width, **k)).apply(params["blocks"][index], x)
    return x


@pytest.mark.thorough
@pytest.mark.parametrize("remat", [False, True])
def test_blocks_in_turn_equal_the_loop(remat):
    model = built(Blocks, remat=remat)
    params, x = model.init(jax.random.key(0)), normal(2, 4)
    program = jax.make_jaxpr(model.apply)(params, x)
    assert [e.params["length"] for e in program.eqns if e.primitive.name == "scan"] == [2]

    def gradients(apply):
        return jax.jit(jax.value_and_grad(lambda params, x: jnp.sum(jnp.sin(apply(params, x))), (0, 1)))(params, x)

    for found, expected in zip(
        jax.tree.leaves(gradients(model.apply)), jax.tree.leaves(gradients(one_after_the_other)), strict=True
    ):
        np.testing.assert_allclose(found, expected, atol=FLOAT32)


def test_channels_are_checked():
    check_channels(normal(1, 2, 2, 3), 3)
    with pytest.raises(InputError, match=r"found shape \(1, 3, 2, 2\), expected \(N, H, W, 3\)"):
        check_channels(normal(1, 3, 2, 2), 3)


@pytest.mark.torch
@pytest.mark.parametrize(
    "options",
    [
        {"size": 3},
        {"size": 1, "bias": False},
        {"size": 3, "stride": 2},
        {"size": 4, "stride": 2, "padding": 1},
        {"size": 3, "groups": 6},
        {"size": 7, "groups": 2},
    ],
    ids=str,
)
def test_convolutions_are_those_of_torch(options):
    torch = pytest.importorskip("torch")
    model = built(lambda **k: conv2d(6, 12, **options, **k))
    params = model.init(jax.random.key(0))
    x = normal(2, 9, 8, 6)
    kernel = torch.tensor(np.asarray(params["kernel"]).transpose(3, 2, 0, 1))
    padding = options.get("padding", options["size"] // 2)
    expected = torch.nn.functional.conv2d(
        torch.tensor(x.transpose(0, 3, 1, 2)),
        kernel,
        stride=options.get("stride", 1),
        padding=padding,
        groups=options.get("groups", 1),
    )
    np.testing.assert_allclose(model.apply(params, x), expected.numpy().transpose(0, 2, 3, 1), atol=FLOAT32)


@pytest.mark.torch
def test_functions_are_those_of_torch():
    torch = pytest.importorskip("torch")
    x = normal(2, 6, 6, 18)
    tensor = torch.tensor(x.transpose(0, 3, 1, 2))
    functions = torch.nn.functional
    for found, expected in [
        (gelu(x), functions.gelu(tensor)),
        (pixel_shuffle(x, 3), functions.pixel_shuffle(tensor, 3)),
        (pixel_unshuffle(x, 2), functions.pixel_unshuffle(tensor, 2)),
        (upsample_nearest(x, 2), functions.interpolate(tensor, scale_factor=2, mode="nearest")),
        (pad_to_multiple(x, 5, mode="reflect"), functions.pad(tensor, (0, 4, 0, 4), mode="reflect")),
        (jax.nn.leaky_relu(x, 0.01), torch.nn.LeakyReLU()(tensor)),
        (
            built(lambda **k: group_norm(18, groups=3, epsilon=1e-6, **k)).apply(
                {"scale": np.ones(18, np.float32), "bias": np.zeros(18, np.float32)}, x
            ),
            functions.group_norm(tensor, 3, eps=1e-6),
        ),
    ]:
        np.testing.assert_allclose(found, expected.numpy().transpose(0, 2, 3, 1), atol=FLOAT32)


def test_dense_layers_have_their_options():
    with_bias, without = (built(lambda bias=bias, **k: linear(3, 4, bias=bias, **k)) for bias in (True, False))
    assert set(with_bias.init(jax.random.key(0))) == {"kernel", "bias"}
    assert set(without.init(jax.random.key(0))) == {"kernel"}
