"""Protocols of the field by name: what papers set, so that numbers can be put beside theirs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

from jaxpr.core import InputError, did_you_mean
from jaxpr.degradations import Degradation
from jaxpr.evaluation.benchmarks import recognised_benchmark
from jaxpr.evaluation.examples import Examples
from jaxpr.evaluation.protocol import SCALES, Protocol, settings

__all__ = ["PRESETS", "Preset", "preset_changes", "presets_met", "published_record"]

_FID_SIDE = 256


class Preset(NamedTuple):
    """Settings that papers share.

    Attributes:
        means: what it is for, in a line.
        source: who measures so.
        changes: maps a degradation to the settings, as `Protocol.replace` takes them; its errors say what it is for.
    """

    means: str
    source: str
    changes: Callable[[Degradation], dict[str, Any]]


def _sr_benchmark(degradation: Degradation) -> dict[str, Any]:
    return {**_enlarged(degradation), "channel": "y", "border": degradation.factor}


def _div2k(degradation: Degradation) -> dict[str, Any]:
    return {**_enlarged(degradation), "channel": "rgb", "border": 6 + degradation.factor}


def _enlarged(degradation: Degradation) -> dict[str, Any]:
    """Whole images of 8 bits, where there is something to enlarge."""
    if degradation.factor == 1:
        raise InputError(f"found degradation {degradation.name!r}, expected super-resolution, such as bicubic-x4")
    return {"crop": 0, "measurement_bits": 8}


def _denoising(degradation: Degradation) -> dict[str, Any]:
    if not degradation.only_noise:
        raise InputError(f"found degradation {degradation.name!r}, expected noise-STD")
    return {"crop": 0, "measurement_bits": None, "channel": "rgb", "border": 0}


def _fid(degradation: Degradation) -> dict[str, Any]:
    if _FID_SIDE % degradation.factor:
        raise InputError(f"found factor {degradation.factor}, expected one that divides {_FID_SIDE}")
    side = _FID_SIDE // degradation.factor
    return {"crop": _FID_SIDE, "patch_size": side, "patch_stride": side}


def _ohayon2024(_: Degradation) -> dict[str, Any]:
    found = settings(SCALES["paper"])
    return {"crop": 0} | {name: found[name] for name in ("patch_size", "patch_stride", "attack", "attack_steps")}


PRESETS = {
    "sr-benchmark": Preset(
        "PSNR and SSIM of super-resolution on luma, whole images without a border of the scale factor",
        "Set5, Set14, BSD100 and Urban100 since VDSR and EDSR",
        _sr_benchmark,
    ),
    "div2k": Preset(
        "PSNR of super-resolution on colours, whole images without a border of 6 + scale factor",
        "DIV2K validation: Lim et al. 2017 (EDSR), Section 4.4",
        _div2k,
    ),
    "denoising": Preset(
        "PSNR of whole images with noise that is neither rounded nor clipped",
        "CBSD68, Kodak24: Zhang et al. 2017 (DnCNN) and after",
        _denoising,
    ),
    "fid-imagenet": Preset(
        "FID, KID and inception score of whole images of 256×256, with --features inception:FILE",
        "ImageNet at 256×256, as of diffusion restorers",
        _fid,
    ),
    "ohayon2024": Preset(
        "patches and attack of the study of perception and robustness: whole images, patches of 32, steps of 16",
        "[ohayon2024], Section 4.2",
        _ohayon2024,
    ),
}
"""By the names that `jaxpr evaluate --protocol` takes."""


def preset_changes(name: str, degradation: Degradation) -> dict[str, Any]:
    """The settings of a preset, as `Protocol.replace` takes them: `SCALES["small"].replace(**changes)`.

    Args:
        name: one of `PRESETS`.
        degradation: decides borders and the size of patches; with pairs, one with their factor.

    Raises:
        InputError: another name, or a degradation that the preset is not for.
    """
    if name not in PRESETS:
        raise InputError(f"protocol: found {name!r}, expected one of {', '.join(PRESETS)}{did_you_mean(name, PRESETS)}")
    try:
        return PRESETS[name].changes(degradation)
    except InputError as error:
        raise InputError(f"protocol: {name}: {error}") from error


def presets_met(examples: Examples, degradation: Degradation, protocol: Protocol) -> dict[str, dict[str, Any]]:
    """The presets all of whose settings a run has, each with what it sets."""
    found: dict[str, dict[str, Any]] = {}
    if protocol.resize or protocol.centre:
        return found  # papers take images as they are
    for name in PRESETS:
        try:
            wanted = preset_changes(name, _known(examples, degradation))
        except InputError:
            continue  # not for this degradation
        if not _departures(wanted, protocol):
            found[name] = wanted
    return found


def published_record(examples: Examples, degradation: Degradation, protocol: Protocol) -> dict[str, Any] | None:
    """What papers report on the images of a run, for the record; None unless they are all of a known test set, whole.

    `differs` names the settings in which the run departs from the protocol of the published numbers.
    """
    whole = examples.source if examples.pairs is None else examples.pairs.high
    if protocol.resize or protocol.centre or protocol.crop or len(examples) != len(whole):
        return None
    known = recognised_benchmark(whole)
    rows = () if known is None else known.published(degradation)
    if known is None or not rows:
        return None
    wanted = preset_changes(known.protocol, _known(examples, degradation))
    return {
        "set": known.name,
        "protocol": known.protocol,
        "differs": _departures(wanted, protocol),
        "networks": [{name: value for name, value in row._asdict().items() if value is not None} for row in rows],
    }


def _known(examples: Examples, degradation: Degradation) -> Degradation:
    """The degradation with the factor of pairs that bring their own measurements."""
    return degradation if degradation.has_operator else replace(degradation, factor=examples.factor)


def _departures(wanted: dict[str, Any], protocol: Protocol) -> list[str]:
    """The settings that are not as wanted; whole images are both 0 and None."""
    has = settings(protocol) | {"crop": protocol.crop or 0}
    return [name for name, value in wanted.items() if has.get(name) != value]
