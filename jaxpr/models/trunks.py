"""Convolutional trunks of AlexNet and VGG16, with torchvision's layer numbering as parameter names.

Inputs are NHWC and already normalised for the network; outputs are the feature maps at the taps that LPIPS reads.
`perceptual_taps` normalises as LPIPS does.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import nnx

from jaxpr.core import Array, InputError
from jaxpr.models.functional import functional
from jaxpr.models.layers import Compute, Keys, conv2d

__all__ = ["ALEXNET", "VGG16", "ConvTrunk", "TrunkSpec", "perceptual_taps"]

# LPIPS's own constants, for images in [-1, 1]; they differ from the ImageNet mean and deviation in the third digit.
_SHIFT = np.array([[[[-0.030, -0.088, -0.188]]]], np.float32)
_SCALE = np.array([[[[0.458, 0.448, 0.450]]]], np.float32)


class _Conv(NamedTuple):
    channels: int
    size: int = 3
    stride: int = 1


class _Pool(NamedTuple):
    size: int
    stride: int = 2


class TrunkSpec(NamedTuple):
    """A sequential trunk: every convolution is followed by a ReLU.

    Attributes:
        layers: (torchvision's index in `features`, layer); the ReLU behind convolution i has index i + 1.
        taps: indices of the convolutions after whose ReLU the features are read.
        smallest: least height and width of an input for which every tap has at least one position.
    """

    layers: tuple[tuple[int, _Conv | _Pool], ...]
    taps: tuple[int, ...]
    smallest: int

    @property
    def convolutions(self) -> tuple[int, ...]:
        """Indices of the convolutions, in order."""
        return tuple(index for index, layer in self.layers if isinstance(layer, _Conv))


ALEXNET = TrunkSpec(
    layers=(
        (0, _Conv(64, 11, 4)),
        (2, _Pool(3)),
        (3, _Conv(192, 5)),
        (5, _Pool(3)),
        (6, _Conv(384)),
        (8, _Conv(256)),
        (10, _Conv(256)),
    ),
    taps=(0, 3, 6, 8, 10),
    smallest=31,
)

VGG16 = TrunkSpec(
    layers=(
        (0, _Conv(64)),
        (2, _Conv(64)),
        (4, _Pool(2)),
        (5, _Conv(128)),
        (7, _Conv(128)),
        (9, _Pool(2)),
        (10, _Conv(256)),
        (12, _Conv(256)),
        (14, _Conv(256)),
        (16, _Pool(2)),
        (17, _Conv(512)),
        (19, _Conv(512)),
        (21, _Conv(512)),
        (23, _Pool(2)),
        (24, _Conv(512)),
        (26, _Conv(512)),
        (28, _Conv(512)),
    ),
    taps=(2, 7, 14, 21, 28),
    smallest=16,
)


class ConvTrunk(nnx.Module):
    """Convolutions, ReLUs and max-pools in sequence; parameters are `features.<index>.kernel` and `.bias`."""

    def __init__(self, spec: TrunkSpec, *, compute: Compute = Compute(), rngs: nnx.Rngs) -> None:  # noqa: B008
        self.spec, keys = nnx.static(spec), Keys(rngs)
        channels, convolutions = 3, {}
        for index, layer in spec.layers:
            if isinstance(layer, _Conv):
                # torchvision pads 2 in front of AlexNet's 11×11 and half the kernel elsewhere.
                padding = 2 if layer.size == 11 else layer.size // 2
                convolutions[str(index)] = conv2d(
                    channels,
                    layer.channels,
                    size=layer.size,
                    stride=layer.stride,
                    padding=padding,
                    compute=compute,
                    rngs=keys,
                )
                channels = layer.channels
        self.features = nnx.Dict(convolutions)

    def __call__(self, x: Array) -> tuple[Array, ...]:
        """Map (N, H, W, 3) to the tapped feature maps, (N, h, w, c) each."""
        dtype, taps = x.dtype, []
        for index, layer in self.spec.layers:
            if isinstance(layer, _Pool):
                x = nnx.max_pool(x, (layer.size, layer.size), strides=(layer.stride, layer.stride))
            else:
                x = jax.nn.relu(self.features[str(index)](x))
                if index in self.spec.taps:
                    taps.append(x.astype(dtype))
        return tuple(taps)


def perceptual_taps(
    spec: TrunkSpec,
    params: dict[Any, Any],
    *,
    compute: Compute = Compute(),  # noqa: B008 (immutable)
) -> Callable[[Array], tuple[Array, ...]]:
    """The trunk with these weights on images (N, H, W, 3) in [0, 1], as LPIPS normalises them.

    Args:
        spec: the trunk.
        params: {"features": {index: {"kernel": ..., "bias": ...}}}.
        compute: dtype and precision.
    """
    model = functional(lambda rngs: ConvTrunk(spec, compute=compute, rngs=rngs))
    return functools.partial(_taps, model.apply, params, spec.smallest)


def _taps(apply: Callable[..., tuple[Array, ...]], params: Any, smallest: int, images: Array) -> tuple[Array, ...]:
    if min(images.shape[1:3]) < smallest:
        raise InputError(
            f"images: found {images.shape[1]}×{images.shape[2]} pixels, expected at least {smallest}×{smallest}"
        )
    return apply(params, (2 * images - 1 - _SHIFT) / _SCALE)
