"""`jaxpr weights`: look into files of published weights, convert them, and download them."""

import difflib
import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tqdm import tqdm

from jaxpr.core import InputError, given_path, printable
from jaxpr.models.layers import Compute
from jaxpr.models.naming import abstract_parameters, compare_tensors
from jaxpr.weights.addresses import check_mirrors
from jaxpr.weights.fetch import Fetched, fetch_weights, hash_record, weights_folder
from jaxpr.weights.native import METADATA
from jaxpr.weights.networks import is_network, recognise
from jaxpr.weights.official import OFFICIAL_FILES
from jaxpr.weights.torch_files import Checkpoint, file_sha256, read_checkpoint, write_checkpoint

__all__ = ["Weights"]

_LISTED = 8
_KINDS = ("restorer", "denoiser", "autoencoder", "classifier")


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Write the tensors of a PyTorch file as safetensors, which jaxpr reads without torch.

    Names, shapes and dtypes stay those of the file, so that other programs can read it too. Its header keeps the name
    and the SHA-256 of the source.
    """

    source: tyro.conf.Positional[Path]
    """A .pth, .pt, .ckpt, .bin (these need torch) or .safetensors file."""

    destination: tyro.conf.Positional[Path]
    """The new .safetensors file; an earlier one is replaced."""

    dictionary: str | None = None
    """Dotted path of the sub-dictionary to take, for example params_ema, with the prefix of the names behind it if only
    some are wanted, for example state_dict.net_g; by default where a network is."""

    def run(self) -> None:
        """Convert and print what was written."""
        destination = given_path(self.destination)
        if destination.suffix != ".safetensors":
            raise InputError(f"destination: found {str(destination)!r}, expected a name with .safetensors")
        checkpoint = read_checkpoint(self.source, dictionary=self.dictionary, fits=(is_network,))
        metadata = {
            "source": checkpoint.path.name,
            "source_sha256": checkpoint.sha256,
            "dictionary": checkpoint.dictionary,
            "prefix": checkpoint.prefix,
        }
        write_checkpoint(destination, checkpoint.tensors, metadata)
        _print_summary(checkpoint)
        print(f"written: {printable(destination)}\nwritten SHA-256: {file_sha256(destination)}")


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Print which tensors a file holds and which network they are."""

    file: tyro.conf.Positional[Path]
    """A file of weights."""

    dictionary: str | None = None
    """As in `jaxpr weights convert`."""

    keys: bool = True
    """List every tensor."""

    def run(self) -> None:
        """Print the tensors, then the summary."""
        checkpoint = read_checkpoint(self.file, dictionary=self.dictionary, fits=(is_network,))
        if self.keys:
            for name, array in checkpoint.tensors.items():
                print(f"{printable(name)}  {'×'.join(map(str, array.shape)) or 'scalar'}  {array.dtype}")
            print()
        _print_summary(checkpoint)


@dataclass(frozen=True, kw_only=True)
class Fetch:
    """Download published weights from their authors' addresses, unless they are there already, and check them."""

    names: tyro.conf.Positional[tuple[str, ...]]
    """For example swinir-classical-x4 or realesrgan-x4; none to list all."""

    weights_dir: Path | None = None
    """Folder for the files; default: the environment variable JAXPR_WEIGHTS, else ~/.cache/jaxpr/weights."""

    mirror: tuple[str, ...] = ()
    """Addresses of folders with copies, tried first; only of files whose SHA-256 is known."""

    accept_unverified: bool = False
    """Take also files whose SHA-256 is not known, from their authors' host alone or as they lie in the folder, and
    record it: from then on they must not change."""

    progress: bool = True
    """Show a progress bar."""

    def run(self) -> None:
        """Download, and print each file with its SHA-256."""
        check_mirrors("--mirror", self.mirror)
        unknown = [name for name in self.names if name not in OFFICIAL_FILES]
        if unknown:
            near = difflib.get_close_matches(unknown[0], OFFICIAL_FILES, n=3, cutoff=0.3)
            raise InputError(
                f"names: found {unknown[0]!r}, expected for example {' or '.join(near or list(OFFICIAL_FILES)[:3])}; "
                "`jaxpr weights fetch` without names lists all"
            )
        if not self.names:
            for name, official in OFFICIAL_FILES.items():
                print(f"{name}: {official.file}")
        for name in self.names:
            official = OFFICIAL_FILES[name]
            with tqdm(desc=name, unit="B", unit_scale=True, disable=not self.progress) as bar:
                done = fetch_weights(
                    official,
                    weights_folder(self.weights_dir),
                    mirrors=self.mirror,
                    accept_unverified=self.accept_unverified,
                    progress=_mover(bar),
                )
            _print_fetched(name, done)


