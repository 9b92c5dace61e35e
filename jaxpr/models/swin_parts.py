"""What SwinIR and Swin2SR share: the range of their images, the convolutions behind blocks, the ways to enlarge."""

import math
from typing import Any, Literal, Protocol, get_args

import jax
import jax.numpy as jnp
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.layers import Compute, Conv, Keys, conv2d, pixel_shuffle, upsample_nearest
from jaxpr.models.naming import Shapes, indices

__all__ = [
    "FEATURES",
    "HEAD_SLOPE",
    "Reconstruction",
    "ResidualConnection",
    "Upsampler",
    "centre",
    "check_sizes",
    "in_first_blocks",
    "recognise_sizes",
    "residual_convolution",
    "run_convolutions",
    "shuffle_steps",
    "uncentre",
]

Upsampler = Literal["pixelshuffle", "pixelshuffledirect", "nearest+conv", ""]
"""How the output is enlarged: shuffles after a wider head, one shuffle, nearest neighbours and convolutions, not."""

ResidualConnection = Literal["1conv", "3conv"]
"""What stands behind a group of blocks: one convolution, or a bottleneck of three."""

FEATURES = 64
"""Width of the head, whatever that of the body is."""
HEAD_SLOPE = 0.01
"""Of the leaky ReLU at the start of the head."""

_SLOPE = 0.2
_MEAN = (0.4488, 0.4371, 0.4040)


def centre(x: Array, *, img_range: float) -> Array:
    """Take the mean colour of DIV2K from RGB images (nothing from grey ones) and multiply by the range."""
    return (x - _mean(x)) * img_range


def uncentre(x: Array, *, img_range: float) -> Array:
    """The inverse of `centre`."""
    return x / img_range + _mean(x)


def _mean(x: Array) -> Array:
    mean = _MEAN if x.shape[-1] == 3 else (0.0,) * x.shape[-1]
    return jnp.asarray(mean, x.dtype).reshape(1, 1, 1, -1)


class SwinSizes(Protocol):
    """Of a configuration of either network."""

    @property
    def depths(self) -> tuple[int, ...]: ...
    @property
    def num_heads(self) -> tuple[int, ...]: ...
    @property
    def embed_dim(self) -> int: ...
    @property
    def img_size(self) -> int: ...
    @property
    def window_size(self) -> int: ...


def check_sizes(config: SwinSizes) -> None:
    """Raise unless the groups, heads and windows of a configuration fit together."""
    depths, num_heads = config.depths, config.num_heads
    if not depths or len(depths) != len(num_heads):
        raise InputError(f"depths and num_heads: found {depths} and {num_heads}, expected one each")
    if any(config.embed_dim % heads for heads in num_heads):
        raise InputError(f"embed_dim: found {config.embed_dim}, expected a multiple of num_heads {num_heads}")
    if config.window_size % min(config.img_size, config.window_size):
        raise InputError(f"img_size: found {config.img_size}, expected a divisor of the window {config.window_size}")


def in_first_blocks(shapes: Shapes, name: str) -> list[tuple[int, ...]]:
    """Shapes of an attention's tensor in the first block of each group; empty if the first group has none."""
    blocks = [f"layers.{group}.residual_group.blocks.0.attn.{name}" for group in indices(shapes, r"layers\.(\d+)\.")]
    first = shapes.get(blocks[0]) if blocks else None
    return [] if first is None else [shapes.get(block, first) for block in blocks]


def recognise_sizes(shapes: Shapes, *, window: int, num_heads: tuple[int, ...]) -> dict[str, Any] | None:
    """Fields of the configuration that both networks have; None if the tensors are of another network."""
    first, hidden = (shapes.get(n) for n in ("conv_first.weight", "layers.0.residual_group.blocks.0.mlp.fc1.weight"))
    if first is None or hidden is None:
        return None
    upsampler, upscale = recognise_upsampler(shapes, first[1])
    groups = range(len(num_heads))
    return {
        "upscale": upscale,
        "in_chans": first[1],
        "img_size": recognise_img_size(shapes, window),
        "window_size": window,
        "img_range": 255.0 if window == 7 else 1.0,
        "depths": tuple(len(indices(shapes, rf"layers\.{i}\.residual_group\.blocks\.(\d+)\.")) for i in groups),
        "embed_dim": first[0],
        "num_heads": num_heads,
        "mlp_ratio": hidden[0] / first[0],
        "upsampler": upsampler,
        "resi_connection": "3conv" if "conv_after_body.0.weight" in shapes else "1conv",
    }


