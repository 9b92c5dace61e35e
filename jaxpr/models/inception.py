"""The Inception-V3 behind the published FID, KID and inception scores: TensorFlow's of 2015, with 1008 classes.

It differs from torchvision's network of that name in its pools: averages leave out the zeros around the image, and the
last block takes a maximum. Names of parameters are those of the file `pt_inception-2015-12-05-6726825d.pth`.

Two programs compute scores with it and prepare images differently: torch-fidelity as the original did
(`tf1_input`), pytorch-fid in its own way (`half_pixel_input`).

Papers: Szegedy et al., CVPR 2016; FID, Heusel et al., NeurIPS 2017.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxpr.core import HIGHEST, Array, InputError, check_count, check_images
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, Keys, batch_norm, check_channels, conv2d, in_turn, linear
from jaxpr.models.naming import Naming, Network, Shapes
from jaxpr.numerics.resampling import LINEAR, resize

__all__ = [
    "INCEPTION",
    "INCEPTION_WIDTH",
    "InceptionConfig",
    "InceptionOutputs",
    "half_pixel_input",
    "inception",
    "resize_tf1",
    "tf1_input",
]

INCEPTION_WIDTH = 2048
"""Of the features of FID and KID."""

_EPSILON = 1e-3
_SIDE, _SMALLEST = 299, 75
_CLASSES = 1008


class InceptionConfig(NamedTuple):
    """Sizes of the network; the defaults are the only published ones.

    Attributes:
        num_classes: logits.
    """

    num_classes: int = _CLASSES


class InceptionOutputs(NamedTuple):
    """Means over positions at four depths, and what is made of the last.

    Attributes:
        pool_64: (N, 64), behind the first maximum.
        pool_192: (N, 192), behind the second.
        pool_768: (N, 768), behind Mixed_6e, where auxiliary classifiers sit.
        pool_2048: (N, 2048), behind the last block: the features of FID and KID.
        logits_unbiased: (N, classes), without the bias: their softmax enters the inception score.
        logits: (N, classes).
    """

    pool_64: Array
    pool_192: Array
    pool_768: Array
    pool_2048: Array
    logits_unbiased: Array
    logits: Array


class _Unit(NamedTuple):
    """A convolution, a normalisation and a ReLU; a step of 2 means no zeros around the image."""

    name: str
    channels: int
    size: int | tuple[int, int] = 1
    stride: int = 1


class _Block(NamedTuple):
    """Branches that are concatenated, the pool's last; several units in one place fork a branch."""

    branches: tuple[tuple[tuple[_Unit, ...], ...], ...]
    pool: str
    pool_channels: int = 0

    def channels(self, inputs: int) -> int:
        """Of the output."""
        last = sum(unit.channels for branch in self.branches for unit in branch[-1])
        return last + (self.pool_channels or inputs)


def _chain(name: str, *units: tuple[int, int | tuple[int, int]], stride: int = 1) -> tuple[tuple[_Unit, ...], ...]:
    """Numbered units, (channels, kernel) each; the step is the last one's."""
    steps = [1] * (len(units) - 1) + [stride]
    return tuple(
        (_Unit(f"{name}_{i + 1}", channels, size, step),)
        for i, ((channels, size), step) in enumerate(zip(units, steps, strict=True))
    )


def _fork(name: str, number: int) -> tuple[_Unit, ...]:
    return (_Unit(f"{name}_{number}a", 384, (1, 3)), _Unit(f"{name}_{number}b", 384, (3, 1)))


def _block_a(pooled: int) -> _Block:
    fives, threes = _chain("branch5x5", (48, 1), (64, 5)), _chain("branch3x3dbl", (64, 1), (96, 3), (96, 3))
    return _Block((((_Unit("branch1x1", 64),),), fives, threes), "average", pooled)


def _block_c(inner: int) -> _Block:
    across, down = (1, 7), (7, 1)
    once = _chain("branch7x7", (inner, 1), (inner, across), (192, down))
    twice = _chain("branch7x7dbl", (inner, 1), (inner, down), (inner, across), (inner, down), (192, across))
    return _Block((((_Unit("branch1x1", 192),),), once, twice), "average", 192)


def _block_e(pool: str) -> _Block:
    once = (*_chain("branch3x3", (384, 1)), _fork("branch3x3", 2))
    twice = (*_chain("branch3x3dbl", (448, 1), (384, 3)), _fork("branch3x3dbl", 3))
    return _Block((((_Unit("branch1x1", 320),),), once, twice), pool, 192)


