"""NIQE: how far the local statistics of an image are from those of pristine photographs, without a reference.

Everything runs on the host, in float64: the shape of a distribution is looked up in a table with steps of 0.001, so
float32 sums would fall into neighbouring entries, and the distance inverts a covariance that is estimated from a few
blocks and nearly singular. Nothing here can be traced by JAX or differentiated.

Mittal, Soundararajan and Bovik, "Making a 'completely blind' image quality analyzer", IEEE Signal Processing Letters
20(3), 2013, with the constants and conventions of the authors' MATLAB release.
"""

import functools
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.io
import scipy.ndimage
import scipy.sparse
from scipy.special import gamma

from jaxpr.core import ArrayLike, InputError, check_images, check_positive, first_line, in_float64, is_traced
from jaxpr.numerics.resampling import CUBIC, resize_matrix

__all__ = [
    "NIQE_SMALLEST",
    "NiqeParameters",
    "fit_niqe",
    "load_niqe_parameters",
    "niqe",
    "niqe_distance",
    "niqe_features",
    "packaged_niqe_parameters",
    "usable_blocks",
]

NIQE_SMALLEST = 96
"""Least height and width of an image: one block. A finite NIQE needs two blocks, so 96×192."""

_FEATURES = 36
_SCALES = (1, 2)
_PACKAGED = "niqe_photos_train.npz"
# The official file's names, then BasicSR's.
_KEYS = (("mu_prisparam", "cov_prisparam"), ("mu_pris_param", "cov_pris_param"))

# Local means and deviations: a 7×7 Gaussian window, separable.
_TAPS = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
_TAPS /= _TAPS.sum()
# A block of smaller coefficients is flat: what is left are rounding errors of the window's sum.
_ZERO = 1e-9

# Rows and columns by which the coefficients are rolled within their block before they are multiplied.
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))

# Shapes of the generalised Gaussian and the ratio (mean |x|)² / mean x² that belongs to each, which increases.
_SHAPES = 0.2 + 0.001 * np.arange(9801)
_RATIOS = gamma(2 / _SHAPES) ** 2 / (gamma(1 / _SHAPES) * gamma(3 / _SHAPES))
_MIDPOINTS = (_RATIOS[1:] + _RATIOS[:-1]) / 2


class NiqeParameters(NamedTuple):
    """Gaussian model of the block features of pristine images.

    Attributes:
        name: which images it was fitted on. Values of NIQE under different parameters cannot be compared.
        mean: (36,).
        covariance: (36, 36).
    """

    name: str
    mean: np.ndarray
    covariance: np.ndarray


def niqe(images: ArrayLike, *, parameters: NiqeParameters) -> np.ndarray:
    r"""Natural image quality evaluator of each image (Mittal et al. 2013, eq. (10)); lower is more natural.

    $\sqrt{(\mu - \nu)^\top (\frac{\Sigma + \Lambda}{2})^+ (\mu - \nu)}$ with the mean ν and covariance Λ of the
    image's features over its 96×96 blocks, and μ, Σ of pristine images. Incomplete blocks at the right and at the
    bottom are cut off. As in the official code, which reads files, values are clipped to [0, 1] and rounded to 8 bits;
    colours become luma 0.299 R + 0.587 G + 0.114 B, rounded again (MATLAB's `rgb2gray`).

    Args:
        images: (N, H, W, 1) or (N, H, W, 3) in [0, 1], overshoot allowed. H and W at least 96.
        parameters: from `packaged_niqe_parameters`, `load_niqe_parameters` or `fit_niqe`.

    Returns:
        (N,), NumPy float64, non-negative. NaN where fewer than two blocks have features: images with room for one
        block only (smaller than 96×192), flat images. A block in which the contrast, or a product of neighbours, never
        takes one of the signs, as in a flat area, has none and is left out.

    Raises:
        InputError: traced by JAX, not float NHWC with 1 or 3 channels, NaN, another range, an image smaller than a
            block, or parameters of another shape.
    """
    scores = [niqe_distance(features, parameters=parameters) for features in niqe_features(images)]
    return np.array(scores, np.float64).reshape(-1)


