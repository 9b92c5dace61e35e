"""Put trained restorers, denoisers, autoencoders and classifiers among the weights that come with jaxpr.

    jaxpr train digits --out runs/digits && jaxpr train photographs --out runs/photographs
    python tools/pack_weights.py runs/digits runs/photographs runs/denoisers

Takes folders with runs of `jaxpr train`, and single files of weights: of restorers, denoisers, autoencoders, or of the
classifiers. All but classifiers are stored in half precision. On test images that moves outputs of restorers,
in grey levels of 255 (root mean square), by at most 0.005 for photographs and by 0.05 to 1.6 for digits of the first
seed, most for robust deterministic restorers. Everything that says how they were made stays. Writes
`jaxpr/weights/files/index.json`, restorers, denoisers, classifiers, autoencoders, new ones last of each, and one file
for each data and degradation, and for each denoiser and autoencoder, so that an evaluation reads one of them.
"""

import argparse
import hashlib
import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxpr
from jaxpr.core import write_atomically
from jaxpr.weights.autoencoders import pack_autoencoder, unpack_autoencoder
from jaxpr.weights.denoisers import pack_denoiser, unpack_denoiser
from jaxpr.weights.native import pack_family, pack_restorer, read_member, unpack_restorer, unpack_weights
from jaxpr.weights.packaged import PackagedEntry

FOLDER = Path(jaxpr.__file__).parent / "weights" / "files"
LARGEST = 40_000_000  # bytes of all files


def packed(path: Path) -> tuple[PackagedEntry, bytes]:
    """What the index says of a file of weights, and the content that is kept of it."""
    content = path.read_bytes()
    _, metadata = unpack_weights(content)
    if "classifier" in metadata:
        kind, degradation, seed, stochastic = "classifier", None, metadata["recipe"]["seed"], False
        if isinstance(metadata["classifier"], str):  # the two of 8×8 digits
            name, place, channels = f"digits-{metadata['classifier']}", "digits-classifiers", 1
        else:
            name, channels = metadata["recipe"]["name"], metadata["classifier"]["channels"]
            place = f"{metadata['data'].removesuffix('-train')}-classifiers"
    elif "denoiser" in metadata:
        found = unpack_denoiser(content)
        kinds = {"schedule": found.schedule, "prediction": found.prediction}
        content = pack_denoiser(found.config, halved(path, found.params), found.metadata, side=found.side, **kinds)
        name, seed, place = metadata["recipe"]["name"], metadata["seed"], f"{metadata['recipe']['name']}-denoiser"
        kind, degradation, channels, stochastic = "denoiser", None, found.config.in_channels, False
    elif "autoencoder" in metadata:
        sizes, params, metadata, *_ = unpack_autoencoder(content)
        content = pack_autoencoder(sizes, halved(path, params), metadata)
        name, seed, place = metadata["recipe"]["name"], metadata["seed"], f"{metadata['recipe']['name']}-autoencoder"
        kind, degradation, channels, stochastic = "autoencoder", None, sizes.in_channels, False
    else:
        config, params, metadata = unpack_restorer(content)
        content = pack_restorer(config, halved(path, params), metadata)
        name, seed, data = metadata["recipe"]["name"], metadata["seed"], metadata["data"].removesuffix("-train")
        place = f"{data}-{config.degradation.replace('+', '-')}"
        kind, degradation, channels, stochastic = "restorer", config.degradation, config.channels, config.stochastic
    # Names are read here and nowhere else: photos-gan-0.03-robust.
    parts = re.fullmatch(r"(.+)-(\d+(?:\.\d+)?)(?:-([a-z]+))?", name)
    family, setting, variant = (parts[1], float(parts[2]), parts[3]) if parts else (name, None, None)
    if parts and name == f"{family}-{seed}":  # the number that ends it is its seed, along which nothing is drawn
        family, setting = name, None
    entry = PackagedEntry(
        name=name,
        kind=kind,
        degradation=degradation,
        channels=channels,
        family=family,
        setting=setting,
        variant=variant,
        stochastic=stochastic,
        seed=seed,
        size=len(content),
        file=f"{place}.safetensors",
        sha256=hashlib.sha256(content).hexdigest(),
    )
    return entry, content


def halved(path: Path, params: Any) -> Any:
    """Parameters in half precision."""
    if max(np.abs(leaf).max() for leaf in jax.tree.leaves(params)) > np.finfo(np.float16).max:
        raise SystemExit(f"{path}: found weights too large for half precision")
    return jax.tree.map(lambda leaf: leaf.astype(np.float16), params)


def pack(paths: Iterable[Path], folder: Path) -> dict[str, PackagedEntry]:
    """Add files of weights to a folder of packaged ones; the index that it then has."""
    path = folder / "index.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    index = {name: PackagedEntry(name, **fields) for name, fields in known.items()}
    contents = {}
    for entry, content in map(packed, paths):
        index[entry.name], contents[entry.name] = entry, content
    if (total := sum(entry.size for entry in index.values())) > LARGEST:
        raise SystemExit(f"found {total} bytes altogether, expected at most {LARGEST}")
    index = dict(sorted(index.items(), key=lambda item: item[1].kind, reverse=True))
    for file in sorted({index[name].file for name in contents}):
        names = [entry.name for entry in index.values() if entry.file == file]
        members = {name: contents.get(name) or read_member(folder / file, name) for name in names}
        write_atomically(folder / file, pack_family(members))
    fields = {entry.name: dict(list(entry._asdict().items())[1:]) for entry in index.values()}
    write_atomically(path, (json.dumps(fields, indent=1) + "\n").encode())
    return index


def main() -> None:
    """Pack all finished runs in some folders, and some files; what else is packaged stays."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, help="folders with runs of jaxpr train, or files of weights")
    given = parser.parse_args().paths
    found = (sorted(path.glob("*/weights.safetensors")) if path.is_dir() else [path] for path in given)
    paths = list(itertools.chain.from_iterable(found))
    index = pack(paths, FOLDER)
    for file in sorted({entry.file for entry in index.values()}):
        members = [entry.name for entry in index.values() if entry.file == file]
        print(f"{file}: {(FOLDER / file).stat().st_size:,} bytes, {len(members)} of {len(index)}")


if __name__ == "__main__":
    main()
