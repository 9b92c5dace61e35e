"""Tiny images whose priors are mixtures of Gaussians: measurements, exact posteriors, and how far answers are off.

Images of 2×4 pixels, so that sets of answers can be compared with sets of draws of the posterior by exact transport.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.special
import scipy.stats

from jaxpr.degradations import AverageDownsample, Inpainting, LinearOperator
from jaxpr.diffusion import cosine_transform
from jaxpr.transport import emd

__all__ = [
    "EXACT_TASKS",
    "ExactPosteriors",
    "ExactTask",
    "MixturePriors",
    "answer_scores",
    "exact_posteriors",
    "mixture_posterior",
    "three_priors",
]

SHAPE, SIZE = (2, 4, 1), 8
BASIS = cosine_transform(2, 4)
INDEPENDENT, CORRELATED, MIXTURE = "independent pixels", "correlated pixels", "mixture"
PRIORS = (INDEPENDENT, CORRELATED, MIXTURE)
LEVEL = 0.9
MEASURES = {
    "variance": "variance / true",
    "bias": "mean's error² / variance",
    "w2": "W2 / spread",
    "coverage": f"posterior within {LEVEL:.0%} of answers",
    "modes": "mode weights off by",
}
_MASK = np.array([[1, 0, 0, 1], [0, 1, 0, 1]], bool)


class MixturePriors(NamedTuple):
    """Three laws of images on [-1, 1] as mixtures of as many parts, so that one program samples from all.

    Attributes:
        means: (P, K, H, W, C).
        variances: of the same shape: of the coefficients in `BASIS`.
        weights: (P, K).
    """

    means: np.ndarray
    variances: np.ndarray
    weights: np.ndarray


def three_priors() -> MixturePriors:
    """White and coloured Gaussians, and three coloured Gaussians that differ most in what neither task measures."""
    rows, columns = np.mgrid[:2, :4]
    coloured = (0.3 / (1 + rows**2 + columns**2) ** 1.5)[..., None]
    unseen = np.array([[[0, 1, 0, 0], [-1, 0, 0, 0]], [[0, 0, 1, 0], [0, 0, -1, 0]]])
    hint = 0.03 * np.random.default_rng(2).standard_normal((3, *SHAPE))
    means = np.zeros((3, 3, *SHAPE))
    means[2] = np.tensordot([[0.6, 0.5], [-0.6, 0.5], [0.0, -0.7]], unseen, 1)[..., None] + hint
    spreads = np.stack([np.full(SHAPE, 0.1), coloured, coloured / 6])
    variances = np.broadcast_to(spreads[:, None], means.shape)
    weights = np.array([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [0.6, 0.3, 0.1]])
    return MixturePriors(*(np.asarray(a, np.float32) for a in (means, variances, weights)))


class ExactTask(NamedTuple):
    """What is measured.

    Attributes:
        name: for people.
        operator: A.
        noise_std: of y, in units of [0, 1].
    """

    name: str
    operator: LinearOperator
    noise_std: float


EXACT_TASKS = (
    ExactTask("inpainting", Inpainting(_MASK, channels=1), 0.0),
    ExactTask("average ×2, σ = 0.05", AverageDownsample(SHAPE, 2), 0.05),
    ExactTask("average ×2, σ = 0.2", AverageDownsample(SHAPE, 2), 0.2),
)


class ExactPosteriors(NamedTuple):
    """Measurements with their exact posteriors, for each of P priors and M measurements; x in units of [0, 1].

    Attributes:
        y: (P, M, h, w, c).
        mean: (P, M, d).
        covariance: (P, M, d, d).
        shares: (P, M, K), probabilities of the parts of the mixture.
        draws: (P, M, S, d), of the posterior.
        other: as many more.
    """

    y: np.ndarray
    mean: np.ndarray
    covariance: np.ndarray
    shares: np.ndarray
    draws: np.ndarray
    other: np.ndarray


def _flat_matrix(linear: Callable[[Any], Any]) -> np.ndarray:
    """Of a linear map of images, (outputs, d)."""
    return np.asarray(linear(np.eye(SIZE, dtype=np.float32).reshape(SIZE, *SHAPE)), np.float64).reshape(SIZE, -1).T


def _parts_of(prior: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (K,), means (K, d) and covariances (K, d, d) of a prior, in units of [0, 1]."""
    means, variances, weights = (a[prior].astype(np.float64) for a in three_priors())
    basis = _flat_matrix(BASIS.forward)
    covs = np.stack([basis.T @ np.diag(v.ravel()) @ basis / 4 for v in variances])
    return weights / weights.sum(), (means.reshape(-1, SIZE) + 1) / 2, (covs + covs.mT) / 2


