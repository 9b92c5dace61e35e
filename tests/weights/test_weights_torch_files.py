"""Files of weights: reading them, the one rule that makes parameters of tensors, what is said when they differ."""

import json
import os
import pickle
import sys
import zipfile
from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from flax import nnx
from golden_networks import arrays, drawn, error, manifest, nchw, nhwc

from jaxpr.core import InputError
from jaxpr.models.functional import functional
from jaxpr.models.layers import Compute, Conv, Keys, conv2d, layer_norm, linear
from jaxpr.models.naming import (
    Naming,
    WeightsError,
    abstract_parameters,
    compare_tensors,
    convert,
    indices,
    torch_shapes,
)
from jaxpr.models.rrdbnet import RRDBNetConfig
from jaxpr.models.swinir import SwinIRConfig
from jaxpr.weights.networks import NETWORKS, load_network, recognise
from jaxpr.weights.torch_files import file_sha256, read_checkpoint, write_checkpoint

# --- reading ---------------------------------------------------------------------------------------------------------

TENSORS = {
    "a.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a.half": np.array([0.5, -2], np.float16),
    "a.brain": np.array([[0.5], [3]], jnp.bfloat16),
    "double": np.array(1 / 3),
    "count": np.array(7),
    "empty": np.zeros((0, 2), np.float32),
    "mask": np.array([True, False]),
}


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, array in expected.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        np.testing.assert_array_equal(found[name].astype(float), array.astype(float))


def test_safetensors_keep_names_shapes_and_dtypes(tmp_path):
    path = tmp_path / "a.safetensors"
    write_checkpoint(path, TENSORS, {"source": "here"})
    found = read_checkpoint(path)
    assert_same(found.tensors, TENSORS)
    assert (found.kind, found.dictionary, found.others) == ("safetensors", "", ())
    assert found.sha256 == file_sha256(path)
    assert json.loads(found.metadata["jaxpr"]) == {"source": "here"}
    again = tmp_path / "b.safetensors"
    write_checkpoint(again, dict(reversed(TENSORS.items())), {"source": "here"})
    assert again.read_bytes() == path.read_bytes()


def test_safetensors_of_others_under_any_name(tmp_path):
    path = tmp_path / "weights.bin"
    safetensors.numpy.save_file({"module.a": np.ones(2), "module.b": np.zeros(3)}, path)
    assert_same(read_checkpoint(path).tensors, {"a": np.ones(2), "b": np.zeros(3)})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found an empty file, expected safetensors, a PyTorch file or ncnn's .param"),
        (b"\n<!DOCTYPE html><html>", "found a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "found a pointer of Git LFS"),
        (b"\x93NUMPY\x01\x00", "found a file that begins with b'\\x93NUMPY"),
        (b"\x10\0\0\0\0\0\0\0{not a header}  ", "expected a whole safetensors file"),
        (safetensors.numpy.save({"a": np.ones(9)})[:-1], "expected a whole safetensors file"),
        (safetensors.numpy.save({"a": np.ones(9)}) + b"x", "expected a whole safetensors file"),
        (safetensors.numpy.save({}), "found no tensors"),
    ],
)
def test_other_and_damaged_files(tmp_path, content, message):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_opened(tmp_path):
    for path, reason in [(tmp_path / "none.pth", "No such file"), (tmp_path, "found a folder at")]:
        with pytest.raises(InputError, match=reason):
            read_checkpoint(path)


def test_headers_that_claim_too_much(tmp_path):
    path = tmp_path / "a.safetensors"
    deep = b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    vast = json.dumps({"a": {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 4]}}).encode()
    for size, header in ((2**63, b"{}"), (10**8, b"{}"), (len(deep), deep), (len(vast), vast)):
        path.write_bytes(size.to_bytes(8, "little") + header + bytes(4))
        with pytest.raises(InputError, match="expected a whole safetensors file") as caught:
            read_checkpoint(path)
        assert len(str(caught.value)) < len(str(path)) + 250


