"""Waves, zigzags and D_max on the plane: [ohayon2023, Section 4, Appendices B.1 and C], exact transport as a judge."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from jaxpr.core import InputError
from jaxpr.toys import elliptic_ring, linear_mixture, uniform_disk, uniform_square
from jaxpr.toys.dmax import interpolated, monotone_dmax, planar_dmax
from jaxpr.toys.planar_estimators import (
    disk_wave,
    ring_avoiding,
    ring_crossing,
    zigzag,
    zigzag_transport,
    zigzag_transport_cost,
    zigzag_w2_bound,
)

KEY = jax.random.key(13)
DRAWS = 40_000
SIGMAS = 5  # of the standard error
# Compiling takes longer than running: leave optimisation out.
QUICK = {"xla_backend_optimization_level": "0", "xla_llvm_disable_expensive_passes": True}
RING = elliptic_ring(np.array([0.6, 0.5]), np.array([1.2, 1.0]))
UNIT = np.linspace(0, 1, 5001, dtype=np.float32)[:, None]
LINE = np.linspace(-1.2, 1.2, 40_001, dtype=np.float32)[:, None]


@functools.partial(jax.jit, static_argnames=("name", "count"), compiler_options=QUICK)
def run(law, name, *args, count=None):
    """A method as one compiled program, which is much faster than its first call step by step."""
    return getattr(law, name)(*args) if count is None else getattr(law, name)(*args, count)


moved = jax.jit(monotone_dmax, compiler_options=QUICK)


def transport_cost(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Wasserstein-2 distance of two clouds of equal size, by an assignment."""
    cost = ((np.asarray(a, np.float64)[:, None] - np.asarray(b, np.float64)[None]) ** 2).sum(axis=-1)
    return float(cost[scipy.optimize.linear_sum_assignment(cost)].mean())


def test_disk_wave_is_its_formula_and_stays_in_the_disk():
    y = np.linspace(-1, 1, 2001, dtype=np.float32)[:, None]
    for alpha in (1.0, 50.0):
        found = disk_wave(y, alpha=alpha)
        expected = np.sqrt(1 - y.astype(np.float64) ** 2) * np.sin(alpha * y.astype(np.float64))
        np.testing.assert_array_equal(found[:, :1], y)
        np.testing.assert_allclose(found[:, 1:], expected, atol=1e-5)
        assert (np.linalg.norm(np.asarray(found, np.float64), axis=1) <= 1 + 1e-6).all()


def test_disk_wave_has_finite_gradients_and_continues_outside():
    gradient = jax.grad(lambda y: jnp.sum(disk_wave(y, alpha=50.0)))(jnp.array([[-1.0], [0.3], [1.0], [1.5]]))
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(disk_wave(jnp.array([[1.5]]), alpha=50.0), [[1.5, 0.0]])


def test_a_more_erratic_wave_is_nearer_to_the_disk():
    x, y = (np.asarray(a) for a in run(uniform_disk(), "sample", KEY, count=1000))
    distances = [transport_cost(disk_wave(y[:500], alpha=a), x[500:]) for a in (1.0, 8.0, 50.0)]
    assert distances[0] > 2 * distances[1] > 2 * distances[2]


def test_ring_estimators_are_consistent_continuous_and_equal_outside_the_hole():
    for alpha in (3.0, 40.0):
        avoiding, crossing = ring_avoiding(RING, LINE, alpha=alpha), ring_crossing(RING, LINE, alpha=alpha)
        beyond = np.abs(LINE[:, 0]) >= 0.6
        for curve in (np.asarray(avoiding), np.asarray(crossing)):
            np.testing.assert_array_equal(curve[:, :1], LINE)
            # A step of y is 6e-5; the curve's slope is at most α off the ends of the ellipses, where it is like a root.
            assert np.abs(np.diff(curve[:, 1])).max() < 40 * 6e-5 + np.sqrt(2 * 6e-5 / 0.6)
        np.testing.assert_array_equal(avoiding[beyond], crossing[beyond])


