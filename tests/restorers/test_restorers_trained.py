"""Trained restorers as estimators: what comes with jaxpr, files of `jaxpr train`, and where numbers come from."""

import hashlib
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from jaxpr.core import InputError
from jaxpr.degradations import parse_degradation
from jaxpr.models.restorer_network import RestorerConfig, restorer_network
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.unet import UNetConfig
from jaxpr.restorers import (
    Training,
    build_restorers,
    consistent,
    trained_degradation,
    trained_restorer,
)
from jaxpr.weights import packaged as trained
from jaxpr.weights.native import pack_restorer, pack_weights, unpack_weights

KEY = jax.random.key(4)
UNET = UNetConfig(channels=1, width=2, scales=1)
RRDB = RRDBNetConfig(num_feat=4, num_block=1, num_grow_ch=2)
Y = jax.random.uniform(KEY, (3, 4, 4, 1))
# Averages over four or sixteen pixels of float32 outputs.
CONSISTENT = 2e-5


def written(folder, degradation="average-x2", network=UNET, *, stochastic=False, dtype=np.float32):
    config = RestorerConfig(network, degradation, parse_degradation(degradation).factor, True, stochastic)
    made = restorer_network(config, operators=parse_degradation(degradation).operator)
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(made.init, KEY)
    params = jax.tree_util.tree_map_with_path(
        lambda path, leaf: (0.3 * random.standard_normal(leaf.shape) ** (2 if path[-1].key == "var" else 1)).astype(
            dtype
        ),
        shapes,
    )
    path = folder / "weights.safetensors"
    path.write_bytes(pack_restorer(config, params, {"recipe": {"name": "x"}}))
    return path, made, jax.tree.map(lambda leaf: leaf.astype(np.float32), params)


def training(degradation="average-x2", channels=1):
    parsed = parse_degradation(degradation)
    return Training(list, parsed, parsed, channels, 10, KEY)