def niqe_features(images: ArrayLike) -> np.ndarray:
    """What `niqe` sees of each block of 96×96 pixels: (N, K, 36) of images as there, NaN in blocks without features.

    Raises:
        InputError: images that `niqe` refuses.
    """
    _check(images, name="images", overshoot=1.0)
    height, width = np.shape(images)[1:3]
    blocks = (height // NIQE_SMALLEST) * (width // NIQE_SMALLEST)
    features = [_block_features(_gray(image))[0] for image in np.asarray(images)]
    return np.array(features).reshape(len(features), blocks, _FEATURES)


def niqe_distance(features: np.ndarray, *, parameters: NiqeParameters) -> float:
    """NIQE of all blocks together whose features (K, 36) are given; NaN for fewer than two usable ones.

    Raises:
        InputError: parameters or features of another shape.
    """
    _check_parameters(parameters)
    if np.ndim(features) != 2 or np.shape(features)[1] != _FEATURES:
        raise InputError(f"features: found shape {np.shape(features)}, expected (K, {_FEATURES})")
    return float(_distance(parameters.mean, parameters.covariance, *_moments(np.asarray(features, np.float64))))


def usable_blocks(features: np.ndarray) -> int:
    """How many of the blocks (K, 36) have all features."""
    return len(_usable(features))


def fit_niqe(images: Iterable[ArrayLike], *, name: str, sharpness: float) -> NiqeParameters:
    """Fit the model of pristine images, as the official `estimatemodelparam`.

    Args:
        images: clean images (H, W, 1) or (H, W, 3) in [0, 1], each of its own size and at least 96×96.
        name: name of the parameters.
        sharpness: of each image only blocks count whose mean local deviation exceeds this fraction of the sharpest
            block's, in [0, 1). The paper and the official code use 0.75.

    Returns:
        Parameters in float64.

    Raises:
        InputError: an image that `niqe` would refuse or that leaves [0, 1], a sharpness outside [0, 1), or fewer than
            37 blocks in all, from which no covariance of full rank can be estimated.
    """
    check_positive("sharpness", sharpness, or_zero=True, scalar=True)
    if sharpness >= 1:
        raise InputError(f"sharpness: found {sharpness}, expected a fraction below 1")
    chosen = [np.zeros((0, _FEATURES))]
    for i, image in enumerate(images):
        found = image if is_traced(image) else np.asarray(image)[None]
        _check(found, name=f"images[{i}]", overshoot=1e-3)
        features, deviations = _block_features(_gray(np.asarray(image)))
        chosen.append(features[deviations > sharpness * deviations.max()])
    features = _usable(np.concatenate(chosen))
    if len(features) <= _FEATURES:
        raise InputError(f"images: found {len(features)} sharp blocks, expected more than {_FEATURES}")
    return NiqeParameters(name, *_moments(features))


def load_niqe_parameters(path: str | Path) -> NiqeParameters:
    """Read the parameters of another implementation. Nothing is unpickled.

    Args:
        path: a `.mat` or `.npz` file with the arrays of the official file (`mu_prisparam`, `cov_prisparam`) or of
            BasicSR's (`mu_pris_param`, `cov_pris_param`).

    Returns:
        Parameters in float64, named as the file without its ending.

    Raises:
        InputError: the file is missing, corrupt or of another kind, lacks an array, or arrays have wrong shapes.
    """
    path = Path(path)
    if path.suffix.lower() not in (".mat", ".npz"):
        raise InputError(f"{path}: found ending {path.suffix!r}, expected .mat or .npz with parameters of NIQE")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), expected parameters of NIQE") from error
    mean, covariance = _arrays(path, content)
    if mean.shape in ((1, _FEATURES), (_FEATURES, 1)):
        mean = mean.reshape(-1)
    try:
        parameters = NiqeParameters(path.stem, mean.astype(np.float64), covariance.astype(np.float64))
        _check_parameters(parameters)
    except (TypeError, ValueError) as error:  # InputError is a ValueError
        raise InputError(f"{path}: {first_line(error)}, as parameters of NIQE have") from error
    return parameters


