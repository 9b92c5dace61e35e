"""Published networks as estimators: files and names, ranges, channels, padding, tiles, records, gradients."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from golden_sizes import SWINIR

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.models import Compute
from jaxpr.models.ddpm_unet import DDPMUNetConfig, ddpm_unet
from jaxpr.models.gfpgan import GFPGANConfig, gfpgan
from jaxpr.models.lpips import LPIPS_TRUNK, TrunkConfig
from jaxpr.models.naming import WeightsError, abstract_parameters, torch_shapes
from jaxpr.models.restormer import RestormerConfig, restormer
from jaxpr.models.rrdbnet import RRDBNetConfig, rrdbnet
from jaxpr.models.swin2sr import Swin2SRConfig, swin2sr
from jaxpr.models.swinir import swinir
from jaxpr.restorers import (
    PUBLISHED_RESTORERS,
    Training,
    build_restorers,
    published_restorer,
)
from jaxpr.weights import OFFICIAL_FILES, load_network
from jaxpr.weights.official import OfficialFile
from jaxpr.weights.official_sizes import OFFICIAL_SIZES
from jaxpr.weights.torch_files import file_sha256, write_checkpoint

# Maximum error over maximum magnitude: the same float32 sums in programs that are compiled differently.
FLOAT32 = 1e-5

_SWINIR = SWINIR._replace(
    upscale=1, in_chans=1, img_size=32, window_size=4, depths=(1,), embed_dim=8, num_heads=(2,), upsampler=""
)
_RRDB = RRDBNetConfig(num_feat=4, num_block=1, num_grow_ch=2)
NETWORKS = {
    "swinir-gray": swinir(_SWINIR),
    "swinir-x2": swinir(_SWINIR._replace(in_chans=3, upscale=2, upsampler="pixelshuffledirect")),
    "swin2sr-gray": swin2sr(Swin2SRConfig(**_SWINIR._asdict())._replace(img_size=64, window_size=8)),
    "restormer": restormer(
        RestormerConfig(dim=4, num_blocks=(1, 1, 1, 1), num_refinement_blocks=1, heads=(1, 1, 1, 1))
    ),
    "rrdb-x4": rrdbnet(_RRDB),
    "rrdb-x2": rrdbnet(_RRDB._replace(unshuffle=2)),
    "rrdb-to-gray": rrdbnet(_RRDB._replace(num_out_ch=1)),
    "restormer-pair": restormer(
        RestormerConfig(6, 3, 4, (1, 1, 1, 1), 1, (1, 1, 1, 1), LayerNorm_type="WithBias", dual_pixel_task=True)
    ),
    "gfpgan": gfpgan(GFPGANConfig(out_size=8, num_style_feat=8, num_mlp=2, narrow=1 / 64)),
    "ddpm": ddpm_unet(DDPMUNetConfig(ch=32, ch_mult=(1,), num_res_blocks=1, attention_levels=())),
}


def images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).random(shape, np.float32)


def error(found, expected) -> float:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@functools.cache
def tensors(network: str) -> dict[str, np.ndarray]:
    """Random ones, under the names of published files."""
    random = np.random.default_rng(1)
    named = torch_shapes(abstract_parameters(NETWORKS[network]))
    return {
        name: (random.standard_normal(shape) / math.sqrt(max(1, math.prod(shape[1:])))).astype(np.float32)
        for name, shape in named.items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights")
    for network in NETWORKS:
        write_checkpoint(path / f"{network}.safetensors", tensors(network), {})
    return path


@pytest.fixture
def file(folder):
    return lambda network: folder / f"{network}.safetensors"


@pytest.fixture
def sized(file, monkeypatch):
    """Makes a published name stand for a network of the size in a file of these tests."""

    def resize(name, network):
        monkeypatch.setitem(OFFICIAL_SIZES, name, load_network(file(network)).config)
        return name

    return resize


def direct(path, y):
    """The network itself, without what its estimator takes care of."""
    loaded = load_network(path)
    return jax.jit(loaded.model.apply)(loaded.params, y)


def test_all_restorers_among_the_official_files_are_published_restorers():
    assert {name.split("-")[0] for name in OFFICIAL_FILES} - {name.split("-")[0] for name in PUBLISHED_RESTORERS} == {
        *("adm", "ddpm", "inception", "sd", "vit", "vgg16", "alexnet", "lpips")
    }


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("network", "name", "scale"),
    [
        ("swinir-gray", "swinir-gray-denoise25", 1),
        ("swinir-gray", "swinir-gray-jpeg10", 1),
        ("swinir-x2", "swinir-lightweight-x2", 2),
        ("swin2sr-gray", "swin2sr-jpeg", 1),  # its one published file is grey
        ("restormer", "restormer-gaussian50", 1),
        ("rrdb-x4", "bsrnet-x4", 4),
        ("rrdb-x2", "realesrgan-x2", 2),
        ("gfpgan", "gfpgan-1.3", 1),
    ],
)
def test_names_that_agree_with_their_files(file, sized, network, name, scale):
    for wanted in (sized(name, network), None):
        assert published_restorer(file(network), name=wanted).scale == scale


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("network", "name", "message"),
    [
        ("rrdb-x4", "swinir-classical-x4", "found RRDBNet, expected SwinIR for 'swinir-classical-x4'"),
        ("rrdb-x2", "realesrgan-x4", "found RRDBNet with scale=2, num_feat=4, num_block=1, num_grow_ch=2, unshuffle=2"),
        ("rrdb-x4", "realesrgan-x4", "found RRDBNet with num_feat=4, num_block=1, num_grow_ch=2, expected num_feat="),
        ("swinir-x2", "swinir-color-denoise15", "found SwinIR with scale=2, upscale=2, window_size=4, depths=(1,), "),
        ("swinir-gray", "swinir-color-denoise15", "found SwinIR with in_chans=1, window_size=4, depths=(1,), "),
        ("restormer", "restormer-gray-gaussian25", "found Restormer with inp_channels=3, out_channels=3, dim=4, "),
        ("gfpgan", "gfpgan-1.4", "found GFPGAN with "),
        ("ddpm", None, "found DDPM U-Net, expected a network that restores images"),
        ("restormer-pair", None, "found Restormer which takes two pictures at once (a dual-pixel pair) and is not "),
        ("restormer-pair", "restormer-defocus-deblurring", "found Restormer which takes two pictures at once"),
        ("rrdb-to-gray", None, "found RRDBNet of 3 channels in and 1 out, expected a network that takes one picture"),
    ],
)
def test_files_of_other_networks(file, network, name, message):
    with pytest.raises(InputError) as caught:
        published_restorer(file(network), name=name)
    assert str(caught.value).startswith(f"{file(network)}: {message}")


@pytest.mark.thorough
def test_another_depth_is_another_network(file, sized, monkeypatch):
    config = OFFICIAL_SIZES[sized("realesrgan-x4", "rrdb-x4")]
    monkeypatch.setitem(OFFICIAL_SIZES, "realesrgan-x4", config._replace(num_block=23))
    with pytest.raises(InputError) as caught:
        published_restorer(file("rrdb-x4"), name="realesrgan-x4")
    assert str(caught.value).endswith(
        "found RRDBNet with num_block=1, expected num_block=23 for 'realesrgan-x4'; network:PATH takes any sizes"
    )
    assert published_restorer(file("rrdb-x4")).scale == 4


@pytest.mark.thorough
def test_one_restorer_beside_other_networks(file, tmp_path):
    """A perceptual loss in a checkpoint of training is no restorer."""
    path, random = tmp_path / "both.safetensors", np.random.default_rng(0)
    alexnet = torch_shapes(abstract_parameters(LPIPS_TRUNK.build(TrunkConfig("alexnet"), Compute())))
    loss = {f"loss.{name}": random.random(shape, np.float32) for name, shape in alexnet.items()}
    write_checkpoint(path, loss | {f"net_g.{name}": array for name, array in tensors("rrdb-x4").items()}, {})
    record = published_restorer(path).weights
    assert (record["network"], record["dictionary"], record["prefix"]) == ("RRDBNet", "", "net_g.")
    with pytest.raises(InputError, match=r"\(net_g with 42, loss with 10\)"):
        load_network(path)
    assert published_restorer(f"{path}#net_g").weights == published_restorer(path, dictionary="net_g").weights
    with pytest.raises(InputError, match="found LPIPS-trunk, expected a network that restores images"):
        published_restorer(f"{path}#loss")


def test_the_home_folder_stands_for_a_tilde(file, monkeypatch):
    monkeypatch.setenv("HOME", str(file("rrdb-x4").parent))
    path = "~/rrdb-x4.safetensors"
    assert published_restorer(path).weights == published_restorer(file("rrdb-x4")).weights
    assert build(f"network:{path}", "bicubic-x4").weights == published_restorer(path).weights


def test_incomplete_files(tmp_path):
    path = tmp_path / "cut.safetensors"
    write_checkpoint(path, {name: a for name, a in tensors("rrdb-x4").items() if name != "conv_body.bias"}, {})
    with pytest.raises(WeightsError, match=r"1 missing \(conv_body.bias\)"):
        published_restorer(path, name="esrgan-x4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "esrgan"}, "name: found 'esrgan', expected one of swinir-"),
        ({"name": "vgg16"}, "name: found 'vgg16', expected one of swinir-"),
        ({"channels": 4}, "channels: found 4, expected 1 or 3"),
        ({"tile": 0}, "tile: found 0"),
        ({"tile": 8, "overlap": 8}, "overlap: found 8, expected at most tile - multiple = 4"),
        ({"network": "restormer", "tile": 16, "overlap": 9}, "overlap: found 9, expected at most tile - multiple = 8"),
        ({"network": "rrdb-x2", "tile": 4, "overlap": 3}, "overlap: found 3, expected at most tile - multiple = 2"),
        ({"network": "gfpgan", "tile": 4}, "tile: found 4, expected None for GFPGAN, which takes images of one size"),
    ],
)
def test_options_that_do_not_exist(file, options, message):
    options = dict(options)
    with pytest.raises(InputError) as caught:
        published_restorer(file(options.pop("network", "swinir-gray")), **options)
    assert str(caught.value).startswith(message)


def test_fetched_files_are_found_by_name_alone(file, sized, tmp_path, monkeypatch):
    monkeypatch.setenv("JAXPR_WEIGHTS", str(tmp_path))
    sized("realesrgan-x2", "rrdb-x2")
    with pytest.raises(InputError, match=r"RealESRGAN_x2plus.pth, .* jaxpr weights fetch realesrgan-x2 gets it"):
        published_restorer(None, name="realesrgan-x2")
    (tmp_path / "RealESRGAN_x2plus.pth").write_bytes(file("rrdb-x2").read_bytes())
    with pytest.raises(InputError, match=r"RealESRGAN_x2plus.pth: found SHA-256 \w+, expected 49fafd45"):
        published_restorer(None, name="realesrgan-x2")
    official = OFFICIAL_FILES["realesrgan-x2"]
    monkeypatch.setitem(OFFICIAL_FILES, "realesrgan-x2", official._replace(sha256=""))
    with pytest.raises(InputError, match="jaxpr weights fetch realesrgan-x2 --accept-unverified does that"):
        published_restorer(None, name="realesrgan-x2")
    monkeypatch.setitem(OFFICIAL_FILES, "realesrgan-x2", official._replace(sha256=file_sha256(file("rrdb-x2"))))
    found, y = published_restorer(None, name="realesrgan-x2"), images(1, 4, 6, 3)
    np.testing.assert_array_equal(jax.jit(found)(y), direct(file("rrdb-x2"), y))
    assert found.weights["file"] == "RealESRGAN_x2plus.pth"
    with pytest.raises(InputError, match="path: found None and no name"):
        published_restorer(None)


@pytest.mark.thorough
def test_networks_of_one_channel_restore_each_on_its_own(file):
    y = images(2, 6, 7, 3)
    found = jax.jit(published_restorer(file("swinir-gray")))(y)
    for i in range(3):
        assert error(found[..., i : i + 1], direct(file("swinir-gray"), y[..., i : i + 1])) <= FLOAT32


def test_networks_of_three_channels_restore_grey_images(file):
    y = images(2, 5, 6, 1)
    found = jax.jit(published_restorer(file("rrdb-x4"), channels=1))(y)
    expected = np.asarray(direct(file("rrdb-x4"), np.repeat(y, 3, axis=-1))).mean(axis=-1, keepdims=True)
    assert found.shape == (2, 20, 24, 1)
    assert error(found, expected) <= FLOAT32


def test_sizes_that_cannot_be_unshuffled_are_extended_by_reflection(file, sized):
    y = images(2, 5, 7, 3)
    found = jax.jit(published_restorer(file("rrdb-x2"), name=sized("realesrgan-x2", "rrdb-x2")))(y)
    extended = np.pad(y, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="reflect")
    assert error(found, np.asarray(direct(file("rrdb-x2"), extended))[:, :10, :14]) <= FLOAT32


@pytest.mark.thorough
def test_faces_are_restored_between_minus_one_and_one(file, sized):
    y = images(2, 8, 8, 3)
    found = jax.jit(published_restorer(file("gfpgan"), name=sized("gfpgan-1.4", "gfpgan")))(y)
    assert error(found, (np.asarray(direct(file("gfpgan"), 2 * y - 1)) + 1) / 2) <= FLOAT32


@pytest.mark.parametrize(
    ("network", "shape", "message"),
    [
        ("gfpgan", (1, 8, 9, 3), "x: found 8×9 pixels, expected 8×8"),
        ("swinir-gray", (1, 8, 8, 1), "y: found 1 channels in shape (1, 8, 8, 1), expected 3"),
        ("swinir-gray", (1, 3, 8, 8), "y: found shape (1, 3, 8, 8), which looks like NCHW"),
        ("restormer", (1, 3, 8, 3), "x: found 3×8 pixels, expected enough to reflect 5 rows"),
    ],
)
def test_measurements_that_are_not_taken(file, network, shape, message):
    with pytest.raises(InputError) as caught:
        jax.eval_shape(published_restorer(file(network)), jax.ShapeDtypeStruct(shape, np.float32))
    assert str(caught.value).startswith(message)


# How far a pixel of y has influence: convolutions before and behind, and the windows of 4 that lie in that reach.
SWINIR_REACH = 8


@pytest.mark.parametrize(("size", "overlap"), [((56, 21), 32), ((47, 50), 32), ((30, 20), None)])
def test_tiles_that_overlap_enough_change_nothing(file, size, overlap):
    y = images(1, *size, 3)
    whole, tiles = (published_restorer(file("swinir-x2"), tile=tile, overlap=overlap) for tile in (None, 40))
    assert error(jax.jit(tiles)(y), jax.jit(whole)(y)) <= FLOAT32


def test_tiles_that_overlap_less_do_so_away_from_seams(file):
    """Tiles of 16 with 4 in common begin at 0, 12 and 24, where y ends at 40."""
    y = images(1, 40, 16, 3)
    whole, tiles = (published_restorer(file("swinir-x2"), tile=tile, overlap=4) for tile in (None, 16))
    expected = np.asarray(jax.jit(whole)(y))
    wrong = np.abs(jax.jit(tiles)(y) - expected).max(axis=(0, 2, 3)) / np.abs(expected).max()
    rows = np.arange(80) / 2
    near = np.min([np.abs(rows - edge) for edge in (12, 16, 24, 28)], axis=0) <= SWINIR_REACH
    assert wrong[~near].size > 0
    assert wrong[~near].max() <= FLOAT32
    assert wrong.max() > 1e-3  # so the overlap does matter


def test_tiles_of_unshuffled_networks(file):
    y = images(1, 61, 7, 3)  # odd: the last tile is, too
    whole, tiles = (published_restorer(file("rrdb-x2"), tile=tile, overlap=44) for tile in (None, 52))
    # A pixel's influence, by 20 convolutions of pairs of pixels, is small long before it ends.
    assert error(jax.jit(tiles)(y), jax.jit(whole)(y)) <= 10 * FLOAT32


def test_records_say_which_file_and_how(file, sized):
    path = file("rrdb-x4")
    record = published_restorer(path, name=sized("bsrgan-x4", "rrdb-x4")).weights
    assert record == {
        "file": "rrdb-x4.safetensors",
        "sha256": file_sha256(path),
        "dictionary": "",
        "prefix": "",
        "published": False,
        "network": "RRDBNet",
        "config": _RRDB._asdict(),
        "scale": 4,
        "dtype": "float32",
    }
    half = Compute(dtype=jnp.bfloat16)
    tiled = published_restorer(path, tile=32, compute=half).weights
    assert tiled == record | {"published": None, "dtype": "bfloat16", "tile": 32, "overlap": 16}
    assert published_restorer(path, tile=100).weights["overlap"] == 32
    assert published_restorer(file("gfpgan")).weights["published"] is None


@pytest.mark.thorough
def test_published_files_are_known_by_their_hash_also_converted(file, sized, tmp_path, monkeypatch):
    path = file("rrdb-x4")
    for name in ("bsrgan-x4", "esrgan-x4", "bsrnet-x4"):
        sized(name, "rrdb-x4")
    monkeypatch.setitem(OFFICIAL_FILES, "bsrgan-x4", OfficialFile("BSRGAN.pth", (), file_sha256(path)))
    monkeypatch.setitem(OFFICIAL_FILES, "esrgan-x4", OfficialFile("ESRGAN.pth", (), file_sha256(path)[:8]))
    monkeypatch.setitem(OFFICIAL_FILES, "bsrnet-x4", OfficialFile("BSRNet.pth", (), ""))
    found = {name: published_restorer(path, name=name).weights for name in ("bsrgan-x4", "esrgan-x4", "bsrnet-x4")}
    assert [record["published"] for record in found.values()] == [True, None, None]
    converted = tmp_path / "converted.safetensors"
    write_checkpoint(converted, tensors("rrdb-x4"), {"source": "BSRGAN.pth", "source_sha256": file_sha256(path)})
    record = published_restorer(converted, name="bsrgan-x4").weights
    assert record["sha256"] == file_sha256(converted) != record["converted_from"] == file_sha256(path)
    assert record["published"] is True


@pytest.mark.parametrize(
    ("network", "tile"), [("rrdb-x2", None), pytest.param("swinir-gray", 8, marks=pytest.mark.slow)]
)
def test_gradients_reach_every_pixel_that_matters(file, network, tile):
    restored, y = published_restorer(file(network), tile=tile), jnp.asarray(images(1, 9, 11, 3))
    direction = jnp.asarray(np.random.default_rng(2).standard_normal(y.shape), jnp.float32)

    def loss(t):
        return jnp.mean(jnp.sin(restored(y + t * direction)))

    found = jax.jit(jax.grad(lambda y: jnp.mean(jnp.sin(restored(y)))))(y)
    assert np.isfinite(found).all()
    assert (np.abs(found) > 0).all()
    step = 1e-2
    ends = [float(jax.jit(loss)(t)) for t in (-step, step)]
    # Central differences of float32 values around 0.1, with a step of 0.01: errors of about 1e-5.
    assert abs((ends[1] - ends[0]) / (2 * step) - float(jnp.sum(found * direction))) <= 1e-4


def test_bfloat16_is_near(file):
    y = images(1, 8, 8, 3)
    full, half = (
        jax.jit(published_restorer(file("rrdb-x4"), compute=Compute(dtype=dtype)))(y)
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert half.dtype == full.dtype == jnp.float32
    assert 0 < error(half, full) <= 5e-2  # eight bits through twenty layers


def build(spec, degradation, **changes):
    described = parse_degradation(degradation)
    training = Training(
        images=list, degrade=described, degradation=described, channels=3, dictionary=1, key=jax.random.key(0)
    )
    return build_restorers([spec], training._replace(**changes))[spec]


def test_specs(file, sized):
    sized("bsrgan-x4", "rrdb-x4")
    path, y = file("rrdb-x4"), images(1, 4, 5, 3)
    expected = direct(path, y)
    for spec in (f"bsrgan-x4:{path}", f"network:{path}"):
        restored = build(spec, "bicubic-x4")
        assert error(jax.jit(restored)(y), expected) <= FLOAT32
        assert restored.weights["sha256"] == file_sha256(path)
    assert build(f"network:{path}", "bicubic-x4", tile=16).weights["tile"] == 16
    with pytest.raises(InputError, match="which enlarges by 4, expected 2"):
        build(f"network:{path}", "bicubic-x2")
    with pytest.raises(InputError, match="found RRDBNet, expected SwinIR"):
        build(f"swinir-classical-x4:{path}", "bicubic-x4")
