"""Non-local means, the classical denoiser by self-similarity (Buades, Coll and Morel, CVPR 2005)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxpr.core import Array, ArrayLike, InputError, check_count, check_images, check_positive, scan

__all__ = ["nlm"]


def nlm(y: Array, *, h: ArrayLike, sigma: ArrayLike = 0.0, patch: int = 7, window: int = 21) -> Array:
    r"""Average each pixel with those of its window whose surroundings look alike.

    $\hat x_p = \sum_q w_{pq} y_q / \sum_q w_{pq}$ with $w_{pq} = \exp(-\max(d^2_{pq} - 2 \sigma^2, 0) / h^2)$, where
    $d^2_{pq}$ is the mean squared difference of the patches around p and q, over channels and, with Gaussian weights of
    standard deviation (patch - 1) / 4, over positions: NL-means of Buades et al. 2005, with the noise variance
    subtracted as in Buades et al., IPOL 2011.

    Note:
        Patches are mirrored at the borders of the image; only pixels inside it are averaged. As in scikit-image, the
        pixel itself has weight one, and other weights are not cut off. The cost grows with window², not with patch²;
        the memory with neither, also that of gradients.

    Args:
        y: noisy images (N, H, W, C), any range.
        h: filtering strength in units of y; about 0.6 σ if `sigma` is given, σ otherwise. One number or (N,). Traced.
        sigma: standard deviation of the noise in units of y; 0 if unknown. One number or (N,). Traced.
        patch: side of patches, odd; the paper takes 7. Static.
        window: side of the search window, odd; the paper takes 21. Static.

    Returns:
        Denoised images, shape and dtype of y.

    Raises:
        InputError: y is not float NHWC, sides are not odd and positive, h <= 0, sigma < 0, or their shapes do not fit.
    """
    check_images("y", y, data_range=None)
    for name, side in {"patch": patch, "window": window}.items():
        check_count(name, side)
        if side % 2 == 0:
            raise InputError(f"{name}: found {side}, expected an odd number")
    check_positive("h", h)
    check_positive("sigma", sigma, or_zero=True)
    dtype = jnp.promote_types(y.dtype, jnp.float32)
    images = jnp.asarray(y, dtype)
    scale, slack = (_per_image(name, value, images) for name, value in {"h": h, "sigma": sigma}.items())
    height, width = images.shape[1:3]
    margin, reach = patch // 2, window // 2
    mirrored = jnp.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)), mode="reflect")
    around = _pad(mirrored, reach)
    rows, columns = jnp.arange(height, dtype=jnp.int32)[:, None], jnp.arange(width, dtype=jnp.int32)[None]

    @jax.checkpoint
    def pair(offset: Array) -> tuple[Array, Array]:
        """Sums over the two pixels at `offset` and -`offset` from each pixel: of weighted values, and of weights."""
        moved = jax.lax.dynamic_slice(around, jnp.pad(reach + offset, 1), mirrored.shape)
        distance = _smooth(jnp.mean(jnp.square(mirrored - moved), axis=3), patch)
        i, j = rows + offset[0], columns + offset[1]
        inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        weight = jnp.exp(-jnp.maximum(distance - 2 * slack**2, 0) / scale**2)
        weight = jnp.where(inside[None], weight, 0)[..., None]
        ahead = weight * moved[:, margin : margin + height, margin : margin + width]
        # The pixel at -offset has the same distance, so its weight is found there.
        both = _pad(jnp.concatenate([weight * images, weight], axis=3), reach)
        shape = (*images.shape[:3], images.shape[3] + 1)
        behind = jax.lax.dynamic_slice(both, jnp.pad(reach - offset, 1), shape)
        return ahead + behind[..., :-1], weight + behind[..., -1:]

    def add(sums: tuple[Array, Array], offset: Array) -> tuple[tuple[Array, Array], None]:
        return jax.tree.map(jnp.add, sums, pair(offset)), None

    itself = images, jnp.ones((*images.shape[:3], 1), dtype)
    (values, weights), _ = scan(add, itself, _half_window(reach))
    return (values / weights).astype(y.dtype)


def _half_window(reach: int) -> Array:
    """Of every two offsets ±(i, j) in a window, except zero, one: (K, 2)."""
    offsets = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), axis=-1).reshape(-1, 2)
    return jnp.asarray(offsets[len(offsets) // 2 + 1 :], jnp.int32)


def _smooth(x: Array, side: int) -> Array:
    """Gaussian average over side × side positions, (N, H + side - 1, W + side - 1) to (N, H, W)."""
    positions = np.arange(side) - side // 2
    taps = np.exp(-(positions**2) / (2 * ((side - 1) / 4) ** 2)) if side > 1 else np.ones(1)
    for axis in (1, 2):
        length = x.shape[axis] - side + 1
        pieces = [jax.lax.slice_in_dim(x, k, k + length, axis=axis) for k in range(side)]
        weighted = [float(tap) * piece for tap, piece in zip(taps / taps.sum(), pieces, strict=True)]
        x = functools.reduce(jnp.add, weighted)
    return x


def _pad(x: Array, width: int) -> Array:
    return jnp.pad(x, ((0, 0), (width, width), (width, width), (0, 0)))


def _per_image(name: str, value: ArrayLike, images: Array) -> Array:
    """`value` for each image, to broadcast with (N, H, W)."""
    value = jnp.asarray(value, images.dtype)
    if value.shape not in ((), images.shape[:1]):
        raise InputError(f"{name}: found shape {value.shape}, expected one number or ({images.shape[0]},)")
    return jnp.broadcast_to(value, images.shape[:1])[:, None, None]
