"""Points without structure, for tests of what is chosen among them."""

import numpy as np


def points(seed: int, n: int = 60, d: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)).astype(np.float32)
