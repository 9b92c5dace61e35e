"""Latent transport patch by patch, in NumPy's float64, as one reads it in [adrai2023]."""

import numpy as np


def patches_inside(z: np.ndarray, patch: int) -> np.ndarray:
    """(N, h, w, c) to all patches (N, rows, columns, p² c)."""
    number, height, width, _ = z.shape
    rows, columns = height - patch + 1, width - patch + 1
    cut = [[z[:, i : i + patch, j : j + patch].reshape(number, -1) for j in range(columns)] for i in range(rows)]
    return np.moveaxis(np.array(cut), 2, 0)


def patches_around(z: np.ndarray, patch: int) -> np.ndarray:
    """A patch around every pixel, the edge repeated."""
    m = patch // 2
    return patches_inside(np.pad(z, ((0, 0), (m, m), (m, m), (0, 0)), mode="edge"), patch)


def averaged(patches: np.ndarray, patch: int) -> np.ndarray:
    """Patches around all pixels to the mean of those that overlap."""
    number, height, width, dim = patches.shape
    m = patch // 2
    total = np.zeros((number, height + 2 * m, width + 2 * m, dim // patch**2))
    count = np.zeros((height + 2 * m, width + 2 * m, 1))
    for i in range(height):
        for j in range(width):
            total[:, i : i + patch, j : j + patch] += patches[:, i, j].reshape(number, patch, patch, -1)
            count[i : i + patch, j : j + patch] += 1
    return (total / count)[:, m : m + height, m : m + width]


def moved(z: np.ndarray, matrix: np.ndarray, offset: np.ndarray, patch: int) -> np.ndarray:
    """Cut, map, average."""
    return averaged(patches_around(z.astype(np.float64), patch) @ matrix.T + offset, patch)


def optimal_map(source: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and offset between the Gaussians of two sets of points (n, d), Eq. (2)."""

    def power(matrix: np.ndarray, exponent: float) -> np.ndarray:
        values, vectors = np.linalg.eigh(matrix)
        return (vectors * np.maximum(values, 0) ** exponent) @ vectors.T

    cov_s, cov_t = np.cov(source.T), np.cov(target.T)
    root, inverse = power(cov_s, 0.5), power(cov_s, -0.5)
    matrix = inverse @ power(root @ cov_t @ root, 0.5) @ inverse
    return matrix, target.mean(0) - matrix @ source.mean(0)
