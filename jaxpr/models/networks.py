"""Published networks by their files: which one a file holds, and the network with its weights."""

from pathlib import Path
from typing import Any, NamedTuple

from jaxpr._core import InputError
from jaxpr.models.adm_classifier import ADM_CLASSIFIER
from jaxpr.models.adm_unet import ADM_UNET
from jaxpr.models.autoencoder_kl import AUTOENCODER_KL
from jaxpr.models.ddpm_unet import DDPM_UNET
from jaxpr.models.functional import Model
from jaxpr.models.gfpgan import GFPGAN
from jaxpr.models.inception import INCEPTION
from jaxpr.models.layers import Compute
from jaxpr.models.lpips_weights import LPIPS_HEADS, LPIPS_TRUNK
from jaxpr.models.restormer import RESTORMER
from jaxpr.models.rrdbnet import RRDBNET
from jaxpr.models.swin2sr import SWIN2SR
from jaxpr.models.swinir import SWINIR
from jaxpr.models.torch_files import Checkpoint, read_checkpoint
from jaxpr.models.torch_weights import Network, Shapes, abstract_parameters, convert
from jaxpr.models.vit import VIT

__all__ = ["NETWORKS", "LoadedNetwork", "load_network", "recognise"]

NETWORKS: tuple[Network, ...] = (
    RRDBNET,
    SWINIR,
    SWIN2SR,
    RESTORMER,
    GFPGAN,
    INCEPTION,
    LPIPS_TRUNK,
    LPIPS_HEADS,
    VIT,
    AUTOENCODER_KL,
    DDPM_UNET,
    ADM_UNET,
    ADM_CLASSIFIER,
)
"""All architectures whose files can be read, tried in this order."""


class LoadedNetwork(NamedTuple):
    """A network with weights from a file.

    Attributes:
        name: of the architecture.
        config: its sizes.
        model: `model.apply(params, x)` runs it.
        params: nested dict of arrays.
        checkpoint: the file; its `path` and `sha256` belong beside every number that the network produces.
    """

    name: str
    config: Any
    model: Model
    params: dict[Any, Any]
    checkpoint: Checkpoint


def recognise(shapes: Shapes) -> tuple[Network, Any] | None:
    """The architecture and sizes that tensor shapes speak of; None for an unknown architecture.

    Args:
        shapes: of all tensors in a file, by their names there.
    """
    for network in NETWORKS:
        for naming in network.namings:
            names = {name: naming.canonical(name) for name in shapes}
            canonical = {own: tuple(shapes[name]) for name, own in names.items() if own is not None}
            try:
                config = network.recognise(canonical)
            except (LookupError, ArithmeticError):  # shapes that no file of this network has
                continue
            if config is not None:
                return network, config
    return None


def load_network(
    path: Path,
    *,
    network: str | None = None,
    config: Any | None = None,
    dictionary: str | None = None,
    compute: Compute = Compute(),  # noqa: B008 (immutable)
) -> LoadedNetwork:
    """Read a published file and build its network.

    Args:
        path: safetensors or PyTorch file.
        network: name of the architecture; None to see it from the file.
        config: its sizes, which need `network`; None to see them from the file.
        dictionary: the sub-dictionary of the file to read; None to find it.
        compute: dtype, precision and memory of the network.

    Raises:
        InputError: the file cannot be read, or is not of a known architecture.
        WeightsError: its tensors are not exactly those of the network.
    """
    checkpoint = read_checkpoint(path, dictionary=dictionary)
    found, sizes = _choose(checkpoint, network, config)
    model = found.build(sizes, compute)
    source = f"{path}, read as {found.name}"
    params = convert(abstract_parameters(model), checkpoint.tensors, found.namings, source=source)
    return LoadedNetwork(found.name, sizes, model, params, checkpoint)


def _choose(checkpoint: Checkpoint, name: str | None, config: Any | None) -> tuple[Network, Any]:
    by_name = {network.name.lower(): network for network in NETWORKS}
    known = ", ".join(network.name for network in NETWORKS)
    if name is not None and name.lower() not in by_name:
        raise InputError(f"network: found {name!r}, expected one of {known}")
    if config is not None:
        if name is None:
            raise InputError("network: found None, expected the name of the architecture besides its config")
        return by_name[name.lower()], config
    found = recognise({tensor: array.shape for tensor, array in checkpoint.tensors.items()})
    if found is None or (name is not None and found[0] is not by_name[name.lower()]):
        wanted = by_name[name.lower()].name if name else f"one of {known}"
        first = ", ".join(list(checkpoint.tensors)[:3])
        raise InputError(f"{checkpoint.path}: found tensors {first}, ..., expected {wanted}")
    return found
