"""Fitting latent transport: the moments of patches of latents, of two sets of images, and the map between them.

Images are visited once and one at a time, so memory does not grow with them, and numbers do not depend on how they are
batched or placed. Moments are merged in float64.

Paper: [adrai2023], Sections 4 and 5, Appendix B.
"""

import functools
import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import numpy as np

from jaxpr.core import (
    AnyArray,
    Array,
    InputError,
    Key,
    check_count,
    check_images,
    check_key,
    check_positive,
    given_path,
)
from jaxpr.data import ImageSource, image_folder
from jaxpr.numerics.moments import Moments
from jaxpr.restorers.latent_transport_encoders import Encode, LatentEncoder, sampled
from jaxpr.restorers.latent_transport_moments import patch_moments
from jaxpr.restorers.latent_transport_patches import PatchMap, check_patch
from jaxpr.transport import gaussian_map

__all__ = [
    "LatentTransport",
    "PatchStatistics",
    "TransportWarning",
    "fit_transport",
    "map_between",
    "patch_statistics",
]

Images: TypeAlias = AnyArray | Iterable[AnyArray] | ImageSource | str | os.PathLike[str]

_RCOND = 1e-10
_MOST_PIXELS = 1 << 20  # latent pixels whose patches are summed at once
_NEARLY_CONSTANT = 1e-6  # standard deviation over the root mean square
_OVERSHOOT = 0.5


class TransportWarning(UserWarning):
    """A transport that will work less well than it could: one image, or images of very different sizes."""


@dataclass(frozen=True, eq=False)
class PatchStatistics:
    """What is known of the patches of a set of images.

    Attributes:
        moments: of the patches, float64.
        images: how many.
        sides: shortest and longest side of the images, in pixels.
        patch: side of the patches, in pixels of the latents.
        encoder: record of the encoder.
        encode: "mode" or "sample": which latents of the encoder's distribution were seen.
        sources: names of what was read.
    """

    moments: Moments
    images: int
    sides: tuple[int, int]
    patch: int
    encoder: dict[str, Any]
    encode: str
    sources: tuple[str, ...]

    def merge(self, other: "PatchStatistics") -> "PatchStatistics":
        """The statistics of both sets together; associative and commutative up to rounding.

        Raises:
            InputError: of other patches, or latents of another encoder.
        """
        for name in ("patch", "encoder", "encode"):
            if getattr(self, name) != getattr(other, name):
                found = f"found {name} {getattr(other, name)}, expected {getattr(self, name)}"
                raise InputError(f"other: {found}, as in the first")
        return replace(
            self,
            moments=self.moments.merge(other.moments),
            images=self.images + other.images,
            sides=(min(self.sides[0], other.sides[0]), max(self.sides[1], other.sides[1])),
            sources=tuple(dict.fromkeys((*self.sources, *other.sources))),
        )

    @property
    def record(self) -> dict[str, Any]:
        """JSON-able: how much was seen, and of what."""
        return {
            "images": self.images,
            "patches": int(self.moments.count),
            "sides": list(self.sides),
            "sources": list(self.sources),
        }


@dataclass(frozen=True, eq=False)
class LatentTransport:
    """A fitted transport from restored to natural images.

    Attributes:
        encoder: of both.
        patch: side of the patches, in pixels of the latents.
        restored: statistics of the source.
        natural: statistics of the target.
        moves: the map of a patch, in float64; with noise where the source cannot fill the target.
    """

    encoder: LatentEncoder
    patch: int
    restored: PatchStatistics
    natural: PatchStatistics
    moves: PatchMap

    @property
    def encode(self) -> str:
        """Of which latents: "mode" or "sample"."""
        return self.restored.encode

    @property
    def stochastic(self) -> bool:
        """Does the map need noise?"""
        return self.moves.noise_root is not None

    @property
    def record(self) -> dict[str, Any]:
        """JSON-able: encoder, patches, counts, resolution and what it was fitted on."""
        root = self.moves.noise_root
        return {
            "patch": self.patch,
            "encoder": self.encoder.record,
            "encode": self.encode,
            "noise_directions": 0 if root is None else int(np.shape(root)[1]),
            "restored": self.restored.record,
            "natural": self.natural.record,
        }


