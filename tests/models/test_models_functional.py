"""Networks as pure functions, and the trunks that are declared with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxpr.models import ALEXNET, VGG16, ConvTrunk, functional
from jaxpr.models.functional import stateful


class Affine(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(3, 4, rngs=rngs)
        self.blocks = nnx.List([nnx.Linear(4, 2, rngs=rngs)])

    def __call__(self, x, scale=1.0):
        return scale * self.blocks[0](jnp.tanh(self.hidden(x)))


@pytest.fixture(scope="module")
def affine():
    return functional(Affine)


X = np.linspace(-1, 1, 15, dtype=np.float32).reshape(5, 3)


def by_hand(params, x):
    params = jax.tree.map(np.asarray, params)
    hidden, last = params["hidden"], params["blocks"][0]
    return np.tanh(x @ hidden["kernel"] + hidden["bias"]) @ last["kernel"] + last["bias"]


def is_plain(tree):
    if isinstance(tree, dict):
        return type(tree) is dict and all(is_plain(value) for value in tree.values())
    return isinstance(tree, jax.Array)


def test_parameters_are_plain_dicts_of_arrays(affine):
    params = affine.init(jax.random.key(0))
    assert is_plain(params)
    assert jax.tree.map(jnp.shape, params) == {
        "hidden": {"kernel": (3, 4), "bias": (4,)},
        "blocks": {0: {"kernel": (4, 2), "bias": (2,)}},
    }


def test_apply_by_hand_with_extra_arguments_and_under_jit(affine):
    params = affine.init(jax.random.key(0))
    expected = by_hand(params, X)
    tolerance = {"rtol": 1e-5, "atol": 1e-6}  # float32 sums of four terms
    np.testing.assert_allclose(affine.apply(params, X), expected, **tolerance)
    np.testing.assert_allclose(affine.apply(params, X, 3.0), 3 * expected, **tolerance)
    np.testing.assert_allclose(jax.jit(affine.apply)(params, X), expected, **tolerance)


def test_apply_takes_numpy_parameters_and_changes_nothing(affine):
    params = jax.tree.map(np.asarray, affine.init(jax.random.key(0)))
    before = jax.tree.map(np.copy, params)
    np.testing.assert_allclose(affine.apply(params, X), by_hand(params, X), rtol=1e-5, atol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, params, before)


def test_init_depends_on_the_key_alone(affine):
    first, again, other = (affine.init(jax.random.key(seed)) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert not np.array_equal(first["hidden"]["kernel"], other["hidden"]["kernel"])


def test_vmapped_init_equals_the_loop(affine):
    keys = jax.random.split(jax.random.key(2), 3)
    together = jax.vmap(affine.init)(keys)
    for i, key in enumerate(keys):
        # Variance scaling divides by a square root, which a batched program may round differently.
        jax.tree.map(lambda a, b, i=i: np.testing.assert_allclose(a[i], b, rtol=1e-6), together, affine.init(key))


def test_gradient_of_the_last_layer(affine):
    params = affine.init(jax.random.key(0))
    gradient = jax.jit(jax.grad(lambda p: affine.apply(p, X).sum()))(params)
    assert jax.tree.structure(gradient) == jax.tree.structure(params)
    kernel, bias = np.asarray(params["hidden"]["kernel"]), np.asarray(params["hidden"]["bias"])
    hidden = np.tanh(X @ kernel + bias)
    np.testing.assert_allclose(gradient["blocks"][0]["bias"], [5, 5], rtol=1e-6)
    expected = np.repeat(hidden.sum(axis=0)[:, None], 2, axis=1)
    np.testing.assert_allclose(gradient["blocks"][0]["kernel"], expected, rtol=1e-5, atol=1e-5)


def test_declaring_allocates_nothing():
    # 40 TB, if it were made.
    model = functional(lambda rngs: nnx.Linear(10_000_000, 1_000_000, rngs=rngs))
    assert jax.eval_shape(model.init, jax.random.key(0))["kernel"].shape == (10_000_000, 1_000_000)


@pytest.mark.parametrize(("spec", "count"), [(ALEXNET, 2_469_696), (VGG16, 14_714_688)])
def test_trunk_parameters(spec, count):
    # The convolutions of torchvision's AlexNet and VGG16.
    model = functional(lambda rngs: ConvTrunk(spec, rngs=rngs))
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    assert set(shapes) == {"features"}
    assert sorted(map(int, shapes["features"])) == sorted(spec.convolutions)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == count


@pytest.mark.parametrize(
    ("spec", "side", "expected"),
    [
        (ALEXNET, 64, [(15, 64), (7, 192), (3, 384), (3, 256), (3, 256)]),
        (ALEXNET, 224, [(55, 64), (27, 192), (13, 384), (13, 256), (13, 256)]),
        (VGG16, 64, [(64, 64), (32, 128), (16, 256), (8, 512), (4, 512)]),
        (VGG16, 35, [(35, 64), (17, 128), (8, 256), (4, 512), (2, 512)]),
    ],
)
def test_tap_shapes(spec, side, expected):
    assert shapes_of(spec, side, side) == [(2, n, n, channels) for n, channels in expected]


def shapes_of(spec, height, width):
    model = functional(lambda rngs: ConvTrunk(spec, rngs=rngs))
    params = jax.eval_shape(model.init, jax.random.key(0))
    taps = jax.eval_shape(model.apply, params, jax.ShapeDtypeStruct((2, height, width, 3), jnp.float32))
    return [tap.shape for tap in taps]


def has_all_positions(spec, height, width):
    try:
        return all(min(shape[1:3]) >= 1 for shape in shapes_of(spec, height, width))
    except (ValueError, TypeError):
        return False


@pytest.mark.parametrize("spec", [ALEXNET, VGG16])
def test_smallest_is_the_smallest(spec):
    n = spec.smallest
    assert has_all_positions(spec, n, n)
    assert not has_all_positions(spec, n - 1, n)
    assert not has_all_positions(spec, n, n - 1)


class Normalised(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(3, 2, rngs=rngs)
        self.norm = nnx.BatchNorm(2, momentum=0.75, rngs=rngs)

    def __call__(self, x):
        return self.norm(self.hidden(x))


def test_stateful_networks_keep_their_statistics_among_the_parameters():
    model = stateful(Normalised)
    params = model.init(jax.random.key(0))
    assert is_plain(params)
    plain = {"hidden": {"kernel": False, "bias": False}}
    assert model.statistics == plain | {"norm": {"mean": True, "var": True, "scale": False, "bias": False}}
    hidden = X @ np.asarray(params["hidden"]["kernel"]) + np.asarray(params["hidden"]["bias"])
    found, renewed = jax.jit(model.train)(params, X)
    tolerance = {"rtol": 1e-4, "atol": 1e-5}  # float32, divided by deviations of order one
    np.testing.assert_allclose(found, (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5), **tolerance)
    np.testing.assert_allclose(renewed["norm"]["mean"], 0.25 * hidden.mean(0), **tolerance)
    np.testing.assert_allclose(renewed["norm"]["var"], 0.75 + 0.25 * hidden.var(0), **tolerance)
    assert renewed["hidden"].keys() == params["hidden"].keys()
    mean, var = (np.asarray(renewed["norm"][name]) for name in ("mean", "var"))
    expected = (hidden - mean) / np.sqrt(var + 1e-5)
    np.testing.assert_allclose(jax.jit(model.apply)(renewed, X), expected, **tolerance)


def test_without_statistics_training_is_evaluation(affine):
    model = stateful(Affine)
    params = model.init(jax.random.key(0))
    found, renewed = model.train(params, X)
    np.testing.assert_array_equal(found, affine.apply(params, X))
    jax.tree.map(np.testing.assert_array_equal, renewed, params)
    assert not any(jax.tree.leaves(model.statistics))
