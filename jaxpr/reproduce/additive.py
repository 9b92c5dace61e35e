"""Signals on the line with independent noise of any law: restorers, and what they take for noise.

[ohayon2024, Appendix D.2.2]: of Y = X + N, a restorer has the joint law of (X, Y) if and only if its outputs have the
law of X and its residual noise n̂ = y - x̂ is independent of them and has the law of N. Host code in float64; laws are
densities on a grid.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
import scipy.stats

from jaxpr.core import Key
from jaxpr.report.style import COLOURS, INK
from jaxpr.reproduce.figures import draw_density, marginal_axes
from jaxpr.transport import joint_emd

__all__ = [
    "DMAX",
    "GAUSSIAN",
    "LAWS",
    "MMSE",
    "POSTERIOR",
    "AdditiveNoise",
    "LineLaw",
    "Separation",
    "distance_to_law",
    "draw_separation",
    "separation",
]

MMSE, POSTERIOR, DMAX, GAUSSIAN = "MMSE", "posterior sampler", "D_max", "Gaussian sampler"
_COUNT, _REACH = 2001, 8.0
_MODE = 0.9  # where the two modes are; their deviation makes the variance one


class LineLaw(NamedTuple):
    """A law on the line.

    Attributes:
        points: (G,), evenly spaced.
        density: (G,), of integral one by the trapezoidal rule; zero beyond the points.
    """

    points: np.ndarray
    density: np.ndarray

    def below(self) -> np.ndarray:
        """The share of the law below each point, (G,)."""
        steps = np.diff(self.points) * (self.density[1:] + self.density[:-1]) / 2
        return np.concatenate([[0.0], np.cumsum(steps)])

    def quantile(self, ranks: np.ndarray) -> np.ndarray:
        """Where these shares of the law lie below; any shape."""
        return np.interp(ranks, self.below(), self.points)

    def at(self, values: np.ndarray) -> np.ndarray:
        """The density, any shape."""
        return np.interp(values, self.points, self.density, left=0.0, right=0.0)

    def sample(self, key: Key, count: int) -> np.ndarray:
        """Draws, (count,)."""
        return self.quantile(_uniform(key, count))


def _line_law(density: Callable[[np.ndarray], np.ndarray], reach: float = _REACH) -> LineLaw:
    points = np.linspace(-reach, reach, _COUNT)
    values = density(points)
    return LineLaw(points, values / np.trapezoid(values, points))


def _two_modes(points: np.ndarray) -> np.ndarray:
    std = math.sqrt(1 - _MODE**2)
    return (scipy.stats.norm.pdf(points, _MODE, std) + scipy.stats.norm.pdf(points, -_MODE, std)) / 2


LAWS = {
    "normal": _line_law(scipy.stats.norm.pdf),
    "two modes": _line_law(_two_modes),
    "Laplace": _line_law(lambda z: scipy.stats.laplace.pdf(z, scale=math.sqrt(0.5)), 2 * _REACH),
    "uniform": _line_law(np.ones_like, math.sqrt(3)),
}
"""Of mean zero and variance one, so that the formulas of the Gaussian example have the same second moments for all."""


class AdditiveNoise(NamedTuple):
    """Y = X + N.

    Attributes:
        signal: the law of X.
        noise: the law of N, of a log-concave density: then E[x|y] rises with y, as `restored` needs for D_max.
    """

    signal: LineLaw
    noise: LineLaw

    def sample(self, key: Key, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws of X and N, (count,) each."""
        k_signal, k_noise = jax.random.split(key)
        return self.signal.sample(k_signal, count), self.noise.sample(k_noise, count)

    def posterior(self, y: np.ndarray) -> np.ndarray:
        """Probabilities of the signal's points given measurements (M,), (M, G)."""
        weights = self.signal.density * self.noise.at(y[:, None] - self.signal.points)
        return weights / weights.sum(axis=1, keepdims=True)

    def restored(self, key: Key, y: np.ndarray) -> dict[str, np.ndarray]:
        """The restorers of Appendix D.2 for these laws, (M,) each.

        The MMSE estimate E[x|y]; a draw of p(x|y); D_max, the signal's quantile at the rank of y, which is optimal
        transport of E[x|y] as that rises with y; and the sampler of eq. (82), which would be that of the posterior if
        both laws were normal and otherwise agrees with it in second moments alone.
        """
        k_posterior, k_gaussian = jax.random.split(key)
        weights, points = self.posterior(y), self.signal.points
        below = np.interp(y[:, None] - points, self.noise.points, self.noise.below(), left=0.0, right=1.0)
        rank = np.trapezoid(below * self.signal.density, points, axis=1)
        # Within its cell a draw is uniform.
        place = _uniform(k_posterior, len(y))
        before = np.cumsum(weights, axis=1)
        cell, rows = (before < place[:, None]).sum(axis=1), np.arange(len(y))
        rest = (before[rows, cell] - place) / weights[rows, cell]
        drawn = points[cell] + (0.5 - rest) * (points[1] - points[0])
        noise = math.sqrt(0.5) * LAWS["normal"].sample(k_gaussian, len(y))
        return {MMSE: weights @ points, POSTERIOR: drawn, DMAX: self.signal.quantile(rank), GAUSSIAN: y / 2 + noise}


