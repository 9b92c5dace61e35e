r"""Exact ℓ1 earth mover's distance between joint samples in the plane: jaxpr against the network simplex of POT.

Command:   .venv/bin/python -m benchmarks.emd [--scale smoke|small|paper] [--repeats 5]

What JEMD of [ohayon2024] compares: n draws of (X, Y) with X, N ~ N(0, 1), Y = X + N, and n others of (X̂, Y), where X̂
is a function of Y: D_max is Y/√2, a line of points, and "zigzag" is Y/2 + sin(8Y), with about the mean and variance of
X given Y. Values are the distance and its duality gap: that of jaxpr is proven, with potentials that were checked
against all pairs; that of POT is what its own potentials claim.

    POT dense      `ot.dist` and `ot.emd2`, float64: the matrix of costs is part of the work
    POT lazy       `ot.emd2_lazy`: the same simplex, costs computed when they are needed
    jaxpr          `transport.emd`

The first, untimed call of a contender solves 1000 of the points, so that the slow ones need not run once more.
At 30,000 points POT lazy takes minutes, and every contender is timed once.
"""

import argparse
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import Contender, compare, parse

SIZES = {"smoke": 1000, "small": 10_000, "paper": 30_000}
LAZY_ONLY = 20_000  # the matrix of costs would take gigabytes
WARM_UP = 1000
PIVOTS = 100_000_000

ESTIMATORS = {"D_max": lambda y: y / np.sqrt(2), "zigzag": lambda y: y / 2 + np.sin(8 * y)}

Points = np.ndarray
Solver = Callable[[Points, Points], list[float]]


def samples(law: str, count: int) -> tuple[Points, Points]:
    """Draws of (X, Y), and others of (X̂, Y)."""
    rng = np.random.default_rng(0)
    x, noise, other_x, other_noise = rng.standard_normal((4, count))
    y = other_x + other_noise
    return np.stack([x, x + noise], axis=1), np.stack([ESTIMATORS[law](y), y], axis=1)


def warmed(solve: Solver, law: str, count: int) -> Callable[[], list[float]]:
    """What is timed; the first call is small."""
    real, fake = samples(law, count)
    ends = iter([WARM_UP])

    def run() -> list[float]:
        end = next(ends, count)
        return solve(real[:end], fake[:end])

    return run


def ours(law: str, count: int) -> Callable[[], Any]:
    """The library's solver."""
    from jaxpr.transport import emd

    def solve(real: Points, fake: Points) -> list[float]:
        found = emd(real, fake, cost="l1")
        return [found.value, found.gap]

    return warmed(solve, law, count)


def pot_dense(law: str, count: int) -> Callable[[], Any]:
    """With the matrix of costs."""
    import ot

    def solve(real: Points, fake: Points) -> list[float]:
        weights = np.full(len(real), 1 / len(real))
        costs = ot.dist(real, fake, metric="cityblock")
        value, log = ot.emd2(weights, weights, costs, numItermax=PIVOTS, log=True)
        return [value, value - weights @ log["u"] - weights @ log["v"]]

    return warmed(solve, law, count)


def pot_lazy(law: str, count: int) -> Callable[[], Any]:
    """Without it."""
    import ot

    def solve(real: Points, fake: Points) -> list[float]:
        value, log = ot.lp.emd2_lazy(real, fake, metric="cityblock", numItermax=PIVOTS, log=True, return_matrix=False)
        return [value, value - log["u"].mean() - log["v"].mean()]

    return warmed(solve, law, count)


def main() -> None:
    """Compare at the size of the scale."""
    options = parse(__doc__)
    count = SIZES[options.scale]
    lazy = count > LAZY_ONLY
    if lazy:
        options = argparse.Namespace(**vars(options) | {"repeats": 1})
    for law in ESTIMATORS:
        contenders: dict[str, Contender] = {
            "POT lazy": functools.partial(pot_lazy, law, count),
            "jaxpr": functools.partial(ours, law, count),
        }
        if not lazy:
            contenders["POT dense"] = functools.partial(pot_dense, law, count)
        compare(options, f"{law}, n={count}", contenders, baseline="POT lazy" if lazy else "POT dense")


if __name__ == "__main__":
    main()