def residual_convolution(
    width: int, connection: ResidualConnection, *, compute: Compute, rngs: Keys
) -> Conv | nnx.Dict:
    """The convolution behind a group of blocks, or the three of them under their places in the sequence."""
    if connection not in get_args(ResidualConnection):
        raise InputError(f"resi_connection: found {connection!r}, expected 1conv or 3conv")
    if connection == "1conv":
        return conv2d(width, width, compute=compute, rngs=rngs)
    return nnx.Dict(
        {
            "0": conv2d(width, width // 4, compute=compute, rngs=rngs),
            "2": conv2d(width // 4, width // 4, size=1, compute=compute, rngs=rngs),
            "4": conv2d(width // 4, width, compute=compute, rngs=rngs),
        }
    )


def run_convolutions(layers: Conv | nnx.Dict, x: Array) -> Array:
    """Apply what `residual_convolution` made."""
    if isinstance(layers, Conv):
        return layers(x)
    for place in ("0", "2"):
        x = jax.nn.leaky_relu(layers[place](x), _SLOPE)
    return layers["4"](x)


def shuffle_steps(upscale: int) -> tuple[int, ...]:
    """The factors by which repeated pixel shuffles enlarge: doublings, or 3.

    Raises:
        InputError: it is neither a power of two nor 3.
    """
    if upscale == 3:
        return (3,)
    if upscale < 1 or upscale & (upscale - 1):
        raise InputError(f"upscale: found {upscale}, expected a power of two or 3")
    return (2,) * (upscale.bit_length() - 1)


class Reconstruction(nnx.Module):
    """The end of the network, to be inherited, because its layers' names stand at the root of published files."""

    def __init__(
        self, width: int, channels: int, *, upscale: int, upsampler: Upsampler, compute: Compute, rngs: Keys
    ) -> None:
        self.upscale, self.upsampler = upscale, upsampler

        def conv(inputs: int, outputs: int) -> Conv:
            return conv2d(inputs, outputs, compute=compute, rngs=rngs)

        match upsampler:
            case "pixelshuffle":
                steps = shuffle_steps(upscale)
                self.conv_before_upsample = nnx.Dict({"0": conv(width, FEATURES)})
                self.upsample = nnx.Dict(
                    {str(2 * i): conv(FEATURES, FEATURES * step**2) for i, step in enumerate(steps)}
                )
                self.conv_last = conv(FEATURES, channels)
            case "pixelshuffledirect":
                self.upsample = nnx.Dict({"0": conv(width, channels * upscale**2)})
            case "nearest+conv":
                if upscale not in (2, 4):
                    raise InputError(f"upscale: found {upscale}, expected 2 or 4 with nearest+conv")
                self.conv_before_upsample = nnx.Dict({"0": conv(width, FEATURES)})
                for i in range(upscale.bit_length() - 1):
                    setattr(self, f"conv_up{i + 1}", conv(FEATURES, FEATURES))
                self.conv_hr = conv(FEATURES, FEATURES)
                self.conv_last = conv(FEATURES, channels)
            case "":
                if upscale != 1:
                    raise InputError(f"upscale: found {upscale}, expected 1 without an upsampler")
                self.conv_last = conv(width, channels)
            case _:
                raise InputError(f"upsampler: found {upsampler!r}, expected one of {get_args(Upsampler)}")

    def reconstruct(self, features: Array, image: Array) -> Array:
        """Map features (N, H, W, width) to an image `upscale` times as large; without an upsampler, add the image."""
        match self.upsampler:
            case "pixelshuffle":
                return self.conv_last(self._shuffle(self._before(features)))
            case "pixelshuffledirect":
                return pixel_shuffle(self.upsample["0"](features), self.upscale)
            case "nearest+conv":
                x = self._before(features)
                for i in range(self.upscale.bit_length() - 1):
                    x = jax.nn.leaky_relu(getattr(self, f"conv_up{i + 1}")(upsample_nearest(x, 2)), _SLOPE)
                return self.conv_last(jax.nn.leaky_relu(self.conv_hr(x), _SLOPE))
            case _:
                return image + self.conv_last(features)

    def _before(self, features: Array) -> Array:
        return jax.nn.leaky_relu(self.conv_before_upsample["0"](features), HEAD_SLOPE)

    def _shuffle(self, x: Array) -> Array:
        for i, step in enumerate(shuffle_steps(self.upscale)):
            x = pixel_shuffle(self.upsample[str(2 * i)](x), step)
        return x


def recognise_upsampler(shapes: Shapes, channels: int) -> tuple[Upsampler, int]:
    """The upsampler and its factor that the shapes of a file speak of."""
    steps = [math.isqrt(shapes[name][0] // FEATURES) for name in shapes if _is_step(name)]
    if "conv_up1.weight" in shapes:
        return "nearest+conv", 4 if "conv_up2.weight" in shapes else 2
    if "conv_before_upsample.0.weight" in shapes:
        return "pixelshuffle", math.prod(steps)
    if "upsample.0.weight" in shapes:
        return "pixelshuffledirect", math.isqrt(shapes["upsample.0.weight"][0] // channels)
    return "", 1


def _is_step(name: str) -> bool:
    return name.startswith("upsample.") and name.endswith(".weight")


def recognise_img_size(shapes: Shapes, window: int) -> int:
    """The size of images in training: from stored masks; that of the window if tables are stored, but no masks."""
    masks = [shape for name, shape in shapes.items() if name.endswith(".attn_mask")]
    if masks:
        return window * math.isqrt(masks[0][0])
    stored = any(name.endswith(".relative_position_index") for name in shapes)
    deep = any(index for index in indices(shapes, r"layers\.\d+\.residual_group\.blocks\.(\d+)\."))
    return window if stored and deep else 8 * window
