"""Restorers: consistent by construction, deterministic or not, packed and unpacked."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.models.restorer_network import RestorerConfig, restorer_network
from jaxpr.models.rrdbnet import RRDBNetConfig, rrdbnet
from jaxpr.models.unet import UNetConfig, unet
from jaxpr.weights.native import pack_restorer, pack_weights, unpack_restorer

KEY = jax.random.key(2)
SMALL = UNetConfig(channels=1, width=2, scales=1)
RRDB = RRDBNetConfig(num_feat=4, num_block=1, num_grow_ch=2)


def made(degradation, network, *, consistent=True, stochastic=False):
    parsed = parse_degradation(degradation)
    config = RestorerConfig(network, degradation, parsed.factor, consistent, stochastic)
    return restorer_network(config, operators=parsed.operator)


CASES = {
    "inpainting": ("inpaint-top-0.75", SMALL, (8, 8, 1)),
    "average": ("average-x2", SMALL, (8, 12, 1)),
    "bicubic": ("bicubic-x4", RRDB, (16, 24, 3)),
}


@pytest.mark.thorough
@pytest.mark.parametrize("name", CASES)
def test_outputs_are_consistent_and_nearest_to_the_network_s(name):
    degradation, network, shape = CASES[name]
    operator = parse_degradation(degradation).operator(shape)
    x = jax.random.uniform(KEY, (2, *shape))
    y = operator(x)
    free, tied = (made(degradation, network, consistent=c) for c in (False, True))
    params = jax.jit(tied.init)(KEY)
    z = tied.seeds(KEY, y)

    @jax.jit
    def outputs(params, y, z):
        return tied.apply(params, y, z), free.apply(params, y, z), tied.train(params, y, z)

    found, network_alone, (trained, renewed) = outputs(params, y, z)
    assert found.shape == x.shape
    np.testing.assert_allclose(operator(found), y, atol=2e-5)
    assert np.abs(operator(network_alone) - y).max() > 1e-2
    np.testing.assert_allclose(found, operator.project(network_alone, y), atol=1e-5)
    np.testing.assert_allclose(operator(trained), y, atol=2e-5)
    assert jax.tree.structure(renewed) == jax.tree.structure(tied.statistics)


@pytest.mark.slow
def test_u_nets_see_the_pseudo_inverse_and_rrdbnets_the_measurement():
    y = jax.random.uniform(KEY, (2, 4, 4, 1))
    tied = made("average-x2", SMALL, consistent=False)
    params = tied.init(KEY)
    repeated = y.repeat(2, axis=1).repeat(2, axis=2)
    expected = jax.jit(unet(SMALL).apply)(params, repeated, tied.seeds(KEY, y))
    np.testing.assert_allclose(jax.jit(tied.apply)(params, y, tied.seeds(KEY, y)), expected, rtol=1e-5, atol=1e-5)
    y = jax.random.uniform(KEY, (2, 4, 4, 3))
    params = jax.jit(rrdbnet(RRDB).init)(KEY)
    found = jax.jit(made("bicubic-x4", RRDB, consistent=False).apply)(params, y, ())
    np.testing.assert_array_equal(found, jax.jit(rrdbnet(RRDB).apply)(params, y))


@pytest.mark.thorough
def test_masked_pixels_of_the_measurement_do_not_matter():
    tied = made("inpaint-top-0.75", SMALL)
    params, y = tied.init(KEY), jax.random.uniform(KEY, (1, 8, 8, 1))
    apply = jax.jit(tied.apply)
    z = tied.seeds(KEY, y)
    np.testing.assert_array_equal(apply(params, y.at[:, :6].set(7.0), z), apply(params, y, z))


@pytest.mark.thorough
def test_seeds():
    y = jnp.zeros((3, 8, 8, 1))
    drawn = made("inpaint-top-0.75", UNetConfig(1, 2, 2), stochastic=True).seeds
    z = drawn(KEY, y)
    assert [part.shape for part in z] == [(3, 8, 8, 1), (3, 4, 4, 1)]
    keys = jax.vmap(jax.random.fold_in, (None, 0))(KEY, jnp.arange(3))
    for part, alone in zip(z, drawn(keys[2:], y[2:]), strict=True):  # by the example's own key
        np.testing.assert_array_equal(part[2:], alone)
    many = np.concatenate([np.ravel(part) for part in drawn(KEY, jnp.zeros((500, 8, 8, 1)))])
    assert abs(many.mean()) < 5 / np.sqrt(many.size)
    assert abs(many.var() - 1) < 5 * np.sqrt(2 / many.size)
    assert abs(np.corrcoef(np.ravel(z[0])[:48], np.ravel(z[1]))[0, 1]) < 0.6
    zeros = made("inpaint-top-0.75", UNetConfig(1, 2, 2)).seeds(KEY, y)
    assert [float(jnp.abs(part).max()) for part in zeros] == [0, 0]
    assert made("bicubic-x4", RRDB).seeds(KEY, jnp.zeros((1, 4, 4, 3))) == ()


@pytest.mark.thorough
@pytest.mark.parametrize(("degradation", "network"), [("average-x2", SMALL), ("bicubic-x4", RRDB)])
def test_packed_restorers_are_the_same(degradation, network):
    ours = made(degradation, network)
    params = jax.jit(ours.init)(KEY)
    content = pack_restorer(ours.config, params, {"command": "train", "seed": 3})
    packed = unpack_restorer(content)
    assert packed.config == ours.config
    assert packed.metadata == {"command": "train", "seed": 3}
    assert content == pack_restorer(packed.config, packed.params, packed.metadata)
    assert jax.tree.structure(packed.params) == jax.tree.structure(params)
    for found, expected in zip(jax.tree.leaves(packed.params), jax.tree.leaves(params), strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.thorough
def test_what_is_no_restorer_is_refused():
    ours = made("average-x2", SMALL)
    params = ours.init(KEY)
    with pytest.raises(InputError, match="without a restorer"):
        unpack_restorer(pack_weights({"a": {"b": np.zeros(2)}}, {}))
    larger = ours.config._replace(network=SMALL._replace(width=3))
    with pytest.raises(InputError, match=r"found \(3, 3, 3, 4\) for down.0.conv1.kernel"):
        unpack_restorer(pack_restorer(larger, params, {}))
    deeper = ours.config._replace(network=SMALL._replace(scales=2))
    with pytest.raises(InputError, match="other parameters under 'down'"):
        unpack_restorer(pack_restorer(deeper, params, {}))
    for degradation, network, stochastic, message in (
        ("bicubic-x2", RRDB, False, "scale 4, expected 2"),
        ("bicubic-x4", RRDB, True, "no input for noise"),
    ):
        with pytest.raises(InputError, match=message):
            made(degradation, network, stochastic=stochastic)
    with pytest.raises(InputError, match="y: found float32 of shape"):
        ours.apply(params, jnp.zeros((4, 4, 1)), ())
