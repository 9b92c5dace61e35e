"""`jaxpr weights`: look into files of published weights, convert them, and download them."""

import difflib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from tqdm import tqdm

from jaxpr._core import InputError
from jaxpr.models.fetch import fetch_weights, weights_folder
from jaxpr.models.layers import Compute
from jaxpr.models.networks import recognise
from jaxpr.models.official import OFFICIAL_FILES
from jaxpr.models.torch_files import Checkpoint, file_sha256, read_checkpoint, write_checkpoint
from jaxpr.models.torch_weights import abstract_parameters, compare

__all__ = ["Weights"]

_LISTED = 8


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
    """Dotted path of the sub-dictionary to take, for example params_ema; found by itself if not given."""

    def run(self) -> None:
        """Convert and print what was written."""
        if self.destination.suffix != ".safetensors":
            raise InputError(f"destination: found {str(self.destination)!r}, expected a name with .safetensors")
        checkpoint = read_checkpoint(self.source, dictionary=self.dictionary)
        metadata = {"source": self.source.name, "source_sha256": checkpoint.sha256, "dictionary": checkpoint.dictionary}
        write_checkpoint(self.destination, checkpoint.tensors, metadata)
        _print_summary(checkpoint)
        print(f"written: {self.destination}\nwritten SHA-256: {file_sha256(self.destination)}")


@dataclass(frozen=True, kw_only=True)
class Inspect:
    """Print which tensors a file holds and which network they are."""

    file: tyro.conf.Positional[Path]
    """A file of weights."""

    dictionary: str | None = None
    """Dotted path of the sub-dictionary to show; found by itself if not given."""

    keys: bool = True
    """List every tensor."""

    def run(self) -> None:
        """Print the tensors, then the summary."""
        checkpoint = read_checkpoint(self.file, dictionary=self.dictionary)
        if self.keys:
            for name, array in checkpoint.tensors.items():
                print(f"{name}  {'×'.join(map(str, array.shape)) or 'scalar'}  {array.dtype}")
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
    """Addresses of folders with copies, tried first."""

    progress: bool = True
    """Show a progress bar."""

    def run(self) -> None:
        """Download, and print each file with its SHA-256."""
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
                    official, weights_folder(self.weights_dir), mirrors=self.mirror, progress=_mover(bar)
                )
            checked = "is the known one" if done.known else "is not known beforehand, so it was not compared"
            print(f"{name}: {done.path}\nSHA-256: {done.sha256} ({checked})")
            print(f"from: {done.source}" if done.source else "it was there already")


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


def _print_summary(checkpoint: Checkpoint) -> None:
    arrays = checkpoint.tensors.values()
    dtypes = ", ".join(f"{count} {dtype}" for dtype, count in Counter(str(a.dtype) for a in arrays).items())
    numbers = sum(array.size for array in arrays)
    print(f"file: {checkpoint.path}\nSHA-256: {checkpoint.sha256}")
    for name, text in checkpoint.metadata.items():
        print(f"header {name}: {text}")
    others = ", ".join(checkpoint.others[:_LISTED]) + (", ..." if len(checkpoint.others) > _LISTED else "")
    others = f" (also there: {others})" if others else ""
    print(f"dictionary: {checkpoint.dictionary or 'the file itself'}{others}")
    print(f"tensors: {len(checkpoint.tensors)} ({dtypes}), {numbers:,} numbers")
    print(f"network: {_describe_network(checkpoint)}")


def _describe_network(checkpoint: Checkpoint) -> str:
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
    _, mismatch = compare(parameters, shapes, network.namings)
    fits = f"but found {mismatch.describe()}" if mismatch.total else "all tensors fit"
    return f"{network.name}({sizes}); {fits}"