_REDUCE_6A = _Block(
    (((_Unit("branch3x3", 384, 3, 2),),), _chain("branch3x3dbl", (64, 1), (96, 3), (96, 3), stride=2)), "reduce"
)
_REDUCE_7A = _Block(
    (
        _chain("branch3x3", (192, 1), (320, 3), stride=2),
        _chain("branch7x7x3", (192, 1), (192, (1, 7)), (192, (7, 1)), (192, 3), stride=2),
    ),
    "reduce",
)
_BLOCKS = {
    "Mixed_5b": _block_a(32),
    "Mixed_5c": _block_a(64),
    "Mixed_5d": _block_a(64),
    "Mixed_6a": _REDUCE_6A,
    "Mixed_6b": _block_c(128),
    "Mixed_6c": _block_c(160),
    "Mixed_6d": _block_c(160),
    "Mixed_6e": _block_c(192),
    "Mixed_7a": _REDUCE_7A,
    "Mixed_7b": _block_e("average"),
    "Mixed_7c": _block_e("maximum"),
}
_MIDDLE = list(_BLOCKS).index("Mixed_6e") + 1


class _ConvUnit(nnx.Module):
    def __init__(self, inputs: int, unit: _Unit, *, padding: int | None, compute: Compute, rngs: Keys) -> None:
        self.conv = conv2d(
            inputs,
            unit.channels,
            size=unit.size,
            stride=unit.stride,
            padding=padding,
            bias=False,
            compute=compute,
            rngs=rngs,
        )
        self.bn = batch_norm(unit.channels, epsilon=_EPSILON, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        return jax.nn.relu(self.bn(self.conv(x)))


class _Mixed(nnx.Module):
    """A block by its table."""

    def __init__(self, inputs: int, block: _Block, *, compute: Compute, rngs: Keys) -> None:
        self.block = nnx.static(block)

        def declare(channels: int, unit: _Unit) -> None:
            padding = 0 if unit.stride == 2 else None
            setattr(self, unit.name, _ConvUnit(channels, unit, padding=padding, compute=compute, rngs=rngs))

        for branch in block.branches:
            channels = inputs
            for place in branch:
                for unit in place:
                    declare(channels, unit)
                channels = sum(unit.channels for unit in place)
        if block.pool_channels:
            declare(inputs, _Unit("branch_pool", block.pool_channels))

    def __call__(self, x: Array) -> Array:
        outputs = []
        for branch in self.block.branches:
            out = x
            for place in branch:
                out = jnp.concatenate([getattr(self, unit.name)(out) for unit in place], axis=-1)
            outputs.append(out)
        pooled = _pool(x, self.block.pool)
        outputs.append(self.branch_pool(pooled) if self.block.pool_channels else pooled)
        return jnp.concatenate(outputs, axis=-1)


def _pool(x: Array, kind: str) -> Array:
    if kind == "reduce":
        return nnx.max_pool(x, (3, 3), strides=(2, 2))
    around = ((1, 1), (1, 1))
    if kind == "maximum":
        return nnx.max_pool(x, (3, 3), strides=(1, 1), padding=around)
    return nnx.avg_pool(x, (3, 3), strides=(1, 1), padding=around, count_include_pad=False)


class _Inception(nnx.Module):
    def __init__(self, config: InceptionConfig, *, compute: Compute, rngs: Keys) -> None:
        self.compute = nnx.static(compute)

        def unit(inputs: int, channels: int, size: int = 3, *, stride: int = 1, padding: int = 0) -> _ConvUnit:
            declared = _Unit("", channels, size, stride)
            return _ConvUnit(inputs, declared, padding=padding, compute=compute, rngs=rngs)

        self.Conv2d_1a_3x3 = unit(3, 32, stride=2)
        self.Conv2d_2a_3x3 = unit(32, 32)
        self.Conv2d_2b_3x3 = unit(32, 64, padding=1)
        self.Conv2d_3b_1x1 = unit(64, 80, 1)
        self.Conv2d_4a_3x3 = unit(80, 192)
        channels = 192
        for name, block in _BLOCKS.items():
            setattr(self, name, _Mixed(channels, block, compute=compute, rngs=rngs))
            channels = block.channels(channels)
        self.fc = linear(channels, config.num_classes, compute=compute, rngs=rngs)

    def __call__(self, x: Array) -> InceptionOutputs:
        """Map images (N, H, W, 3) in [-1, 1] to features and logits."""
        check_channels(x, 3)
        if min(x.shape[1:3]) < _SMALLEST:
            raise InputError(
                f"x: found {x.shape[1]}×{x.shape[2]} pixels, expected at least {_SMALLEST}×{_SMALLEST} "
                f"({_SIDE}×{_SIDE} for published scores)"
            )
        dtype, blocks = x.dtype, [getattr(self, name) for name in _BLOCKS]
        x = _pool(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))), "reduce")
        pool_64 = _mean(x, dtype)
        x = _pool(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), "reduce")
        pool_192 = _mean(x, dtype)
        x = in_turn(blocks[:_MIDDLE], x, remat=self.compute.remat)
        pool_768 = _mean(x, dtype)
        pool_2048 = _mean(in_turn(blocks[_MIDDLE:], x, remat=self.compute.remat), dtype)
        unbiased = jnp.matmul(pool_2048, self.fc.kernel[...].astype(dtype), precision=self.compute.precision)
        logits = unbiased + self.fc.bias[...].astype(dtype)[None]
        return InceptionOutputs(pool_64, pool_192, pool_768, pool_2048, unbiased, logits)


