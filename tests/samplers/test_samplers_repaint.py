"""RePaint against the authors' program."""

import numpy as np
import pytest
from golden_networks import quick
from golden_samplers import (
    EARLY,
    OUTPUT,
    arrays,
    description,
    golden_run,
    measured,
    nhwc,
    operator,
    stream,
    with_arrays,
)

from jaxpr.samplers import network_calls, repaint, travel_times

CONFIGS = description("repaint")["runs"]


def run(name: str):
    golden, config = arrays("repaint"), CONFIGS[name]
    made_by = operator("inpaint", golden)
    return golden_run(
        repaint,
        "repaint",
        measured("inpaint", golden["x_orig"].reshape(1, 3, 8, 8), made_by),
        made_by,
        learned=True,
        noise_std=0.0,
        config=config,
        noise=stream("repaint"),
        steps=config["t_T / respacing"],
        jump_length=config["jump_length"],
        jump_repeat=config["jump_n_sample"],
    )


@pytest.mark.parametrize("name", quick(with_arrays("repaint"), "nojump", thorough=with_arrays("repaint")))
def test_runs_of_the_authors_program(name):
    golden, found = arrays("repaint"), run(name)
    np.testing.assert_allclose(2 * found.x[:, 0] - 1, nhwc(golden[f"{name}_out"]), atol=OUTPUT)
    np.testing.assert_allclose(found.trace.x0[-1, :, 0], nhwc(golden[f"{name}_pred_xstart"]), atol=OUTPUT)
    times = CONFIGS[name]["times"]
    reverse = [k for k in range(len(times) - 1) if times[k + 1] < times[k]]
    assert len(reverse) == CONFIGS[name]["n_reverse_steps"] == found.network_calls
    for k, x in zip((0, 1, len(reverse) // 2), golden[f"{name}_sample_first_mid"], strict=True):
        np.testing.assert_allclose(found.trace.x[reverse[k], :, 0], nhwc(x), atol=EARLY)


def test_times_of_the_authors_program():
    for config in CONFIGS.values():
        options = {"length": config["jump_length"], "repeats": config["jump_n_sample"]}
        assert travel_times(config["t_T / respacing"], **options) == config["times"]
        assert network_calls(config["t_T / respacing"], **options) == config["n_reverse_steps"]
    published, found = description("repaint")["schedules"]["T250_L10_N10"], travel_times(250, length=10, repeats=10)
    assert (len(found), sum(found), found[:20]) == (published["length"], published["sum"], published["first20"])