def test_zip_archives_of_something_else(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pth", "w") as archive:
        archive.writestr("photo.png", b"no weights")
    with pytest.raises(InputError, match="found a zip archive of something else, expected a PyTorch file"):
        read_checkpoint(str(tmp_path / "a.pth"))


def test_element_types_without_an_equal_here(tmp_path):
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    with pytest.raises(InputError, match="found tensors of type F8_E4M3, expected one of F64, F32"):
        read_checkpoint(path)


def test_pytorch_files_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "net.pth"
    path.write_bytes(b"PK\x03\x04")
    with pytest.raises(InputError) as caught:
        read_checkpoint(path)
    assert "pip install torch" in str(caught.value)
    assert "jaxpr weights convert net.pth net.safetensors" in str(caught.value)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def saved(torch, path, content, zipped=True):
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    return path


def tensors_of(torch, prefix="", value=0.0):
    return OrderedDict({f"{prefix}w": torch.full((2, 3), value), f"{prefix}b": torch.zeros(2)})


@pytest.mark.torch
@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_files_old_and_new(torch, tmp_path, zipped):
    content = {
        "half": torch.tensor([0.5, -2]).half(),
        "brain": torch.tensor([[0.5], [3]]).bfloat16().t(),
        "count": torch.tensor(7),
        "parameter": torch.nn.Parameter(torch.ones(2)),
        "strided": torch.arange(6.0).reshape(2, 3).t(),
    }
    found = read_checkpoint(saved(torch, tmp_path / "a.pt", content, zipped))
    assert (found.kind, found.dictionary) == ("torch", "")
    assert {name: (str(a.dtype), a.shape) for name, a in found.tensors.items()} == {
        "half": ("float16", (2,)),
        "brain": ("bfloat16", (1, 2)),
        "count": ("int64", ()),
        "parameter": ("float32", (2,)),
        "strided": ("float32", (3, 2)),
    }
    np.testing.assert_array_equal(found.tensors["brain"].astype(float), [[0.5, 3]])
    np.testing.assert_array_equal(found.tensors["strided"], np.arange(6.0).reshape(2, 3).T)


@pytest.mark.torch
@pytest.mark.parametrize(
    ("layout", "chosen"),
    [
        (("params", "params_ema"), "params_ema"),
        (("g", "d", "g_ema"), "g_ema"),
        (("optimizer", "state_dict"), "state_dict"),
        (("anything",), "anything"),
        (("model.ema", "model.last"), "model.ema"),
    ],
)
def test_the_right_dictionary_is_found(torch, tmp_path, layout, chosen):
    content = {"epoch": 3, "note": "text"}
    for place, name in enumerate(layout):
        *outer, last = name.split(".")
        inner = content
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = tensors_of(torch, "module.", float(place))
    path = saved(torch, tmp_path / "a.pth", content)
    found = read_checkpoint(path)
    assert (found.dictionary, found.others) == (chosen, tuple(name for name in layout if name != chosen))
    assert set(found.tensors) == {"w", "b"}
    assert found.tensors["w"][0, 0] == layout.index(chosen)
    assert read_checkpoint(path, dictionary=layout[0]).tensors["w"][0, 0] == 0


@pytest.mark.torch
def test_dictionaries_that_cannot_be_chosen(torch, tmp_path):
    path = saved(torch, tmp_path / "a.pth", {"x": tensors_of(torch), "y": tensors_of(torch)})
    with pytest.raises(InputError, match=r"found several dictionaries of tensors that fit \(x with 2, y with 2\)"):
        read_checkpoint(path)
    with pytest.raises(InputError, match="dictionary: found 'z', expected one of"):
        read_checkpoint(path, dictionary="z")
    path = saved(torch, tmp_path / "b.pth", {"list": [torch.zeros(2)], "number": 3})
    with pytest.raises(InputError, match="found no tensors"):
        read_checkpoint(path)


class Attack:
    def __reduce__(self):
        return os.mkdir, ("attacked",)


@pytest.mark.torch
def test_nothing_in_a_file_is_run(torch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for zipped in (True, False):
        path = saved(torch, tmp_path / "a.pth", {"state_dict": tensors_of(torch), "hook": Attack()}, zipped)
        with pytest.raises(InputError, match=r"found the Python object \w+\.mkdir besides tensors"):
            read_checkpoint(path)
    path.write_bytes(pickle.dumps(Attack(), protocol=2))
    with pytest.raises(InputError):
        read_checkpoint(path)
    assert not (tmp_path / "attacked").exists()


@pytest.mark.torch
def test_damaged_and_other_pytorch_files(torch, tmp_path):
    whole = saved(torch, tmp_path / "a.pth", tensors_of(torch)).read_bytes()
    legacy = saved(torch, tmp_path / "a.pth", tensors_of(torch), zipped=False).read_bytes()
    path = tmp_path / "b.pth"
    for content in (whole[: len(whole) // 2], legacy[:-10], b"PK\x03\x04" + bytes(100)):
        path.write_bytes(content)
        with pytest.raises(InputError, match="expected a whole PyTorch file") as caught:
            read_checkpoint(path)
        assert "\n" not in str(caught.value)
    for content in (torch.nn.Linear(2, 2), {"w": torch.zeros(3, 3).to_sparse()}):
        with pytest.raises(InputError):
            read_checkpoint(saved(torch, path, content))


# --- conversion ------------------------------------------------------------------------------------------------------


class Everything(nnx.Module):
    """One of every kind of layer."""

    def __init__(self, *, rngs):
        options = {"compute": Compute(), "rngs": rngs}
        self.conv = conv2d(4, 6, groups=2, **options)
        self.point = conv2d(4, 6, size=1, bias=False, **options)
        self.flat = Conv(4, 6, (1,), rngs=rngs)
        self.dense = linear(3, 5, **options)
        self.norm = layer_norm(5, **options)
        self.batch = nnx.BatchNorm(5, use_running_average=True, rngs=rngs)
        self.table = nnx.Embed(7, 3, rngs=rngs)
        self.blocks = nnx.List([linear(2, 2, **options) for _ in range(2)])
        self.places = nnx.Dict({"0": linear(2, 3, **options)})
        self.temperature = nnx.Param(jnp.ones((2, 1, 1)))

    def __call__(self, x):
        return x


MODEL = functional(lambda rngs: Everything(rngs=Keys(rngs)))
ABSTRACT = abstract_parameters(MODEL)
SHAPES = {
    "conv.weight": (6, 2, 3, 3),
    "conv.bias": (6,),
    "point.weight": (6, 4, 1, 1),
    "flat.weight": (6, 4, 1),
    "flat.bias": (6,),
    "dense.weight": (5, 3),
    "dense.bias": (5,),
    "norm.weight": (5,),
    "norm.bias": (5,),
    "batch.weight": (5,),
    "batch.bias": (5,),
    "batch.running_mean": (5,),
    "batch.running_var": (5,),
    "table.weight": (7, 3),
    "blocks.0.weight": (2, 2),
    "blocks.0.bias": (2,),
    "blocks.1.weight": (2, 2),
    "blocks.1.bias": (2,),
    "places.0.weight": (3, 2),
    "places.0.bias": (3,),
    "temperature": (2, 1, 1),
}
RANDOM = np.random.default_rng(0)
FILE = {name: RANDOM.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}


def converted(tensors, *namings):
    return convert(ABSTRACT, tensors, namings or (Naming(),), source="file")


def test_the_complete_list_of_tensors():
    assert torch_shapes(ABSTRACT) == SHAPES


def test_tensors_become_parameters():
    found = converted(FILE)
    assert jax.tree.map(jnp.shape, found) == jax.tree.map(jnp.shape, ABSTRACT)
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(found))
    for ours, theirs in [
        (found["conv"]["kernel"], FILE["conv.weight"].transpose(2, 3, 1, 0)),
        (found["flat"]["kernel"], FILE["flat.weight"].transpose(2, 1, 0)),
        (found["dense"]["kernel"], FILE["dense.weight"].T),
        (found["norm"]["scale"], FILE["norm.weight"]),
        (found["batch"]["mean"], FILE["batch.running_mean"]),
        (found["batch"]["var"], FILE["batch.running_var"]),
        (found["table"]["embedding"], FILE["table.weight"]),
        (found["blocks"][1]["bias"], FILE["blocks.1.bias"]),
        (found["places"]["0"]["kernel"], FILE["places.0.weight"].T),
        (found["temperature"], FILE["temperature"]),
    ]:
        np.testing.assert_array_equal(ours, theirs)
    MODEL.apply(found, jnp.ones(1))


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.float64])
def test_other_precisions_become_float32(dtype):
    found = converted({name: array.astype(dtype) for name, array in FILE.items()})
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(found["norm"]["bias"], FILE["norm.bias"].astype(dtype).astype(np.float32))


def test_dense_layers_and_pointwise_convolutions_stand_for_each_other():
    file = FILE | {
        "dense.weight": FILE["dense.weight"][..., None, None],
        "point.weight": FILE["point.weight"][..., 0, 0],
        "flat.weight": FILE["flat.weight"][..., 0],
    }
    jax.tree.map(np.testing.assert_array_equal, converted(file), converted(FILE))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: np.where(np.arange(a.size).reshape(a.shape) == 3, np.nan, a), "found NaN or infinite values in net"),
        (lambda a: -np.inf * np.abs(a), "found NaN or infinite values in net"),
        (lambda a: a.astype(np.float64) * 1e300, "found NaN or infinite values in net"),  # not in float32
        (lambda a: a.astype(np.int8), "found int8 in net"),
        (lambda a: a.astype(np.complex64), "found complex64 in net"),
    ],
)
def test_weights_that_are_no_finite_numbers(change, message):
    file = {f"net.{name}": array for name, array in FILE.items()} | {"net.unused": np.array([np.nan])}
    naming = Naming(prefix="net.", ignored=("unused",))
    converted(file, naming)  # only what is used counts
    with pytest.raises(InputError, match=rf"^file: {message}\.conv\.weight, expected f"):
        converted(file | {"net.conv.weight": change(FILE["conv.weight"])}, naming)


