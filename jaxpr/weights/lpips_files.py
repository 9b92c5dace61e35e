"""LPIPS from the files that its authors and torchvision publish; their networks are `models.lpips`."""

from pathlib import Path
from typing import NamedTuple

from jaxpr.core import InputError, PerceptualNetwork
from jaxpr.models.layers import Compute
from jaxpr.models.lpips import LPIPS_HEADS, LPIPS_TRUNK, LPIPS_TRUNKS, HeadsConfig, TrunkConfig
from jaxpr.models.naming import abstract_parameters, convert
from jaxpr.models.trunks import perceptual_taps
from jaxpr.weights.torch_files import Checkpoint, read_checkpoint

__all__ = ["PerceptualFiles", "perceptual_network_from"]

_WIDTHS = {"alexnet": (64, 192, 384, 256, 256), "vgg16": (64, 128, 256, 512, 512)}


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
    taps = perceptual_taps(LPIPS_TRUNKS[name], params[LPIPS_TRUNK.name], compute=compute)
    weights = [params[LPIPS_HEADS.name][f"lin{k}"]["model"]["1"]["kernel"].reshape(-1) for k in range(5)]
    return PerceptualFiles(name, PerceptualNetwork(taps, weights), trunk_file.sha256, heads_file.sha256)


def _trunk_name(file: Checkpoint) -> str:
    for naming in LPIPS_TRUNK.namings:
        names = {name: naming.canonical(name) for name in file.tensors}
        config = LPIPS_TRUNK.recognise(
            {own: file.tensors[name].shape for name, own in names.items() if own is not None}
        )
        if config is not None:
            return config.trunk
    first = ", ".join(list(file.tensors)[:3])
    raise InputError(f"trunk: found tensors {first}, ... in {file.path}, expected torchvision's VGG16 or AlexNet")
