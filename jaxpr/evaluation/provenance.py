"""What a record says about itself: everything that decides the numbers, and where they were computed."""

import math
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax
import numpy as np

from jaxpr import __version__
from jaxpr.core import Key, code_sha256, printable
from jaxpr.data.resizing import RESIZE_FILTER
from jaxpr.degradations import Degradation
from jaxpr.evaluation.examples import Examples
from jaxpr.evaluation.naturalness import niqe_record
from jaxpr.evaluation.protocol import Protocol
from jaxpr.weights import feature_extractor, packaged_weights

__all__ = ["data_record", "protocol_record", "provenance_record"]

_LIBRARIES = ("jax", "jaxlib", "flax", "numpy", "scipy", "pillow", "scikit-image", "scikit-learn")


def data_record(key: Key, examples: Examples, degradation: Degradation, protocol: Protocol) -> dict[str, Any]:
    """What a record says about data, degradation and randomness."""
    return {
        "data": printable(examples.source.name),
        "data_fingerprint": examples.source.fingerprint,
        "measurements": "made from the images" if examples.low is None else printable(examples.low.name),
        "measurements_fingerprint": None if examples.low is None else examples.low.fingerprint,
        "pairs_rule": None if examples.pairs is None else examples.pairs.rule,
        "pairs_sha256": None if examples.pairs is None else examples.pairs.pairs_sha256,
        "images": len(np.unique(examples.groups)),
        "examples": len(examples),
        "limit": protocol.limit,
        "resize": list(protocol.resize) or None,
        "resize_filter": RESIZE_FILTER if protocol.resize else None,
        "centre": protocol.centre,
        "crop": protocol.crop or None,
        "degradation": degradation.name,
        "degradation_noise_std": degradation.noise_std,
        "degradation_jpeg_quality": degradation.jpeg_quality,
        "scale_factor": examples.factor,
        "measurement_bits": protocol.measurement_bits,
        "key": np.asarray(jax.random.key_data(key)).ravel().tolist(),
    }


def protocol_record(key: Key, examples: Examples, degradation: Degradation, protocol: Protocol) -> dict[str, Any]:
    """The `protocol` of a record: flat, JSON-able; runs with equal protocols may share a folder and be compared."""
    patches, distortion, probes = protocol.patches, protocol.distortion, protocol.probes
    extractor, exploration = feature_extractor(patches.features), probes.exploration
    per_example = [
        math.prod((side // examples.factor - patches.size) // patches.stride + 1 for side in shape[:2])
        for shape in examples.shapes
    ]
    return {
        **data_record(key, examples, degradation, protocol),
        "data_range": 1.0,
        "border": distortion.border,
        "channel": distortion.channel,
        "ssim_window": "Gaussian 11 × 11, std 1.5, inside the image",
        **niqe_record(protocol.niqe_parameters),
        "patch_size": patches.size,
        "patch_stride": patches.stride,
        "patches": sum(per_example),
        "set_patches": patches.most,
        "features": patches.features_name,
        "features_dim": extractor.dim,
        "features_sha256": extractor.weights_sha256,
        "neighbours": patches.neighbours,
        "lpips_network": distortion.lpips_network,
        "lpips_sha256": packaged_weights(distortion.lpips_network).sha256,
        **(protocol.attack.record() if protocol.attack is not None else {"attack": None}),
        "probes": probes.count if protocol.probing else 0,
        "sweep": list(protocol.sweep),
        "lipschitz_iterations": probes.lipschitz_iterations,
        "attack_checks": bool(probes.attack_checks and protocol.probing and protocol.attack is not None),
        "explore_samples": exploration.samples,
        "explore_alpha": exploration.alpha if exploration.samples else None,
        "explore_steps": exploration.steps if exploration.samples else None,
        "samples": protocol.samples,
        "attack_draws": protocol.attack_draws,
        "uncertainty_block": protocol.uncertainty_block,
        "dtype": "float32",
    }


def provenance_record(
    batch_size: int, seconds: Mapping[str, float], *, strips: Mapping[int, str] | None = None
) -> dict[str, Any]:
    """The `provenance` of a record: versions, devices and times, which do not decide the numbers.

    Args:
        batch_size: examples stored together.
        seconds: by restorer.
        strips: number and name of each example whose images the state keeps.
    """
    return {
        "jaxpr": __version__,
        "code_sha256": code_sha256(),
        "python": platform.python_version(),
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "platform": platform.platform(),
        "devices": [device.device_kind for device in jax.devices()],
        "processes": jax.process_count(),
        "batch_size": batch_size,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": dict(seconds),
        "strips": {str(number): name for number, name in (strips or {}).items()},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