def test_the_file_may_change_afterwards(tmp_path):
    write_checkpoint(tmp_path / "a.safetensors", FILE, {})
    checkpoint = read_checkpoint(tmp_path / "a.safetensors")
    found = converted(checkpoint.tensors)
    before = jax.tree.map(np.array, found)
    with (tmp_path / "a.safetensors").open("r+b") as file:
        file.seek(-200, os.SEEK_END)
        file.write(bytes(200))
    jax.tree.map(np.testing.assert_array_equal, found, before)


def test_all_differences_are_in_one_error():
    file = dict(FILE)
    for name in ("conv.weight", "table.weight"):
        del file[name]
    file |= {f"extra.{i}": np.zeros(1) for i in range(20)} | {"dense.weight": np.zeros((3, 5))}
    with pytest.raises(WeightsError) as caught:
        converted(file)
    mismatch = caught.value.mismatch
    assert set(mismatch.missing) == {"conv.weight", "table.weight"}
    assert set(mismatch.unexpected) == {f"extra.{i}" for i in range(20)}
    assert mismatch.misshapen == (("dense.weight", (3, 5), (5, 3)),)
    assert mismatch.total == 23
    message = str(caught.value)
    assert message.startswith("file: found 2 missing (conv.weight, table.weight), 20 unexpected (extra.0, ")
    assert "extra.7, ...)" in message
    assert "1 wrongly shaped (dense.weight (3, 5), expected (5, 3)) of 39 tensors" in message
    assert isinstance(caught.value, InputError)


