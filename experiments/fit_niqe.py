r"""Fit the packaged parameters of NIQE on the packaged training photographs.

    python experiments/fit_niqe.py [--write]

Data: photos("train"), six photographs that come with scikit-image and scikit-learn; nothing is downloaded. Of each
photograph blocks count whose sharpness exceeds half of the sharpest block's: 268 blocks. The paper's 0.75, meant for
125 photographs, would leave 112 for a covariance of 36 features. --write stores the parameters in
jaxpr/metrics/niqe_photos_train.npz. Two runs on one machine give the same bytes.

Numbers (CPU, 2 s): eigenvalues of the covariance 1.26e-06 to 0.886. NIQE under these parameters:
train: china 4.60, hubble_deep_field 1.94, ihc 4.18, motorcycle_left 2.76, motorcycle_right 2.82, retina 2.04
test: astronaut 3.97, chelsea 4.07, coffee 4.81, flower 8.02, rocket 7.51
"""

import argparse
import hashlib
import io
import time
from pathlib import Path

import numpy as np

import jaxpr.metrics
from jaxpr.core import write_atomically
from jaxpr.data import photos
from jaxpr.metrics import NiqeParameters, fit_niqe, niqe

NAME = "jaxpr-photos-train"
SHARPNESS = 0.5
FILE = Path(jaxpr.metrics.__file__).with_name("niqe_photos_train.npz")


def fit() -> NiqeParameters:
    """The packaged parameters, fitted anew."""
    return fit_niqe(photos("train"), name=NAME, sharpness=SHARPNESS)


def pack(parameters: NiqeParameters) -> bytes:
    """Content of an .npz file with BasicSR's names, the same for the same parameters."""
    file = io.BytesIO()
    np.savez(file, mu_pris_param=parameters.mean, cov_pris_param=parameters.covariance)
    return file.getvalue()


def main() -> None:
    """Fit, print what came out, and write if asked to."""
    parser = argparse.ArgumentParser(description="Fit the packaged parameters of NIQE.")
    parser.add_argument("--write", action="store_true", help=f"replace {FILE.name}")
    write = parser.parse_args().write

    start = time.perf_counter()
    parameters = fit()
    content = pack(parameters)
    eigenvalues = np.linalg.eigvalsh(parameters.covariance)
    print(f"{parameters.name}: fitted in {time.perf_counter() - start:.1f} s")
    print(f"eigenvalues of the covariance: {eigenvalues[0]:.2e} to {eigenvalues[-1]:.2e}")
    for split in ("train", "test"):
        source = photos(split)
        scores = [niqe(image[None], parameters=parameters)[0] for image in source]
        print(f"{split}: " + ", ".join(f"{n} {s:.2f}" for n, s in zip(source.names, scores, strict=True)))
    print(f"SHA-256 {hashlib.sha256(content).hexdigest()}, {len(content)} bytes")
    if write:
        write_atomically(FILE, content)
        print(f"wrote {FILE}")


if __name__ == "__main__":
    main()