def test_ring_estimators_trade_precision_for_recall():
    _, y = run(RING, "sample", KEY, count=DRAWS)
    avoiding, crossing = ring_avoiding(RING, y, alpha=60.0), ring_crossing(RING, y, alpha=60.0)
    over_hole = np.abs(np.asarray(y[:, 0])) < 0.6
    slack = np.float32(1 - 1e-5)  # outputs that touch the border may round to the other side
    hole_only = elliptic_ring(np.zeros(2), RING.inner * slack)
    assert not run(hole_only, "contains", avoiding).any()
    assert (np.asarray(avoiding)[over_hole, 1] >= 0).all()
    share = float(run(hole_only, "contains", crossing).mean())
    # A fast sine is below the height i in an outline of height o for 2/π arcsin(i/o) of the time.
    slices = run(RING, "slices", y)
    expected = np.mean(2 / np.pi * np.arcsin(np.asarray(slices.inner / slices.outer)))
    assert abs(share - expected) < 0.02
    lower = np.asarray(crossing)[over_hole & ~np.asarray(run(hole_only, "contains", crossing)), 1] < 0
    assert 0.4 < lower.mean() < 0.6


def test_zigzag_is_its_formula():
    for frequency in (1, 3, 20):
        found = zigzag(UNIT, frequency=frequency)
        expected = np.arccos(np.clip(np.cos(2 * np.pi * frequency * UNIT.astype(np.float64)), -1, 1)) / np.pi
        np.testing.assert_array_equal(found[:, :1], UNIT)
        np.testing.assert_allclose(found[:, 1:], expected, atol=2e-5)


@pytest.mark.parametrize("frequency", [1, 4, 25])
def test_zigzag_transport_lands_on_the_zigzag_with_its_law(frequency):
    x, _ = run(uniform_square(), "sample", KEY, count=DRAWS)
    moved = zigzag_transport(x, frequency=frequency)
    np.testing.assert_allclose(zigzag(moved[:, :1], frequency=frequency)[:, 1], moved[:, 1], atol=2e-4)
    # T₀(x) has the law of (Y, G(Y)) if its first coordinate is uniform; fine ranks see the position within a piece.
    first = np.asarray(moved[:, 0], np.float64)
    assert scipy.stats.kstest(first, "uniform").statistic < 2.2 / np.sqrt(DRAWS)  # odds of 1e-4
    assert scipy.stats.kstest((first * 2 * frequency) % 1, "uniform").statistic < 2.2 / np.sqrt(DRAWS)
    squared = np.asarray((x - moved)[:, 0], np.float64) ** 2  # Eqs. (15)-(17) bound every one of them
    assert squared.max() <= (1 / (2 * frequency)) ** 2 + 1e-6
    cost = float(zigzag_transport_cost(frequency=frequency))
    assert abs(squared.mean() - cost) < SIGMAS * squared.std() / np.sqrt(DRAWS)
    np.testing.assert_allclose(zigzag_w2_bound(frequency=frequency), 1 / (np.sqrt(24) * frequency), rtol=1e-6)


def test_zigzag_bound_holds_and_tends_to_zero():
    bounds = np.asarray(jax.vmap(lambda f: zigzag_w2_bound(frequency=f))(jnp.array([1, 2, 4, 1000])))
    assert (np.diff(bounds) < 0).all()
    assert bounds[-1] < 3e-4
    x, y = (np.asarray(a) for a in run(uniform_square(), "sample", KEY, count=1000))
    sampling = transport_cost(x[:500], x[500:])  # what two clouds of the same law are apart
    for frequency, bound in ((1, bounds[0]), (4, bounds[2])):
        found = transport_cost(zigzag(y[:500], frequency=frequency), x[500:])
        assert np.sqrt(found) <= bound + 2 * np.sqrt(sampling)


