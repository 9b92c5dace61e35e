"""JPEG: the real libjpeg round trip on the host, and a differentiable stand-in in pure JAX.

Images are float NHWC batches, range [0, 1], three channels (RGB) or one (grey).
"""

import io
import math

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jaxpr.core import HIGHEST, Array, ArrayLike, InputError, check_count, check_images, is_traced
from jaxpr.numerics.cosines import cosine_basis
from jaxpr.numerics.resampling import LINEAR, resize

__all__ = ["jpeg", "jpeg_surrogate"]

# The example tables of ITU-T T.81, Annex K, which libjpeg scales by quality.
_LUMA = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMA = np.full((8, 8), 99)
_CHROMA[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

# Full-range BT.601 (JFIF): rows are Y, Cb, Cr of R, G, B.
_TO_YCBCR = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.299 / 1.772, -0.587 / 1.772, 0.5],
        [0.5, -0.587 / 1.402, -0.114 / 1.402],
    ]
)
_TO_RGB = np.linalg.inv(_TO_YCBCR)


def jpeg(x: ArrayLike, *, quality: int) -> np.ndarray:
    """Encode and decode every image with libjpeg, through Pillow, on the host.

    Images are rounded to 8 bits first. Colour images get Pillow's default 4:2:0 chroma subsampling.

    Args:
        x: (N, H, W, 3) or (N, H, W, 1), range [0, 1], concrete.
        quality: libjpeg's quality, 1 to 100; above 95 files grow and hardly improve.

    Returns:
        The decoded images, NumPy float32, shape of x, multiples of 1/255.

    Raises:
        InputError: x is traced (inside jit, grad or vmap), or not such a batch; quality is no integer in 1..100.
    """
    check_quality(quality)
    if is_traced(x):
        raise InputError(
            "x: found a traced array, expected concrete values; jpeg runs on the host outside jit, "
            "jpeg_surrogate runs inside"
        )
    check_colours(x)
    pixels = np.rint(np.clip(np.asarray(x, np.float32), 0, 1) * 255).astype(np.uint8)
    decoded = [_round_trip(image, int(quality)) for image in pixels]
    return np.asarray(decoded, np.float32).reshape(pixels.shape) / np.float32(255)


def jpeg_surrogate(x: ArrayLike, *, quality: int) -> Array:
    """What `jpeg` does, in JAX, with a gradient.

    Full-range BT.601 YCbCr, 4:2:0 chroma by 2x2 means, 8x8 DCT, quantisation with libjpeg's tables, triangle ('fancy')
    chroma upsampling. Every rounding and clipping step of the codec is taken, and the gradient passes straight through
    it as if it were the identity. On photographs the mean absolute difference from `jpeg` is below half a grey level
    at any quality; where libjpeg's integer transform rounds a coefficient the other way, a block may differ by more.

    Args:
        x: (N, H, W, 3) or (N, H, W, 1), range [0, 1]; any H and W.
        quality: libjpeg's quality, 1 to 100. Static.

    Returns:
        Shape and dtype of x, range [0, 1], multiples of 1/255 up to rounding.

    Raises:
        InputError: x is not such a batch, or quality is no integer in 1..100.
    """
    check_quality(quality)
    check_colours(x)
    x = jnp.asarray(x)
    pixels = to_bytes(x.astype(jnp.float32) * 255)
    decoded = _code_colour(pixels, quality) if x.shape[-1] == 3 else _code_plane(pixels, _table(_LUMA, quality))
    return (to_bytes(decoded) / 255).astype(x.dtype)


