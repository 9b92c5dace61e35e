"""Put trained classifiers of digits among those that come with jaxpr.

    jaxpr train classifiers --out runs/classifiers
    python tools/package_classifiers.py runs/classifiers

Writes `jaxpr/weights/files/digits-NAME.safetensors` and prints the hashes, which `jaxpr/weights/classifiers.py` must
then name. Two runs on one machine give the same parameters.
"""

import argparse
import hashlib
from pathlib import Path

import jaxpr
from jaxpr.core import write_atomically
from jaxpr.models.classifier import DIGIT_CLASSIFIERS
from jaxpr.training import WEIGHTS

FOLDER = Path(jaxpr.__file__).parent / "weights" / "files"


def main() -> None:
    """Package both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", type=Path, help="of `jaxpr train classifiers`")
    runs = parser.parse_args().runs
    for name in DIGIT_CLASSIFIERS:
        content = (runs / f"digits-{name}" / WEIGHTS).read_bytes()
        write_atomically(FOLDER / f"digits-{name}.safetensors", content)
        print(f"{name}: {len(content):,} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