def exact_posteriors(task: ExactTask, *, measurements: int, answers: int, seed: int) -> ExactPosteriors:
    """Measurements of each prior's images, and their posteriors."""
    found = []
    for prior in range(len(PRIORS)):
        generator = np.random.default_rng((seed, prior))
        x = _drawn(generator, *_parts_of(prior), measurements)
        matrix = _flat_matrix(task.operator)
        seen = np.abs(matrix).sum(axis=1) > 0
        y = np.zeros((len(x), len(matrix)))
        y[:, seen] = (x @ matrix.T + task.noise_std * generator.standard_normal(y.shape))[:, seen]
        each = []
        for one in y[:, seen]:
            shares, means, covs = mixture_posterior(prior, matrix[seen], task.noise_std, one)
            mean, gaps = shares @ means, means - shares @ means
            cov = np.einsum("k,kij->ij", shares, covs + gaps[:, :, None] * gaps[:, None])
            draws = (_drawn(generator, shares, means, covs, answers) for _ in range(2))
            each.append((mean, cov, shares, *draws))
        stacked = (np.stack(values) for values in zip(*each, strict=True))
        found.append((y.reshape(-1, *task.operator.output_shape).astype(np.float32), *stacked))
    return ExactPosteriors(*(np.stack(each) for each in zip(*found, strict=True)))


def mixture_posterior(
    prior: int, matrix: np.ndarray, noise_std: float, y: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means and covariances of the mixture that x is given one y = A x + noise, (m,)."""
    weights, means, covs = _parts_of(prior)
    of_y = matrix @ covs @ matrix.T + noise_std**2 * np.eye(len(matrix))
    gains = covs @ matrix.T @ np.linalg.inv(of_y)
    gaps = y - means @ matrix.T
    squares = np.einsum("ki,kij,kj->k", gaps, np.linalg.inv(of_y), gaps)
    shares = scipy.special.softmax(np.log(weights) - np.linalg.slogdet(of_y)[1] / 2 - squares / 2)
    return shares, means + np.einsum("kij,kj->ki", gains, gaps), covs - gains @ matrix @ covs


def _drawn(
    generator: np.random.Generator, weights: np.ndarray, means: np.ndarray, covs: np.ndarray, count: int
) -> np.ndarray:
    """Points (count, d) of a mixture."""
    values, vectors = np.linalg.eigh(covs)
    roots = vectors * np.sqrt(np.maximum(values, 0))[:, None]
    chosen = generator.choice(len(weights), count, p=weights)
    return means[chosen] + np.einsum("nij,nj->ni", roots[chosen], generator.standard_normal((count, SIZE)))


Scores = dict[str, np.ndarray]
"""By measure, (P, M) values: one for each prior and measurement."""


def answer_scores(exact: ExactPosteriors, answers: np.ndarray) -> Scores:
    """How far answers (P, M, S, d) are from the posterior; see `MEASURES`."""
    found: dict[str, list[list[float]]] = {name: [] for name in MEASURES}
    for prior in range(len(PRIORS)):
        for values in found.values():
            values.append([])
        for i, x in enumerate(answers[prior]):
            given = exact.mean[prior, i], exact.covariance[prior, i], exact.shares[prior, i], exact.draws[prior, i]
            one = _score(prior, *given, np.asarray(x, np.float64))
            for name, value in one.items():
                found[name][prior].append(value)
    return {name: np.array(values) for name, values in found.items()}


def _score(
    prior: int, mean: np.ndarray, cov: np.ndarray, shares: np.ndarray, draws: np.ndarray, x: np.ndarray
) -> dict[str, float]:
    total, spread = np.trace(cov), np.cov(x.T)
    bias = np.sum((x.mean(axis=0) - mean) ** 2) - np.trace(spread) / len(x)  # without what chance adds
    values, vectors = np.linalg.eigh(cov)
    free = vectors[:, values > 1e-4 * values[-1]]
    inside = (draws - x.mean(axis=0)) @ free
    squares = np.einsum("ni,ni->n", inside @ np.linalg.pinv(free.T @ spread @ free, rcond=1e-8), inside)
    counts = np.bincount(_part(prior, x), minlength=len(shares)) / len(x)
    return {
        "variance": float(np.trace(spread) / total),
        "bias": float(bias / total),
        "w2": float(np.sqrt(emd(x, draws, cost="squared_l2").value / total)),
        "coverage": float(np.mean(squares <= scipy.stats.chi2.ppf(LEVEL, free.shape[1]))),
        "modes": float(np.abs(counts - shares).sum() / 2),
    }


def _part(prior: int, x: np.ndarray) -> np.ndarray:
    """The part of a prior's mixture that explains each point (N, d) best."""
    weights, means, covs = _parts_of(prior)
    gaps = x[:, None] - means
    squares = np.einsum("nki,kij,nkj->nk", gaps, np.linalg.inv(covs), gaps)
    return np.argmax(np.log(weights) - np.linalg.slogdet(covs)[1] / 2 - squares / 2, axis=1)
