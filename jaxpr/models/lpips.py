"""The networks of LPIPS under the names of their published files: a trunk, and channel weights for its five taps.

Trunks are torchvision's `vgg16-397923af.pth` and `alexnet-owt-7be5be79.pth`, whose classifiers are left out; channel
weights are `vgg.pth` and `alex.pth` of LPIPS v0.1. A state dict of the whole LPIPS module is both files in one.

Paper: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018.
"""

from collections.abc import Sequence
from typing import NamedTuple

from flax import nnx

from jaxpr.core import Array
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, Keys, conv2d
from jaxpr.models.naming import Naming, Network, Shapes, indices
from jaxpr.models.trunks import ALEXNET, VGG16, ConvTrunk

__all__ = [
    "LPIPS_HEADS",
    "LPIPS_TRUNK",
    "LPIPS_TRUNKS",
    "HeadsConfig",
    "TrunkConfig",
    "lpips_heads",
    "lpips_trunk",
]

LPIPS_TRUNKS = {"alexnet": ALEXNET, "vgg16": VGG16}


class TrunkConfig(NamedTuple):
    """Which trunk.

    Attributes:
        trunk: "alexnet" or "vgg16".
    """

    trunk: str


class HeadsConfig(NamedTuple):
    """Which channel weights.

    Attributes:
        widths: channels of each tap.
    """

    widths: tuple[int, ...]


class _Heads(nnx.Module):
    """A weighted sum over channels for each tap; place 0 of the published sequences is a dropout."""

    def __init__(self, config: HeadsConfig, *, compute: Compute, rngs: Keys) -> None:
        self.count = len(config.widths)
        for k, width in enumerate(config.widths):
            head = conv2d(width, 1, size=1, bias=False, compute=compute, rngs=rngs)
            setattr(self, f"lin{k}", nnx.Dict({"model": nnx.Dict({"1": head})}))

    def __call__(self, taps: Sequence[Array]) -> tuple[Array, ...]:
        return tuple(getattr(self, f"lin{k}").model["1"](tap) for k, tap in enumerate(taps))


def lpips_trunk(config: TrunkConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """`apply(params, x)` maps normalised images (N, H, W, 3) to five feature maps; see `perceptual_taps`."""
    return functional(lambda rngs: ConvTrunk(LPIPS_TRUNKS[config.trunk], compute=compute, rngs=rngs))


def lpips_heads(config: HeadsConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """`apply(params, taps)` maps squared differences (N, h, w, c), one array per tap, to (N, h, w, 1) each."""
    return functional(lambda rngs: _Heads(config, compute=compute, rngs=Keys(rngs)))


def recognise_trunk(shapes: Shapes) -> TrunkConfig | None:
    """The trunk whose convolutions a file has, by their places in torchvision's list; None if it is none of them."""
    found = indices(shapes, r"features\.(\d+)\.weight$")
    for name, spec in LPIPS_TRUNKS.items():
        if found == spec.convolutions:
            return TrunkConfig(name)
    return None


def _recognise_heads(shapes: Shapes) -> HeadsConfig | None:
    names = [f"lin{k}.model.1.weight" for k in range(5)]
    if any(name not in shapes for name in names):
        return None
    return HeadsConfig(tuple(shapes[name][1] for name in names))


_LPIPS_ONLY = (r"^lins?\.?\d+\.", r"^scaling_layer\.")
_TRUNK_ONLY = (r"^net\.", r"^features\.", r"^classifier\.", r"^scaling_layer\.", r"^lins\.")

LPIPS_TRUNK = Network(
    name="LPIPS-trunk",
    namings=(
        Naming(ignored=(r"^classifier\.", *_LPIPS_ONLY)),
        Naming(rename=((r"^net\.slice\d\.(\d+)\.", r"features.\1."),), ignored=_LPIPS_ONLY),
    ),
    recognise=recognise_trunk,
    build=lambda config, compute: lpips_trunk(config, compute=compute),
)

LPIPS_HEADS = Network(
    name="LPIPS-heads",
    namings=(Naming(ignored=_TRUNK_ONLY),),
    recognise=_recognise_heads,
    build=lambda config, compute: lpips_heads(config, compute=compute),
)