@functools.cache
def packaged_niqe_parameters() -> NiqeParameters:
    """Parameters fitted on the six photographs of `jaxpr.data.photos("train")`, read once per process.

    They are not the official ones, which were fitted on 125 photographs: values differ from published values, and the
    parameters' name belongs next to every number. `experiments/fit_niqe.py` makes the file.

    Raises:
        InputError: the installation lacks the file or it is damaged.
    """
    parameters = load_niqe_parameters(Path(__file__).with_name(_PACKAGED))
    for array in (parameters.mean, parameters.covariance):
        array.setflags(write=False)  # one object for all callers
    return parameters._replace(name="jaxpr-photos-train")


def _check(images: ArrayLike, *, name: str, overshoot: float) -> None:
    if is_traced(images):
        raise InputError(f"{name}: found a traced array, expected values: NIQE runs on the host, outside jit and grad")
    check_images(name, images, overshoot=overshoot)
    height, width, channels = np.shape(images)[1:]
    if channels not in (1, 3):
        raise InputError(f"{name}: found {channels} channels, expected 1 or 3")
    if min(height, width) < NIQE_SMALLEST:
        size = f"{NIQE_SMALLEST}×{NIQE_SMALLEST}"
        raise InputError(f"{name}: found images of {height}×{width}, expected at least {size} for NIQE")


def _check_parameters(parameters: NiqeParameters) -> None:
    if is_traced(parameters.mean, parameters.covariance):
        raise InputError("parameters: found traced arrays, expected values: NIQE runs on the host")
    for field, shape in (("mean", (_FEATURES,)), ("covariance", (_FEATURES, _FEATURES))):
        found = np.asarray(getattr(parameters, field))
        if found.shape != shape:
            raise InputError(f"{field}: found shape {found.shape}, expected {shape}")
        if not np.isfinite(found).all():
            raise InputError(f"{field}: found NaN or infinite values, expected finite parameters")


