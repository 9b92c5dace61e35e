"""DDNM and DDNM+ against the authors' program."""

import numpy as np
import pytest
from golden_networks import quick
from golden_samplers import (
    EARLY,
    OUTPUT,
    arrays,
    description,
    golden_run,
    measured_run,
    nhwc,
    stream,
    with_arrays,
)

from jaxpr.samplers import ddnm, travel_times

# Weigh noise and ε in a basis of their own choice; see the README of the golden numbers.
NOT_REPRODUCED = {"plus_avg", "plus_avg_guided"}
RUNS = [name for name in with_arrays("ddnm") if name not in NOT_REPRODUCED]


def run(name: str, **options):
    golden, config = arrays("ddnm"), description("ddnm")["runs"][name]
    travel = config["time_travel"]
    return golden_run(
        ddnm,
        "ddnm",
        *measured_run(config["operator"], name, golden),
        noise_std=config["sigma_y"] / 2,
        config=config,
        noise=stream("ddnm"),
        steps=travel["T_sampling"],
        eta=config["eta"],
        travel_length=travel["travel_length"],
        travel_repeat=travel["travel_repeat"],
        **options,
    )


@pytest.mark.parametrize("name", quick(RUNS, "plus_avg_rotated", thorough=RUNS))
def test_runs_of_the_authors_program(name):
    golden, config = arrays("ddnm"), description("ddnm")["runs"][name]
    found = run(name)
    np.testing.assert_allclose(2 * found.x[:, 0] - 1, nhwc(golden[f"{name}_out"]), atol=OUTPUT)
    np.testing.assert_allclose(found.trace.x0[-1, :, 0], nhwc(golden[f"{name}_last_x0_pred"]), atol=OUTPUT)
    for k, x in zip(config.get("xs_indices", ()), golden.get(f"{name}_xs", ()), strict=True):
        np.testing.assert_allclose(found.trace.x[k - 1, :, 0], nhwc(x), atol=EARLY)


def test_times_of_the_authors_program():
    for name, times in description("ddnm")["schedules"].items():
        steps, length, repeats = (int(part[1:]) for part in name.split("_"))
        assert travel_times(steps, length=length, repeats=repeats) == times
