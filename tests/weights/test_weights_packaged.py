"""The weights that come with jaxpr: the index, whole and true; damage refused; the tool that packs them."""

import importlib.util
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.models.adm_unet import ADMUNetConfig, adm_unet
from jaxpr.models.autoencoder_kl import AutoencoderKLConfig, autoencoder_kl
from jaxpr.models.naming import abstract_parameters
from jaxpr.restorers import default_restorers
from jaxpr.weights import packaged
from jaxpr.weights.autoencoders import pack_autoencoder, packaged_autoencoder, unpack_autoencoder
from jaxpr.weights.denoisers import pack_denoiser, packaged_denoiser, unpack_denoiser
from jaxpr.weights.native import pack_weights, unpack_weights
from jaxpr.weights.packaged import (
    PACKAGED_AUTOENCODERS,
    PACKAGED_DENOISERS,
    PACKAGED_RESTORERS,
    packaged_content,
    packaged_entry,
    packaged_restorer,
)

FOLDER = Path(packaged.__file__).parent / "files"
INDEX = json.loads((FOLDER / "index.json").read_text())
TOOL = Path(__file__).parents[2] / "tools" / "pack_weights.py"


@pytest.fixture(scope="module")
def tool():
    spec = importlib.util.spec_from_file_location("pack_weights", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_index_and_the_files_say_the_same():
    assert {path.name for path in FOLDER.iterdir()} == {"index.json", *(entry["file"] for entry in INDEX.values())}
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 40_000_000
    assert tuple(name for name in INDEX if INDEX[name]["kind"] == "restorer") == PACKAGED_RESTORERS
    for name in INDEX:
        entry = packaged_entry(name)
        content = packaged_content(name)  # checks the hash
        assert entry.size == len(content) <= (6_000_000 if entry.kind in ("denoiser", "autoencoder") else 2_000_000)


def test_restorers_say_how_they_were_made():
    for name in PACKAGED_RESTORERS:
        entry, (_, metadata) = packaged_entry(name), unpack_weights(packaged_content(name))
        restorer, recipe = metadata["restorer"], metadata["recipe"]
        assert (entry.degradation, entry.stochastic) == (restorer["degradation"], restorer["stochastic"])
        assert (name, entry.seed) == (recipe["name"], recipe["seed"])
        assert f"--only {name}" in metadata["command"]
        assert {"seed", "data", "data_fingerprint", "code_sha256"} <= set(metadata)


@pytest.mark.parametrize("name", PACKAGED_DENOISERS)
def test_denoisers_say_how_they_were_made(name):
    entry, found = packaged_entry(name), packaged_denoiser(name)
    assert (found.sha256, found.path.name) == (entry.sha256, entry.file)
    assert (name, entry.seed) == (found.metadata["recipe"]["name"], found.metadata["recipe"]["seed"])
    assert (entry.channels, entry.degradation) == (found.config.in_channels, None)
    assert f"--only {name}" in found.metadata["command"]
    assert found.metadata["data"].endswith("-train")
    assert {"data_fingerprint", "code_sha256"} <= set(found.metadata)


@pytest.mark.parametrize("name", PACKAGED_AUTOENCODERS)
def test_autoencoders_say_how_they_were_made(name):
    entry, found = packaged_entry(name), packaged_autoencoder(name)
    assert (found.sha256, found.path.name) == (entry.sha256, entry.file)
    assert (name, entry.seed) == (found.metadata["recipe"]["name"], found.metadata["recipe"]["seed"])
    assert (entry.channels, entry.degradation) == (found.config.in_channels, None)
    assert f"--only {name}" in found.metadata["command"]
    assert {"data_fingerprint", "code_sha256"} <= set(found.metadata)


@pytest.mark.parametrize("name", ["photos-l1", "digits-inpainting-stochastic-robust-1"])
def test_restorers_are_those_of_the_index(name):
    found, entry = packaged_restorer(name), packaged_entry(name)
    assert (found.path.name, found.sha256) == (entry.file, entry.sha256)
    assert found.packed.config.channels == entry.channels


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("photos-l1", ("photos-l1", None, None)),
        ("photos-gan-0.03", ("photos-gan", 0.03, None)),
        ("photos-gan-0.03-robust", ("photos-gan", 0.03, "robust")),
        ("digits-average-x4-deterministic-robust-2", ("digits-average-x4-deterministic-robust-2", None, None)),
        ("digits-judge", ("digits-judge", None, None)),
    ],
)
def test_how_members_of_a_family_are_drawn(name, drawn):
    entry = packaged_entry(name)
    assert (entry.family, entry.setting, entry.variant) == drawn


def damaged(folder, name, offset):
    """A copy of a file with one byte changed, counted from its end."""
    content = bytearray((FOLDER / name).read_bytes())
    content[offset] ^= 1
    (folder / name).write_bytes(content)