def _arrays(path: Path, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays of a parameter file, of any shape and dtype."""
    wanted = [key for pair in _KEYS for key in pair]
    found: Any
    try:
        if path.suffix.lower() == ".mat":
            found = scipy.io.loadmat(io.BytesIO(content), variable_names=wanted)
        else:
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                found = {key: archive[key] for key in wanted if key in archive}
    except Exception as error:  # damaged files raise whatever the parser stumbles over
        raise InputError(f"{path}: cannot be parsed ({first_line(error)}), expected parameters of NIQE") from error
    for mean, covariance in _KEYS:
        if mean in found and covariance in found:
            return np.asarray(found[mean]), np.asarray(found[covariance])
    names = " or ".join(" and ".join(pair) for pair in _KEYS)
    raise InputError(f"{path}: lacks arrays, expected {names}")


def _gray(image: np.ndarray) -> np.ndarray:
    """(H, W, C) to 8-bit luma (H, W) as float64, cut to whole blocks."""
    height, width = (size // NIQE_SMALLEST * NIQE_SMALLEST for size in image.shape[:2])
    pixels = np.rint(np.clip(np.asarray(image[:height, :width], np.float64), 0, 1) * 255)
    if pixels.shape[-1] == 1:
        return pixels[..., 0]
    # In integers, so that halves are exact and round up.
    return np.floor((299 * pixels[..., 0] + 587 * pixels[..., 1] + 114 * pixels[..., 2] + 500) / 1000)


def _block_features(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Features (K, 36) of the blocks of an image (H, W) of whole blocks, and their mean local deviation (K,)."""
    features, deviations = [], []
    for scale in _SCALES:
        side = NIQE_SMALLEST // scale
        coefficients, deviation = _normalised(gray)
        blocks = _blocks(coefficients, side)
        flat = np.abs(blocks).max(axis=(1, 2), keepdims=True) < _ZERO
        features.append(_features(np.where(flat, 0.0, blocks)))
        deviations.append(_blocks(deviation, side).mean(axis=(1, 2)))
        if scale != _SCALES[-1]:
            rows, columns = (_halving(size) for size in gray.shape)
            gray = (columns @ (rows @ gray).T).T
    return np.concatenate(features, axis=1), deviations[0]


def _halving(size: int) -> scipy.sparse.csr_array:
    """MATLAB's bicubic resizing to half, with antialiasing, of which each row has eight entries."""
    return scipy.sparse.csr_array(resize_matrix(size, size // 2, kernel=CUBIC))


def _blocks(values: np.ndarray, side: int) -> np.ndarray:
    """(H, W) to (K, side, side)."""
    height, width = values.shape
    split = values.reshape(height // side, side, width // side, side)
    return split.transpose(0, 2, 1, 3).reshape(-1, side, side)


def _normalised(gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (x - local mean) / (local deviation + 1), and the local deviation; both (H, W)."""
    mean = _window_mean(gray)
    deviation = np.sqrt(np.abs(_window_mean(gray * gray) - mean * mean))
    return (gray - mean) / (deviation + 1), deviation


def _window_mean(values: np.ndarray) -> np.ndarray:
    rows = scipy.ndimage.correlate1d(values, _TAPS, axis=0, mode="nearest")
    return scipy.ndimage.correlate1d(rows, _TAPS, axis=1, mode="nearest")


def _features(blocks: np.ndarray) -> np.ndarray:
    """Features (K, 18) of blocks (K, S, S) of coefficients at one scale: eqs. (4) to (8) of the paper."""
    shape, left, right = _asymmetric_gaussian(blocks)
    columns = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        shape, left, right = _asymmetric_gaussian(blocks * np.roll(blocks, shift, axis=(1, 2)))
        mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
        columns += [shape, mean, left, right]
    return np.stack(columns, axis=1)


def _asymmetric_gaussian(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shape, left and right scale (K,) of the generalised Gaussian with the moments of values (K, S, S).

    NaN for a block without negative or without positive values.
    """
    left, right = np.minimum(values, 0), np.maximum(values, 0)
    left_square, right_square = (np.einsum("kij,kij->k", side, side) for side in (left, right))
    with np.errstate(divide="ignore", invalid="ignore"):
        left_std = np.sqrt(left_square / np.count_nonzero(left, axis=(1, 2)))
        right_std = np.sqrt(right_square / np.count_nonzero(right, axis=(1, 2)))
        balance = left_std / right_std
        # Zeros count here, unlike above.
        absolute = (right.sum(axis=(1, 2)) - left.sum(axis=(1, 2))) / values[0].size
        ratio = absolute**2 / ((left_square + right_square) / values[0].size)
    ratio *= (balance**3 + 1) * (balance + 1) / (balance**2 + 1) ** 2
    shape = np.where(np.isnan(ratio), np.nan, _SHAPES[np.searchsorted(_MIDPOINTS, ratio)])
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, left_std * scale, right_std * scale


def _usable(features: np.ndarray) -> np.ndarray:
    """Blocks all of whose features are defined.

    Ports of the official code leave these out of the covariance, but average each feature over its own blocks.
    """
    return features[~np.isnan(features).any(axis=1)]


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (36,) and unbiased covariance (36, 36) of the usable blocks of (K, 36); NaN for fewer than two."""
    features = _usable(features)
    if len(features) < 2:
        return np.full(_FEATURES, np.nan), np.full((_FEATURES, _FEATURES), np.nan)
    return features.mean(axis=0), np.cov(features, rowvar=False)


@in_float64
def _distance(
    xp: Any, mean: np.ndarray, covariance: np.ndarray, found_mean: np.ndarray, found_covariance: np.ndarray
) -> np.ndarray:
    """The paper's eq. (10); NaN for moments that are."""
    if np.isnan(found_mean).any():
        return np.asarray(np.nan)
    # MATLAB's tolerance of pinv.
    inverse = xp.linalg.pinv((covariance + found_covariance) / 2, rcond=_FEATURES * np.finfo(np.float64).eps)
    difference = mean - found_mean
    return np.sqrt(np.maximum(difference @ inverse @ difference, 0))
