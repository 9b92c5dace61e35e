"""What the networks of diffusion models share: residual blocks, attention over images, changes of resolution, times.

Names of parameters are those of the DDPM U-Net, which the autoencoder of Stable Diffusion shares; files with other
names are renamed.

Papers: Ho, Jain, Abbeel, "Denoising Diffusion Probabilistic Models", NeurIPS 2020; Dhariwal, Nichol, "Diffusion Models
Beat GANs on Image Synthesis", NeurIPS 2021, for the modulated norms and the blocks that change the resolution.
"""

import math
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.layers import Compute, Keys, conv2d, group_norm, in_turn, linear, upsample_nearest
from jaxpr.models.windows import attention

__all__ = [
    "Downsample",
    "Level",
    "Middle",
    "ResidualBlock",
    "SelfAttention",
    "TimeEmbedding",
    "Upsample",
    "attend",
    "average_pool",
    "batch_of_times",
    "check_pixels",
    "check_widths",
    "double",
    "timestep_embedding",
]

_LONGEST_PERIOD = 10000


def timestep_embedding(t: Array, width: int, *, cosine_first: bool, closed: bool) -> Array:
    """Sines and cosines of t times frequencies that fall geometrically from 1 to 1/10000.

    Args:
        t: times, (N,), integral or not.
        width: numbers for each time; an odd one ends in a zero.
        cosine_first: which half comes first.
        closed: whether the last frequency is 1/10000 itself (DDPM) or the one before it (ADM).

    Returns:
        (N, width), float32.
    """
    half = width // 2
    # Times up to 1000 multiply the rounding of frequencies, so exponents are rounded where the published codes do it.
    steps, slope = np.arange(half, dtype=np.float32), -math.log(_LONGEST_PERIOD)
    exponents = steps * np.float32(slope / (half - 1)) if closed else steps * np.float32(slope) / np.float32(half)
    frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)  # float32 exponentials miss the last digit
    phases = t.astype(jnp.float32)[:, None] * frequencies[None, :]
    waves = [jnp.sin(phases), jnp.cos(phases)]
    return jnp.pad(jnp.concatenate(waves[::-1] if cosine_first else waves, axis=1), ((0, 0), (0, width % 2)))


def batch_of_times(t: Array, n: int) -> Array:
    """Times for each of n images, (n,), from as many or from one for all.

    Raises:
        InputError: there are as many as neither.
    """
    if np.shape(t) not in ((), (n,)):
        raise InputError(f"t: found shape {np.shape(t)}, expected () or ({n},)")
    return jnp.broadcast_to(jnp.asarray(t), (n,))


class TimeEmbedding(nnx.Module):
    """Two dense layers with a SiLU between them."""

    def __init__(self, inputs: int, outputs: int, *, compute: Compute, rngs: Keys) -> None:
        self.dense = nnx.List(
            [
                linear(inputs, outputs, compute=compute, rngs=rngs),
                linear(outputs, outputs, compute=compute, rngs=rngs),
            ]
        )

    def __call__(self, waves: Array) -> Array:
        """Map (N, inputs) to (N, outputs)."""
        return self.dense[1](jax.nn.silu(self.dense[0](waves)))


class ResidualBlock(nnx.Module):
    """Twice a norm, a SiLU and a convolution, beside a residual connection."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        epsilon: float,
        compute: Compute,
        rngs: Keys,
        groups: int = 32,
        embedding: int | None = None,
        modulated: bool = False,
        resample: Callable[[Array], Array] | None = None,
    ) -> None:
        """Declare the block.

        Args:
            inputs: channels before.
            outputs: channels after; if they differ, the residual connection is a 1×1 convolution.
            epsilon: of the norms.
            compute: dtype and precision.
            rngs: keys for its parameters.
            groups: of the norms.
            embedding: width of the embedding that the block takes besides the image; None for none.
            modulated: the embedding scales and shifts the second norm's output; otherwise it is added before the norm.
            resample: changes the resolution, before the first convolution and beside it.
        """
        self.modulated, self.resample = modulated, nnx.static(resample)
        self.norm1 = group_norm(inputs, compute=compute, rngs=rngs, epsilon=epsilon, groups=groups)
        self.conv1 = conv2d(inputs, outputs, compute=compute, rngs=rngs)
        if embedding is not None:
            self.temb_proj = linear(embedding, outputs * (1 + modulated), compute=compute, rngs=rngs)
        self.norm2 = group_norm(outputs, compute=compute, rngs=rngs, epsilon=epsilon, groups=groups)
        self.conv2 = conv2d(outputs, outputs, compute=compute, rngs=rngs)
        self.nin_shortcut = conv2d(inputs, outputs, size=1, compute=compute, rngs=rngs) if inputs != outputs else None

    def __call__(self, x: Array, embedding: Array | None = None) -> Array:
        """Map (N, H, W, inputs) and, if it takes one, an embedding (N, width) to (N, H', W', outputs)."""
        h = jax.nn.silu(self.norm1(x))
        if self.resample is not None:
            h, x = self.resample(h), self.resample(x)
        h = self.conv1(h)
        if embedding is None:
            h = self.norm2(h)
        else:
            added = self.temb_proj(jax.nn.silu(embedding))[:, None, None, :]
            if self.modulated:
                scale, shift = jnp.split(added, 2, axis=-1)
                h = self.norm2(h) * (1 + scale) + shift
            else:
                h = self.norm2(h + added)
        h = self.conv2(jax.nn.silu(h))
        return h + (x if self.nin_shortcut is None else self.nin_shortcut(x))


class SelfAttention(nnx.Module):
    """Attention of one head over all positions of an image, behind a norm and beside a residual connection."""

    def __init__(self, width: int, *, epsilon: float, compute: Compute, rngs: Keys, groups: int = 32) -> None:
        self.compute = nnx.static(compute)
        self.norm = group_norm(width, compute=compute, rngs=rngs, epsilon=epsilon, groups=groups)
        for name in ("q", "k", "v", "proj_out"):
            setattr(self, name, linear(width, width, compute=compute, rngs=rngs))

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, width) to the same shape."""
        n, height, width, channels = x.shape
        h = self.norm(x).reshape(n, height * width, 1, channels)
        h = attend(self.q(h), self.k(h), self.v(h), compute=self.compute)
        return x + self.proj_out(h).reshape(x.shape)


