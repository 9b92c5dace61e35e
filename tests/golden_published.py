"""Published files of the networks with golden outputs, and what the networks of published sizes compute."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from golden_cases import CONFIGURED, Case, abstract_of
from golden_networks import fills, full_input, manifest, repeated, shapes

from jaxpr.models.inception import InceptionConfig
from jaxpr.models.naming import torch_shapes
from jaxpr.models.rrdbnet import RRDBNetConfig


def _published_rrdbnets() -> dict[str, tuple[Any, list]]:
    esrgan, x4 = manifest("rrdbnet_esrgan"), manifest("rrdbnet_realesrgan")["official_keys"]["x4 (num_block 23)"]
    keys, numbered = esrgan["official_keys"]["x4"], dict(esrgan["old_arch_map"])
    first = manifest("rrdbnet_realesrgan")["official_keys"]["x2 differs only in"][0]
    left_out = tuple(f"body.{i}." for i in range(6, 23))
    return {
        "realesrgan_x4": (RRDBNetConfig(), x4),
        "realesrgan_x2": (RRDBNetConfig(unshuffle=2), [first, *x4[1:]]),
        "esrgan_x4": (RRDBNetConfig(), keys),
        "esrgan_x4_old": (RRDBNetConfig(), [[numbered[name], *rest] for name, *rest in keys]),
        "realesrgan_anime_6b": (RRDBNetConfig(num_block=6), [key for key in x4 if not key[0].startswith(left_out)]),
    }


def _published_swin() -> dict[str, tuple[Any, list]]:
    found = {}
    for folder in ("swinir", "swin2sr"):
        for name, entry in manifest(folder)["official_keys"].items():
            listed = isinstance(entry, list)
            given = manifest(folder)["full_cases"][name] if listed else entry
            config = CONFIGURED[folder](given["config"])
            keys = entry if listed else entry.get("keys")
            keys = keys or repeated(entry, groups=len(config.depths), blocks=config.depths[0])
            assert listed or len(keys) == entry["n_keys"]
            found[f"{folder}-{name}"] = config, keys
    return found


def _published_adm() -> dict[str, tuple[Any, list]]:
    found = {}
    for checkpoint in manifest("adm_unet")["checkpoints"]:
        extra = [checkpoint["extra_key"]] if "extra_key" in checkpoint else []
        found[f"adm_unet-{checkpoint['file'].partition(' ')[0]}"] = (
            CONFIGURED["adm_unet"](checkpoint["config"]),
            manifest("adm_unet")["official_keys"] + extra,
        )
    return found


def _published_srvggnets() -> dict[str, tuple[Any, list]]:
    given = manifest("srvggnet")
    sizes = {checkpoint["file"]: CONFIGURED["srvggnet"](checkpoint["config"]) for checkpoint in given["checkpoints"]}
    return {file: (sizes[file], keys) for file, keys in given["official_keys"].items()}


def _published() -> dict[str, tuple[Any, dict[str, tuple[int, ...]]]]:
    found = _published_rrdbnets() | _published_srvggnets() | _published_swin() | _published_adm()
    for folder in ("ddpm_unet", "gfpgan_clean", "restormer", "vit"):
        found[folder] = CONFIGURED[folder](manifest(folder)["config"]), manifest(folder)["official_keys"]
    found["fid_inception"] = InceptionConfig(), manifest("fid_inception")["official_keys"]
    return {name: (config, shapes(keys)) for name, (config, keys) in found.items()}


PUBLISHED = _published()
"""Configuration and complete list of tensors of published files."""


class Full(NamedTuple):
    """A network of a published size with drawn weights, and statistics of its outputs.

    Attributes:
        case: the network, its tensors and what it takes.
        summaries: (place of the output, how many of its channels, None for all, statistics).
    """

    case: Case
    summaries: list[tuple[Any, int | None, dict]]


def _full(folder: str, name: str = "") -> Full:
    full, keys = _described(folder, name)
    config = CONFIGURED[folder](full.get("config") or manifest(folder)["config"])
    others: tuple = (full["timestep"],) if "timestep" in full else ()
    if folder == "sd_vae":  # what is decoded beside the mean does not matter
        others = (np.zeros((1, 4, 4, 4), np.float32),) * 2
    keys = fills(torch_shapes(abstract_of(config))) if folder == "swinir" else keys
    gain = full.get("gain", manifest(folder).get("gain"))
    return Full(Case(config, keys, gain, lambda: (full_input(full["input"]), *others), {}), _summaries(folder, full))


def _described(folder: str, name: str) -> tuple[dict, list]:
    given = manifest(folder)
    if name:
        return given["full_cases"][name], given["official_keys"].get(name)
    keys = given["official_keys"]
    keys = next(iter(keys.values())) if isinstance(keys, dict) else keys
    return given["full_case"], [key[:4] for key in keys] if folder == "sd_vae" else keys


def _summaries(folder: str, full: dict) -> list[tuple[Any, int | None, dict]]:
    if folder == "adm_unet":
        return [(0, None, full["output"]), (0, 3, full["output_eps_half"])]
    if folder == "sd_vae":
        return [
            ("mean", None, full["moments_mean"]),
            ("logvar", None, full["moments_logvar"]),
            ("recon", None, full["decode_of_mean"]),
        ]
    if folder == "gfpgan_clean":
        outputs = [full["image"], *full["rgbs"]]
    else:
        outputs = full.get("outputs") or [full["logits" if folder == "vit" else "output"]]
    return [(place, None, output) for place, output in enumerate(outputs)]


FULL: dict[str, Callable[[], Full]] = {
    **{folder: functools.partial(_full, folder) for folder in CONFIGURED if "full_case" in manifest(folder)},
    **{
        f"{folder}-{name}": functools.partial(_full, folder, name)
        for folder in ("swinir", "swin2sr")
        for name in manifest(folder)["full_cases"]
    },
}
"""Published sizes; making one draws all its tensors."""
