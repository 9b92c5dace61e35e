"""The U-Net against its layers written out, its noise, and its normalisations in training and evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.models.layers import Compute
from jaxpr.models.unet import UNetConfig, noise_shapes, unet

KEY = jax.random.key(1)
FLOAT32 = {"rtol": 1e-4, "atol": 1e-5}  # some ten layers with sums of some hundred terms
TINY = UNetConfig(channels=1, width=3, scales=2)
X = jax.random.uniform(KEY, (3, 8, 8, 1))
NOISE = tuple(jax.random.normal(KEY, (3, *shape)) for shape in noise_shapes(TINY, 8, 8))
KINDS = ("batch", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("group", "none")))


@pytest.fixture(scope="module", params=KINDS)
def tiny(request):
    model = unet(TINY._replace(normalisation=request.param))
    params = jax.jit(model.init)(KEY)
    if request.param == "batch":  # statistics of some training, so that they matter
        params = jax.tree.map(
            lambda fixed, leaf: leaf + 0.02 * jnp.arange(leaf.size) if fixed else leaf, model.statistics, params
        )
    return request.param, model, params, jax.jit(model.apply), jax.jit(model.train)


def written_out(params, x, noise, kind, *, statistics):
    """The layers of Figure 7 one after the other, in NumPy and float64."""

    def conv(x, leaf):
        kernel = np.float64(leaf["kernel"])
        around = kernel.shape[0] // 2
        x = np.pad(x, ((0, 0), (around, around), (around, around), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))
        return np.einsum("nhwcij,ijco->nhwo", windows, kernel) + np.float64(leaf.get("bias", 0))

    def norm(x, leaf):
        if kind == "none":
            return x
        if kind == "batch":
            mean, var = np.mean(x, axis=(0, 1, 2)), np.var(x, axis=(0, 1, 2))
            if statistics == "running":
                mean, var = np.float64(leaf["mean"]), np.float64(leaf["var"])
        else:  # three, six and twelve channels: 1, 2 and 4 groups
            groups = np.gcd(x.shape[3], 8)
            grouped = x.reshape(len(x), -1, groups, x.shape[3] // groups)
            mean, var = grouped.mean(axis=(1, 3)), grouped.var(axis=(1, 3))
            mean, var = (np.repeat(s, x.shape[3] // groups, axis=1)[:, None, None] for s in (mean, var))
        return (x - mean) / np.sqrt(var + 1e-5) * np.float64(leaf["scale"]) + np.float64(leaf["bias"])

    def block(x, leaf):
        for i in "12":
            x = np.maximum(norm(conv(x, leaf[f"conv{i}"]), leaf.get(f"norm{i}")), 0)
        return x

    h = block(2 * np.float64(x) - 1, params["first"])
    skipped = []
    for i, part in enumerate(noise):
        skipped.append(h)
        h = np.concatenate([h, np.float64(part)], axis=3)
        n, height, width, channels = h.shape
        h = block(h.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4)), params["down"][i])
    for i in reversed(range(len(noise))):
        up = h.repeat(2, axis=1).repeat(2, axis=2)
        h = block(np.concatenate([skipped[i], up], axis=3), params["up"][i])
    return (conv(h, params["last"]) + 1) / 2


@pytest.mark.thorough
def test_layers_written_out(tiny):
    kind, _, params, apply, train = tiny
    np.testing.assert_allclose(
        apply(params, X, NOISE), written_out(params, X, NOISE, kind, statistics="running"), **FLOAT32
    )
    np.testing.assert_allclose(
        train(params, X, NOISE)[0], written_out(params, X, NOISE, kind, statistics="batch"), **FLOAT32
    )


@pytest.mark.thorough
def test_evaluation_treats_every_example_alone(tiny):
    _, _, params, apply, _ = tiny
    found = apply(params, X, NOISE)
    changed = apply(params, X.at[1:].set(0.5), NOISE)
    np.testing.assert_array_equal(changed[0], found[0])
    assert (changed[1] != found[1]).any()


def test_training_moves_statistics_and_nothing_else(tiny):
    kind, model, params, apply, train = tiny
    x, renewed = train(params, X, NOISE)
    assert x.shape == X.shape
    assert jax.tree.structure(renewed) == jax.tree.structure(params) == jax.tree.structure(model.statistics)
    assert any(jax.tree.leaves(model.statistics)) == (kind == "batch")
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), params, renewed)
    # The first convolution's input to the pool has no statistics that could stand still; all move.
    assert moved == model.statistics
    if kind != "batch":
        np.testing.assert_array_equal(x, apply(params, X, NOISE))
        return
    # A tenth of the batch's own, as of a first layer that can be computed by hand.
    kernel = params["first"]["conv1"]["kernel"]
    first = jax.lax.conv_general_dilated(2 * X - 1, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    old, new = params["first"]["norm1"], renewed["first"]["norm1"]
    np.testing.assert_allclose(new["mean"], 0.9 * old["mean"] + 0.1 * first.mean((0, 1, 2)), **FLOAT32)
    np.testing.assert_allclose(new["var"], 0.9 * old["var"] + 0.1 * first.var((0, 1, 2)), **FLOAT32)


def test_noise_matters_at_every_scale(tiny):
    _, _, params, apply, _ = tiny
    found = apply(params, X, NOISE)
    for i in range(len(NOISE)):
        without = tuple(jnp.zeros_like(part) if i == j else part for j, part in enumerate(NOISE))
        assert (np.abs(apply(params, X, without) - found).max(axis=(1, 2, 3)) > 0).all()


def test_scaled_noise_is_larger_noise(tiny):
    kind, _, params, apply, _ = tiny
    scaled = jax.jit(unet(TINY._replace(normalisation=kind, noise_scale=4.0)).apply)
    larger = tuple(4 * part for part in NOISE)
    np.testing.assert_array_equal(scaled(params, X, NOISE), apply(params, X, larger))


@pytest.mark.slow
def test_rematerialisation_and_precision_change_no_statistics():
    def trained(compute):
        model = unet(TINY, compute=compute)

        def loss(params):
            x, renewed = model.train(params, X, NOISE)
            return jnp.sum(jnp.square(x)), (x, renewed)

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(jax.jit(model.init)(KEY))

    (_, (plain, statistics)), gradient = trained(Compute())
    (_, (again, same)), likewise = trained(Compute(remat=True))
    for ours, theirs in zip(
        jax.tree.leaves((again, same, likewise)), jax.tree.leaves((plain, statistics, gradient)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    shapes = jax.eval_shape(lambda: trained(Compute(dtype=jnp.bfloat16)))
    (_, (half, renewed)), _ = shapes
    assert half.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(renewed)} == {jnp.dtype("float32")}


def test_paper_sizes():
    config = UNetConfig()
    assert noise_shapes(config, 64, 64) == ((64, 64, 1), (32, 32, 1), (16, 16, 1), (8, 8, 1))
    model = unet(config)
    shapes = jax.eval_shape(model.init, KEY)
    assert [shapes["down"][i]["conv1"]["kernel"].shape for i in range(4)] == [
        (3, 3, 24 * 2**i + 1, 24 * 2 ** (i + 1)) for i in range(4)
    ]
    assert shapes["last"]["kernel"].shape == (1, 1, 24, 3)
    noise = tuple(jnp.zeros((2, *shape)) for shape in noise_shapes(config, 64, 64))
    assert jax.eval_shape(model.apply, shapes, jnp.zeros((2, 64, 64, 3)), noise).shape == (2, 64, 64, 3)


def test_mistakes_are_refused():
    model = unet(TINY)
    shapes = jax.eval_shape(model.init, KEY)
    for x, noise, message in (
        (jnp.zeros((3, 6, 8, 1)), NOISE, "6×8 pixels, expected multiples of 4"),
        (jnp.zeros((3, 8, 8, 3)), NOISE, r"expected \(N, H, W, 1\)"),
        (X, NOISE[:1], "noise: found shapes"),
        (X[:2], NOISE, "noise: found shapes"),
    ):
        with pytest.raises(InputError, match=message):
            jax.eval_shape(model.apply, shapes, x, noise)
    with pytest.raises(InputError, match="normalisation: found 'layer'"):
        unet(TINY._replace(normalisation="layer"))
