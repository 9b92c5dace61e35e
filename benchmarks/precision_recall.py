"""Improved precision and recall (k = 3) from features to the numbers, against torch-fidelity, piq and prdc.

Command:   .venv/bin/python -m benchmarks.precision_recall [--scale smoke|small|paper]

All see the same float32 features. prdc also gives density and coverage, with which jaxpr's second row compares; its
balls are open and piq's recall compares with the wrong radii at ties, so values may differ in the last place.
"""

import contextlib
import io
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.common import compare_sizes, declare_torchvision_operators

K = 3
SIZES = {  # name: (N, d)
    "smoke": {"500x128": (500, 128)},
    "small": {"10000x2048": (10000, 2048)},
    "paper": {"20000x4096": (20000, 4096), "46500x4096": (46500, 4096)},
}


def features(count: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Real and fake features on curved sheets of 32 dimensions, so that neither measure is zero or one."""
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((32, dim), np.float32)
    real, fake = (rng.standard_normal((count, 32), np.float32) * np.float32(s) for s in (1.0, 0.9))
    return np.tanh(real @ mixing / 4), np.tanh(fake @ mixing / 4 + np.float32(0.02))


def jaxpr_pair(count: int, dim: int) -> Callable[[], Any]:
    """Precision and recall."""
    from jaxpr.metrics import precision_recall

    real, fake = features(count, dim)
    return lambda: np.stack(precision_recall(real, fake, k=K))


def jaxpr_four(count: int, dim: int) -> Callable[[], Any]:
    """All four measures of every point, in the same three passes."""
    from jaxpr.metrics import manifold_scores

    real, fake = features(count, dim)
    return lambda: np.stack([np.mean(values) for values in manifold_scores(real, fake, k=K)])


def torch_fidelity(count: int, dim: int) -> Callable[[], Any]:
    """Its default, which stores all distances."""
    declare_torchvision_operators()
    import torch
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, fake = (torch.from_numpy(x) for x in features(count, dim))
    return lambda: calculate_precision_recall_full(fake, real, neighborhood=K)


def torch_fidelity_part(count: int, dim: int) -> Callable[[], Any]:
    """Its option `save_cpu_ram`."""
    declare_torchvision_operators()
    import torch
    from torch_fidelity.metric_prc import calculate_precision_recall_part

    real, fake = (torch.from_numpy(x) for x in features(count, dim))
    return lambda: calculate_precision_recall_part(fake, real, neighborhood=K, batch_size=2048)


def piq(count: int, dim: int) -> Callable[[], Any]:
    """The class of piq, k nearest neighbours."""
    declare_torchvision_operators()
    import torch
    from piq import PR

    real, fake = (torch.from_numpy(x) for x in features(count, dim))
    measure = PR(nearest_k=K)
    return lambda: [float(value) for value in measure(real, fake)]


def prdc(count: int, dim: int) -> Callable[[], Any]:
    """The authors of density and coverage."""
    from prdc import compute_prdc

    real, fake = features(count, dim)

    def run() -> list[float]:
        with contextlib.redirect_stdout(io.StringIO()):
            found = compute_prdc(real, fake, nearest_k=K)
        return [float(found[name]) for name in ("precision", "recall", "density", "coverage")]

    return run


CONTENDERS: dict[str, Callable[..., Callable[[], Any]]] = {
    "torch-fidelity": torch_fidelity,
    "torch-fidelity blockwise": torch_fidelity_part,
    "jaxpr": jaxpr_pair,
    "jaxpr, all four": jaxpr_four,
    "piq": piq,
    "prdc, all four": prdc,
}

if __name__ == "__main__":
    compare_sizes(__doc__, SIZES, CONTENDERS, baseline="torch-fidelity")
