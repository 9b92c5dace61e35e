"""Kernel distance (KID), 100 subsets of 1000, from features to the numbers, against torch-fidelity and piq.

Command:   .venv/bin/python -m benchmarks.kid [--scale smoke|small|paper]

Subsets are drawn inside the timed run on both sides; means differ by the choice of subsets (see the standard error of
jaxpr, the second value). "jaxpr, all points" is the estimate without subsets with its jackknife over ten groups.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import compare_sizes, declare_torchvision_operators

SIZES = {  # name: (N, d, subsets, points per subset)
    "smoke": {"500x128": (500, 128, 10, 100)},
    "small": {"5000x2048": (5000, 2048, 100, 1000), "20000x2048": (20000, 2048, 100, 1000)},
    "paper": {"50000x2048": (50000, 2048, 100, 1000)},
}


def features(count: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Non-negative features, like those after the last rectifier of a network."""
    rng = np.random.default_rng(0)
    real, fake = (np.abs(rng.standard_normal((count, dim), np.float32)) for _ in range(2))
    return real / 2, fake / 2 * np.float32(1.05)


def jaxpr_subsets(count: int, dim: int, subsets: int, size: int) -> Callable[[], Any]:
    """What is reported as KID."""
    import jax

    from jaxpr.metrics import kernel_distance

    real, fake = features(count, dim)
    key = jax.random.key(0)
    return lambda: kernel_distance(key, real, fake, subsets=subsets, subset_size=size)[:2]


def jaxpr_grouped(count: int, dim: int, subsets: int, size: int) -> Callable[[], Any]:
    """All points, with a standard error over groups."""
    from jaxpr.metrics import kernel_distance_grouped

    real, fake = features(count, dim)
    groups = np.arange(count) % 10
    return lambda: kernel_distance_grouped(real, fake, groups, groups)


def torch_fidelity(count: int, dim: int, subsets: int, size: int) -> Callable[[], Any]:
    """Mean and standard deviation over subsets."""
    declare_torchvision_operators()
    import torch
    from torch_fidelity.metric_kid import kid_features_to_metric

    real, fake = (torch.from_numpy(x) for x in features(count, dim))

    def run() -> list[float]:
        found = kid_features_to_metric(fake, real, kid_subsets=subsets, kid_subset_size=size, verbose=False)
        return [found["kernel_inception_distance_mean"], found["kernel_inception_distance_std"]]

    return run


def piq(count: int, dim: int, subsets: int, size: int) -> Callable[[], Any]:
    """The class of piq, one estimate per subset."""
    declare_torchvision_operators()
    import torch
    from piq import KID

    real, fake = (torch.from_numpy(x) for x in features(count, dim))
    measure = KID(n_subsets=subsets, subset_size=size, average=True)
    return lambda: float(measure(fake, real))


CONTENDERS: dict[str, Callable[..., Callable[[], Any]]] = {
    "torch-fidelity": torch_fidelity,
    "jaxpr": jaxpr_subsets,
    "jaxpr, all points": jaxpr_grouped,
    "piq": piq,
}

if __name__ == "__main__":
    compare_sizes(__doc__, SIZES, CONTENDERS, baseline="torch-fidelity")
