"""RRDBNet: earlier names of its tensors, scales. See `test_models_golden.py`."""

import jax
import numpy as np
import pytest
from golden_cases import CASES, abstract_of, model_of, network_of
from golden_networks import assert_complete, manifest, shapes
from golden_sizes import RRDBNET

from jaxpr.weights.networks import recognise


@pytest.mark.parametrize(("upsamplings", "indices"), [(0, (2, 4)), (1, (3, 5, 7)), (3, (3, 6, 9, 11, 13))])
def test_first_generation_of_names_at_other_scales(upsamplings, indices):
    numbered = {
        n: o for n, o in manifest("rrdbnet_esrgan")["old_arch_map"] if n.startswith(("conv_first", "RRDB_trunk.0"))
    }
    named = {
        numbered[name]: shape
        for name, shape in shapes(CASES["rrdbnet_esrgan-esrgan_x4"].keys).items()
        if name in numbered
    }
    ends = {f"model.{i}": 3 if i == indices[-1] else 8 for i in indices} | {"model.1.sub.1": 8}
    for place, outputs in ends.items():
        named |= {f"{place}.weight": (outputs, 8, 3, 3), f"{place}.bias": (outputs,)}
    config = RRDBNET._replace(num_block=1, upsamplings=upsamplings)
    assert recognise(named) == (network_of(config), config)
    assert_complete(abstract_of(config), named, network_of(config).namings)


@pytest.mark.parametrize(("unshuffle", "upsamplings", "scale"), [(1, 2, 4), (2, 2, 2), (4, 2, 1), (1, 1, 2), (1, 3, 8)])
def test_scales_and_odd_sizes(unshuffle, upsamplings, scale):
    config = RRDBNET._replace(num_block=1, unshuffle=unshuffle, upsamplings=upsamplings)
    assert config.scale == scale
    x = jax.ShapeDtypeStruct((1, 5 * unshuffle, 3 * unshuffle, 3), np.float32)
    found = jax.eval_shape(model_of(config).apply, abstract_of(config), x)
    assert found.shape == (1, 5 * unshuffle * scale, 3 * unshuffle * scale, 3)
