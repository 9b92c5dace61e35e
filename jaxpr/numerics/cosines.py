"""The cosine basis, in which photographs are nearly uncorrelated."""

import numpy as np

__all__ = ["cosine_basis"]


def cosine_basis(size: int) -> np.ndarray:
    """The orthonormal DCT-II matrix (size, size), float64; rows are frequencies, the first is constant."""
    k, i = np.arange(size)[:, None], np.arange(size)[None]
    basis = np.cos(np.pi * k * (2 * i + 1) / (2 * size)) * np.sqrt(2 / size)
    basis[0] = np.sqrt(1 / size)
    return basis
