"""Put trained restorers among those that come with jaxpr.

    jaxpr train digits --out runs/digits && jaxpr train photographs --out runs/photographs
    python tools/package_restorers.py runs/digits runs/photographs

Weights are stored in half precision. On test images that moves outputs, in grey levels of 255 (root mean square), by at
most 0.005 for photographs and by 0.05 to 1.6 for digits of the first seed, most for robust deterministic restorers.
Everything that says how they were made stays. Writes `jaxpr/weights/files/NAME.safetensors` and `restorers.json`, the
list of names and hashes, in the order of the configs.
"""

import argparse
import hashlib
import json
from pathlib import Path

import jax
import numpy as np

import jaxpr
from jaxpr.core import write_atomically
from jaxpr.training import WEIGHTS, load_recipes
from jaxpr.weights.native import pack_restorer
from jaxpr.weights.packaged import read_restorer

FOLDER = Path(jaxpr.__file__).parent / "weights" / "files"
INDEX = FOLDER / "restorers.json"
LARGEST = 2_000_000  # bytes of one file
CONFIGS = ("photographs", "digits")


def package(path: Path) -> tuple[str, str]:
    """Store the weights of one run; their name and hash."""
    packed = read_restorer(path).packed
    params = jax.tree.map(lambda leaf: leaf.astype(np.float16), packed.params)
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise SystemExit(f"{path}: found weights too large for half precision")
    name, content = packed.metadata["recipe"]["name"], pack_restorer(packed.config, params, packed.metadata)
    if len(content) > LARGEST:
        raise SystemExit(f"{path}: found {len(content)} bytes, expected at most {LARGEST}")
    write_atomically(FOLDER / f"{name}.safetensors", content)
    return name, hashlib.sha256(content).hexdigest()


def main() -> None:
    """Package all finished runs in some folders; others that are packaged already stay."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    index = json.loads(INDEX.read_text(encoding="utf-8"))
    order = [name for config in CONFIGS for name in load_recipes(config, "small")]
    for folder in parser.parse_args().folders:
        for path in sorted(folder.glob(f"*/{WEIGHTS}")):
            name, digest = package(path)
            index[name] = digest
            print(f"{name}: {(FOLDER / f'{name}.safetensors').stat().st_size:,} bytes")
    index = {name: index[name] for name in sorted(index, key=order.index)}
    write_atomically(INDEX, (json.dumps(index, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