def attend(q: Array, k: Array, v: Array, *, compute: Compute) -> Array:
    """Attention with the usual scale, d^-1/2.

    Args:
        q: (N, L, heads, d).
        k: (N, S, heads, d).
        v: (N, S, heads, d).
        compute: precision, and how many logits are held at once.

    Returns:
        (N, L, heads · d).
    """
    n, length, heads, d = q.shape
    q, k, v = (array.transpose(0, 2, 1, 3) for array in (q, k, v))
    out = attention(q, k, v, scale=d**-0.5, compute=compute)
    return out.transpose(0, 2, 1, 3).reshape(n, length, heads * d)


class Downsample(nnx.Module):
    """Half the height and width, by a convolution `conv` or by averages; odd ones lose a half."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        compute: Compute,
        rngs: Keys,
        convolve: bool = True,
        symmetric: bool = False,
    ) -> None:
        """Declare it.

        Args:
            inputs: channels before.
            outputs: channels after; averages keep them.
            compute: dtype and precision.
            rngs: keys for its parameters.
            convolve: 3×3 with stride 2, or averages of 2×2 pixels.
            symmetric: zeros on all sides, or (DDPM) at the bottom and the right only.
        """
        self.symmetric = symmetric
        padding = 1 if symmetric else 0
        self.conv = conv2d(inputs, outputs, stride=2, padding=padding, compute=compute, rngs=rngs) if convolve else None

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, inputs) to (N, H/2, W/2, outputs)."""
        if self.conv is None:
            return average_pool(x)
        return self.conv(x if self.symmetric else jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0))))


class Upsample(nnx.Module):
    """Twice the height and width, by nearest neighbours and, if wanted, a convolution `conv`."""

    def __init__(self, inputs: int, outputs: int, *, compute: Compute, rngs: Keys, convolve: bool = True) -> None:
        self.conv = conv2d(inputs, outputs, compute=compute, rngs=rngs) if convolve else None

    def __call__(self, x: Array) -> Array:
        """Map (N, H, W, inputs) to (N, 2 H, 2 W, outputs)."""
        return double(x) if self.conv is None else self.conv(double(x))


def average_pool(x: Array) -> Array:
    """Averages of 2×2 pixels: (N, H, W, C) to (N, ⌊H/2⌋, ⌊W/2⌋, C)."""
    n, height, width, channels = x.shape
    height, width = height // 2, width // 2
    return x[:, : 2 * height, : 2 * width].reshape(n, height, 2, width, 2, channels).mean(axis=(2, 4))


def double(x: Array) -> Array:
    """Every pixel 2×2 times."""
    return upsample_nearest(x, 2)


class Level(nnx.Module):
    """What belongs to one resolution: residual blocks, attention behind each or none, the way to the next one."""

    def __init__(
        self,
        blocks: Iterable[ResidualBlock],
        attention: Iterable[SelfAttention] = (),
        *,
        downsample: Downsample | None = None,
        upsample: Upsample | None = None,
    ) -> None:
        self.block = nnx.List(list(blocks))
        self.attn = nnx.List(list(attention))
        self.downsample, self.upsample = downsample, upsample

    def run(self, i: int, x: Array, *args: Array, remat: bool) -> Array:
        """Block i, with its other arguments, and its attention."""
        x = in_turn([self.block[i]], x, *args, remat=remat)
        return in_turn([self.attn[i]], x, remat=remat) if len(self.attn) else x


class Middle(nnx.Module):
    """Two residual blocks and attention between them, at the lowest resolution."""

    def __init__(
        self, width: int, *, residual: Callable[[int, int], ResidualBlock], attention: Callable[[int], SelfAttention]
    ) -> None:
        self.block_1 = residual(width, width)
        self.attn_1 = attention(width)
        self.block_2 = residual(width, width)

    def __call__(self, x: Array, *args: Array, remat: bool) -> Array:
        """Map (N, H, W, width), and the blocks' other arguments, to the same shape."""
        x = in_turn([self.block_1], x, *args, remat=remat)
        x = in_turn([self.attn_1], x, remat=remat)
        return in_turn([self.block_2], x, *args, remat=remat)


def check_widths(name: str, widths: Iterable[int], groups: int) -> None:
    """Raise unless groups of channels have one size each."""
    if any(width < 1 or width % groups for width in widths):
        raise InputError(f"{name}: found {tuple(widths)} channels, expected multiples of {groups}")


def check_pixels(x: Array, multiple: int) -> None:
    """Raise unless the height and width of (N, H, W, C) are positive multiples."""
    height, width = np.shape(x)[1:3]
    if height % multiple or width % multiple or not height * width:
        raise InputError(f"x: found {height}×{width} pixels, expected multiples of {multiple}")
