"""Published networks by their files: which one a file holds, and the network with its weights."""

import os
from collections.abc import Iterable
from typing import Any, NamedTuple

from jaxpr.core import InputError, printable
from jaxpr.models.adm_classifier import ADM_CLASSIFIER
from jaxpr.models.adm_files import ADM_UNET
from jaxpr.models.autoencoder_kl import AUTOENCODER_KL
from jaxpr.models.ddpm_unet import DDPM_UNET
from jaxpr.models.functional import Model
from jaxpr.models.gfpgan import GFPGAN
from jaxpr.models.inception import INCEPTION
from jaxpr.models.layers import Compute
from jaxpr.models.lpips import LPIPS_HEADS, LPIPS_TRUNK
from jaxpr.models.naming import Network, Shapes, abstract_parameters, convert
from jaxpr.models.restormer import RESTORMER
from jaxpr.models.rrdbnet import RRDBNET
from jaxpr.models.srvggnet import SRVGGNET
from jaxpr.models.swin2sr import SWIN2SR
from jaxpr.models.swinir import SWINIR
from jaxpr.models.vit import VIT
from jaxpr.weights.layouts import Fits
from jaxpr.weights.torch_files import Checkpoint, read_checkpoint

__all__ = ["NETWORKS", "LoadedNetwork", "is_network", "load_network", "recognise"]

NETWORKS: tuple[Network, ...] = (
    RRDBNET,
    SRVGGNET,
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


def recognise(shapes: Shapes, *, among: Iterable[Network] = NETWORKS) -> tuple[Network, Any] | None:
    """The architecture and sizes that tensor shapes speak of; None for an unknown architecture.

    Args:
        shapes: of all tensors in a file, by their names there.
        among: architectures, tried in this order.
    """
    for network in among:
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


def is_network(shapes: Shapes) -> bool:
    """Whether tensor shapes are those of an architecture that is known."""
    return recognise(shapes) is not None


def load_network(
    path: str | os.PathLike[str],
    *,
    network: str | None = None,
    among: Iterable[Network] = NETWORKS,
    config: Any | None = None,
    dictionary: str | None = None,
    compute: Compute = Compute(),  # noqa: B008 (immutable)
) -> LoadedNetwork:
    """Read a published file and build its network.

    Args:
        path: safetensors or PyTorch file, ncnn's `.param`, or FILE#DICTIONARY.
        network: name of the architecture; None to see it from the file.
        among: architectures to look for first in a file that holds several networks.
        config: its sizes, which need `network`; None to see them from the file.
        dictionary: see `read_checkpoint`; None for the one that fits a network.
        compute: dtype, precision and memory of the network.

    Raises:
        InputError: the file cannot be read, is not of a known architecture, or holds NaN or infinite weights; several
            networks in it fit.
        WeightsError: its tensors are not exactly those of the network.
    """
    wanted = [known for known in among if network is None or known.name.lower() == network.lower()]
    fits: tuple[Fits, ...] = (is_network,)
    if len(wanted) < len(NETWORKS):
        fits = (lambda shapes: recognise(shapes, among=wanted) is not None, is_network)
    checkpoint = read_checkpoint(path, dictionary=dictionary, fits=fits)
    found, sizes = _choose(checkpoint, network, wanted, config)
    source = f"{printable(checkpoint.path)}, read as {found.name}"
    try:
        model = found.build(sizes, compute)
        parameters = abstract_parameters(model)
    except InputError as error:  # sizes that the architecture cannot have
        raise InputError(f"{source}: {error}") from error
    params = convert(parameters, checkpoint.tensors, found.namings, source=source)
    return LoadedNetwork(found.name, sizes, model, params, checkpoint)


def _choose(
    checkpoint: Checkpoint, name: str | None, wanted: Iterable[Network], config: Any | None
) -> tuple[Network, Any]:
    by_name = {network.name.lower(): network for network in NETWORKS}
    known = ", ".join(network.name for network in NETWORKS)
    if name is not None and name.lower() not in by_name:
        raise InputError(f"network: found {name!r}, expected one of {known}")
    if config is not None:
        if name is None:
            raise InputError("network: found None, expected the name of the architecture besides its config")
        return by_name[name.lower()], config
    shapes = {tensor: array.shape for tensor, array in checkpoint.tensors.items()}
    found = recognise(shapes, among=wanted) or recognise(shapes)
    if found is None or (name is not None and found[0] is not by_name[name.lower()]):
        expected = by_name[name.lower()].name if name else f"one of {known}"
        first = f"tensors {printable(', '.join(list(checkpoint.tensors)[:3]))}, ..."
        if checkpoint.kind == "ncnn" and found is None:
            first = f"layers of ncnn that are {checkpoint.metadata['layers']}"
        raise InputError(f"{printable(checkpoint.path)}: found {first}, expected {expected}")
    return found