def test_the_last_point_of_the_square_stays_in_it():
    moved = zigzag_transport(jnp.array([[1.0, 0.25], [0.0, 0.25]]), frequency=2)
    np.testing.assert_allclose(moved, [[(3 + 0.75) / 4, 0.25], [0.25 / 4, 0.25]], atol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("law", [uniform_disk(), RING, uniform_square()], ids=["disk", "ring", "square"])
def test_planar_dmax_is_the_transport_of_the_least_error(law):
    x, y = (np.asarray(a) for a in run(law, "sample", KEY, count=1600))
    sampler = planar_dmax(law)
    assert sampler == law.posterior_sample
    drawn = np.asarray(run(law, "posterior_sample", jax.random.key(1), y))
    mean = np.asarray(run(law, "posterior_mean", y))
    coupled = ((drawn - mean) ** 2).sum(axis=1)
    # The best assignment of E[x|y] to independent points x of the law costs what D_max pays, up to sampling.
    best = transport_cost(mean[:800], x[800:])
    error = SIGMAS * np.hypot(coupled.std() / np.sqrt(1600), ((x - mean) ** 2).sum(axis=1).std() / np.sqrt(800))
    assert abs(best - coupled.mean()) < error


def test_monotone_dmax_of_a_gaussian_is_the_closed_form():
    y = jnp.array([[-30.0], [-2.0], [0.0], [0.7], [4.0]])
    for sign in (1.0, -1.0):
        law = linear_mixture(np.ones(1), np.array([[1.5]]), np.array([[[4.0]]]), np.array([[sign]]), np.array([[2.0]]))
        expected = 1.5 + np.sqrt(4 / 6) * sign * (np.asarray(y) - sign * 1.5)
        np.testing.assert_allclose(moved(law, y), expected, rtol=2e-5, atol=2e-5)


@pytest.mark.thorough
def test_monotone_dmax_of_a_mixture_has_the_law_of_x_and_the_least_cost():
    law = linear_mixture(
        np.array([0.4, 0.6]), np.array([[-2.0], [1.0]]), np.array([[[0.2]], [[0.5]]]), np.array([[0.8]]), np.eye(1)
    )
    x, y = run(law, "sample", KEY, count=DRAWS)
    dmax = np.asarray(moved(law, y), np.float64)
    grid = np.linspace(-5, 5, 2001)
    norm = scipy.stats.norm
    cdf = 0.4 * norm(-2, np.sqrt(0.2)).cdf(grid) + 0.6 * norm(1, np.sqrt(0.5)).cdf(grid)
    assert scipy.stats.kstest(dmax[:, 0], lambda p: np.interp(p, grid, cdf)).statistic < 2.2 / np.sqrt(DRAWS)
    mean = np.asarray(run(law, "posterior_mean", y), np.float64)
    assert (np.argsort(mean[:, 0]) == np.argsort(dmax[:, 0])).mean() > 0.9  # rounding swaps neighbours
    # On the line the sorted coupling is optimal: no cheaper way from E[x|y] to the points x exists.
    cost = ((np.sort(mean[:, 0]) - np.sort(np.asarray(x, np.float64)[:, 0])) ** 2).mean()
    assert abs(((dmax - mean) ** 2).mean() - cost) < 0.02
    errors = [
        ((np.asarray(x) - e) ** 2).mean() for e in (mean, dmax, run(law, "posterior_sample", jax.random.key(1), y))
    ]
    assert errors[0] < errors[1] < errors[2]


def test_monotone_dmax_without_information_is_undefined():
    law = linear_mixture(np.ones(1), np.zeros((1, 1)), np.ones((1, 1, 1)), np.zeros((1, 1)), np.eye(1))
    assert np.isnan(moved(law, jnp.zeros((5, 1)))).all()


def test_interpolation():
    law, y = uniform_disk(), jnp.array([[0.0], [0.5]])
    sampler, estimator = functools.partial(run, law, "posterior_sample"), functools.partial(run, law, "posterior_mean")
    ends = [interpolated(sampler, estimator, alpha=a)(KEY, y) for a in (0.0, 0.25, 1.0)]
    np.testing.assert_array_equal(ends[0], sampler(KEY, y))
    np.testing.assert_array_equal(ends[2], estimator(y))
    np.testing.assert_allclose(ends[1], 0.75 * ends[0] + 0.25 * ends[2], atol=1e-6)


def test_jit_equals_eager():
    y = jnp.asarray(LINE[::4000])
    for wave in (ring_avoiding, ring_crossing):
        wave = functools.partial(wave, RING, alpha=7.0)
        np.testing.assert_allclose(jax.jit(wave, compiler_options=QUICK)(y), wave(y), atol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: disk_wave(jnp.zeros((3, 2)), alpha=1.0), "y: found width 2, expected 1"),
        (lambda: zigzag(UNIT, frequency=0), "frequency: found 0"),
        (lambda: zigzag(UNIT, frequency=1.5), "frequency: found 1.5, expected a positive integer"),
        (lambda: zigzag_transport(UNIT, frequency=2), "x: found width 1, expected 2"),
        (lambda: ring_avoiding(RING, UNIT[:, 0], alpha=1.0), r"y: found shape \(5001,\)"),
        (lambda: interpolated(RING.posterior_sample, RING.posterior_mean, alpha=np.inf), "alpha: found inf"),
        (
            lambda: monotone_dmax(
                linear_mixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None], np.eye(2), np.eye(2)), UNIT
            ),
            "law: found x and y of 2 and 2 dimensions",
        ),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