_Action = (
    Annotated[Convert, tyro.conf.subcommand("convert")]
    | Annotated[Inspect, tyro.conf.subcommand("inspect")]
    | Annotated[Fetch, tyro.conf.subcommand("fetch")]
)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Look into files of published weights, convert them, and download them."""

    action: tyro.conf.OmitSubcommandPrefixes[_Action]

    def run(self) -> None:
        """Do it."""
        self.action.run()


def _mover(bar: "tqdm[None]") -> Callable[[int, int | None], None]:
    def move(there: int, total: int | None) -> None:
        bar.total = total
        bar.update(there - bar.n)

    return move


def _print_fetched(name: str, done: Fetched) -> None:
    checked = "is the known one"
    if not done.known:
        checked = f"accepted unverified; from now on it must be that in {printable(hash_record(done.path).name)}"
    print(f"{name}: {printable(done.path)}\nSHA-256: {done.sha256} ({checked})")
    print(f"from: {done.source}" if done.source else "it was there already")


def _print_summary(checkpoint: Checkpoint) -> None:
    arrays = checkpoint.tensors.values()
    dtypes = ", ".join(f"{count} {dtype}" for dtype, count in Counter(str(a.dtype) for a in arrays).items())
    numbers = sum(array.size for array in arrays)
    print(f"file: {printable(checkpoint.path)}\nSHA-256: {checkpoint.sha256}")
    for name, text in checkpoint.metadata.items():
        print(f"header {printable(name)}: {printable(text)}")
    others = f" (also there: {_first(checkpoint.others)})" if checkpoint.others else ""
    print(f"dictionary: {printable(checkpoint.dictionary) or 'the file itself'}{others}")
    if checkpoint.prefix:
        print(f"prefix: {printable(checkpoint.prefix)}, taken off the names")
    if checkpoint.left_out:
        print(f"left out: {_first(checkpoint.left_out)}")
    print(f"tensors: {len(checkpoint.tensors)} ({dtypes}), {numbers:,} numbers")
    print(f"network: {_describe_network(checkpoint)}")


def _first(names: Sequence[str]) -> str:
    return printable(", ".join(names[:_LISTED])) + (", ..." if len(names) > _LISTED else "")


def _describe_network(checkpoint: Checkpoint) -> str:
    if (kind := _own_kind(checkpoint)) is not None:
        return f"{kind} of jaxpr train, whose sizes are in the header"
    shapes = {name: np.shape(array) for name, array in checkpoint.tensors.items()}
    found = recognise(shapes)
    if found is None:
        return "not known to jaxpr"
    network, config = found
    sizes = ", ".join(f"{name}={value!r}" for name, value in config._asdict().items())
    try:
        parameters = abstract_parameters(network.build(config, Compute()))
    except InputError as error:
        return f"{network.name}({sizes}); cannot be built: {error}"
    _, mismatch = compare_tensors(parameters, shapes, network.namings)
    fits = f"but found {mismatch.describe()}" if mismatch.total else "all tensors fit"
    return f"{network.name}({sizes}); {fits}"


def _own_kind(checkpoint: Checkpoint) -> str | None:
    """What `jaxpr train` trained, if it wrote the file."""
    try:
        record = json.loads(checkpoint.metadata[METADATA])
    except (KeyError, ValueError):
        return None
    return next((kind for kind in _KINDS if isinstance(record, dict) and kind in record), None)
