"""DDRM against the authors' program, whose noise is drawn in the spectral basis of each operator."""

import functools

import numpy as np
import pytest
from golden_networks import quick
from golden_samplers import (
    EARLY,
    OUTPUT,
    SAMPLES,
    SCHEDULE,
    SHAPE,
    arrays,
    description,
    golden_run,
    measured_run,
    nhwc,
    with_arrays,
)

from jaxpr.diffusion import strided
from jaxpr.samplers import ddrm

SIZE = int(np.prod(SHAPE))


def spectral(name: str, golden: dict[str, np.ndarray]):
    """The singular values of the authors' operator, and its V: coefficients (S, d) -> images (S, H, W, C)."""
    height, width, channels = SHAPE
    if name == "deno":
        return np.ones(SIZE), lambda z: nhwc(z.reshape(-1, channels, height, width))
    if name == "inpaint":
        missing = golden["missing_indices"].astype(int)
        order = np.concatenate([np.setdiff1d(np.arange(SIZE), missing), missing])
        return np.ones(SIZE - missing.size), lambda z: z[:, np.argsort(order)].reshape(-1, *SHAPE)
    s, v = golden["srconv_s_small"], golden["srconv_V_small"]
    paired = [width * i + j for i in range(4) for j in range(4)] + [
        width * i + j for i in range(4) for j in range(4, 8)
    ]
    places = np.concatenate([paired, np.arange(len(paired), height * width)])

    def back(z):
        grid = np.empty((z.shape[0], height * width, channels), z.dtype)
        grid[:, places] = z.reshape(grid.shape)
        return np.einsum("ik,jl,nklc->nijc", v, v, grid.reshape(-1, *SHAPE))

    return np.repeat(np.outer(s, s).reshape(-1), channels), back


def given_noise(config: dict, golden: dict[str, np.ndarray]):
    """Three draws a step: for the null space, for what y's noise hides, and for what y shows."""
    s, back = spectral(config["operator"], golden)
    alpha_bar = np.append(1, strided(SCHEDULE, config["steps"]).alpha_bar)[-2::-1]
    rng = np.random.default_rng(100)

    def draw(transition, purpose, shape):
        if purpose == "start":
            return back(golden["x_T"].reshape(SAMPLES, SIZE))[:, None]
        level = np.sqrt((1 - alpha_bar[transition]) / alpha_bar[transition])
        hidden, shown = np.flatnonzero(s * level < config["sigma_0"]), np.flatnonzero(s * level > config["sigma_0"])
        z = rng.standard_normal((SAMPLES, SIZE)).astype(np.float32)
        z[:, hidden] = rng.standard_normal((SAMPLES, hidden.size))
        z[:, shown] = rng.standard_normal((SAMPLES, s.size))[:, shown]
        return back(z)[:, None]

    return draw


@functools.cache
def run(name: str):
    golden, config = arrays("ddrm"), description("ddrm")["runs"][name]
    return golden_run(
        ddrm,
        "ddrm",
        *measured_run(config["operator"], name, golden),
        noise_std=config["sigma_0"] / 2,
        config=config,
        noise=given_noise(config, golden),
        steps=config["steps"],
        eta=config["eta(A,C)"],
        eta_b=config["etaB"],
    )


@pytest.mark.parametrize("name", quick(with_arrays("ddrm"), "bic_s01_guided_dist", thorough=with_arrays("ddrm")))
def test_runs_of_the_authors_program(name):
    golden, found = arrays("ddrm"), run(name)
    np.testing.assert_allclose(2 * found.x[:, 0] - 1, nhwc(golden[f"{name}_out"]), atol=OUTPUT)
    np.testing.assert_allclose(found.trace.start[:, 0], nhwc(golden[f"{name}_x_init"]), atol=OUTPUT)
    for k, x in zip((1, 5, 9), golden[f"{name}_xs"], strict=True):
        np.testing.assert_allclose(found.trace.x[k - 1, :, 0], nhwc(x), atol=EARLY)
    if "guided" not in name:  # the authors keep predictions before guidance
        for k, x0 in zip((0, 4, 8, 9), golden[f"{name}_x0_preds"], strict=True):
            np.testing.assert_allclose(found.trace.x0[k, :, 0], nhwc(x0), atol=EARLY)
