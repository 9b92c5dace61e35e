"""What samplers know of images: denoisers that come with jaxpr, of `jaxpr train`, and published ones.

The gradient of a classifier changes the predicted noise as in Algorithm 2 of Dhariwal, Nichol, "Diffusion Models Beat
GANs on Image Synthesis", NeurIPS 2021, so that every sampler can do with it.
"""

import functools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxpr.core import Array, InputError, check_positive, did_you_mean, given_path, printable
from jaxpr.diffusion import Denoiser, LearnedVariance, Schedule, from_eps, from_v, linear_schedule
from jaxpr.diffusion.denoiser import Network, levels
from jaxpr.models.adm_classifier import ADMClassifierConfig
from jaxpr.models.adm_unet import ADMUNetConfig, SplitUNet, adm_unet, split_adm_unet
from jaxpr.models.ddpm_unet import DDPMUNetConfig
from jaxpr.models.functional import Model
from jaxpr.models.layers import Compute
from jaxpr.weights.denoisers import PackedDenoiser, is_denoiser, packaged_denoiser, read_denoiser
from jaxpr.weights.fetch import fetched_weights
from jaxpr.weights.networks import load_network
from jaxpr.weights.packaged import PACKAGED_DENOISERS

__all__ = ["OFFICIAL_PRIORS", "Prior", "adapter_of", "prior_options", "read_prior"]

OFFICIAL_PRIORS = ("adm-256-uncond", "adm-256", "ddpm-celeba-hq")
"""Names in `weights.OFFICIAL_FILES` of denoisers, which `jaxpr weights fetch` brings."""

_OFFICIAL_CLASSIFIERS = ("adm-256-classifier",)
_PRECISIONS = ("float32", "bfloat16", "float16")


class Prior(NamedTuple):
    """A network that knows images, with what samplers need to know of it.

    Attributes:
        model: predicts the noise, or v, of (parameters, x_t, t).
        params: its parameters.
        schedule: its noise levels.
        learned_variance: see `from_eps`.
        channels: of its images.
        multiple: of the height and width of its images.
        record: JSON-able: its file and hash, and what else was chosen.
        split: the same network in a deep and a shallow part; None where there is none.
        prediction: of the network, "noise" or "v".
    """

    model: Model
    params: Any
    schedule: Schedule
    learned_variance: LearnedVariance | None
    channels: int
    multiple: int
    record: dict[str, Any]
    split: SplitUNet | None = None
    prediction: str = "noise"


def read_prior(
    source: str | Path,
    *,
    label: int | None = None,
    classifier: str | Path | None = None,
    classifier_scale: float = 1.0,
    precision: str = "float32",
) -> Prior:
    """The denoiser with a name, or in a file.

    Args:
        source: one of `weights.PACKAGED_DENOISERS`; one of `OFFICIAL_PRIORS`, once fetched; or a file, of `jaxpr train`
            or of a published U-Net of ADM or DDPM.
        label: class of the images: for a class-conditional network, which needs it, and for a classifier.
        classifier: file or official name of ADM's classifier of noisy images; the gradient of its log-probability of
            `label` is taken from the predicted noise, in units of that. None for none.
        classifier_scale: of that gradient.
        precision: of the network's activations and products, "float32", "bfloat16" or "float16"; parameters, and all
            that samplers compute, stay in float32.

    Raises:
        InputError: no such name or file, another network, or an option that it does not take or lacks.
    """
    if precision not in _PRECISIONS:
        raise InputError(f"precision: found {precision!r}, expected one of {', '.join(_PRECISIONS)}")
    compute = Compute(dtype=jnp.dtype(precision))
    packed = _own(source)
    if packed is not None:
        prior, classes = _trained(packed, compute), None
    else:
        prior, classes = _published(source, compute)
    if precision != "float32":
        prior.record["precision"] = precision
    if label is not None:
        prior.record["class"] = label
    if classes is not None:
        _check_label(label, classes)
        prior = prior._replace(model=_conditional(prior.model, label), split=_split_conditional(prior.split, label))
    if classifier is not None:
        return _guided(prior, classifier, label, scale=classifier_scale, compute=compute)
    if classes is None and label is not None:
        raise InputError(f"class: found {label} for {printable(source)}, expected none for a network without classes")
    return prior


def adapter_of(
    prediction: str, *, schedule: Schedule, learned_variance: LearnedVariance | None
) -> Callable[[Network], Denoiser]:
    """What makes a denoiser of a network with such a prediction, "noise" or "v"."""
    if prediction == "v":
        return functools.partial(from_v, schedule=schedule)
    return functools.partial(from_eps, schedule=schedule, learned_variance=learned_variance)


def prior_options(text: str) -> tuple[dict[str, Any], str]:
    """What of text like `steps=20&class=7&precision=bfloat16` is for `read_prior`, and the rest of the text.

    Raises:
        InputError: a class that is no number, or one of these options twice.
    """
    known: dict[str, tuple[str, str, Callable[[str], Any]]] = {
        "class": ("label", r"\d+", int),
        "classifier": ("classifier", r".+", str),
        "classifier_scale": ("classifier_scale", r"\d+(\.\d+)?", float),
        "precision": ("precision", r"\w+", str),
    }
    found: dict[str, Any] = {}
    rest = []
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if name not in known:
            rest.append(part)
            continue
        keyword, pattern, convert = known[name]
        if keyword in found or not re.fullmatch(pattern, value):
            raise InputError(f"options: found {part!r}, expected {', '.join(f'{n}=...' for n in known)}, once each")
        found[keyword] = convert(value)
    return found, "&".join(rest)


