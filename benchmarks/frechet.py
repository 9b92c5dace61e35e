"""Fréchet distance from features to the number, against torch-fidelity and the formula of pytorch-fid.

Command:   .venv/bin/python -m benchmarks.frechet [--scale smoke|small|paper]

Statistics and distance are timed together on both sides, on the same float32 features. The values agree to the
rounding of float32 means (torch-fidelity's and numpy's means are float32).
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import compare_sizes, declare_torchvision_operators

SIZES = {  # name: (N, d)
    "smoke": {"500x128": (500, 128)},
    "small": {"5000x2048": (5000, 2048), "1000x2048": (1000, 2048), "500x2048": (500, 2048)},
    "paper": {"50000x2048": (50000, 2048), "10000x4096": (10000, 4096), "1000x4096": (1000, 4096)},
}


def features(count: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Real and fake features with correlated coordinates and a small shift."""
    rng = np.random.default_rng(0)
    mixing = np.eye(dim, dtype=np.float32) + rng.standard_normal((dim, dim), np.float32) / np.float32(dim**0.5)
    real = rng.standard_normal((count, dim), np.float32) @ mixing
    fake = rng.standard_normal((count, dim), np.float32) * np.float32(1.1) + np.float32(0.05)
    return real, fake


def jaxpr_moments(count: int, dim: int) -> Callable[[], Any]:
    """The streaming path, which also evaluation uses."""
    from jaxpr.metrics import Moments, frechet_distance

    real, fake = features(count, dim)
    warnings.simplefilter("ignore")
    return lambda: frechet_distance(Moments.zero(dim).update(real), Moments.zero(dim).update(fake))


def jaxpr_features(count: int, dim: int) -> Callable[[], Any]:
    """The path that forms no covariance where N <= d."""
    from jaxpr.metrics import frechet_distance_from_features

    real, fake = features(count, dim)
    warnings.simplefilter("ignore")
    return lambda: frechet_distance_from_features(real, fake)


def torch_fidelity(count: int, dim: int) -> Callable[[], Any]:
    """Eigenvalues of the product of the covariances."""
    declare_torchvision_operators()
    import torch
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    real, fake = (torch.from_numpy(x) for x in features(count, dim))

    def run() -> float:
        statistics = fid_features_to_statistics(fake), fid_features_to_statistics(real)
        return fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]

    return run


def scipy_sqrtm(count: int, dim: int) -> Callable[[], Any]:
    """The formula of pytorch-fid."""
    import scipy.linalg

    real, fake = features(count, dim)

    def run() -> float:
        cov_a, cov_b = np.cov(real, rowvar=False), np.cov(fake, rowvar=False)
        root = np.trace(scipy.linalg.sqrtm(cov_a @ cov_b)).real
        return float(np.sum((real.mean(0) - fake.mean(0)) ** 2) + np.trace(cov_a) + np.trace(cov_b) - 2 * root)

    return run


CONTENDERS: dict[str, Callable[..., Callable[[], Any]]] = {
    "torch-fidelity": torch_fidelity,
    "jaxpr moments": jaxpr_moments,
    "jaxpr features": jaxpr_features,
    "scipy sqrtm": scipy_sqrtm,
}

if __name__ == "__main__":
    compare_sizes(__doc__, SIZES, CONTENDERS, baseline="torch-fidelity")
