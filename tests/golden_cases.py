"""All networks with golden outputs: their configurations, drawn cases, published files. See `golden_networks.py`."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from golden_networks import arrays, drawn, manifest, nhwc

from jaxpr.models.adm_classifier import ADM_CLASSIFIER, ADMClassifierConfig
from jaxpr.models.adm_files import ADM_UNET
from jaxpr.models.adm_unet import ADMUNetConfig
from jaxpr.models.autoencoder_kl import AUTOENCODER_KL, AutoencoderKLConfig, autoencoder_kl
from jaxpr.models.ddpm_unet import DDPM_UNET, DDPMUNetConfig, attention_levels
from jaxpr.models.functional import Model
from jaxpr.models.gfpgan import GFPGAN, GFPGANConfig, gfpgan
from jaxpr.models.inception import INCEPTION, InceptionConfig, half_pixel_input, tf1_input
from jaxpr.models.layers import Compute
from jaxpr.models.naming import Naming, Network, abstract_parameters, convert
from jaxpr.models.resnet_critic import ResNetCriticConfig, resnet_critic
from jaxpr.models.restormer import RESTORMER, RestormerConfig
from jaxpr.models.rrdbnet import RRDBNET, RRDBNetConfig
from jaxpr.models.srvggnet import SRVGGNET, SRVGGNetConfig
from jaxpr.models.swin2sr import SWIN2SR, Swin2SRConfig, swin2sr
from jaxpr.models.swinir import SWINIR, SwinIRConfig
from jaxpr.models.vit import VIT, ViTConfig

# Not a network of published files: our own code makes its files.
CRITIC = Network(
    name="ResNet critic",
    namings=(Naming(),),
    recognise=lambda shapes: None,
    build=lambda config, compute: resnet_critic(config, compute=compute),
)
NETWORKS = {
    ADMClassifierConfig: ADM_CLASSIFIER,
    ADMUNetConfig: ADM_UNET,
    AutoencoderKLConfig: AUTOENCODER_KL,
    DDPMUNetConfig: DDPM_UNET,
    GFPGANConfig: GFPGAN,
    InceptionConfig: INCEPTION,
    ResNetCriticConfig: CRITIC,
    RestormerConfig: RESTORMER,
    RRDBNetConfig: RRDBNET,
    SRVGGNetConfig: SRVGGNET,
    Swin2SRConfig: SWIN2SR,
    SwinIRConfig: SWINIR,
    ViTConfig: VIT,
}
# What the shapes in a file do not tell: the files of each network test what is then assumed.
UNSEEN = {
    ADM_UNET: ("num_heads", "num_head_channels", "use_new_attention_order"),
    ADM_CLASSIFIER: ("num_heads", "num_head_channels", "use_new_attention_order"),
    SWIN2SR: ("img_range",),
    VIT: ("num_attention_heads",),
}
INCEPTION_OUTPUTS = ("64", "192", "768", "2048", "logits_unbiased", "logits")


def network_of(config) -> Network:
    return NETWORKS[type(config)]


# A network of hundreds of layers takes seconds to declare. Equal configurations of two kinds are equal as tuples.
@functools.lru_cache(maxsize=None, typed=True)
def model_of(config, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    return network_of(config).build(config, compute)


@functools.lru_cache(maxsize=None, typed=True)
def abstract_of(config) -> dict:
    return abstract_parameters(model_of(config))


def authors_critic(size: int, width: int, most: int, channels: int = 3, outputs: int = 1) -> ResNetCriticConfig:
    """The layout of the authors' code: one block for each resolution down to 4×4."""
    levels = tuple((min(width * 2**i, most),) for i in range(int(math.log2(size // 4)) + 1))
    return ResNetCriticConfig(size, channels, width, levels, outputs)


def _named(kind, official: dict):
    """A configuration whose fields are called as in the published program."""
    sizes = {name: tuple(v) if isinstance(v, list) else v for name, v in official.items()}
    return kind(**{name: value for name, value in sizes.items() if name in kind._fields})


def _adm(official: dict):
    return _named(ADMClassifierConfig if "pool" in official else ADMUNetConfig, official)


def _ddpm(official: dict) -> DDPMUNetConfig:
    levels = attention_levels(
        image_size=official["image_size"],
        attn_resolutions=tuple(official["attn_resolutions"]),
        levels=len(official["ch_mult"]),
    )
    return _named(DDPMUNetConfig, official)._replace(attention_levels=levels)


def _esrgan(official: dict) -> RRDBNetConfig:
    assert official["in_nc"] == official["out_nc"] == 3
    sizes = {"num_feat": official["nf"], "num_block": official["nb"], "num_grow_ch": official["gc"]}
    return RRDBNetConfig(**sizes, upsamplings=int(math.log2(official.get("sf", 4))))


def _realesrgan(official: dict) -> RRDBNetConfig:
    return _named(RRDBNetConfig, official)._replace(unshuffle=4 // official["scale"])


def _vit(official: dict) -> ViTConfig:
    assert official["hidden_act"] == "gelu"
    return _named(ViTConfig, official)


CONFIGURED: dict[str, Callable[[dict], Any]] = {
    "adm_unet": _adm,
    "ddpm_unet": _ddpm,
    "gfpgan_clean": functools.partial(_named, GFPGANConfig),
    "restormer": functools.partial(_named, RestormerConfig),
    "rrdbnet_esrgan": _esrgan,
    "rrdbnet_realesrgan": _realesrgan,
    "srvggnet": functools.partial(_named, SRVGGNetConfig),
    "sd_vae": functools.partial(_named, AutoencoderKLConfig),
    "swin2sr": functools.partial(_named, Swin2SRConfig),
    "swinir": functools.partial(_named, SwinIRConfig),
    "vit": _vit,
}


class Case(NamedTuple):
    """Drawn weights, and what the published implementation computes with them.

    Attributes:
        config: ours.
        keys: the tensors of its file, for `golden_networks.drawn`.
        gain: of their weights.
        inputs: makes what the network takes, images in NHWC; None if they are not stored.
        expected: outputs by the names that `whole` gives them, images in NCHW.
    """

    config: Any
    keys: list
    gain: float
    inputs: Callable[[], tuple] | None
    expected: dict[Any, np.ndarray]

    def parameters(self) -> dict:
        tensors = drawn(self.keys, self.gain)
        return convert(abstract_of(self.config), tensors, network_of(self.config).namings, source="drawn")


def whole(config, compute: Compute = Compute()) -> Model:  # noqa: B008 (immutable)
    """The network with all outputs that golden cases have, as a dict, by their places if they have no names."""
    make = {
        AutoencoderKLConfig: _whole_autoencoder,
        GFPGANConfig: lambda config, compute: _placed(gfpgan(config, everything=True, compute=compute)),
        InceptionConfig: lambda config, compute: _by_name(model_of(config, compute), INCEPTION_OUTPUTS),
        ResNetCriticConfig: _whole_critic,
        Swin2SRConfig: lambda config, compute: _placed(
            swin2sr(config, auxiliary=config.upsampler == "pixelshuffle_aux", compute=compute)
        ),
    }
    return make.get(type(config), lambda config, compute: _placed(model_of(config, compute)))(config, compute)


def _placed(model: Model) -> Model:
    def apply(params, *inputs):
        out = model.apply(params, *inputs)
        if not isinstance(out, tuple):
            return {0: out}
        first, *others = out
        rest = others[0] if isinstance(others[0], tuple) else others
        return dict(enumerate((first, *rest)))

    return Model(model.init, apply)


def _by_name(model: Model, names: tuple[str, ...]) -> Model:
    return Model(model.init, lambda *inputs: dict(zip(names, model.apply(*inputs), strict=True)))


def _whole_autoencoder(config, compute: Compute) -> Model:
    network = autoencoder_kl(config, compute=compute)

    def apply(params, x, z, eps):
        posterior = network.encode(params, x)
        decoded = network.decode(params, jnp.concatenate([posterior.mean, z]))  # in one: half of what is compiled
        return {
            "mean": posterior.mean,
            "logvar": posterior.logvar,
            "std": posterior.std,
            "sample": posterior.at(eps),
            "recon": decoded[: len(x)],
            "decode_z": decoded[len(x) :],
        }

    return Model(network.model.init, apply)


def _whole_critic(config, compute: Compute) -> Model:
    model = model_of(config, compute)
    return Model(model.init, lambda params, x, y: {0: model.apply(params, x)[jnp.arange(len(x)), y]})


def _stored(folder: str, names: tuple[str, ...]) -> Callable[[], tuple] | None:
    if names[0] not in arrays(folder):
        return None
    found = [arrays(folder)[name] for name in names]
    return lambda: tuple(nhwc(array) if array.ndim == 4 else array for array in found)


def _cases(folder: str) -> dict[str, Case]:
    found = {}
    for name, case in manifest(folder)["cases"].items():
        if "keys" not in case:
            continue
        gain = case.get("gain", manifest(folder).get("gain"))
        inputs = tuple(case.get("inputs") or [case["input"]])
        if folder == "sd_vae":
            inputs = (*inputs, "eps")
            expected = {output.removeprefix(f"{name}_"): output for output in case["outputs"]}
        else:
            outputs = [output.partition(" ")[0] for output in case.get("outputs") or [case["output"]]]
            expected = dict(enumerate(outputs[:1] if folder == "vit" else outputs))  # not the last hidden state
        given = _stored(folder, inputs)
        stored = {place: arrays(folder)[output] for place, output in expected.items()} if given else {}
        found[f"{folder}-{name}"] = Case(CONFIGURED[folder](case["config"]), case["keys"], gain, given, stored)
    return found


def _inception_case(prefix: str, convert) -> Case:
    golden, given = arrays("fid_inception"), manifest("fid_inception")
    found = {
        field: golden.get(f"{prefix}_{field}", golden.get(f"{prefix}_{field}_mean")) for field in INCEPTION_OUTPUTS
    }
    expected = {field: array for field, array in found.items() if array is not None}
    return Case(
        InceptionConfig(),
        given["official_keys"],
        given["gain"],
        lambda: (convert(nhwc(golden["tf_in_uint8"]).astype(np.float32) / 255),),
        expected,
    )


def _critic_case() -> Case:
    given, golden = manifest("resnet_critic"), arrays("resnet_critic")
    keys = [[name, shape, "float32", fill] for name, shape, fill in given["keys"]]
    inputs = _stored("resnet_critic", ("critic_in", "critic_y"))
    return Case(authors_critic(16, 6, 20, outputs=3), keys, given["gain"], inputs, {0: golden["critic_out"]})


CASES: dict[str, Case] = {name: case for folder in CONFIGURED for name, case in _cases(folder).items()} | {
    "fid_inception-tf": _inception_case("tf", tf1_input),
    "fid_inception-pf": _inception_case("pf", half_pixel_input),
    "resnet_critic": _critic_case(),
}