def _own(source: str | Path) -> PackedDenoiser | None:
    """One that `jaxpr train` made."""
    if source in PACKAGED_DENOISERS:
        return packaged_denoiser(str(source))
    if source in OFFICIAL_PRIORS:
        return None
    path = given_path(source)
    if not os.path.exists(path):
        names = (*PACKAGED_DENOISERS, *OFFICIAL_PRIORS)
        raise InputError(
            f"source: found no file {printable(source)}, expected weights of a denoiser, or one of {', '.join(names)}"
            f"{did_you_mean(str(source), names)}"
        )
    return read_denoiser(path) if is_denoiser(path) else None


def _trained(packed: PackedDenoiser, compute: Compute) -> Prior:
    config, file = packed.config, "" if packed.path is None else packed.path.name
    record = {"file": file, "sha256": packed.sha256, "schedule": packed.schedule}
    model, schedule = adm_unet(config, compute=compute), packed.noise_schedule()
    split = split_adm_unet(config, compute=compute)
    prior = Prior(model, packed.params, schedule, None, config.in_channels, config.multiple, record, split)
    return prior._replace(prediction=packed.prediction)


def _published(source: str | Path, compute: Compute) -> tuple[Prior, int | None]:
    """A published U-Net, and how many classes it knows."""
    loaded = load_network(_located(source, OFFICIAL_PRIORS), compute=compute)
    config = loaded.config
    if not isinstance(config, ADMUNetConfig | DDPMUNetConfig):
        where = printable(loaded.checkpoint.path)
        raise InputError(f"source: found {loaded.name} in {where}, expected a denoiser")
    learned = isinstance(config, ADMUNetConfig) and config.out_channels == 2 * config.in_channels
    prior = Prior(
        loaded.model,
        loaded.params,
        linear_schedule(),
        "range" if learned else None,
        config.in_channels,
        config.multiple,
        {"file": loaded.checkpoint.path.name, "sha256": loaded.checkpoint.sha256},
        split_adm_unet(config, compute=compute) if isinstance(config, ADMUNetConfig) else None,
    )
    return prior, config.num_classes if isinstance(config, ADMUNetConfig) else None


def _located(source: str | Path, official: Sequence[str]) -> str | Path:
    return fetched_weights(str(source)) if source in official else source


def _check_label(label: int | None, classes: int) -> None:
    if label is None or not 0 <= label < classes:
        raise InputError(f"class: found {label}, expected one of 0 ... {classes - 1}, as in ?class=7")


def _conditional(model: Model, label: int | None) -> Model:
    """The model for one class of images."""

    def apply(params: Any, x: Array, t: Array) -> Array:
        return model.apply(params, x, t, jnp.asarray(label, jnp.int32))

    return model._replace(apply=apply)


def _split_conditional(split: SplitUNet | None, label: int | None) -> SplitUNet | None:
    if split is None:
        return None
    whole, shallow = split

    def apply_whole(params: Any, x: Array, t: Array) -> tuple[Array, Array]:
        return whole(params, x, t, jnp.asarray(label, jnp.int32))

    def apply_shallow(params: Any, x: Array, t: Array, features: Array) -> Array:
        return shallow(params, x, t, features, jnp.asarray(label, jnp.int32))

    return SplitUNet(apply_whole, apply_shallow)


def _guided(prior: Prior, source: str | Path, label: int | None, *, scale: float, compute: Compute) -> Prior:
    """The prior of images that a classifier takes for a class: ε - √(1 - ᾱ) scale ∇ log p(label | x_t)."""
    check_positive("classifier_scale", scale, or_zero=True, scalar=True)
    loaded = load_network(_located(source, _OFFICIAL_CLASSIFIERS), compute=compute)
    if not isinstance(loaded.config, ADMClassifierConfig):
        where = printable(loaded.checkpoint.path)
        raise InputError(f"classifier: found {loaded.name} in {where}, expected an ADM classifier")
    _check_label(label, loaded.config.out_channels)
    schedule, denoise, classify = prior.schedule, prior.model.apply, loaded.model.apply

    def log_probability(x: Array, params: Any, t: Array) -> Array:
        return jnp.sum(jax.nn.log_softmax(classify(params, x, t))[:, label])

    def apply(params: Any, x: Array, t: Array) -> Array:
        found = denoise(params["denoiser"], x, t)
        signal, noise = levels(schedule, x, t)
        slope = scale * noise * jax.grad(log_probability)(x, params["classifier"], t)
        slope = slope / signal if prior.prediction == "v" else slope
        rest = found.shape[-1] - slope.shape[-1]  # channels of a learned variance
        return found - jnp.pad(slope, [(0, 0)] * (slope.ndim - 1) + [(0, rest)])

    record = {"file": loaded.checkpoint.path.name, "sha256": loaded.checkpoint.sha256, "scale": scale}
    return prior._replace(
        model=prior.model._replace(apply=apply),
        params={"denoiser": prior.params, "classifier": loaded.params},
        record={**prior.record, "classifier": record},
        split=None,
    )