@pytest.mark.thorough
def test_a_deterministic_restorer_takes_y(tmp_path):
    path, made, params = written(tmp_path)
    found = trained_restorer(path)
    assert not found.stochastic
    expected = jax.jit(made.apply)(params, Y, made.seeds(KEY, Y))
    np.testing.assert_allclose(jax.jit(found)(Y), expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(parse_degradation("average-x2").operator((8, 8, 1))(found(Y)), Y, atol=CONSISTENT)
    assert np.isfinite(jax.grad(lambda y: jnp.sum(found(y) ** 2))(Y)).all()


@pytest.mark.thorough
def test_a_stochastic_restorer_takes_a_key_too(tmp_path):
    path, made, params = written(tmp_path, stochastic=True)
    assert trained_restorer(path).stochastic
    found = jax.jit(trained_restorer(path))
    np.testing.assert_allclose(found(KEY, Y), made.apply(params, Y, made.seeds(KEY, Y)), rtol=1e-5, atol=1e-5)
    assert np.abs(found(KEY, Y) - found(jax.random.key(9), Y)).max() > 1e-3


def test_a_record_names_the_file_and_its_hash(tmp_path):
    path, *_ = written(tmp_path, "bicubic-x4", RRDB)
    found, digest = trained_restorer(path), hashlib.sha256(path.read_bytes()).hexdigest()
    expected = {"file": "weights.safetensors", "sha256": digest, "degradation": "bicubic-x4"}
    assert found.weights == expected
    projected = consistent(found, parse_degradation("bicubic-x4"))
    assert projected.weights == expected
    assert trained_degradation(path) == "bicubic-x4"
    assert (found.scale, found.cost, found.family, projected.variant) == (4, 1, None, "project")


def test_restorers_of_one_config_share_their_function_and_those_of_the_index_are_a_family(tmp_path):
    names = ("photos-gan-0.01", "photos-gan-0.03", "photos-gan-0.03-robust")
    found = [trained_restorer(name) for name in names]
    assert len({restorer.apply for restorer in found}) == 1
    described = [(restorer.label, restorer.family, restorer.setting, restorer.variant) for restorer in found]
    assert described == [
        ("photos-gan-0.01", "photos-gan", 0.01, None),
        ("photos-gan-0.03", "photos-gan", 0.03, None),
        ("photos-gan-0.03-robust", "photos-gan", 0.03, "robust"),
    ]
    degradation = parse_degradation("bicubic-x4")
    assert len({consistent(restorer, degradation).apply for restorer in found}) == 1
    assert trained_restorer(written(tmp_path)[0]).apply is not found[0].apply


@pytest.mark.thorough
def test_half_precision_is_read_as_single(tmp_path):
    path, made, params = written(tmp_path, dtype=np.float16)
    np.testing.assert_allclose(trained_restorer(path)(Y), made.apply(params, Y, made.seeds(KEY, Y)), atol=1e-6)
    assert {leaf.dtype for leaf in jax.tree.leaves(trained.read_restorer(path).packed.params)} == {np.dtype("float32")}


def test_by_name_on_the_command_line(tmp_path):
    path, *_ = written(tmp_path, stochastic=True)
    spec = f"trained:{path}"
    built = build_restorers([spec, f"{spec}+project"], training())
    np.testing.assert_array_equal(built[spec](KEY, Y), trained_restorer(path)(KEY, Y))
    np.testing.assert_allclose(built[f"{spec}+project"](KEY, Y), built[spec](KEY, Y), atol=CONSISTENT)
    assert built[f"{spec}+project"].stochastic
    with pytest.raises(InputError, match="which was trained for average-x2, expected one for average-x4"):
        build_restorers([spec], training("average-x4"))
    with pytest.raises(InputError, match="of 1 channels, expected 3"):
        build_restorers([spec], training(channels=3))
    build_restorers([spec], training("average-x2+noise-0.01"))  # the same operator


@pytest.mark.parametrize("content", [b"", b"not weights", None])
def test_files_that_hold_no_restorer(tmp_path, content):
    path = tmp_path / "weights.safetensors"
    if content is not None:
        path.write_bytes(content)
    message = "expected weights of jaxpr train or the name" if content is None else f"^{path}: content: found"
    with pytest.raises(InputError, match=message):
        trained_restorer(path)
    with pytest.raises(InputError, match=r"found a folder at .*, expected weights of jaxpr train"):
        trained_restorer(tmp_path)


def test_the_home_folder_stands_for_a_tilde(tmp_path, monkeypatch):
    path, *_ = written(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for source in ("~/weights.safetensors", Path("~/weights.safetensors")):
        assert trained_restorer(source).weights == trained_restorer(path).weights
    spec = "trained:~/weights.safetensors"
    assert build_restorers([spec], training())[spec].weights == trained_restorer(path).weights


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "weights.safetensors")
    with pytest.raises(InputError, match="found a pipe or device at"):
        trained_restorer(tmp_path / "weights.safetensors")


def repacked(folder, change):
    """A file whose record or parameters were changed."""
    path, *_ = written(folder)
    params, metadata = unpack_weights(path.read_bytes())
    change(params, metadata)
    path.write_bytes(pack_weights(params, metadata))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, m: m["restorer"]["network"].update(scales=10**9), "found a config of 1000000000 blocks"),
        (lambda p, m: m["restorer"]["network"].update(scales="three"), "found a config that is no restorer's"),
        (lambda p, m: m["restorer"]["network"].update(width=-1), "found "),
        (lambda p, m: m["restorer"].update(network=3), "found weights without a restorer"),
        (lambda p, m: m.update(restorer=[]), "found weights without a restorer"),
        (lambda p, m: jax.tree.leaves(p)[0].reshape(-1).__setitem__(0, np.nan), "found NaN or infinite values in "),
    ],
)
def test_records_that_make_no_restorer(tmp_path, change, message):
    path = repacked(tmp_path, change)
    with pytest.raises(InputError, match=rf"^{path}: content: {message}") as caught:
        trained_restorer(path)
    assert str(caught.value).isprintable()


def test_a_record_that_is_nested_too_deeply(tmp_path):
    path = tmp_path / "weights.safetensors"
    nested = '{"a":' * 100_000 + "1" + "}" * 100_000
    safetensors.numpy.save_file({"a": np.ones(1)}, path, {"jaxpr": nested})
    with pytest.raises(InputError, match=r"found weights without a restorer|found no packed weights"):
        trained_restorer(path)
