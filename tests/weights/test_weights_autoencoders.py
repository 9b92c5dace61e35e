"""Files of autoencoders: there and back, which files they are, what is refused."""

import json
import os

import jax
import numpy as np
import pytest

from jaxpr.cli.commands import main
from jaxpr.core import InputError
from jaxpr.models.autoencoder_kl import AutoencoderKLConfig, autoencoder_kl
from jaxpr.models.naming import abstract_parameters
from jaxpr.weights.autoencoders import is_autoencoder, pack_autoencoder, read_autoencoder, unpack_autoencoder
from jaxpr.weights.native import pack_weights, unpack_weights

SIZES = AutoencoderKLConfig(3, 3, (4, 8), 1, 2, 2, use_post_quant_conv=False)
METADATA = {"recipe": {"name": "tiny", "seed": 3}, "seed": 3}


def drawn(sizes=SIZES):
    random = np.random.default_rng(0)
    shapes = abstract_parameters(autoencoder_kl(sizes).model)
    return jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(leaf.dtype), shapes)


PARAMS = drawn()
CONTENT = pack_autoencoder(SIZES, PARAMS, METADATA)


def test_there_and_back(tmp_path):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(CONTENT)
    found = read_autoencoder(path)
    assert (found.config, found.metadata, found.path) == (SIZES, METADATA, path)
    assert jax.tree.structure(found.params) == jax.tree.structure(PARAMS)
    for ours, theirs in zip(jax.tree.leaves(found.params), jax.tree.leaves(PARAMS), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert pack_autoencoder(found.config, found.params, found.metadata) == CONTENT
    assert is_autoencoder(path)
    assert unpack_autoencoder(CONTENT).sha256 == found.sha256


def test_other_files_are_not_autoencoders(tmp_path):
    for name, content in {"other": pack_weights({"a": np.zeros(1, np.float32)}, {}), "none": b"nothing"}.items():
        (tmp_path / name).write_bytes(content)
        assert not is_autoencoder(tmp_path / name)
    assert not is_autoencoder(tmp_path / "missing")
    os.mkfifo(tmp_path / "pipe")  # to open it would wait for ever
    assert not is_autoencoder(tmp_path / "pipe")
    with pytest.raises(InputError, match="none: content: found no packed weights"):
        read_autoencoder(tmp_path / "none")
    with pytest.raises(InputError, match="found weights without an autoencoder"):
        read_autoencoder(tmp_path / "other")


def changed(**sizes):
    params, metadata = unpack_weights(CONTENT)
    metadata["autoencoder"]["network"] |= sizes
    return pack_weights(params, metadata)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"layers_per_block": 10**9}, "more blocks than parameters"),
        ({"block_out_channels": [4] * 10**4}, "more blocks than parameters"),
        ({"block_out_channels": [4, 7]}, "expected multiples of 2"),
        ({"block_out_channels": 4}, "without an autoencoder"),
        ({"norm_num_groups": 0}, "without an autoencoder"),
        ({"norm_num_groups": "2"}, "without an autoencoder"),
        ({"latent_channels": None}, "without an autoencoder"),
        ({"colour": 1}, "unexpected keyword argument 'colour'"),
        ({"block_out_channels": [4, 4]}, "expected shape"),
        ({"use_quant_conv": False}, "found other parameters"),
    ],
)
def test_configs_that_do_not_fit_are_refused(sizes, expected):
    with pytest.raises(InputError, match=expected):
        unpack_autoencoder(changed(**sizes))


def test_infinite_weights_are_refused():
    params = jax.tree.map(lambda leaf: np.full_like(leaf, np.inf), PARAMS)
    with pytest.raises(InputError, match="found NaN or infinite values"):
        unpack_autoencoder(pack_autoencoder(SIZES, params, METADATA))


def test_inspect_shows_what_a_file_holds(tmp_path, capsys):
    path = tmp_path / "weights.safetensors"
    path.write_bytes(CONTENT)
    main(["weights", "inspect", str(path), "--no-keys"])
    shown = capsys.readouterr().out
    header = next(line for line in shown.splitlines() if line.startswith("header jaxpr: "))
    assert json.loads(header.removeprefix("header jaxpr: "))["autoencoder"]["network"]["latent_channels"] == 2
    assert "network: autoencoder of jaxpr train" in shown
