"""DPS against the authors' program."""

import numpy as np
import pytest
from golden_networks import quick
from golden_samplers import (
    EARLY,
    OUTPUT,
    SAMPLES,
    arrays,
    description,
    golden_run,
    measured,
    nhwc,
    operator,
    start_noise,
    with_arrays,
)

from jaxpr.samplers import dps

CONFIGS = description("dps")["runs"]


def given_noise(projects: bool):
    """Each step takes two draws, of which the second, for a noisy copy of y, matters to projections only."""
    rng = np.random.default_rng(100)

    def images(shape):
        samples, _, height, width, channels = shape
        return nhwc(rng.standard_normal((samples, channels, height, width)).astype(np.float32))[:, None]

    def draw(transition, purpose, shape, *, measured_shape):
        if purpose == "start":
            return start_noise("dps")
        found = images(shape)
        if purpose == "step" and not projects:
            images(measured_shape)
        return found

    return draw


def run(name: str):
    golden, config = arrays("dps"), CONFIGS[name]
    made_by = operator(config["operator"], golden)
    y = measured(config["operator"], golden[f"{name}_y"].reshape(1, 3, *golden[f"{name}_y"].shape[-2:]), made_by)
    projects = config["conditioning"] == "mcg"
    draw, shape = given_noise(projects), (SAMPLES, *y.shape)
    return golden_run(
        dps,
        "dps",
        y,
        made_by,
        learned=config["model_var_type"] == "learned_range",
        noise_std=config["sigma"] / 2,
        config=config,
        noise=lambda *asked: draw(*asked, measured_shape=shape),
        steps=config["respacing"],
        scale=config["scale"],
        conditioning=config["conditioning"],
    )


@pytest.mark.parametrize("name", quick(with_arrays("dps"), "sr_noisy_guided_dist", thorough=with_arrays("dps")))
def test_runs_of_the_authors_program(name):
    golden, found = arrays("dps"), run(name)
    np.testing.assert_allclose(2 * found.x[:, 0] - 1, nhwc(golden[f"{name}_out"]), atol=OUTPUT)
    np.testing.assert_allclose(found.trace.x0[-1, :, 0], nhwc(golden[f"{name}_x0_hat_last"]), atol=OUTPUT)
    for k, x in zip((1, 6), golden[f"{name}_xs"], strict=True):
        np.testing.assert_allclose(found.trace.x[k - 1, :, 0], nhwc(x), atol=EARLY)
