"""The trained restorers that come with jaxpr: consistent, and what they are chosen for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxpr.data import digits, photos
from jaxpr.degradations import parse_degradation
from jaxpr.restorers import default_restorers, trained_degradation, trained_restorer
from jaxpr.weights.packaged import PACKAGED_RESTORERS

KEY = jax.random.key(4)
# Averages over four or sixteen pixels of float32 outputs.
CONSISTENT = 2e-5


@pytest.mark.thorough
@pytest.mark.parametrize("data", ["photos", "digits"])
def test_packaged_restorers_are_consistent_and_better_than_nothing(data):
    names = [name for name in PACKAGED_RESTORERS if name.startswith(data) and (data == "photos" or name.endswith("-0"))]
    assert names
    source = {"photos": photos, "digits": digits}[data]("test")
    x = jnp.stack([image[-64:, :64] if data == "photos" else image for image in list(source)[:4]])
    for name in names:
        degradation = parse_degradation(trained_degradation(name))
        y, found = degradation(KEY, x), trained_restorer(name)
        restored = found(y) if "stochastic" not in name else found(KEY, y)
        operator = degradation.operator(x.shape[1:])
        if not degradation.noise_std:
            np.testing.assert_allclose(operator(restored), y, atol=CONSISTENT)
        error, without = (np.sqrt(np.mean((z - x) ** 2)) for z in (restored, operator.pinv(y)))
        assert error < 1.3 * without, name  # GANs trade error for realism, but not all of it


def test_defaults_are_those_trained_for_the_problem():
    found = default_restorers(parse_degradation("bicubic-x4"), 3)
    assert {"nearest", "lmmse"} < set(found)
    assert set(found) & set(PACKAGED_RESTORERS) == {name for name in PACKAGED_RESTORERS if name.startswith("photos")}
    assert "exemplar:0.1" in default_restorers(parse_degradation("average-x3"), 3)
    digit = set(default_restorers(parse_degradation("average-x4"), 1)) & set(PACKAGED_RESTORERS)
    first = {name for name in PACKAGED_RESTORERS if name.endswith("-0")}
    assert digit == {name for name in first if "average-x4" in name and "noise" not in name}
    noisy = set(default_restorers(parse_degradation("average-x4+noise-0.1"), 1)) & set(PACKAGED_RESTORERS)
    assert noisy == {name for name in first if "average-x4-noise-0.1-" in name}
    assert not set(default_restorers(parse_degradation("bicubic-x4"), 1)) & set(PACKAGED_RESTORERS)