def test_kernels_that_are_no_pointwise_ones_keep_their_shape():
    with pytest.raises(WeightsError, match=r"conv.weight \(6, 2\), expected \(6, 2, 3, 3\)"):
        converted(FILE | {"conv.weight": np.zeros((6, 2))})
    with pytest.raises(WeightsError, match=r"norm.weight \(5, 1\), expected \(5,\)"):
        converted(FILE | {"norm.weight": np.zeros((5, 1))})


def test_names_of_other_generations():
    renamed = {
        f"net.{name}".replace("net.blocks.", "net.b").replace("net.places.0", "net.last"): a for name, a in FILE.items()
    }
    naming = Naming(
        rename=((r"^b(\d)\.", r"blocks.\1."), (r"^last\.", "places.0.")), ignored=(r"mask$",), prefix="net."
    )
    others = {
        "net.attn_mask": np.zeros(3),
        "net.batch.num_batches_tracked": np.array(3),
        "discriminator.w": np.zeros(2),
    }
    jax.tree.map(np.testing.assert_array_equal, converted(renamed | others, naming), converted(FILE))
    jax.tree.map(np.testing.assert_array_equal, converted(renamed, Naming(), naming), converted(FILE))
    assert compare_tensors(ABSTRACT, {name: a.shape for name, a in renamed.items()}, (Naming(), naming))[0] is naming