def test_damage_is_refused_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(packaged, "_FOLDER", tmp_path)
    names = ["digits-attacker", "digits-judge"]
    file = packaged_entry(names[0]).file
    with pytest.raises(InputError, match=rf"{file}: cannot be read \(.*\), expected packed weights of digits-judge"):
        packaged_content("digits-judge")
    damaged(tmp_path, file, -1)
    assert packaged_content("digits-attacker")  # what is read is whole
    with pytest.raises(InputError, match=r"found SHA-256 [0-9a-f]{64} for digits-judge, expected .*; it is not used"):
        packaged_content("digits-judge")
    where = (FOLDER / file).read_bytes().index(b"learning_rate")
    damaged(tmp_path, file, where)  # how they were made
    with pytest.raises(InputError, match=r"found SHA-256 [0-9a-f]{64} for digits-attacker"):
        packaged_content("digits-attacker")
    (tmp_path / file).write_bytes((FOLDER / file).read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{file}: cannot be read"):
        packaged_content("digits-attacker")


def test_unknown_names():
    for function in (packaged_entry, packaged_content, packaged_restorer):
        with pytest.raises(InputError, match="name: found 'no', expected one of PACKAGED_RESTORERS, such as "):
            function("no")
    with pytest.raises(InputError, match="content: found weights without a restorer"):
        packaged_restorer("digits-judge")


def test_defaults_are_chosen_without_reading_weights(monkeypatch):
    monkeypatch.setattr(packaged, "_FOLDER", None)
    found = default_restorers(parse_degradation("average-x4"), 1)
    first = {name for name in PACKAGED_RESTORERS if name.endswith("-0")}
    wanted = {name for name in first if name.startswith(("digits-average-x4-d", "digits-average-x4-s"))}
    assert set(found) & set(PACKAGED_RESTORERS) == wanted


def test_the_tool_packs_what_is_packaged_as_it_is(tool, tmp_path):
    names = ["photos-l1", "digits-judge", "digits-attacker"]
    files = []
    for name in names:
        files.append(tmp_path / f"{name}.safetensors")
        files[-1].write_bytes(packaged_content(name))
    into = tmp_path / "files"
    into.mkdir()
    tool.pack(files[:2], into)
    index = tool.pack(files[2:], into)  # beside the judge, which stays
    assert list(index) == names
    assert index == {name: packaged_entry(name) for name in names}
    written = json.loads((into / "index.json").read_text())
    assert written == {name: INDEX[name] for name in names}
    assert (into / index["digits-judge"].file).read_bytes() == (FOLDER / index["digits-judge"].file).read_bytes()


def test_the_tool_refuses_what_half_precision_cannot_hold(tool, tmp_path):
    params, metadata = unpack_weights(packaged_content("digits-average-x2-deterministic-l1-0"))
    kernel = params["last"]["kernel"]
    params["last"]["kernel"] = np.full_like(kernel, 1e6, np.float32)
    (tmp_path / "weights.safetensors").write_bytes(pack_weights(params, metadata))
    with pytest.raises(SystemExit, match="found weights too large for half precision"):
        tool.packed(tmp_path / "weights.safetensors")


def test_the_tool_packs_denoisers_in_half_precision(tool, tmp_path, monkeypatch):
    config = ADMUNetConfig(1, 32, 1, 1, (), (1,), num_head_channels=32)
    params = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, leaf.dtype), abstract_parameters(adm_unet(config)))
    recipe = {"recipe": {"name": "tiny", "seed": 3}, "seed": 3}
    path = tmp_path / "weights.safetensors"
    path.write_bytes(pack_denoiser(config, params, recipe, side=4, schedule="cosine"))
    files = tmp_path / "files"
    files.mkdir()
    entry = tool.pack([path], files)["tiny"]
    assert (entry.kind, entry.channels, entry.seed, entry.file) == ("denoiser", 1, 3, "tiny-denoiser.safetensors")
    monkeypatch.setattr(packaged, "_FOLDER", files)
    monkeypatch.setattr(packaged, "_INDEX", {"tiny": entry})
    packaged_denoiser.cache_clear()
    found, whole = packaged_denoiser("tiny"), unpack_denoiser(path.read_bytes())
    assert (found.config, found.side, found.schedule, found.metadata) == (config, 4, "cosine", recipe)
    for half, full in zip(jax.tree.leaves(found.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_array_equal(half, full.astype(np.float16).astype(np.float32))
    packaged_denoiser.cache_clear()


@pytest.mark.thorough
def test_the_tool_packs_autoencoders_in_half_precision(tool, tmp_path, monkeypatch):
    config = AutoencoderKLConfig(3, 3, (2, 2), 1, 2, 1)
    network = autoencoder_kl(config).model
    params = jax.tree.map(lambda leaf: np.full(leaf.shape, 0.1, leaf.dtype), abstract_parameters(network))
    metadata = {"recipe": {"name": "tiny", "seed": 3}, "seed": 3}
    path, files = tmp_path / "weights.safetensors", tmp_path / "files"
    path.write_bytes(pack_autoencoder(config, params, metadata))
    files.mkdir()
    entry = tool.pack([path], files)["tiny"]
    assert (entry.kind, entry.channels, entry.file) == ("autoencoder", 3, "tiny-autoencoder.safetensors")
    monkeypatch.setattr(packaged, "_FOLDER", files)
    monkeypatch.setattr(packaged, "_INDEX", {"tiny": entry})
    packaged_autoencoder.cache_clear()
    found, whole = packaged_autoencoder("tiny"), unpack_autoencoder(path.read_bytes())
    assert (found.config, found.metadata, found.sha256) == (config, metadata, entry.sha256)
    for half, full in zip(jax.tree.leaves(found.params), jax.tree.leaves(whole.params), strict=True):
        np.testing.assert_array_equal(half, full.astype(np.float16).astype(np.float32))
    packaged_autoencoder.cache_clear()