def _mean(x: Array, dtype: jnp.dtype) -> Array:
    return jnp.mean(x.astype(dtype), axis=(1, 2))


def inception(*, config: InceptionConfig = InceptionConfig(), compute: Compute = Compute()) -> Model:  # noqa: B008
    """The network as pure `init` and `apply`.

    Args:
        config: its sizes.
        compute: dtype, precision and memory.

    Returns:
        `apply(params, x)` maps images (N, H, W, 3) in [-1, 1], of at least 75×75 pixels, to `InceptionOutputs`. What is
        published was computed at 299×299; see `tf1_input`.
    """
    return functional(lambda rngs: _Inception(config, compute=compute, rngs=Keys(rngs)))


def tf1_input(images: Array) -> Array:
    """What the original network and torch-fidelity see of images: (N, H, W, 3) in [0, 1] to (N, 299, 299, 3).

    Resized by `resize_tf1`, then (255·x - 128) / 128, which ends at 0.992 and not at 1. Round images to 8 bits before
    for numbers as from files.

    Raises:
        InputError: no batch of RGB images in [0, 1].
    """
    check_images("images", images, channels=3)
    return (resize_tf1(255 * images, (_SIDE, _SIDE)) - 128) / 128


def half_pixel_input(images: Array) -> Array:
    """What pytorch-fid shows the network of images: (N, H, W, 3) in [0, 1] to (N, 299, 299, 3) in [-1, 1].

    Resized bilinearly between pixel centres, without antialiasing.

    Raises:
        InputError: no batch of RGB images in [0, 1].
    """
    check_images("images", images, channels=3)
    return 2 * resize(images, (_SIDE, _SIDE), kernel=LINEAR, antialias=False) - 1


def resize_tf1(images: Array, shape: tuple[int, int]) -> Array:
    """Resize as `resize_bilinear` of TensorFlow 1: output pixel i lies at i · (size before / size after), in float32.

    So the first pixels of both coincide, the image moves by up to half a pixel, and shrinking takes single pixels.

    Args:
        images: (N, H, W, C), floating point, any range.
        shape: new height and width. Static.

    Returns:
        (N, *shape, C), dtype of `images`; differentiable.

    Raises:
        InputError: a size is not a positive integer.
    """
    rows, columns = (
        jnp.asarray(_matrix_tf1(before, after), images.dtype)
        for before, after in zip(images.shape[1:3], shape, strict=True)
    )
    x = jnp.einsum("hi,niwc->nhwc", rows, images, precision=HIGHEST)
    return jnp.einsum("wj,nhjc->nhwc", columns, x, precision=HIGHEST)


def _matrix_tf1(size_in: int, size_out: int) -> np.ndarray:
    check_count("shape", size_out)
    position = np.arange(size_out, dtype=np.float32) * np.float32(size_in / size_out)
    lower = np.minimum(position.astype(np.int64), size_in - 1)
    fraction = position - lower.astype(np.float32)
    matrix = np.zeros((size_out, size_in), np.float32)
    rows = np.arange(size_out)
    np.add.at(matrix, (rows, lower), 1 - fraction)
    np.add.at(matrix, (rows, np.minimum(lower + 1, size_in - 1)), fraction)
    return matrix


def _recognise(shapes: Shapes) -> InceptionConfig | None:
    """Only with 1008 classes: torchvision's network has the same names, 1000 classes and other pools."""
    first, fc = shapes.get("Conv2d_1a_3x3.conv.weight"), shapes.get("fc.weight")
    if first != (32, 3, 3, 3) or fc != (_CLASSES, INCEPTION_WIDTH):
        return None
    return InceptionConfig()


INCEPTION = Network(
    name="FID-Inception",
    namings=(Naming(),),
    recognise=_recognise,
    build=lambda config, compute: inception(config=config, compute=compute),
)
