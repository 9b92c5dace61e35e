"""The convolution layer is nnx.Conv in parameters, values and gradients, with canonical convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxpr.attacks import explore_posterior, ifgsm, l2_adam, local_lipschitz, output_shift
from jaxpr.core import InputError
from jaxpr.models import functional
from jaxpr.models.layers import Conv, GroupNorm, halve, l2_normalise, upsample_bilinear
from jaxpr.numerics import LINEAR, resize

FLOAT32 = 1e-5  # float32 sums of up to 200 terms in another order
OPTIONS = {
    "plain": {},
    "no bias": {"use_bias": False},
    "strided": {"strides": 2, "padding": "VALID"},
    "circular": {"padding": "CIRCULAR"},
    "dilated": {"kernel_dilation": 2},
    "padded": {"padding": 1},
    "grouped": {"feature_group_count": 3},
}
KEY = jax.random.key(0)


def models(options):
    return [functional(lambda rngs, c=cls: c(6, 9, (3, 3), rngs=rngs, **options)) for cls in (Conv, nnx.Conv)]


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_it_is_flax_convolution(options):
    ours, flax = models(options)
    params = ours.init(KEY)
    expected = flax.init(KEY)
    assert jax.tree.structure(params) == jax.tree.structure(expected)
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    x = jax.random.normal(KEY, (2, 9, 8, 6))

    def loss(apply):
        return lambda params, x: jnp.sum(jnp.sin(apply(params, x)))

    np.testing.assert_allclose(ours.apply(params, x), flax.apply(params, x), rtol=0, atol=FLOAT32)
    for found, wanted in zip(
        jax.tree.leaves(jax.jit(jax.grad(loss(ours.apply), (0, 1)))(params, x)),
        jax.tree.leaves(jax.jit(jax.grad(loss(flax.apply), (0, 1)))(params, x)),
        strict=True,
    ):
        np.testing.assert_allclose(found, wanted, rtol=0, atol=FLOAT32 * max(1, float(jnp.abs(wanted).max())))


def test_all_its_convolutions_are_canonical_in_both_modes():
    (ours, _), x = models({}), jnp.ones((1, 5, 5, 6))
    params = ours.init(KEY)
    for fn in (ours.apply, jax.grad(lambda p, x: ours.apply(p, x).sum(), (0, 1))):
        text = str(jax.make_jaxpr(fn)(params, x))
        assert "canonical_convolution[" in text
        assert "conv_general_dilated" not in text
    jax.jvp(lambda x: ours.apply(params, x), (x,), (x,))


def test_unbatched_input_and_vmapped_parameters():
    ours, flax = models({})
    x = jax.random.normal(KEY, (9, 8, 6))
    params = jax.vmap(ours.init)(jax.random.split(KEY, 3))
    found = jax.vmap(ours.apply, (0, None))(params, x)
    assert found.shape == (3, 9, 8, 9)
    np.testing.assert_allclose(found, jax.vmap(flax.apply, (0, None))(params, x), atol=FLOAT32)


ATTACKS = {
    "ifgsm": lambda f, y: ifgsm(KEY, output_shift(f, y), y, alpha=0.1, steps=3, bounds=None),
    "l2_adam": lambda f, y: l2_adam(KEY, output_shift(f, y), y, epsilon=0.1, steps=3, learning_rate=1.0),
    "explore": lambda f, y: explore_posterior(KEY, f, y, samples=3, alpha=0.1, steps=2, bounds=None).outputs,
    "local_lipschitz": lambda f, y: local_lipschitz(KEY, f, y, iterations=5),
}


def convolutions_in_loops(program, looping: bool = False) -> list[str]:
    found = [e.primitive.name for e in program.eqns if looping and "conv" in e.primitive.name.replace("convert", "")]
    for equation in program.eqns:
        for value in equation.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                found += convolutions_in_loops(inner, looping or equation.primitive.name == "scan")
    return found


@pytest.mark.thorough
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_loops_of_attacks_through_plain_flax_networks_are_canonical(attack):
    network = nnx.Sequential(
        nnx.Conv(3, 8, (3, 3), rngs=nnx.Rngs(0)), jnp.tanh, nnx.Conv(8, 3, (3, 3), rngs=nnx.Rngs(1))
    )
    y = jax.random.uniform(KEY, (2, 6, 5, 3))
    # Outside the loops they run once, and XLA brings their layouts into order itself.
    found = convolutions_in_loops(jax.make_jaxpr(lambda y: attack(network, y))(y).jaxpr)
    assert found
    assert set(found) == {"canonical_convolution"}
    np.testing.assert_allclose(
        jax.jit(lambda y: attack(network, y))(y), attack(network, y), rtol=0, atol=1e-4
    )  # float32 differences of outputs


def test_division_by_the_norm_is_guarded():
    x = np.float32([[3, 0, 1e-13], [4, 0, 0]])
    np.testing.assert_allclose(l2_normalise(jnp.asarray(x), axis=0), [[0.6, 0, 0.1], [0.8, 0, 0]], rtol=1e-6)
    gradient = jax.grad(lambda x: l2_normalise(x, axis=0).sum())(jnp.asarray(x))
    assert np.isfinite(gradient).all()
    half = l2_normalise(jnp.full((300, 1), 200, jnp.bfloat16), axis=0)  # the sum of squares needs more digits
    assert half.dtype == jnp.bfloat16
    np.testing.assert_allclose(half.astype(jnp.float32), 300**-0.5, rtol=2**-8)


@pytest.mark.parametrize("shape", [(2, 5, 3, 2), (1, 1, 4, 1)])
def test_bilinear_doubling_and_halving_are_matrices(shape):
    x = jax.random.normal(KEY, shape)
    doubled = resize(x, (2 * shape[1], 2 * shape[2]), kernel=LINEAR, antialias=False)
    np.testing.assert_allclose(upsample_bilinear(x), doubled, atol=FLOAT32)
    np.testing.assert_allclose(
        halve(doubled), resize(doubled, shape[1:3], kernel=LINEAR, antialias=False), atol=FLOAT32
    )


def test_odd_images_have_no_half():
    with pytest.raises(InputError, match="x: found 3×4 pixels, expected multiples of 2"):
        halve(np.zeros((1, 3, 4, 1), np.float32))


@pytest.mark.parametrize("shape", [(2, 3, 5, 8), (2, 8)])
def test_norms_of_groups_are_those_of_flax(shape):
    models = [
        functional(lambda rngs, c=cls: c(8, num_groups=4, use_fast_variance=False, rngs=rngs))
        for cls in (GroupNorm, nnx.GroupNorm)
    ]
    x = 3 + 2 * jax.random.normal(jax.random.key(0), shape)
    params = {"scale": jnp.linspace(0.5, 2, 8), "bias": jnp.linspace(-1, 1, 8)}

    def both(model):
        return jax.value_and_grad(lambda x: jnp.sum(jnp.sin(model.apply(params, x))))(x)

    found, expected = (jax.jit(lambda model=model: (model.apply(params, x), both(model)[1]))() for model in models)
    np.testing.assert_allclose(found[0], expected[0], atol=2e-6)
    np.testing.assert_allclose(found[1], expected[1], atol=2e-5)
    half = models[0].apply(params, x.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