def code_corner(image: Array, *, height: Array, width: Array, quality: Array) -> Array:
    """`jpeg_surrogate` of the upper left corner of one image, where the corner's size and the quality are traced.

    Args:
        image: (H, W, 3) or (H, W, 1), float32, range [0, 1].
        height: of the corner, int32, 1 to H.
        width: likewise.
        quality: libjpeg's quality, int32, 1 to 100.

    Returns:
        (H, W, C); what lies outside of the corner means nothing.
    """
    extra = (-image.shape[0] % 16, -image.shape[1] % 16)
    pixels = jnp.pad(to_bytes(image[None] * 255), ((0, 0), (0, extra[0]), (0, extra[1]), (0, 0)))
    pixels = _held(pixels, height, width)
    if image.shape[-1] == 1:
        decoded = _code_plane(pixels, _table(_LUMA, quality))
    else:
        luma, chroma = _ycbcr(pixels)
        small = ((height + 1) // 2, (width + 1) // 2)
        # As in `_code_colour`: columns are repeated before the means, rows after them.
        chroma = _code_plane(_held(_halve(chroma), small[0], pixels.shape[2] // 2), _table(_CHROMA, quality))
        chroma = resize(_held(chroma, *small), (pixels.shape[1], pixels.shape[2]), kernel=LINEAR)
        decoded = _rgb(_code_plane(luma, _table(_LUMA, quality)), chroma)
    return (to_bytes(decoded) / 255)[0, : image.shape[0], : image.shape[1]]


def check_quality(quality: int) -> None:
    """Raise unless `quality` is an integer from 1 to 100."""
    check_count("quality", quality)
    if quality > 100:
        raise InputError(f"quality: found {quality}, expected an integer from 1 to 100")


def check_colours(x: ArrayLike) -> None:
    """Raise unless `x` is a batch of colour or grey images in [0, 1]."""
    check_images("x", x)
    if jnp.shape(x)[-1] not in (1, 3):
        raise InputError(f"x: found {jnp.shape(x)[-1]} channels in shape {jnp.shape(x)}, expected 1 or 3")
    if 0 in jnp.shape(x)[1:3]:
        raise InputError(f"x: found shape {jnp.shape(x)}, expected at least one pixel")


def _round_trip(image: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as decoded:
        return np.asarray(decoded)


def _table(base: np.ndarray, quality: ArrayLike) -> Array:
    """Quantisation steps at `quality`, by libjpeg's integer rule; natural (not zigzag) order."""
    quality = jnp.asarray(quality, jnp.int32)
    percent = jnp.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    return jnp.clip((jnp.asarray(base, jnp.int32) * percent + 50) // 100, 1, 255)


def _code_colour(pixels: Array, quality: int) -> Array:
    """RGB in 0..255, through coded Y, Cb, Cr planes, and back."""
    height, width = pixels.shape[1:3]
    luma, chroma = _ycbcr(pixels)
    # libjpeg repeats the last column of the image up to whole blocks before it averages, but averages the last rows
    # first and repeats the result.
    chroma = _pad(_halve(_pad(chroma, 2, 16)), 8, 8)
    small = (math.ceil(height / 2), math.ceil(width / 2))
    chroma = _code_plane(chroma, _table(_CHROMA, quality))[:, : small[0], : small[1]]
    chroma = resize(chroma, (2 * small[0], 2 * small[1]), kernel=LINEAR)[:, :height, :width]
    return _rgb(_code_plane(luma, _table(_LUMA, quality)), chroma)


def _ycbcr(pixels: Array) -> tuple[Array, Array]:
    """Luma (N, H, W, 1) and chroma (N, H, W, 2) of RGB, all in 0..255."""
    ycbcr = jnp.einsum("kc,nhwc->nhwk", jnp.asarray(_TO_YCBCR, jnp.float32), pixels, precision=HIGHEST)
    return _round(ycbcr[..., :1]), _round(ycbcr[..., 1:] + 128)


def _rgb(luma: Array, chroma: Array) -> Array:
    """The inverse."""
    decoded = jnp.concatenate([luma, _round(chroma) - 128], axis=-1)
    return jnp.einsum("ck,nhwk->nhwc", jnp.asarray(_TO_RGB, jnp.float32), decoded, precision=HIGHEST)


def _code_plane(plane: Array, table: Array) -> Array:
    """Quantise the 8x8 DCT of (N, H, W, C) in 0..255; every channel with the same table."""
    n, height, width, channels = plane.shape
    padded = _pad(plane, 8, 8)
    blocks = padded.reshape(n, padded.shape[1] // 8, 8, padded.shape[2] // 8, 8, channels)
    basis = jnp.asarray(cosine_basis(8), jnp.float32)
    steps = table.astype(jnp.float32)[None, None, :, None, :, None]
    coefficients = jnp.einsum("ui,vj,nyixjc->nyuxvc", basis, basis, blocks - 128, precision=HIGHEST)
    coefficients = _round_away(coefficients / steps) * steps
    blocks = jnp.einsum("ui,vj,nyuxvc->nyixjc", basis, basis, coefficients, precision=HIGHEST)
    return to_bytes(blocks + 128).reshape(padded.shape)[:, :height, :width]


def _halve(plane: Array) -> Array:
    n, height, width, channels = plane.shape
    sums = plane.reshape(n, height // 2, 2, width // 2, 2, channels).sum(axis=(2, 4))
    # libjpeg rounds halves down in even columns and up in odd ones; a small bias does the same here.
    bias = jnp.where(jnp.arange(width // 2) % 2 == 0, -0.1, 0.1)[None, None, :, None]
    return _round(sums / 4 + bias)


def _pad(plane: Array, row_multiple: int, column_multiple: int) -> Array:
    """Repeat the last row and column up to multiples."""
    extra = (-plane.shape[1] % row_multiple, -plane.shape[2] % column_multiple)
    return jnp.pad(plane, ((0, 0), (0, extra[0]), (0, extra[1]), (0, 0)), mode="edge")


def _held(plane: Array, height: Array | int, width: Array | int) -> Array:
    """The last row and column of the upper left corner repeated over the rest of (N, H, W, C)."""
    rows, columns = (jnp.arange(side, dtype=jnp.int32) for side in plane.shape[1:3])
    plane = jnp.where((rows < height)[None, :, None, None], plane, jax.lax.dynamic_index_in_dim(plane, height - 1, 1))
    return jnp.where((columns < width)[None, None, :, None], plane, jax.lax.dynamic_index_in_dim(plane, width - 1, 2))


def _round(values: Array) -> Array:
    return values + jax.lax.stop_gradient(jnp.round(values) - values)


def _round_away(values: Array) -> Array:
    """Round halves away from zero, as libjpeg does; they are frequent, for means of integers have few digits."""
    nearest = jnp.sign(values) * jnp.floor(jnp.abs(values) + (0.5 + 1e-4))
    return values + jax.lax.stop_gradient(nearest - values)


def to_bytes(values: Array) -> Array:
    """Round and clip to 0..255 with the gradient of the identity."""
    return values + jax.lax.stop_gradient(jnp.clip(jnp.round(values), 0, 255) - values)