def patch_statistics(
    images: Images, *, encoder: LatentEncoder, patch: int, sample_key: Key | None = None, limit: int | None = None
) -> PatchStatistics:
    """The statistics of one set of images, in one pass.

    Args:
        images: (N, H, W, C), an iterable of (H, W, C) of any sizes, an `ImageSource`, or the path of a folder; in
            [0, 1], restored ones may overshoot. Of an array that is spread over devices each device encodes its own;
            of one that is spread over processes, each process sees its own images, and merges are the caller's.
        encoder: makes latents; images are cut at the lower right to its `multiple`.
        patch: p, odd.
        sample_key: draws the latents, those of image i from the key folded with i, as [adrai2023] does; None takes the
            mode.
        limit: so many images, spread evenly; None for all.

    Raises:
        InputError: no images, or one that is no float image, smaller than a patch, or whose latents are not finite.
    """
    check_patch(patch)
    if sample_key is not None:
        check_key(sample_key, single=True)
    items, source = _opened(images, limit)
    moments, count, sides = None, 0, (1 << 31, 0)
    for number, image in items:
        name = f"images[{number}]"
        height, width = (side // encoder.multiple * encoder.multiple for side in _checked(name, image).shape[:2])
        if min(height, width) < 1:
            found = f"found {image.shape[0]}×{image.shape[1]} pixels"
            raise InputError(f"{name}: {found}, expected at least {encoder.multiple}×{encoder.multiple}")
        key = None if sample_key is None else jax.random.fold_in(sample_key, number)
        latents = np.asarray(_latents(encoder.encode, encoder.params, image[None, :height, :width], key))
        found_here = _in_bands(name, latents, patch)
        moments = found_here if moments is None else moments.merge(found_here)
        count += 1
        sides = (min(sides[0], *image.shape[:2]), max(sides[1], *image.shape[:2]))
    if moments is None:
        raise InputError("images: found none, expected at least one")
    kind = "mode" if sample_key is None else "sample"
    return PatchStatistics(moments, count, sides, patch, encoder.record, kind, (source,))


def fit_transport(
    restored: Images | PatchStatistics,
    natural: Images | PatchStatistics,
    *,
    encoder: LatentEncoder,
    patch: int = 3,
    sample_key: Key | None = None,
    limit: int | None = None,
    rcond: float = _RCOND,
) -> LatentTransport:
    r"""Fit the optimal transport of restored to natural images, between Gaussians of patches of latents.

    $T(v) = A (v - \mu_r) + \mu_n + w$, Eqs. (2) and (5) of [adrai2023]; the noise w is only there where the source is
    singular. The images need not be pairs.

    Note:
        The authors' code adds 1e-5 to eigenvalues that it divides by, scales the covariance of the noise by
        $(1 - \alpha)^{1/2}$ and adds one draw of it to all patches, which is NaN where rounding made its covariance
        indefinite. Nothing of that is done here.

    Args:
        restored: outputs of the restorer, see `patch_statistics`; or their statistics.
        natural: photographs as they should be; or their statistics.
        encoder: of `pixel_encoder`, `read_encoder`, `kl_encoder` or `plain_encoder`.
        patch: p, odd; 3 and 5 are best with Stable Diffusion's autoencoder, [adrai2023].
        sample_key: draws latents, where it is not the mode; None takes the mode.
        limit: so many images of each set, spread evenly; None for all.
        rcond: source variances up to so much of the largest count as zero: more would be lost in float32.

    Raises:
        InputError: as `patch_statistics`; no more patches than they have entries, constant images, or statistics of
            other patches or another encoder.

    Warns:
        TransportWarning: one image, or sets whose sizes differ by more than a factor of two.
    """
    check_positive("rcond", rcond, scalar=True)
    keys = (None, None) if sample_key is None else tuple(jax.random.split(sample_key))
    both = []
    for name, images, key in (("restored", restored, keys[0]), ("natural", natural, keys[1])):
        found = images
        if not isinstance(found, PatchStatistics):
            found = _named(name, patch_statistics, images, encoder=encoder, patch=patch, sample_key=key, limit=limit)
        _check_statistics(name, found, encoder, patch)
        both.append(found)
    source, target = both
    if source.encode != target.encode:
        raise InputError(f"natural: found statistics with encode={target.encode!r}, expected {source.encode!r}")
    _warn_of_sizes(source, target)
    return LatentTransport(encoder, patch, source, target, map_between(source.moments, target.moments, rcond=rcond))


def map_between(source: Moments, target: Moments, *, rcond: float) -> PatchMap:
    """The optimal map between the Gaussians of two sets of patches, in NumPy's float64.

    Args:
        source: moments of the patches that are moved.
        target: moments of what they should be like.
        rcond: source variances up to so much of the largest count as zero.
    """
    mapping = gaussian_map(np.asarray(source.covariance), np.asarray(target.covariance), rcond=rcond)
    matrix = np.asarray(mapping.matrix)
    offset = np.asarray(target.mean) - matrix @ np.asarray(source.mean)
    if not np.any(mapping.noise_covariance):
        return PatchMap(matrix, offset)
    values, vectors = np.linalg.eigh(np.asarray(mapping.noise_covariance))
    kept = values > rcond * values[-1]
    return PatchMap(matrix, offset, vectors[:, kept] * np.sqrt(values[kept]))


@functools.partial(jax.jit, static_argnums=0)
def _latents(encode: Encode, params: Any, x: Array, key: Key | None) -> Array:
    posterior = encode(params, x)
    if key is None:
        return posterior.mean
    return sampled(posterior, jax.random.normal(key, posterior.mean.shape, posterior.mean.dtype))


def _in_bands(name: str, latents: np.ndarray, patch: int) -> Moments:
    """The moments of one image's patches, in bands of rows where there are many; every patch is in one of them."""
    if min(latents.shape[1:3]) < patch:
        found = f"{latents.shape[1]}×{latents.shape[2]} latents"
        raise InputError(f"{name}: found {found}, expected at least a patch, {patch}×{patch}")
    if not np.isfinite(latents).all():
        raise InputError(f"{name}: found NaN or infinite latents, expected finite ones")
    origins = latents.shape[1] - patch + 1
    step = max(1, _MOST_PIXELS // latents.shape[2])
    parts = (latents[:, i : min(i + step, origins) + patch - 1] for i in range(0, origins, step))
    return functools.reduce(Moments.merge, (patch_moments(part, patch=patch) for part in parts))


def _opened(images: Images, limit: int | None) -> tuple[Iterator[tuple[int, Any]], str]:
    """The images with their numbers, and what they are called."""
    if isinstance(images, PatchStatistics):
        raise InputError("images: found statistics, expected images")
    if isinstance(images, str | os.PathLike):
        images = image_folder(given_path(images))
    name = images.name if isinstance(images, ImageSource) else "arrays"
    if isinstance(images, jax.Array | np.ndarray) and images.ndim != 4:
        raise InputError(f"images: found shape {images.shape}, expected (N, H, W, C)")
    if isinstance(images, jax.Array) and len(images.sharding.device_set) > 1:
        if limit is not None:
            raise InputError(f"limit: found {limit} for an array on several devices, expected None")
        return _of_shards(images), name
    if limit is None:
        return iter(enumerate(images)), name
    check_count("limit", limit)
    whole = images if hasattr(images, "__len__") else list(images)
    chosen = np.linspace(0, len(whole) - 1, min(limit, len(whole))).round().astype(int)  # type: ignore[arg-type]
    return ((int(i), whole[int(i)]) for i in chosen), name  # type: ignore[index]


def _of_shards(images: Array) -> Iterator[tuple[int, Array]]:
    """Each image once, on the device where it lies."""
    if not all(images.sharding.shard_shape(images.shape)[i] == images.shape[i] for i in (1, 2, 3)):
        raise InputError("images: found images that are spread over devices in parts, expected whole images on each")
    for shard in images.addressable_shards:
        if shard.replica_id == 0:
            start = shard.index[0].start or 0
            yield from ((start + i, image) for i, image in enumerate(shard.data))


def _checked(name: str, image: Any) -> Any:
    if not isinstance(image, jax.Array | np.ndarray) or image.ndim != 3:
        shape = getattr(image, "shape", type(image).__name__)
        raise InputError(f"{name}: found {shape}, expected an image (H, W, C)")
    check_images(name, image[None], overshoot=_OVERSHOOT)
    return image


def _named(name: str, compute: Callable[..., PatchStatistics], *images: Any, **options: Any) -> PatchStatistics:
    """`patch_statistics`, whose messages speak of `images`, with the name of the argument."""
    try:
        return compute(*images, **options)
    except InputError as error:
        raise InputError(str(error).replace("images", name, 1) if str(error)[:6] == "images" else str(error)) from error


def _check_statistics(name: str, found: PatchStatistics, encoder: LatentEncoder, patch: int) -> None:
    if found.encoder != encoder.record:
        raise InputError(f"{name}: found statistics of encoder {found.encoder}, expected {encoder.record}")
    if found.patch != patch:
        raise InputError(f"{name}: found statistics of patches of {found.patch}, expected {patch}")
    count, mean = int(found.moments.count), np.asarray(found.moments.mean)
    if count <= mean.size:
        raise InputError(
            f"{name}: found {count} patches of {mean.size} entries (c p²) in {found.images} images, expected more "
            "patches than entries: more or larger images, or smaller patches"
        )
    spread = float(np.sqrt(np.trace(np.asarray(found.moments.covariance)) / mean.size))
    if spread <= _NEARLY_CONSTANT * float(np.sqrt(np.mean(mean**2))):
        raise InputError(
            f"{name}: found constant images (standard deviation {spread:.1g} over {count} patches), expected images "
            "that vary"
        )
    if found.images == 1:
        text = f"{name}: found one image ({count} patches), expected about ten: its content decides the transport"
        warnings.warn(text, TransportWarning, stacklevel=4)


def _warn_of_sizes(source: PatchStatistics, target: PatchStatistics) -> None:
    low, high = source.sides, target.sides
    if low[1] * 2 < high[0] or high[1] * 2 < low[0]:
        text = f"restored images have sides of {low[0]} to {low[1]}, natural ones of {high[0]} to {high[1]} pixels"
        warnings.warn(f"{text}, expected one resolution", TransportWarning, stacklevel=4)
