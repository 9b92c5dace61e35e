"""Maps of one known set of patches to another: Gaussian, one Gaussian for each texture, and exact transport.

Papers: [adrai2023] Adrai, Ohayon, Michaeli, Elad, "Deep Optimal Transport: A Practical Algorithm for Photo-realistic
Image Restoration", NeurIPS 2023.
"""

import numpy as np

from jaxpr.core import AnyArray, InputError
from jaxpr.transport import emd, gaussian_map

__all__ = ["exact_map", "folded", "gaussian_patches", "patches_of", "texture_wise", "w2"]


def patches_of(images: AnyArray, *, side: int) -> np.ndarray:
    """Patches around all pixels of images (N, H, W, C), the edge repeated: (N, H, W, side² C), rows first."""
    images = np.asarray(images)
    margin, (height, width) = side // 2, images.shape[1:3]
    padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="edge")
    shifts = [padded[:, i : i + height, j : j + width] for i in range(side) for j in range(side)]
    return np.concatenate(shifts, axis=3)


def folded(patches: AnyArray, *, side: int) -> np.ndarray:
    """Images of patches (N, H, W, side² C), averaged where they overlap."""
    patches = np.asarray(patches)
    margin, (number, height, width, dim) = side // 2, patches.shape
    total = np.zeros((number, height + 2 * margin, width + 2 * margin, dim // side**2))
    counts = np.zeros(total.shape[1:3])
    for k, part in enumerate(np.split(patches, side**2, axis=3)):
        rows, columns = (
            slice(shift, shift + length) for shift, length in zip(divmod(k, side), (height, width), strict=True)
        )
        total[:, rows, columns] += part
        counts[rows, columns] += 1
    inside = slice(margin, margin + height), slice(margin, margin + width)
    return total[:, *inside] / counts[inside][None, :, :, None]


def gaussian_patches(points: AnyArray, targets: AnyArray) -> np.ndarray:
    """Patches (n, d) moved by the map between the Gaussians of both sets, without noise; [adrai2023], Eq. (2)."""
    points, targets = np.asarray(points, float), np.asarray(targets, float)
    mapping = gaussian_map(np.cov(points.T), np.cov(targets.T), rcond=1e-10)
    return (points - points.mean(axis=0)) @ np.asarray(mapping.matrix).T + targets.mean(axis=0)


def texture_wise(points: AnyArray, targets: AnyArray, *, classes: int, channels: int) -> np.ndarray:
    """Patches (n, d) moved by a Gaussian map for each texture.

    Patches of either set are ranked by how much they vary (their standard deviation over pixels, averaged over
    channels) and dealt into classes of equal size; each class is moved to that of the same rank.

    Args:
        points: (n, d), channels last.
        targets: likewise, as many or others.
        classes: at least one, which is `gaussian_patches`.
        channels: of a pixel.

    Raises:
        InputError: a class has no more patches than entries.
    """
    points, targets = np.asarray(points, float), np.asarray(targets, float)
    least, dim = min(len(points), len(targets)) // classes, points.shape[1]
    if least <= dim:
        raise InputError(f"classes: found {classes}, of {least} patches each, expected more than {dim} in each")
    moved = np.empty_like(points)
    of_points, of_targets = (_textures(each, classes, channels) for each in (points, targets))
    for number in range(classes):
        moved[of_points == number] = gaussian_patches(points[of_points == number], targets[of_targets == number])
    return moved


def _textures(patches: np.ndarray, classes: int, channels: int) -> np.ndarray:
    """The class of each patch, flat ones first."""
    varies = patches.reshape(len(patches), -1, channels).std(axis=1).mean(axis=1)
    ranks = np.argsort(np.argsort(varies, kind="stable"), kind="stable")
    return ranks * classes // len(patches)


def exact_map(points: AnyArray, targets: AnyArray) -> np.ndarray:
    """The target (n, d) of each point under the optimal plan of squared distances."""
    plan = emd(points, targets, cost="squared_l2")
    return np.asarray(targets)[plan.columns[np.argsort(plan.rows)]]


def w2(first: AnyArray, second: AnyArray) -> float:
    """W2 of two equally large sets of patches, exactly."""
    return float(np.sqrt(float(emd(first, second, cost="squared_l2").value)))
