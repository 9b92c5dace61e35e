"""Packed weights: the same bytes for the same values, whole or one of a family, and what is no such file."""

import jax
import numpy as np
import pytest
import safetensors.numpy

from jaxpr.core import InputError
from jaxpr.weights.native import pack_family, pack_weights, read_member, unpack_weights

PARAMS = {"b": {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3)}, "a": {"bias": np.zeros(2, np.float16)}}
METADATA = {"seed": 3, "command": "x̂"}


def test_packing_keeps_everything_and_gives_the_same_bytes():
    content = pack_weights(PARAMS, METADATA)
    assert content == pack_weights(dict(reversed(PARAMS.items())), dict(reversed(METADATA.items())))
    unpacked, described = unpack_weights(content)
    assert described == METADATA
    assert jax.tree.structure(unpacked) == jax.tree.structure(PARAMS)
    jax.tree.map(np.testing.assert_array_equal, unpacked, PARAMS)
    assert jax.tree.map(lambda leaf: leaf.dtype, unpacked) == jax.tree.map(lambda leaf: leaf.dtype, PARAMS)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_packed_weights_are_safetensors(dtype):
    arrays = {"b": np.arange(3, dtype=dtype), "a.c": np.ones((2, 2), dtype), "scalar": np.array(1, dtype)}
    found = safetensors.numpy.load(pack_weights(arrays, {}))
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0nonsense", pack_weights({}, {})[:-1]])
def test_bytes_that_are_no_weights(tmp_path, content):
    with pytest.raises(InputError, match="content: found no packed weights"):
        unpack_weights(content)
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=r"file: cannot be read \(.*\), expected packed weights of a") as caught:
        read_member(tmp_path / "file", "a")
    assert str(caught.value).isprintable()


def test_members_of_a_family_come_back_bit_for_bit(tmp_path):
    members = {"a-0.1": pack_weights(PARAMS, METADATA), "a": pack_weights({"b": np.ones(3, np.float16)}, {})}
    (tmp_path / "file").write_bytes(pack_family(members))
    assert {name: read_member(tmp_path / "file", name) for name in members} == members
    with pytest.raises(InputError, match=r"cannot be read \('other'\), expected packed weights of other"):
        read_member(tmp_path / "file", "other")
    with pytest.raises(InputError, match=r"missing: cannot be read \(.*\), expected packed weights of a"):
        read_member(tmp_path / "missing", "a")