class Separation(NamedTuple):
    """How far a restorer parts signal and noise; each a number, or an array of one for each seed.

    Attributes:
        outputs: Wasserstein-1 distance of x̂ from the law of X.
        noise: of y - x̂ from the law of N.
        correlation: of x̂ and y - x̂.
        joint: ℓ1 earth mover's distance of (x̂, y - x̂) from draws of (X, N).
    """

    outputs: Any
    noise: Any
    correlation: Any
    joint: Any


def separation(key: Key, law: AdditiveNoise, count: int) -> tuple[dict[str, Separation], float]:
    """Every restorer on `count` measurements, compared with as many draws; and the distance between two such sets."""
    k_pairs, k_restore, k_other = jax.random.split(key, 3)
    x, n = law.sample(k_pairs, count)
    other, found = law.sample(k_other, count), {}
    for name, restored in law.restored(k_restore, x + n).items():
        residual = x + n - restored
        found[name] = Separation(
            distance_to_law(restored, law.signal.quantile),
            distance_to_law(residual, law.noise.quantile),
            float(np.corrcoef(restored, residual)[0, 1]),
            joint_emd(other, (restored, residual), cost="l1").value,
        )
    return found, joint_emd(other, (x, n), cost="l1").value


def distance_to_law(values: np.ndarray, quantile: Callable[[np.ndarray], np.ndarray]) -> float:
    """The Wasserstein-1 distance of numbers (N,) from the law with these quantiles, taken in the middle of N cells."""
    ranks = (np.arange(len(values)) + 0.5) / len(values)
    return float(np.mean(np.abs(np.sort(values) - quantile(ranks))))


def draw_separation(figure: Any, place: Any, law: AdditiveNoise, outputs: dict[str, np.ndarray], y: np.ndarray) -> Any:
    """x̂ over y - x̂ on level lines of (N, X), with marginal densities; the axes.

    Args:
        figure: where to draw.
        place: a cell of its grid.
        law: of signal and noise.
        outputs: of restorers, (M,) each, drawn as curves where they are functions of y.
        y: measurements (M,).
    """
    joint, above, beside = marginal_axes(figure, place)
    grid = np.linspace(-3.6, 3.6, 241)
    signal, noise = law.signal.at(grid), law.noise.at(grid)
    joint.contour(grid, grid, signal[:, None] * noise, levels=5, colors=COLOURS[0], linewidths=0.8, alpha=0.55)
    above.plot(grid, noise, color=INK, lw=1.0)
    beside.plot(signal, grid, color=INK, lw=1.0)
    order = np.argsort(y)
    for (name, restored), colour in zip(outputs.items(), (COLOURS[3], COLOURS[2], COLOURS[1]), strict=False):
        residual = y - restored
        look = {"marker": ".", "ms": 2, "ls": ""} if name == POSTERIOR else {"lw": 1.6}
        joint.plot(residual[order], restored[order], color=colour, label=name, **look)
        draw_density(above, residual, grid, colour=colour)
        draw_density(beside, restored, grid, colour=colour, upright=True)
    joint.set(xlim=(-3.6, 3.6), ylim=(-3.6, 3.6), xlabel="y - x̂")
    return joint


def _uniform(key: Key, count: int) -> np.ndarray:
    """Numbers strictly between 0 and 1, (count,), in float64."""
    return (np.asarray(jax.random.bits(key, (count,), np.uint32), np.float64) + 0.5) / 2**32
