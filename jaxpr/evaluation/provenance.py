"""What a record says about itself: everything that decides the numbers, and where they were computed."""

import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import numpy as np

from jaxpr import __version__
from jaxpr._core import Key
from jaxpr.degradations import Degradation
from jaxpr.evaluation.examples import Examples
from jaxpr.evaluation.protocol import Protocol
from jaxpr.models import feature_extractor, packaged_weights

__all__ = ["protocol_record", "provenance_record"]

_LIBRARIES = ("jax", "jaxlib", "flax", "numpy", "scipy", "pillow", "scikit-image", "scikit-learn")


def protocol_record(key: Key, examples: Examples, degradation: Degradation, protocol: Protocol) -> dict[str, Any]:
    """The `protocol` of a record: flat, JSON-able; runs with equal protocols may share a folder and be compared."""
    extractor = feature_extractor(protocol.features)
    per_example = [
        ((h // examples.factor - protocol.patch_size) // protocol.patch_stride + 1)
        * ((w // examples.factor - protocol.patch_size) // protocol.patch_stride + 1)
        for h, w, _ in examples.shapes
    ]
    return {
        "data": examples.source.name,
        "data_fingerprint": examples.source.fingerprint,
        "images": len(np.unique(examples.groups)),
        "examples": len(examples),
        "limit": protocol.limit,
        "crop": protocol.crop,
        "degradation": degradation.name,
        "degradation_noise_std": degradation.noise_std,
        "degradation_jpeg_quality": degradation.jpeg_quality,
        "scale_factor": examples.factor,
        "measurement_bits": protocol.measurement_bits,
        "data_range": 1.0,
        "patch_size": protocol.patch_size,
        "patch_stride": protocol.patch_stride,
        "patches": sum(per_example),
        "features": protocol.features,
        "features_dim": extractor.dim,
        "features_sha256": extractor.weights_sha256,
        "lpips_network": protocol.lpips_network,
        "lpips_sha256": packaged_weights(protocol.lpips_network).sha256,
        "attack": "I-FGSM on the output shift",
        "alpha": protocol.alpha,
        "attack_steps": protocol.attack_steps,
        "key": np.asarray(jax.random.key_data(key)).ravel().tolist(),
        "dtype": "float32",
    }


def provenance_record(batch_size: int, seconds: Mapping[str, float]) -> dict[str, Any]:
    """The `provenance` of a record: versions, devices and times, which do not decide the numbers."""
    return {
        "jaxpr": __version__,
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "platform": platform.platform(),
        "devices": [device.device_kind for device in jax.devices()],
        "batch_size": batch_size,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": dict(seconds),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
