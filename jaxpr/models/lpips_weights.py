"""LPIPS from the files that its authors and torchvision publish: a trunk, and channel weights for its five taps.

Trunks are torchvision's `vgg16-397923af.pth` and `alexnet-owt-7be5be79.pth`, whose classifiers are left out; channel
weights are `vgg.pth` and `alex.pth` of LPIPS v0.1. A state dict of the whole LPIPS module is both files in one.

Paper: Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", CVPR 2018.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from flax import nnx

from jaxpr._core import Array, InputError, PerceptualNetwork
from jaxpr.models.functional import Model, functional
from jaxpr.models.layers import Compute, Keys, conv2d
from jaxpr.models.torch_files import Checkpoint, read_checkpoint
from jaxpr.models.torch_weights import Naming, Network, Shapes, abstract_parameters, convert, indices
from jaxpr.models.trunks import ALEXNET, VGG16, ConvTrunk, perceptual_taps

__all__ = [
    "LPIPS_HEADS",
    "LPIPS_TRUNK",
    "HeadsConfig",
    "PerceptualFiles",
    "TrunkConfig",
    "lpips_heads",
    "lpips_trunk",
    "perceptual_network_from",
]

_SPECS = {"alexnet": ALEXNET, "vgg16": VGG16}
_WIDTHS = {"alexnet": (64, 192, 384, 256, 256), "vgg16": (64, 128, 256, 512, 512)}


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


class PerceptualFiles(NamedTuple):
    """An LPIPS network from files.

    Attributes:
        name: "alexnet" or "vgg16".
        network: for `metrics.lpips`.
        trunk_sha256: hash of the trunk's file.
        heads_sha256: hash of the channel weights' file.
    """

    name: str
    network: PerceptualNetwork
    trunk_sha256: str
    heads_sha256: str


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
    return functional(lambda rngs: ConvTrunk(_SPECS[config.trunk], compute=compute, rngs=rngs))


def lpips_heads(config: HeadsConfig, *, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """`apply(params, taps)` maps squared differences (N, h, w, c), one array per tap, to (N, h, w, 1) each."""
    return functional(lambda rngs: _Heads(config, compute=compute, rngs=Keys(rngs)))


def _recognise_trunk(shapes: Shapes) -> TrunkConfig | None:
    found = indices(shapes, r"features\.(\d+)\.weight$")
    for name, spec in _SPECS.items():
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
    recognise=_recognise_trunk,
    build=lambda config, compute: lpips_trunk(config, compute=compute),
)

LPIPS_HEADS = Network(
    name="LPIPS-heads",
    namings=(Naming(ignored=_TRUNK_ONLY),),
    recognise=_recognise_heads,
    build=lambda config, compute: lpips_heads(config, compute=compute),
)


def perceptual_network_from(
    trunk: Path,
    heads: Path,
    *,
    compute: Compute = Compute(),  # noqa: B008 (immutable)
) -> PerceptualFiles:
    """The network for `metrics.lpips` from published files.

    Args:
        trunk: torchvision's VGG16 or AlexNet.
        heads: the channel weights of LPIPS v0.1 for the same trunk; may be the same file as `trunk` if that holds the
            whole LPIPS module.
        compute: dtype and precision.

    Raises:
        InputError: a file cannot be read, or is not of these networks; the channel weights are another trunk's.
        WeightsError: tensors are missing, unexpected or of a wrong shape.
    """
    trunk_file = read_checkpoint(trunk)
    heads_file = trunk_file if heads == trunk else read_checkpoint(heads)
    name = _trunk_name(trunk_file)
    params = {
        network.name: convert(
            abstract_parameters(network.build(config, compute)),
            file.tensors,
            network.namings,
            source=f"{file.path}, read as {network.name}",
        )
        for network, config, file in (
            (LPIPS_TRUNK, TrunkConfig(name), trunk_file),
            (LPIPS_HEADS, HeadsConfig(_WIDTHS[name]), heads_file),
        )
    }
    taps = perceptual_taps(_SPECS[name], params[LPIPS_TRUNK.name], compute=compute)
    weights = [params[LPIPS_HEADS.name][f"lin{k}"]["model"]["1"]["kernel"].reshape(-1) for k in range(5)]
    return PerceptualFiles(name, PerceptualNetwork(taps, weights), trunk_file.sha256, heads_file.sha256)


def _trunk_name(file: Checkpoint) -> str:
    for naming in LPIPS_TRUNK.namings:
        names = {name: naming.canonical(name) for name in file.tensors}
        config = _recognise_trunk({own: file.tensors[name].shape for name, own in names.items() if own is not None})
        if config is not None:
            return config.trunk
    first = ", ".join(list(file.tensors)[:3])
    raise InputError(f"trunk: found tensors {first}, ... in {file.path}, expected torchvision's VGG16 or AlexNet")