def test_a_parameter_that_is_there_twice():
    naming = Naming(rename=((r"^old_dense\.", "dense."),))
    with pytest.raises(WeightsError, match=r"found 1 unexpected \(old_dense.bias\)"):
        converted(FILE | {"old_dense.bias": FILE["dense.bias"]}, naming)


def test_indices():
    assert indices({"a.10.w": (), "a.2.w": (), "a.2.b": (), "b.3.w": ()}, r"a\.(\d+)\.") == (2, 10)


# --- networks from files ---------------------------------------------------------------------------------------------


def golden_file(tmp_path, network, name):
    case = manifest(network)["cases"][name]
    path = tmp_path / f"{name}.safetensors"
    write_checkpoint(path, drawn(case["keys"], case["gain"]), {})
    return path, case


@pytest.mark.parametrize(
    ("network", "case", "name"),
    [("rrdbnet_esrgan", "bsrgan_sf2", "RRDBNet"), ("swinir", "gray_dn", "SwinIR")],
)
def test_a_file_becomes_a_network(tmp_path, network, case, name):
    path, golden = golden_file(tmp_path, network, case)
    loaded = load_network(path)
    assert (loaded.name, loaded.checkpoint.path, loaded.checkpoint.sha256) == (name, path, file_sha256(path))
    found = jax.jit(loaded.model.apply)(loaded.params, nhwc(arrays(network)[golden["input"]]))
    assert error(nchw(found), arrays(network)[golden["output"]]) <= 1e-5


def test_a_network_of_given_sizes(tmp_path):
    path, golden = golden_file(tmp_path, "swinir", "gray_dn")
    config = SwinIRConfig(**golden["config"])._replace(depths=(2, 2), num_heads=(2, 3), img_range=255.0)
    loaded = load_network(path, network="swinir", config=config)
    assert loaded.config is config
    with pytest.raises(WeightsError, match="read as SwinIR: found 28 unexpected"):
        load_network(path, network="SwinIR", config=config._replace(depths=(2,), num_heads=(2,)))


def test_files_of_other_networks(tmp_path):
    write_checkpoint(tmp_path / "a.safetensors", {"fc.weight": np.ones((2, 2))}, {})
    path, _ = golden_file(tmp_path, "swinir", "gray_dn")
    known = ", ".join(network.name for network in NETWORKS)
    for arguments, message in [
        ((tmp_path / "a.safetensors", None, None), f"found tensors fc.weight, ..., expected one of {known}"),
        ((path, "rrdbnet", None), "expected RRDBNet"),
        ((path, "lenet", None), f"network: found 'lenet', expected one of {known}"),
        ((path, None, RRDBNetConfig()), "network: found None, expected the name of the architecture"),
    ]:
        file, network, config = arguments
        with pytest.raises(InputError) as caught:
            load_network(file, network=network, config=config)
        assert message in str(caught.value)


def test_shapes_that_no_file_has_are_not_recognised():
    assert recognise({}) is None
    assert recognise({"conv_first.weight": (), "conv_last.weight": (), "conv_hr.weight": ()}) is None
    strange = dict.fromkeys(
        ("conv_first.weight", "conv_last.weight", "conv_hr.weight", "body.0.rdb1.conv1.weight"), (0, 0, 0, 0)
    )
    assert recognise(strange) is None
